"""The list of commands, how one is chosen, and the form in which texts name them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.commands import main as module
from benchmarks.commands.main import COMMANDS, GROUPS, load, main, overview
from pretrain import command_line, places
from pretrain.command_line import as_typed, own_command

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "checkout", lambda: None)


def test_every_file_of_the_room_is_a_command_in_one_group() -> None:
    folder = ROOT / "benchmarks" / "commands"
    files = {path.stem.replace("_", "-") for path in folder.glob("*.py")}
    assert files - {"--init--", "--main--", "main"} == set(COMMANDS)
    assert len(COMMANDS) == len(set(COMMANDS)) == sum(map(len, GROUPS.values()))


def test_the_overview_has_a_line_for_each() -> None:
    lines = overview().splitlines()
    assert max(map(len, lines)) <= 100
    for name in COMMANDS:
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert line.endswith(load(name).summary) and load(name).summary.endswith(".")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_without_a_command_all_are_listed(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"{overview()}\n"


def test_what_is_no_command_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian", "--help"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("pixelpretext: there is no command 'trian'; did you mean 'train'?")
    assert error.count("\n") == 1


def test_the_version_says_whether_this_is_a_checkout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places.metadata, "version", lambda name: "1.2.3")
    assert main(["--version"]) == 0 and capsys.readouterr().out == "pixelpretext 1.2.3\n"

    def version(name: str) -> str:
        raise places.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(places.metadata, "version", version)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pixelpretext in the checkout {ROOT}\n"


def test_the_arguments_come_from_the_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.sys, "argv", ["pixelpretext", "--help"])
    assert main() == 0 and capsys.readouterr().out.startswith("usage: pixelpretext COMMAND")


def test_texts_name_commands_as_they_were_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "run pixelpretext make-scenes, see pixelpretext --help"
    monkeypatch.setattr(command_line.sys, "argv", ["tools/train.py", "a b.py", "--amp"])
    assert as_typed(text) == "run python tools/make_scenes.py, see pixelpretext --help"
    assert own_command() == "python tools/train.py 'a b.py' --amp"
    monkeypatch.setattr(command_line.sys, "argv", ["/venv/bin/pixelpretext", "train", "x"])
    assert as_typed(text) == text and own_command() == "pixelpretext train x"


def test_an_installed_package_has_no_scripts(installed: None) -> None:
    assert as_typed("pixelpretext train") == "pixelpretext train"
    usage = load("train-upsampler").parser("train-upsampler").format_help()
    assert usage.startswith("usage: pixelpretext train-upsampler ")


@pytest.mark.parametrize("form", [["tools/doctor.py"], ["-m", "benchmarks.commands", "doctor"]])
def test_a_checkout_knows_both_forms_without_being_installed(form: list[str]) -> None:
    command = [sys.executable, *form, "--help"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("usage: python tools/doctor.py")


def test_how_to_install_depends_on_where_the_code_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert places.how_to_install("transfer") == "bash tools/setup.sh transfer"
    monkeypatch.setattr(places, "checkout", lambda: None)
    assert places.how_to_install("core") == "pip install --force-reinstall pixelpretext"
    assert places.how_to_install("transfer").endswith("[transfer]', then pixelpretext build-mmcv")
