"""pixelpretext evaluate: tables, records, and mistakes as one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.core.record import Metric, Record, read_all
from benchmarks.evaluate.tables import evaluation_tables
from benchmarks.report.renderers import to_screen


def test_several_networks_and_benchmarks(
    run_tool: Callable[..., int],
    image_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "records.jsonl"
    code = run_tool(
        "evaluate",
        "random:test_resnet?output_stride=8",
        "random:test_resnet?output_stride=8&seed=1",
        "--benchmark",
        "knn",
        "linear",
        "--data",
        f"classes:{image_folder}?held_back=0.25",
        "--quick",
        "--set",
        "knn.size=32",
        "linear.size=32",
        "knn.neighbours=3",
        "--device",
        "cpu",
        "--out",
        str(out),
    )
    records = read_all(out)
    assert code == 0
    assert [r.benchmark for r in records] == ["knn", "linear"] * 2
    assert records[0].protocol_hash == records[2].protocol_hash
    assert (
        records[0].protocol["neighbours"] == 3 and records[0].protocol["data"]["held_back"] == 0.25
    )
    printed = capsys.readouterr().out
    assert (
        "knn" in printed
        and "seed=1" in printed
        and f"{records[0].metrics['top1'].value:.2f}" in printed
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--benchmark", "retreival", "--data", "camvid:x"], "did you mean 'retrieval'"),
        (
            ["--benchmark", "knn", "--data", "camvid:x"],
            "benchmark knn needs one --data with a folder",
        ),
        (["--benchmark", "retrieval", "--data", "x"], "write LAYOUT:ROOT"),
        (["--benchmark", "retrieval", "--data", "camvid:/nowhere"], "is not a folder"),
        (
            ["--benchmark", "knn", "--data", "classes:x", "--set", "knn"],
            "write BENCHMARK.KEY=VALUE",
        ),
    ],
)
def test_mistakes_are_one_sentence(
    run_tool: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert run_tool("evaluate", "random:test_resnet", *arguments) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.startswith("evaluate: ") and printed.count("\n") == 1


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        ("?every=2", "knn.size=32", "ClassFolder: every=2 is of type int; must be tuple[int, int]"),
        (
            "?every=1,2,3",
            "knn.size=32",
            "every=(1, 2, 3) is of type tuple; must be tuple[int, int]",
        ),
        ("?held_back=half", "knn.size=32", "held_back='half' is of type str; must be float"),
        ("?train=2012", "knn.size=32", "2012"),  # a folder may be called so: it is looked for
        ("", "knn.neighbours=2.5", "benchmark 'knn': neighbours=2.5 is of type float; must be int"),
        ("", "knn.size=abc", "benchmark 'knn': size='abc' is of type str; must be int"),
        ("", "knn.backend=3", "backend='3' is not one of"),
    ],
)
def test_values_of_wrong_types_are_one_sentence(
    run_tool: Callable[..., int],
    image_folder: Path,
    capsys: pytest.CaptureFixture[str],
    data: str,
    settings: str,
    message: str,
) -> None:
    arguments = ("--benchmark", "knn", "--data", f"classes:{image_folder}{data}", "--set", settings)
    assert run_tool("evaluate", "random:test_resnet", *arguments) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.startswith("evaluate: ") and printed.count("\n") == 1


@pytest.mark.parametrize(
    "option", ["output_stride=abc", "output_stride=2.5", "seed=abc", "map_stride=abc", "foo=1"]
)
def test_wrong_options_of_networks_are_one_sentence(
    run_tool: Callable[..., int],
    image_folder: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
) -> None:
    arguments = ("--benchmark", "knn", "--data", f"classes:{image_folder}", "--quick")
    assert run_tool("evaluate", f"random:test_resnet?{option}", *arguments) == 2
    printed = capsys.readouterr().err
    assert (
        printed.startswith("evaluate: ")
        and printed.count("\n") == 1
        and option.split("=")[1] in printed
    )


def test_unequal_protocols_never_share_a_table() -> None:
    records = [
        Record("knn", {"top1": Metric(v, "%")}, {"neighbours": k})
        for v, k in ((1.0, 5), (2.0, 5), (3.0, 6))
    ]
    tables = evaluation_tables(records)
    assert [len(table.rows) for table in tables] == [2, 1]
    console = Console(record=True, width=100)
    console.print(to_screen(tables[0]))
    assert "top1 [%]" in console.export_text()
