"""mmcv, mmdet and mmsegmentation are imported below ``benchmarks/mm`` and nowhere else."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.mm import libraries, mmcv_build

ROOT = Path(__file__).resolve().parents[3]
NAMES = {"mmcv", "mmdet", "mmseg"}


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("folder", ["benchmarks", "pretrain", "heads", "tools"])
def test_no_other_folder_imports_them(folder: str) -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*.py")
        if imported(path) & NAMES
    }
    assert all(user.startswith("benchmarks/mm/modules/") for user in users)


def test_what_is_missing_is_named_without_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"mmcv": None, "mmseg": object(), "mmdet": None}
    monkeypatch.setattr(libraries.importlib.util, "find_spec", known.__getitem__)
    assert libraries.missing() == ["mmcv with operators", "mmdet"]
    message = "transfer needs mmcv with operators, mmdet; install the transfer layer"
    with pytest.raises(ValueError, match=message):
        libraries.models("mmdet")


def test_a_library_that_does_not_load_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> ModuleType:
        raise ImportError("undefined symbol: _ZN3c10")

    monkeypatch.setattr(libraries, "missing", list)
    monkeypatch.setattr(libraries.importlib, "import_module", broken)
    with pytest.raises(ValueError, match=r"\(ImportError: undefined symbol.*against another torch"):
        libraries.require()


def test_networks_come_from_the_library_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = object()
    monkeypatch.setattr(libraries, "require", lambda: None)
    stand_in = ModuleType("mmseg.registry")
    stand_in.MODELS = registry
    monkeypatch.setitem(sys.modules, "mmseg.registry", stand_in)
    monkeypatch.setitem(sys.modules, "mmseg", ModuleType("mmseg"))
    assert libraries.models("mmseg") is registry


@pytest.mark.parametrize(
    ("gibibytes", "cores", "expected"), [(64, 4, 4), (5, 4, 2), (1, 4, 1), (None, 3, 3)]
)
def test_a_compiler_has_two_gibibytes(
    gibibytes: int | None, cores: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "MemTotal: 1 kB\n" if gibibytes is None else f"MemAvailable:  {gibibytes << 20} kB\n"
    monkeypatch.setattr(mmcv_build.os, "sched_getaffinity", lambda process: range(cores))
    monkeypatch.setattr(mmcv_build.Path, "read_text", lambda path: text)
    assert mmcv_build.jobs() == expected
