"""The installed package: the wheel in an environment of its own, commands in an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.commands.main import COMMANDS
from pretrain.data.scenes import write_scenes

BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""
# Lists what ``pixelpretext --help`` imports of what is slow, and of what no wheel holds.
IMPORTS = """
import sys
from benchmarks.commands.main import COMMANDS, load, overview
overview()
for name in COMMANDS:
    load(name)
slow = {"torch", "numpy", "cv2", "mmengine", "rich", "tools", "tests", "_checkout"}
print(*sorted(slow & {name.split(".")[0] for name in sys.modules}))
"""


def clean_environment() -> dict[str, str]:
    """This process's environment less what would lead to the checkout."""
    names = ("PIXELPRETEXT_", "PYTHONPATH", "PIP_")
    return {key: value for key, value in os.environ.items() if not key.startswith(names)}


def build(project: Path, kind: str) -> Path:
    """Builds ``wheel`` or ``sdist`` without compiling; returns the file."""
    command = [sys.executable, "-c", BUILD, f"build_{kind}", str(project / "dist")]
    environment = clean_environment() | dict(PIXELPRETEXT_NO_BUILD="1")
    ended = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return project / "dist" / ended.stdout.splitlines()[-1]


def contents(wheel: Path) -> dict[str, int]:
    """Names and checksums of a wheel's files."""
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.CRC for entry in archive.infolist()}


class Installed:
    """An environment that holds the wheel and, beside it, the packages of this one."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.packages = next(folder.glob("lib/python*/site-packages"))
        (self.packages / "beside.pth").write_text(sysconfig.get_path("purelib"))
        command = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install"]
        options = ["--no-deps", "--no-index", "--disable-pip-version-check"]
        subprocess.run([*command, *options, wheel], env=clean_environment(), check=True)

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Runs ``pixelpretext`` in the current folder."""
        command = [self.folder / "bin" / "pixelpretext", *map(str, arguments)]
        return subprocess.run(command, env=clean_environment(), capture_output=True, text=True)

    def python(self, code: str) -> str:
        """Runs code in the current folder; returns what it printed."""
        command = [self.folder / "bin" / "python", "-c", code]
        ended = subprocess.run(command, env=clean_environment(), capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture(scope="module")
def project(copy_project: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"), "compiled")


@pytest.fixture(scope="module")
def wheel(project: Path) -> Path:
    return build(project, "wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(wheel, tmp_path_factory.mktemp("installed"))


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_source_distribution_makes_the_same_wheel(
    project: Path, wheel: Path, tmp_path: Path
) -> None:
    sdist = build(project, "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build(next(tmp_path.iterdir()), "wheel")
    records = {name for name in contents(wheel) if name.endswith("/RECORD")}
    assert {k: v for k, v in contents(again).items() if k not in records} == {
        k: v for k, v in contents(wheel).items() if k not in records
    }


def test_the_wheel_holds_every_config_and_no_test(project: Path, wheel: Path) -> None:
    configs = {
        f"pretrain/{path.relative_to(project)}" for path in (project / "configs").rglob("*.py")
    }
    names = set(contents(wheel))
    assert len(configs) > 100 and configs <= names
    assert "benchmarks/data/prepare/caltech101_photos.txt" in names
    for template in ("base.html", "comparison.html", "evaluation.html", "style.css", "page.js"):
        assert f"benchmarks/report/templates/{template}" in names
    folders = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert folders == {"benchmarks", "heads", "pretrain"}


def test_the_list_of_commands_imports_nothing_slow(installed: Installed, empty: Path) -> None:
    overview = installed.run("--help")
    assert overview.returncode == 0, overview.stderr
    assert all(f"\n  {name} " in overview.stdout for name in COMMANDS)
    assert installed.python(IMPORTS).split() == []
    assert installed.run("--version").stdout == "pixelpretext 0.1.0\n"
    unknown = installed.run("trian")
    assert unknown.returncode == 2 and "did you mean 'train'?" in unknown.stderr


def test_help_shows_the_form_that_was_typed(installed: Installed, empty: Path) -> None:
    shown = installed.run("train-upsampler", "--help").stdout
    assert shown.startswith("usage: pixelpretext train-upsampler")
    assert "\n  pixelpretext train-upsampler work_dirs" in shown and "tools/" not in shown


def test_commands_do_their_work_in_an_empty_folder(installed: Installed, empty: Path) -> None:
    write_scenes("data/scenes", 20, size=96, seed=0, sequences=1)
    settings = ["schedule.global_batch=8", "schedule.samples=16", "schedule.warmup_samples=0"]
    options = ("--work-dir", "run", "--cfg-options", *settings, "loader.workers=0")
    trained = installed.run("train", "quick/scenes64", *options)
    assert trained.returncode == 0, trained.stderr
    data = ("--data", "scenes:data/scenes", "--out", "records.jsonl")
    measured = installed.run("evaluate", "run/final.pth", "--benchmark", "knn", "--quick", *data)
    assert measured.returncode == 0, measured.stderr
    assert json.loads(Path("records.jsonl").read_text())["benchmark"] == "knn"
    nothing = installed.run("compare", "scenes", "--table-only")
    assert nothing.returncode == 2 and "holds no trial of" in nothing.stderr
    assert str(installed.packages / "pretrain/configs/comparisons/scenes.py") in nothing.stderr


def test_the_metadata_names_requirements_layers_and_the_command(installed: Installed) -> None:
    folder = next(installed.packages.glob("pixelpretext-*.dist-info"))
    lines = (folder / "METADATA").read_text().splitlines()
    required = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]
    assert any(line.startswith("torch==") and "extra" not in line for line in required)
    assert any(line.startswith("mmdet==") and 'extra == "transfer"' in line for line in required)
    assert (
        "pixelpretext = benchmarks.commands.main:main" in (folder / "entry_points.txt").read_text()
    )
    code = "from benchmarks.speed.doctor.report import pins; print(*pins(), sep='\\n')"
    pins = installed.python(code).splitlines()
    assert any(pin.startswith("torch==") for pin in pins) and "mmdet" not in "".join(pins)
