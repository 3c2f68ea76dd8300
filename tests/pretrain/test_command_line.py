"""The rule that all command lines share: mistakes, exit codes, options given twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pretrain.command_line import Command, CommandLine, execute, read_pairs, sentence
from pretrain.engine.config_file import override, read_config, read_options
from pretrain.engine.settings import ConfigError

ROOT = Path(__file__).resolve().parents[2]
FROM_A_WORKER = """Caught ValueError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "a.py", line 1, in read
ValueError: a.jpg: no image
"""


def command(
    run: Callable[..., None], add_arguments: Callable[[CommandLine], None] = lambda parser: None
) -> Command:
    return Command(
        description="Does it.", examples="example: none", add_arguments=add_arguments, run=run
    )


def run_raising(error: BaseException) -> int:
    def run() -> None:
        raise error

    return execute(command(run), "tool", [])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("size=3:\n  must be 4"), "tool: size=3: must be 4"),
        (ValueError(FROM_A_WORKER), "tool: a.jpg: no image\n"),
        (ConfigError("schedule.epoch: unknown"), "tool: schedule.epoch: unknown"),
        (FileNotFoundError("no checkpoint a.pth"), "tool: no checkpoint a.pth"),
        (PermissionError(13, "Permission denied", "/a/b"), "tool: /a/b: Permission denied"),
        (
            OSError(18, "Invalid cross-device link", "/a", None, "/b"),
            "tool: /a -> /b: Invalid cross-device link",
        ),
        (MemoryError(), "tool: out of memory; smaller images"),
        (
            torch.OutOfMemoryError("tried to allocate 3 GiB"),
            "tool: out of memory: tried to allocate 3 GiB; smaller",
        ),
        (ValueError(), "tool: ValueError without a message; PIXELPRETEXT_TRACEBACK=1"),
        (KeyboardInterrupt(), "tool: interrupted"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_tools_name(
    error: BaseException, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_raising(error) == (130 if isinstance(error, KeyboardInterrupt) else 2)
    printed = capsys.readouterr()
    assert printed.err.startswith(message) and printed.err.count("\n") == 1 and printed.out == ""


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (KeyError("a"), TypeError("b"), RuntimeError("c")):
        with pytest.raises(type(error)):
            run_raising(error)
    monkeypatch.setenv("PIXELPRETEXT_TRACEBACK", "1")
    with pytest.raises(ValueError, match="a mistake"):
        run_raising(ValueError("a mistake"))


def test_other_processes_say_which_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("RANK", "3")
    assert run_raising(ValueError("no data")) == 2
    assert capsys.readouterr().err == "tool (process 3): no data\n"


def test_a_refused_argument_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    weights = command(lambda weights: None, CommandLine.add_weights)
    with pytest.raises(SystemExit) as ended:
        execute(weights, "tool", ["--weights", "both"])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and error.startswith(
        "tool: argument --weights: invalid choice: 'both'"
    )
    assert error.count("\n") == 1


def test_a_reader_that_leaves_is_no_error() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pretrain.command_line import Command, execute\n"
        "def run():\n    for number in range(200000): print(number)\n"
        "command = Command(\n"
        "    description='', examples='example', add_arguments=lambda parser: None, run=run)\n"
        "sys.exit(execute(command, 'tool', []))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(60) == 141


def test_values_of_an_option_given_twice_add_up() -> None:
    parser = CommandLine("tool", None, examples="example: none")
    parser.add_argument("names", nargs="+")
    parser.add_argument("--set", nargs="+", default=[])
    parser.add_argument("--sizes", nargs=2, type=int)
    parser.add_seeds()
    given = parser.parse_args(
        ["a", "--set", "x=1", "--seeds", "1", "--set", "y=2", "z=3", "--seeds", "2"]
    )
    assert given.set == ["x=1", "y=2", "z=3"] and given.seeds == [1, 2] and given.sizes is None
    assert parser.parse_args(["a"]).seeds == [0] and parser.parse_args(["a"]).set == []
    assert parser.parse_args(["a", "--seeds", "0", "--seeds", "1"]).seeds == [0, 1]
    assert parser.parse_args(["a", "--sizes", "1", "2", "--sizes", "3", "4"]).sizes == [1, 2, 3, 4]


def test_pairs_are_read_once_each() -> None:
    read = dict(option="--set", example="knn.size=64", parse=str)
    assert read_pairs(["a=1", "b=x=y", "c="], **read) == {"a": "1", "b": "x=y", "c": ""}
    with pytest.raises(ValueError, match="--set: a is given twice, '1' and '2'; give it once"):
        read_pairs(["a=1", "b=1", "a=2"], **read)
    for wrong in ("schedule", "=3"):
        with pytest.raises(
            ValueError, match=f"--set '{wrong}': write KEY=VALUE, as in knn.size=64"
        ):
            read_pairs([wrong], **read)


def test_overrides_of_a_config(tmp_path: Path) -> None:
    given = read_options(
        ["a=1,2", "b=(1,2)", "c=/my photos/x y", "d='x'", "e=[a, b]", "f=1e-4", "g=true", "h=None"]
    )
    values = [[1, 2], (1, 2), "/my photos/x y", "x", ["a", "b"], 1e-4, True, None]
    assert list(given.values()) == values
    with pytest.raises(ValueError, match="--cfg-options: Imbalanced brackets"):
        read_options(["a=[1,(2]"])
    path = tmp_path / "config.py"
    path.write_text(
        "model = dict(objectives=[dict(a=1), dict(a=2)], b=3)\nsource = dict(type='A', x=1)\n"
    )
    cfg = read_config(path)
    override(cfg, {"model.objectives.1.a": 5, "source._delete_": True, "source.type": "B"})
    assert cfg.model.objectives[1].a == 5 and cfg.source.to_dict() == {"type": "B"}
    for key in ("model.objectives.5.a", "model.objectives.x", "model.b.c"):
        with pytest.raises(
            ConfigError, match=f"--cfg-options {key}=1: the config has nothing there to override"
        ):
            override(read_config(path), {key: 1})


@pytest.mark.parametrize("text", ["a = undefined", "a = (", "a = [][1]", "raise SystemError('no')"])
def test_a_file_that_is_no_config(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match="config.py: [A-Za-z]*Error: "):
        read_config(path)


def test_a_sentence_is_never_empty() -> None:
    assert all(
        sentence(error) for error in (ValueError(), OSError(), MemoryError(), ValueError(" \n"))
    )
