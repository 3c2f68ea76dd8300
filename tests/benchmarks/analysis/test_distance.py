"""Distances of parameters: the specification's vector, and real networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.analysis.distance import BENCHMARK, Settings, distances
from benchmarks.analysis.distance_figure import DISTANCE
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.report.figures import Sources
from benchmarks.report.runs import Run

NETWORK = "random:resnet10t?output_stride=8&layers=(1,1,0,0)&channels=(8,16,16,16)&stem_width=8"


def test_the_vector_of_the_specification() -> None:
    """(1, 2, 2) / (1, 0, 2) and I₂ / [[0, 0], [2, 1]]: 2, √5, in all 3."""
    first = dict(a=torch.tensor([1.0, 2, 2]), b=torch.eye(2))
    second = dict(a=torch.tensor([1.0, 0, 2]), b=torch.tensor([[0.0, 0], [2, 1]]))
    found = distances(first, second, dict(one=["a"], two=["b"], all=["a", "b"]))
    assert [own.l2 for own in found.values()] == pytest.approx([2, 5**0.5, 3])
    assert [own.parameters for own in found.values()] == [3, 4, 7]
    assert found["one"].relative == pytest.approx(200 / 5**0.5)


def test_a_network_is_at_no_distance_from_its_start() -> None:
    record = BENCHMARK.measure(FeatureExtractor.load(NETWORK), None, Settings())
    assert record.metrics["l2"].value == 0 and record.metrics["relative"].value == 0
    assert record.protocol == dict(data=None, reference="start")


def test_modules_make_up_the_whole_and_buffers_do_not_count() -> None:
    network = FeatureExtractor.load(NETWORK)
    before = BENCHMARK.measure(network, None, Settings(reference=NETWORK + "&seed=1"))
    rows = before.counts["per_module"]
    assert [row["module"] for row in rows] == ["conv1+bn1", "layer1.0", "layer2.0"]
    squares = sum(row["l2"] ** 2 for row in rows)
    assert before.metrics["l2"].value == pytest.approx(squares**0.5) and squares > 0
    count = sum(parameter.numel() for parameter in network.backbone.parameters())
    assert sum(row["parameters"] for row in rows) == count
    network.backbone.model.bn1.running_mean.add_(5)
    after = BENCHMARK.measure(network, None, Settings(reference=NETWORK + "&seed=1"))
    assert after.metrics == before.metrics


def test_another_architecture_is_refused() -> None:
    other = NETWORK.replace("(8,16,16,16)", "(8,24,16,16)")
    with pytest.raises(ValueError, match=r"is \(16, 8, 3, 3\) in random:.*, \(24, 8, 3, 3\) in"):
        BENCHMARK.measure(FeatureExtractor.load(NETWORK), None, Settings(reference=other))


def test_the_figure(tmp_path: Path) -> None:
    assert DISTANCE.gather(Sources()) == {}
    record = BENCHMARK.measure(
        FeatureExtractor.load(NETWORK), None, Settings(reference=NETWORK + "&seed=1")
    )
    runs = dict(a=[Run(record, benchmark="near")], b=[Run(record, benchmark="far")])
    sheets = DISTANCE.gather(Sources(arms=("a", "b"), runs=runs))
    assert list(sheets) == ["near", "far"] and list(sheets["far"].panels[0].curves) == ["b"]
    assert "layer2.0" in DISTANCE.draw(sheets["near"], tmp_path / "near.svg").read_text()
