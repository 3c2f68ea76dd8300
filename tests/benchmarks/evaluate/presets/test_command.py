"""``pixelpretext evaluate --preset``: from the command line to records, lines and repetitions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.core.record import read_all
from benchmarks.runs.reproduce import reproduce

Tool = Callable[..., int]
NETWORK = "random:test_vit"


def test_a_preset_is_measured_compared_and_repeated(
    run_tool: Tool,
    toy_voc: Path,
    toy_preset: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "records.jsonl"
    given = (NETWORK, "--preset", toy_preset, "--data", f"voc:{toy_voc}", "--out", out)
    code = run_tool("evaluate", *given, "--published-as", "toy", "--device", "cpu", "--baselines")
    assert code == 0
    printed = capsys.readouterr().out
    record, *baselines = read_all(out)
    value = record.metrics["mIoU"].value
    near, far = (line for line in printed.splitlines() if line.startswith(f"toy, {NETWORK}, mIoU"))
    assert f"published 50.0 (authors: ours), ours {value:.2f} ± " in near
    assert f"published 200 (authors: ours), ours {value:.1f} ± " in far and far.count("differs")
    assert record.protocol["preset"] == "toy" and record.protocol["compat"]
    assert len(baselines) == 3
    assert {one.protocol_hash for one in baselines} == {record.protocol_hash}
    assert reproduce(f"{out}:1", out=str(tmp_path / "again"))
    assert "mIoU" in capsys.readouterr().out


def test_changes_are_in_the_printed_name(
    run_tool: Tool, toy_voc: Path, toy_preset: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given = (
        NETWORK,
        "--preset",
        toy_preset,
        "--data",
        f"voc:{toy_voc}?limit=2,1",
        "--device",
        "cpu",
    )
    change = ("--set", "toy.neighbours=3", "--out", tmp_path / "r.jsonl")
    assert run_tool("evaluate", *given, *change) == 0
    printed = capsys.readouterr().out
    assert "toy (changed: neighbours 30 → 3; limited: limit 2,1), random:test_vit, mIoU" in printed
    assert "published –, ours " in printed and "not compared (settings were changed)" in printed


def test_explain_needs_neither_network_nor_data(
    run_tool: Tool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_tool("evaluate", "--preset", "hummingbird-voc-1m", "--explain") == 0
    printed = capsys.readouterr().out
    assert "\n  memory_size = 1024000\n    what: M: memory_size // (images" in printed
    assert "source: O: README, 1 M\n    changing it: " in printed
    assert run_tool("evaluate", "--presets") == 0
    assert "hummingbird-voc-1m" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--explain",), "name what to explain by --preset"),
        (("--preset", "hummingbird-voc"), "name a network"),
        ((NETWORK, "--preset", "hummingbird-voc"), "name --data LAYOUT:ROOT"),
        ((NETWORK, "--data", "voc:x"), "by --benchmark or by --preset, one of the two"),
        (
            (NETWORK, "--data", "voc:x", "--preset", "hummingbird-voc", "--quick"),
            "--quick would change nearly every setting",
        ),
        (
            (NETWORK, "--data", "voc:x", "--benchmark", "retrieval", "--seeds", "1"),
            "--seeds and --published-as belong to --preset",
        ),
        (
            (NETWORK, "--data", "voc:x", "--preset", "hummingbird-voc", "--upsampled-stride", "4"),
            "--upsampled-stride belongs to --benchmark",
        ),
        (
            (NETWORK, "a", "--data", "voc:x", "--preset", "hummingbird-voc", "--published-as", "b"),
            "names the row of one network",
        ),
    ],
)
def test_options_that_do_not_go_together(
    run_tool: Tool, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert run_tool("evaluate", *arguments) == 2
    assert message in capsys.readouterr().err
