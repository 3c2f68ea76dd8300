"""What holds for every tool: a mistake is one sentence and exit code 2, help has an example,
options add up.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.commands.main import COMMANDS, load
from pretrain.command_line import AddValues, CommandLine

ROOT = Path(__file__).resolve().parents[3]
TOOLS = [name.replace("-", "_") for name in COMMANDS]

# Arguments that the parser takes and the tool must refuse; {none} is a path where nothing is,
# {file} an empty file.
MISTAKES = {
    "backbones": ["{none}"],
    "aligned_start": ["{none}.pth", "--out", "{none}/out.pth"],
    "analyse": ["nothing", "{none}.pth", "--data", "classes:{none}"],
    "build_mmcv": ["--rebuld"],
    "build_operators": ["--cudda"],
    "compare": ["{none}/config.py"],
    "doctor": ["--jsn"],
    "draw_pairs": ["{file}", "{none}/out.png"],
    "evaluate": ["{none}.pth", "--benchmark", "knn", "--data", "classes:{none}"],
    "evaluate_cim": ["{none}.pth", "--images", "{none}"],
    "evaluate_upsampler": ["{none}.pth", "--data", "{none}"],
    "export": ["{none}.pth", "--to", "timm"],
    "fit_place": ["{none}.pth", "--data", "camvid:{none}", "--out", "{none}.pth"],
    "finetune": ["{none}.pth", "tiny", "--data", "{none}"],
    "import": ["{none}.pth"],
    "league": ["{none}.pth", "--data", "camvid:{none}", "--photos", "{none}"],
    "make_scenes": ["{file}", "--images", "1"],
    "pair_upsamplers": ["{none}.jsonl"],
    "post_train": ["{none}.pth", "--images", "{none}", "--masks", "camvid:{none}"],
    "prepare_transfer": ["{none}", "--sets", "nothing"],
    "audit": ["{none}"],
    "reproduce": ["{none}.jsonl:1"],
    "runs": ["show", "{none}", "--root", "{none}"],
    "rescale": ["{none}.pth", "--out", "{none}/out.pth"],
    "robustness": ["{none}.pth", "--data", "corrupted:{none}"],
    "train": ["{none}/config.py"],
    "train_upsampler": ["{none}.pth", "--data", "{none}"],
    "transfer": ["random:test_resnet", "{none}.py", "--data", "{none}"],
    "prepare_data": ["camvid", "--out", "{none}", "--mirror", "{none}"],
}

# The same with an output that cannot be written: it must be refused before what else is wrong is
# met.
OUTPUTS = [
    ("fit_place", ["{none}.pth", "--data", "camvid:{none}", "--out", "{blocked}"]),
    ("analyse", ["cka", "{none}.pth", "--data", "classes:{none}", "--out", "{blocked}"]),
    ("analyse", ["cka", "{none}.pth", "--data", "classes:{none}", "--report", "{blocked}"]),
    ("compare", ["{root}/configs/comparisons/quickstart.py", "--work-dir", "{blocked}"]),
    ("draw_pairs", ["{root}/configs/quick/scenes64.py", "{blocked}"]),
    (
        "evaluate",
        ["{none}.pth", "--benchmark", "knn", "--data", "classes:{none}", "--out", "{blocked}"],
    ),
    (
        "evaluate",
        ["{none}.pth", "--benchmark", "knn", "--data", "classes:{none}", "--report", "{blocked}"],
    ),
    ("evaluate_upsampler", ["{none}.pth", "--data", "{none}", "--out", "{blocked}"]),
    ("export", ["random:test_resnet", "--to", "timm", "--out", "{blocked}"]),
    ("finetune", ["{none}.pth", "tiny", "--data", "{none}", "--out", "{blocked}"]),
    ("finetune", ["{none}.pth", "tiny", "--data", "{none}", "--work-dir", "{blocked}"]),
    ("import", ["{none}.pth", "--out", "{blocked}"]),
    (
        "league",
        [
            *("{none}.pth", "--data", "camvid:{none}", "--photos", "{none}"),
            *("--work-dir", "{blocked}"),
        ],
    ),
    ("make_scenes", ["{blocked}"]),
    ("pair_upsamplers", ["{none}.jsonl", "--out", "{blocked}"]),
    ("aligned_start", ["{none}.pth", "--out", "{blocked}"]),
    (
        "post_train",
        ["{none}.pth", "--images", "{none}", "--masks", "voc:{none}", "--work-dir", "{blocked}"],
    ),
    ("rescale", ["{none}.pth", "--out", "{blocked}"]),
    ("robustness", ["{none}.pth", "--data", "corrupted:{none}", "--out", "{blocked}"]),
    ("robustness", ["--sheet", "{none}.jpg", "--out", "{blocked}"]),
    ("train", ["{root}/configs/quick/scenes64.py", "--work-dir", "{blocked}"]),
    ("train_upsampler", ["{none}.pth", "--data", "{none}", "--work-dir", "{blocked}"]),
    ("transfer", ["{none}.pth", "{none}.py", "--data", "{none}", "--out", "{blocked}"]),
    ("transfer", ["{none}.pth", "{none}.py", "--data", "{none}", "--work-dir", "{blocked}"]),
]


def parser_of(tool: str) -> CommandLine:
    name = tool.replace("_", "-")
    return load(name).parser(name)


def test_every_tool_is_tried() -> None:
    scripts = [path.stem for path in (ROOT / "tools").glob("*.py") if path.stem[0] != "_"]
    assert sorted(MISTAKES) == sorted(TOOLS) == sorted(scripts)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    tool: str,
    run_tool: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.py").touch()
    words = dict(none=tmp_path / "nothing", file=tmp_path / "file.py")
    assert run_tool(tool, *(argument.format(**words) for argument in MISTAKES[tool])) == 2
    error = capsys.readouterr().err
    assert (
        error.startswith(f"{tool.replace('_', '-')}: ")
        and error.count("\n") == 1
        and len(error) > len(tool) + 10
    ), error
    assert [p.name for p in tmp_path.iterdir()] == ["file.py"]


@pytest.mark.parametrize(("tool", "arguments"), OUTPUTS)
def test_outputs_that_cannot_be_written_are_refused_before_any_work(
    tool: str,
    arguments: list[str],
    run_tool: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    blocked = tmp_path / "file" / "inside.png"  # a file is no folder
    words = dict(root=ROOT, none=tmp_path / "nothing", blocked=blocked)
    assert run_tool(tool, *(argument.format(**words) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert (
        error.startswith(f"{tool.replace('_', '-')}: ")
        and str(blocked.parent) in error
        and "Not a directory" in error
    ), error
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("tool", TOOLS)
def test_unknown_options_are_refused_in_the_same_way(
    tool: str, run_tool: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_tool(tool, "--no-such-option") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{tool.replace('_', '-')}: ") and error.count("\n") == 1


@pytest.mark.parametrize("tool", TOOLS)
def test_help_has_an_example_and_the_exit_codes(tool: str) -> None:
    text = parser_of(tool).format_help()
    assert (
        f"tools/{tool}.py" in text.split("example")[1]
        and "exit codes: 0" in text
        and "2 a mistake" in text
    )


@pytest.mark.parametrize("tool", TOOLS)
def test_an_option_with_several_values_adds_those_given_later(tool: str) -> None:
    for action in parser_of(tool)._actions:
        several = action.nargs in ("+", "*") or isinstance(action.nargs, int) and action.nargs > 0
        if several and action.option_strings:
            assert isinstance(action, AddValues), action.option_strings


def test_below_the_tools_options_are_typed() -> None:
    """argparse is met where a command line is read, and where checkpoints that hold its results
    are.
    """
    readers = {
        "pretrain/command_line.py",
        "pretrain/checkpoint_file.py",
    }
    found = set()
    for folder in ("pretrain", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            imports = [
                node
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Import)
            ]
            if any(alias.name == argparse.__name__ for node in imports for alias in node.names):
                found.add(name)
    assert found - readers == set()


def test_a_listing_ends_the_program_and_leaves_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    parser = CommandLine("x", "", examples="")
    parser.add_listing("--things", lambda: "a\nb", help="list them, and exit")
    assert vars(parser.parse_args([])) == {}
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["--things"])
    assert end.value.code in (0, None) and capsys.readouterr().out == "a\nb\n"
