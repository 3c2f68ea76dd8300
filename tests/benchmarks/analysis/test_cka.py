"""CKA of two networks: what is the same, what is not, and intervals over images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.analysis.cka import BENCHMARK, Settings
from benchmarks.analysis.cka_figure import CKA
from benchmarks.analysis.similarity import debiased_cka, linear_cka
from benchmarks.analysis.stages import stage_outputs
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record
from benchmarks.data import ClassFolder
from benchmarks.report.figures import Sources
from benchmarks.report.runs import Run
from benchmarks.report.statistics.bootstrap import image_sums

NETWORK = "random:resnet10t?output_stride=8&layers=(1,1,0,0)&channels=(8,16,16,16)&stem_width=8"
OTHER = NETWORK + "&seed=1"
SMALL = Settings(size=32, reference=OTHER)


@pytest.fixture(scope="module")
def data(image_folder: Path) -> ClassFolder:
    """12 images in its val part."""
    return ClassFolder(image_folder, held_back=0.5)


@pytest.fixture(scope="module")
def network() -> FeatureExtractor:
    """A small ResNet with random weights."""
    return FeatureExtractor.load(NETWORK)


def features(network: FeatureExtractor, data: ClassFolder) -> list[torch.Tensor]:
    """Pooled outputs of every stage for all val images, in their order."""
    images = [torch.tensor(data.val.image(i, 32, 0.875)) for i in range(len(data.val))]
    outputs = stage_outputs(network, torch.stack(images).permute(0, 3, 1, 2))
    return [output.mean((2, 3)) for output in outputs]


def test_values_are_those_of_the_pooled_stages(
    network: FeatureExtractor, data: ClassFolder
) -> None:
    record = BENCHMARK.measure(network, data, SMALL)
    rows = record.counts["per_stage"]
    assert [row["stage"] for row in rows] == ["act1", "layer1", "layer2"]
    pairs = zip(features(network, data), features(FeatureExtractor.load(OTHER), data), strict=True)
    for row, (x, y) in zip(rows, pairs, strict=True):
        assert row["debiased"] == pytest.approx(debiased_cka(x, y), rel=1e-4)
        assert row["biased"] == pytest.approx(linear_cka(x, y), rel=1e-4)
        assert row["floor"] < row["biased"] and row["half"] > 0
    values = {name: metric.value for name, metric in record.metrics.items()}
    assert values["first"] == rows[0]["debiased"] and values["last"] == rows[-1]["debiased"]
    assert values["mean"] == pytest.approx(sum(row["debiased"] for row in rows) / 3)
    assert record.protocol["compared"] == 12 and record.protocol["reference"] == OTHER
    assert record.subject["reference"]["fingerprint"] != record.subject["fingerprint"]


@pytest.mark.parametrize("kind", ["pooled", "flattened"])
def test_a_network_is_like_itself(network: FeatureExtractor, data: ClassFolder, kind: str) -> None:
    """Its start, in any mode, with any batches; permuted images are not alike."""
    network.backbone.train()
    settings = replace(SMALL, reference="start", features=kind)
    record = BENCHMARK.measure(network, data, settings)
    network.backbone.eval()
    for name in ("mean", "first", "last", "biased"):
        assert record.metrics[name].value == pytest.approx(1)
    assert record.metrics["permuted"].value < 0.5
    again = BENCHMARK.measure(network, data, replace(settings, batch_size=5))
    assert again.protocol == record.protocol
    assert again.metrics["floor"].value == pytest.approx(record.metrics["floor"].value, rel=1e-4)


def test_flattened_maps_are_compared_group_by_group(
    network: FeatureExtractor, data: ClassFolder
) -> None:
    settings = replace(SMALL, features="flattened", group=8)  # 12 images are one group
    pooled = BENCHMARK.measure(network, data, replace(SMALL, group=8))
    whole = BENCHMARK.measure(network, data, settings)
    assert whole.metrics["mean"].value != pytest.approx(pooled.metrics["mean"].value)
    assert whole.protocol_hash != pooled.protocol_hash


def test_images_give_the_metrics(network: FeatureExtractor, data: ClassFolder) -> None:
    """What the page's bootstrap over images reads."""
    record = BENCHMARK.measure(network, data, SMALL)
    assert record.counts["per_image"]["image"] == list(range(12))
    for name in ("mean", "first", "last"):
        assert image_sums(record, name) is not None
    assert Record.from_json(record.to_json()).counts == record.counts


def test_two_architectures(network: FeatureExtractor, data: ClassFolder) -> None:
    """Of as many stages they can be compared, of others not."""
    wide = NETWORK.replace("(8,16,16,16)", "(8,24,16,16)")
    record = BENCHMARK.measure(network, data, replace(SMALL, reference=wide))
    assert 0 < record.metrics["biased"].value < 1
    deep = NETWORK.replace("(1,1,0,0)", "(1,1,1,0)")
    with pytest.raises(ValueError, match=r"has 3 stages \(act1, layer1, layer2\)"):
        BENCHMARK.measure(network, data, replace(SMALL, reference=deep))


def test_features_that_do_not_vary_are_refused(data: ClassFolder) -> None:
    network = FeatureExtractor.load(NETWORK)
    for parameter in network.backbone.model.layer2.parameters():
        parameter.data.zero_()
    with pytest.raises(ValueError, match="stage layer2: .* hardly differ between images"):
        BENCHMARK.measure(network, data, SMALL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(features="pool"), "features='pool' is not one of pooled, flattened"),
        (dict(images=4), "images=4 must be at least 8"),
        (dict(group=2), "group=2 must be at least 8"),
        (dict(size=0), "size=0 must be greater than 0"),
    ],
)
def test_mistakes_are_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**changes)


def test_too_few_images_are_refused(network: FeatureExtractor, image_folder: Path) -> None:
    few = ClassFolder(image_folder, held_back=0.2)
    with pytest.raises(ValueError, match="the val part has 6 images; CKA needs at least 8"):
        BENCHMARK.measure(network, few, SMALL)


def test_the_figure(network: FeatureExtractor, data: ClassFolder, tmp_path: Path) -> None:
    assert CKA.gather(Sources()) == {}
    runs = [Run(BENCHMARK.measure(network, data, SMALL), benchmark="cka")]
    sheets = CKA.gather(Sources(arms=("a",), runs=dict(a=runs)))
    (panels,) = sheets.values()
    assert panels.panels[0].places == ["act1", "layer1", "layer2"] and list(sheets) == [""]
    assert "layer2" in CKA.draw(panels, tmp_path / "cka.svg").read_text()
