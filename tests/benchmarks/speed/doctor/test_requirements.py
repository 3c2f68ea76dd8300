"""Reading pins and comparing them with what is installed."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

from benchmarks.speed.doctor import requirements

ROOT = Path(__file__).resolve().parents[4]


def test_included_files_comments_and_markers(tmp_path: Path) -> None:
    (tmp_path / "core.txt").write_text(
        "# heading\n\nalpha==1.0   # why\nbeta==2; python_version < '3'\n"
    )
    (tmp_path / "test.txt").write_text("-r core.txt\ngamma>=3\n")
    assert [str(r) for r in requirements.read(tmp_path / "test.txt")] == ["alpha==1.0", "gamma>=3"]


def test_line_that_is_no_requirement(tmp_path: Path) -> None:
    (tmp_path / "core.txt").write_text("pip\n--index-url somewhere\n")
    with pytest.raises(ValueError, match=r"core\.txt:2: '--index-url somewhere'"):
        requirements.read(tmp_path / "core.txt")


def test_unmet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"alpha": "1.0+cu130", "beta": "1.9"}

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(requirements.metadata, "version", version)
    (tmp_path / "core.txt").write_text("alpha==1.0\nbeta==2.0\ngamma==3.0\n")
    assert requirements.unmet(requirements.read(tmp_path / "core.txt")) == [
        "beta is 1.9 (wanted ==2.0)",
        "gamma is missing (wanted ==3.0)",
    ]


@pytest.mark.parametrize("layer", ["core", "transfer", "test"])
def test_every_pin_is_exact_and_explained_for_both_generations(layer: str) -> None:
    lines = (ROOT / "requirements" / f"{layer}.txt").read_text().splitlines()
    pins = [
        line.split("#")[0].strip() for line in lines if line and not line.startswith(("#", "-r"))
    ]
    assert all(
        re.fullmatch(r"[a-z][\w-]*==[\w.]+(; python_version (<|>=) \"3\.11\")?", pin)
        for pin in pins
    ), pins
    names = [pin.split("==")[0] for pin in pins]
    for name in set(names):
        markers = sorted(
            pin.partition(";")[2].strip() for pin in pins if pin.startswith(f"{name}==")
        )
        assert markers in ([""], ['python_version < "3.11"', 'python_version >= "3.11"']), name
