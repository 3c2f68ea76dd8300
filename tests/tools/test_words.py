"""What scripts, help texts and configs tell people to type names files and options that exist."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.commands.main import COMMANDS, load
from pretrain.places import config_names

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("tools", "benchmarks", "configs")
FILES = [
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".sh")
]


def test_configs_and_tools_that_are_named_are_there() -> None:
    pattern = re.compile(r"\b((?:configs|tools)/[\w/]+\.(?:py|sh))")
    named = {
        (file.relative_to(ROOT), path)
        for file in FILES
        for path in pattern.findall(file.read_text())
    }
    assert (
        len(named) > 20 and [pair for pair in sorted(named) if not (ROOT / pair[1]).is_file()] == []
    )


def test_commands_that_are_named_are_there() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *FILES]
    pages += (ROOT / "pretrain").rglob("*.py")
    pattern = re.compile(r"\bpixelpretext ([a-z][\w-]*)")
    named = {
        (page.relative_to(ROOT).as_posix(), name)
        for page in pages
        for name in pattern.findall(page.read_text(encoding="utf-8"))
    }
    assert {name for _, name in named} >= {"train", "import"}
    assert [pair for pair in sorted(named) if pair[1] not in COMMANDS] == []


def test_configs_that_help_texts_name_are_there() -> None:
    """``pixelpretext train quick/scenes64`` in an example: a config goes by its name."""
    folders = {"compare": "comparisons", "finetune": "finetune", "transfer": "transfer"}
    for command in ("train", "draw-pairs", "compare", "finetune", "transfer"):
        names = {"CONFIG", *config_names(), *config_names(folders.get(command, ""))}
        examples = load(command).examples.replace("\\\n", " ").splitlines()
        lines = [line.split() for line in examples if f"pixelpretext {command} " in line]
        lines = [line for line in lines if "status" not in line]  # compare status FOLDER
        assert lines and all(names & set(line) for line in lines), lines


def test_options_that_the_quickstart_advertises_are_the_comparisons() -> None:
    """What is typed behind the script goes to tools/compare.py as it is."""
    advertised = re.findall(
        r"bash tools/quickstart\.sh (--[\w-]+)", (ROOT / "tools" / "quickstart.sh").read_text()
    )
    usage = (ROOT / "benchmarks" / "commands" / "compare.py").read_text()
    assert advertised and all(f'"{option}"' in usage for option in advertised)


def test_drawing_pairs_writes_a_picture_or_one_sentence(
    image_folder: Path,
    tmp_path: Path,
    run_tool: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, picture = tmp_path / "config.py", tmp_path / "pairs.png"
    config.write_text(
        f"source = dict(type='ImageFolder', root={str(image_folder)!r})\n"
        "views = dict(type='ViewRecipe', groups={'global': [dict(size=32), dict(size=32)]})\n"
    )
    assert run_tool("draw_pairs", config, picture, "--images", 1) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run_tool("draw_pairs", config, picture, "--group", "globl") == 2
    assert "group='globl': the recipe makes global" in capsys.readouterr().err
