"""Where configs are: paths win, names are found in a checkout and in an installed package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pretrain import places
from pretrain.engine.config_file import read_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("quick/scenes64", ""),
        ("quick/scenes64.py", ""),
        ("configs/quick/scenes64.py", ""),
        ("configs/quick/scenes64", ""),
        ("scenes64", "quick"),
        ("quick/scenes64", "finetune"),
    ],
)
def test_a_config_is_found_by_its_name(empty: Path, name: str, folder: str) -> None:
    assert places.find_config(name, folder=folder) == ROOT / "configs" / "quick" / "scenes64.py"


def test_an_existing_path_wins(empty: Path) -> None:
    (empty / "quick").mkdir()
    own = Path("quick/scenes64.py")
    own.write_text("a = 1\n")
    assert places.find_config(own) == own and read_config("quick/scenes64.py").a == 1
    assert places.find_config("quick/scenes64") == ROOT / "configs" / own  # a name, not that path


@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [
        ("quick/scenes46", "", "no config 'quick/scenes46'; did you mean 'quick/scenes64'?"),
        ("tinny", "finetune", "no config 'tinny'; did you mean 'tiny'?"),
        ("mone.py", "", "no config 'mone.py'; did you mean 'mine.py'?"),
        ("zzzzzz", "", "no config 'zzzzzz'; no file, and no name in "),
        (
            "/nowhere/quick/scenes64.py",
            "",
            "no config '/nowhere/quick/scenes64.py'; did you mean 'quick/scenes64'?",
        ),
    ],
)
def test_an_unknown_name_names_the_nearest(
    empty: Path, name: str, folder: str, message: str
) -> None:
    (empty / "mine.py").touch()
    with pytest.raises(FileNotFoundError) as caught:
        places.find_config(name, folder=folder)
    assert str(caught.value).startswith(message)


def test_names_are_those_of_recipes_not_of_bases() -> None:
    names = places.config_names()
    assert {"quick/scenes64", "comparisons/quickstart", "transfer/tiny/seg_fcn"} <= set(names)
    assert not [name for name in names if "_base_" in name]
    assert "tiny" in places.config_names("finetune")


def test_an_installed_package_holds_its_configs(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = empty / "site-packages" / "pretrain"
    (package / "configs" / "quick").mkdir(parents=True)
    (package / "configs" / "quick" / "scenes64.py").touch()
    monkeypatch.setattr(places, "_PACKAGE", package)
    assert places.checkout() is None and places.config_names() == ["quick/scenes64"]
    assert places.find_config("quick/scenes64").is_relative_to(package)


def test_an_own_process_imports_this_code_in_any_folder(empty: Path) -> None:
    code = "import pretrain.places as places; print(places.checkout())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=places.import_path(), capture_output=True, text=True
    )
    assert done.stdout == f"{ROOT}\n", done.stderr
