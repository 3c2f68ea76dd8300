"""Alignment of a layer: against covariances computed another way, and what it must not accept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.analysis.alignment import BENCHMARK, Settings, run
from benchmarks.analysis.layers import WEIGHTED, Shown, inputs_of, layers_of, show_images, watching
from benchmarks.analysis.misalignment import eigenspaces, misalignment, transfer
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record
from benchmarks.data import ClassFolder

RESNET = "random:test_resnet?output_stride=8"
SMALL = dict(size=32, crop_fraction=1.0, images=6, bases=3, draws=3)


@pytest.fixture(scope="module")
def data(image_folder: Path) -> ClassFolder:
    return ClassFolder(image_folder, held_back=0.5)


def network(spec: str = RESNET) -> FeatureExtractor:
    return FeatureExtractor.load(spec)


def pixels(data: ClassFolder, settings: Settings) -> torch.Tensor:
    squares = [data.val.image(i, settings.size, 1.0) for i in range(0, len(data.val), 2)]
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)


def by_loops(maps: torch.Tensor, filters: torch.Tensor) -> np.ndarray:
    """Patches one by one, flattened by a loop over channel, row, column."""
    channels, height, width = filters.shape[1:]
    patches = []
    for image in maps.numpy():
        for top in range(image.shape[1] - height + 1):
            for left in range(image.shape[2] - width + 1):
                window = image[:, top : top + height, left : left + width]
                patches.append([window[c, y, x] for c, y, x in np.ndindex(*window.shape)])
    assert len(patches[0]) == channels * height * width
    return np.array(patches, np.float64)


@pytest.mark.parametrize("leading", [10, 4])
def test_the_first_layer_against_loops(data: ClassFolder, leading: int) -> None:
    settings = Settings(**SMALL, leading=leading)
    extractor = network()
    record = BENCHMARK.measure(extractor, data, settings)
    filters = extractor.backbone.model.conv1[0].weight.detach().double()
    inputs = by_loops(extractor.normalise(pixels(data, settings)).double(), filters)
    values, vectors = np.linalg.eigh(np.cov(inputs.T))
    weights = np.cov(filters.flatten(1).numpy().T)
    expected = [np.sqrt(v @ weights @ v) for v in vectors.T[::-1]]
    assert record.counts["sigma"] == pytest.approx(np.sqrt(values[::-1]).tolist(), rel=1e-5)
    assert record.counts["transfer"] == pytest.approx(expected, rel=1e-4)
    top = vectors[:, ::-1][:, :leading]
    inside = top.T @ weights @ top
    whole = np.sum(np.sqrt(np.diag(inside) * np.diag(np.linalg.inv(inside))) - 1)
    assert record.metrics["misalignment"].value == pytest.approx(whole, rel=1e-4)
    assert record.counts["layer"] == "conv1.0" and record.counts["images"] == 6
    assert record.protocol["units"] == 16 and record.protocol["dimension"] == 27
    assert record.protocol["directions"] == leading


def test_controls_are_means_of_their_draws(data: ClassFolder) -> None:
    record = BENCHMARK.measure(network(), data, Settings(**SMALL, leading=6))
    for name, draws in record.counts["per_draw"].items():
        assert len(draws) == 3 and record.metrics[name].value == pytest.approx(np.mean(draws))
    own, control = record.metrics["misalignment"].value, record.counts["per_draw"]["random_basis"]
    share = 100 * np.mean([value <= own for value in control])
    assert record.metrics["random_not_above"].value == pytest.approx(share)


def test_filters_along_the_inputs_directions_are_aligned(data: ClassFolder) -> None:
    """One filter pair ±c·v_i per eigenvector: Σ_w has the very eigenvectors of Σ_x."""
    extractor = network("random:test_resnet?output_stride=8&stem_width=64")
    conv = extractor.backbone.model.conv1[0]
    settings = Settings(**SMALL)
    random = BENCHMARK.measure(network("random:test_resnet?stem_width=64"), data, settings)
    curve = random.counts
    with torch.no_grad():
        normalised = extractor.normalise(pixels(data, settings))
        rows = torch.cat(list(inputs_of(conv, normalised)))
        vectors = eigenspaces(torch.cov(rows.T)).vectors.T
        scales = torch.linspace(1, 3, 27, dtype=torch.float64)[:, None]
        filters = torch.cat([scales * vectors, -scales * vectors])
        conv.weight.copy_(
            F.pad(filters, (0, 0, 0, 64 - len(filters))).view_as(conv.weight)
        )  # units of zeros keep the mean at zero
    aligned = BENCHMARK.measure(extractor, data, settings)
    assert aligned.metrics["misalignment"].value == pytest.approx(0, abs=1e-3)
    assert aligned.metrics["random_basis"].value > 1 < random.metrics["misalignment"].value
    assert aligned.metrics["random_not_above"].value == 0
    ratios = np.array(aligned.counts["transfer"]) / np.linspace(1, 3, 27)
    assert ratios == pytest.approx([ratios[0]] * 27, rel=1e-3) and len(curve["sigma"]) == 27


def test_a_deeper_layer_takes_activations_as_data(data: ClassFolder) -> None:
    extractor = network()
    record = BENCHMARK.measure(extractor, data, Settings(**SMALL, layer=3, leading=8))
    assert record.counts["layer"] == "conv1.6" and record.protocol["dimension"] == 16 * 9
    model = extractor.backbone.model
    with torch.no_grad():
        images = extractor.normalise(pixels(data, Settings(**SMALL)))
        maps = model.conv1[:6](images).double()
    filters = model.conv1[6].weight.detach().double()
    spaces = eigenspaces(torch.tensor(np.cov(by_loops(maps, filters).T))).leading(8)
    weights = torch.cov(filters.flatten(1).T)
    assert record.metrics["misalignment"].value == pytest.approx(
        misalignment(spaces, weights), rel=1e-3
    )
    assert record.counts["transfer"][:8] == pytest.approx(
        transfer(spaces, weights).tolist(), rel=1e-3
    )


def test_units_of_several_runs_make_the_covariance_regular(data: ClassFolder) -> None:
    message = "leading=16: .* 'conv1.0' has 16 units, .* such as 8, .* runs="
    with pytest.raises(ValueError, match=message):
        run(network(), data, Settings(**SMALL, leading=16))
    assert run(network(), data, Settings(**SMALL)).facts["directions"] == 8  # half as many
    seeds = tuple(f"{RESNET}&seed={seed}" for seed in range(1, 5))
    pooled = run(network(), data, Settings(**SMALL, runs=seeds))
    assert pooled.facts == dict(units=80, dimension=27, directions=27)
    fewer = run(network(), data, Settings(**SMALL, runs=seeds[:2]))
    assert pooled.metrics["floor"].value < fewer.metrics["floor"].value
    # Fresh filters are isotropic: as far from aligned as the floor, in whatever basis.
    for name in ("misalignment", "random_basis"):
        assert pooled.metrics[name].value == pytest.approx(pooled.metrics["floor"].value, rel=0.4)


@pytest.mark.parametrize(
    ("settings", "spec", "message"),
    [
        (dict(layer=40, leading=4), RESNET, "layer=40: the network has 1. layers with weights"),
        (dict(leading=4, runs=("random:resnet18",)), RESNET, r"is \(64, 3, 7, 7\), the network's"),
        (dict(layer=2, leading=2), "random:convnext_atto", "'stages.0.blocks.0.conv_dw' is a"),
    ],
)
def test_what_has_no_common_covariance_is_refused(
    data: ClassFolder, settings: dict[str, Any], spec: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(network(spec), data, Settings(**SMALL | settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(leading=-1), "leading=-1 must be 0"),
        (dict(layer=0), "layer=0 must be greater than 0"),
        (dict(runs=("a.pth",), layer=2), "pool units of layer=1 alone"),
    ],
)
def test_illegal_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**settings)


def test_a_patch_embedding_sees_patches_that_do_not_overlap() -> None:
    maps = torch.arange(64.0).view(1, 1, 8, 8)
    embedding = nn.Conv2d(1, 2, 4, stride=4)
    rows = torch.cat(list(inputs_of(embedding, maps)))
    assert rows.shape == (4, 16) and rows[1].tolist() == maps[0, 0, :4, 4:].flatten().tolist()
    overlapping = nn.Conv2d(1, 2, 4, stride=2)
    assert torch.cat(list(inputs_of(overlapping, maps))).shape == (25, 16)
    tokens = torch.arange(24.0).view(2, 3, 4)
    (rows,) = inputs_of(nn.Linear(4, 2), tokens)
    assert rows.tolist() == tokens.view(6, 4).tolist()


def test_layers_stand_in_the_order_of_the_forward_pass(data: ClassFolder) -> None:
    extractor = network()
    layers = layers_of(extractor, WEIGHTED, 32)
    names = list(layers)
    assert names[:4] == ["conv1.0", "conv1.3", "conv1.6", "layer1.0.conv1"]
    seen: list[str] = []
    with watching(layers, lambda name, inputs, output: seen.append(name)):
        shown = show_images(extractor.vector, Shown(data.val, 6, 32, 1.0, batch_size=4))
    assert shown == 6 and seen == [*names, *names]  # two batches
    extractor.vector(torch.zeros(1, 3, 32, 32))
    assert len(seen) == 2 * len(names)  # nothing listens any longer


def test_a_vision_transformer(data: ClassFolder) -> None:
    extractor = network("random:test_vit?img_size=32")
    first = run(extractor, data, Settings(**SMALL, leading=8))
    second = run(extractor, data, Settings(**SMALL, layer=2, leading=8))
    assert first.counts["layer"] == "patch_embed.proj" and first.facts["dimension"] == 3 * 16 * 16
    assert second.counts["layer"] == "blocks.0.attn.qkv"


def test_isotropic_units_stand_in_the_same_column(data: ClassFolder) -> None:
    settings = Settings(**SMALL | dict(draws=20, bases=20), leading=6)
    measured = BENCHMARK.measure(network(), data, settings)
    needs = {name: measured.protocol[name] for name in BENCHMARK.baseline_needs}
    record = BENCHMARK.measure_baseline("isotropic", data, settings, **needs)
    assert isinstance(record, Record) and record.protocol_hash == measured.protocol_hash
    floors = record.counts["per_draw"]["floor"]
    assert min(floors) < record.metrics["misalignment"].value < max(floors)
