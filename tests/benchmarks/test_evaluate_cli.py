"""The command's work: what is measured is kept, and baselines stand beside the networks they belong to."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks.baselines import BASELINES
from benchmarks.evaluate_cli import evaluate, make_tasks
from benchmarks.record import read_all


def arguments(out: Path, networks: list[str], benchmark: str, data: str, **changes: object) -> argparse.Namespace:
    """What ``tools/evaluate.py`` parses."""
    common = dict(weights="online", quick=True, baselines=False, device="cpu", set=[])
    given = dict(networks=networks, benchmark=[benchmark], data=[data], out=str(out))
    return argparse.Namespace(**(common | given | changes))


def test_a_network_that_fails_leaves_the_records_before_it(image_folder: Path, tmp_path: Path) -> None:
    networks = ["random:test_resnet", "nowhere.pth"]
    given = arguments(tmp_path / "r.jsonl", networks, "knn", f"classes:{image_folder}", set=["knn.size=32"])
    assert evaluate(given) == 2
    assert [record.subject["spec"] for record in read_all(tmp_path / "r.jsonl")] == ["random:test_resnet"]


def test_baselines_share_the_protocol_of_every_stride(toy_root: Path, tmp_path: Path) -> None:
    networks = [f"random:test_resnet?output_stride={stride}" for stride in (8, 16)]
    data = f"plain:{toy_root}?images=images/{{split}}&masks=masks/{{split}}&classes=3&ignore=255"
    sizes = ["retrieval.size=32,48", "retrieval.backend=torch"]
    given = arguments(tmp_path / "r.jsonl", networks, "retrieval", data, set=sizes, baselines=True)
    assert evaluate(given) == 0
    records = read_all(tmp_path / "r.jsonl")
    assert len(records) == 2 + 2 * len(BASELINES)
    for network in records[:2]:
        beside = [r.subject["spec"] for r in records[2:] if r.protocol_hash == network.protocol_hash]
        assert beside == list(BASELINES)


@pytest.mark.parametrize("text", ["knn.size=", "knn.size", "size=3", "nkk.size=3"])
def test_settings_without_benchmark_or_value_are_named(image_folder: Path, text: str) -> None:
    with pytest.raises(ValueError, match=f"--set '{text}': write BENCHMARK.KEY=VALUE with a benchmark of knn"):
        make_tasks(["knn"], [f"classes:{image_folder}"], [text], quick=True)
