"""Presets of video and of clusters, from the command line to the line that holds them against what
was published, on toy sets in the published layouts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.core.record import read_all
from benchmarks.data import VideoFolder
from benchmarks.evaluate.presets.load import load_preset, preset_names

Tool = Callable[..., int]
NETWORK = "random:test_vit"
VIDEO = """
counts = dict(videos=(2, "ours"))
input = dict(short_side=(48, "ours", "nothing"), long_multiple=(16, "ours", "nothing"))
predict = dict(radius=(2, "ours", "nothing"))
published = [dict(model="toy", metric="J_and_F", value="50.0", source="ours", kind="authors")]
"""
CLUSTERS = """
data = dict(train=("trainaug", "ours", "nothing"))
counts = dict(val_images=(2, "ours"), classes=(21, "ours"))
input = dict(size=((64, 64), "ours", "nothing"))
train = dict(clusters=(4, "ours", "nothing"), components=(8, "ours", "nothing"))
published = [dict(model="toy", metric="mIoU", value="50.0", source="ours", kind="authors")]
"""


def test_a_video_preset(
    run_tool: Tool,
    write_davis: Callable[..., Path],
    write_preset: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    preset, root = write_preset(VIDEO, base="davis2017-dino"), write_davis(tmp_path / "DAVIS")
    out = tmp_path / "records.jsonl"
    given = (NETWORK, "--preset", preset, "--data", f"davis2017:{root}", "--out", out)
    assert run_tool("evaluate", *given, "--published-as", "toy", "--baselines") == 0
    record, *baselines = read_all(out)
    value = record.metrics["J_and_F"].value
    assert f"published 50.0 (authors: ours), ours {value:.2f} ± " in capsys.readouterr().out
    assert {one.protocol_hash for one in baselines} == {record.protocol_hash}
    assert record.protocol["normalisation"]["std"][0] == 0.228
    (root / "ImageSets/2017/val.txt").write_text("bike\n")
    assert run_tool("evaluate", *given) == 2
    assert "videos is 1, published 2" in capsys.readouterr().err


def test_a_preset_of_clusters(
    run_tool: Tool,
    toy_voc: Path,
    write_preset: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    preset = write_preset(CLUSTERS, base="overcluster-neco")
    given = (NETWORK, "--preset", preset, "--data", f"voc:{toy_voc}")
    out = ("--out", tmp_path / "records.jsonl", "--published-as", "toy", "--seeds", 0, 1)
    assert run_tool("evaluate", *given, *out) == 0
    records = read_all(out[1])
    mean = sum(record.metrics["mIoU"].value for record in records) / 2
    printed = capsys.readouterr().out
    assert len(records) == 2 and f"published 50.0 (authors: ours), ours {mean:.2f} ± " in printed
    assert "(2 seeds)" in printed


def test_a_network_without_place_is_another_row(
    run_tool: Tool, toy_voc: Path, write_preset: Callable[..., str], tmp_path: Path
) -> None:
    preset, out = write_preset(CLUSTERS, base="overcluster-neco"), tmp_path / "records.jsonl"
    given = ("--preset", preset, "--data", f"voc:{toy_voc}", "--out", out)
    assert run_tool("evaluate", NETWORK, f"{NETWORK}?without_place=black:2", *given) == 0
    plain, removed = read_all(out)
    assert plain.protocol_hash == removed.protocol_hash
    assert removed.subject["without_place"] == dict(kind="black", directions=2)
    assert plain.counts["inertia"] != removed.counts["inertia"]


@pytest.mark.parametrize(
    "name", [name for name in preset_names() if load_preset(name).benchmark == "video"]
)
def test_presets_of_video_name_what_their_reader_counts(
    name: str, write_davis: Callable[..., Path], tmp_path: Path
) -> None:
    counted = VideoFolder(write_davis(tmp_path)).protocol
    assert set(load_preset(name).counts) <= set(counted)
