"""kNN and logistic regression of patches against obvious re-implementations, and the choice of
their settings.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.record import Record
from benchmarks.data import SegmentationFolder
from benchmarks.frozen.patch_labels import knn, logistic
from benchmarks.frozen.patch_labels.knn import Choice, classifiers
from benchmarks.frozen.patch_labels.logistic import cross_entropy, minimise
from benchmarks.frozen.patch_labels.patches import Patches, most_frequent

Data = Callable[..., SegmentationFolder]


@pytest.fixture
def patches() -> Patches:
    """60 patches of 5 channels and 4 pixels in 3 images."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(60, 5, generator=generator) * torch.tensor([1.0, 2, 3, 4, 50])
    labels = torch.randint(0, 4, (60, 4), generator=generator).to(torch.int16)
    most = most_frequent(labels[:, :, None], 4)[:, 0]
    return Patches(features, labels, most, torch.arange(3).repeat_interleave(20))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("standardise", [True, False])
def test_neighbours_against_all_distances(
    patches: Patches, distance: str, standardise: bool
) -> None:
    queries = torch.randn(9, 5, generator=torch.Generator().manual_seed(1)).double() * 3
    keys = patches.features.double()
    if standardise:
        mean, std = keys.mean(0), keys.std(0, correction=0)
        keys, queries_there = (keys - mean) / std, (queries - mean) / std
    else:
        queries_there = queries
    if distance == "cosine":
        norms = queries_there.norm(dim=1)[:, None] * keys.norm(dim=1)
        order = (queries_there @ keys.T / norms).argsort(1, descending=True)
    else:
        order = torch.cdist(queries_there, keys).argsort(1)
    choices = (Choice(distance, 1), Choice(distance, 7))
    made = classifiers(patches, choices, standardise=standardise, backend="torch")
    for choice, classifier in made:
        expected = most_frequent(patches.labels[order[:, : choice.neighbours]], 4)
        assert torch.equal(classifier(queries.float()), expected)


def test_the_gradient_is_that_of_autograd(patches: Patches) -> None:
    weight = torch.linspace(-1, 1, 18, dtype=torch.float64).view(3, 6).requires_grad_()
    features, targets = patches.features.double(), patches.most.long() % 3
    scores = features @ weight[:, :-1].T + weight[:, -1]
    expected = torch.nn.functional.cross_entropy(scores, targets)
    expected.backward()
    loss, gradient = cross_entropy(features, targets, weight.detach())
    assert loss == pytest.approx(expected.item()) and torch.allclose(gradient, weight.grad)


def test_the_minimum_is_that_of_the_published_form(patches: Patches) -> None:
    """The gradient of C · Σ CE + |W|² / 2 is 0 there, the bias free."""
    features, targets = patches.features.double() / 10, patches.most.long() % 3
    settings = logistic.Settings(tolerance=1e-16)
    for strength in (0.01, 1.0):
        weight = minimise(
            features, targets, classes=3, inverse_penalty=strength, settings=settings
        ).requires_grad_()
        scores = features @ weight[:, :-1].T + weight[:, -1]
        summed = torch.nn.functional.cross_entropy(scores, targets, reduction="sum")
        (strength * summed + weight[:, :-1].square().sum() / 2).backward()
        assert weight.grad.abs().max() < 1e-5


def measured(benchmark: Benchmark, data: SegmentationFolder, grid: Any, **changes: Any) -> Record:
    """A record of mean colours on the toy set."""
    settings = benchmark.settings(size=(40, 48), **changes)
    return benchmark.measure(grid, data, settings)


@pytest.mark.parametrize("benchmark", [knn.BENCHMARK, logistic.BENCHMARK], ids=lambda b: b.name)
def test_the_choice_is_made_on_held_back_images(
    toy_data: Data, colour_grid: Callable[[], Any], benchmark: Benchmark
) -> None:
    few = dict(inverse_penalties=(1e-06, 0.5)) if benchmark is logistic.BENCHMARK else {}
    record = measured(benchmark, toy_data(), colour_grid(), **few)
    tried, chosen = record.counts["held_back_mIoU"], record.counts["chosen"]
    assert tried[chosen.removeprefix("C=")] == max(tried.values())
    assert len(tried) == (2 if few else 8) and record.metrics["mIoU"].value > 90
    one = dict(inverse_penalties=(0.5,)) if few else dict(neighbours=(3,), distances="cosine")
    assert measured(benchmark, toy_data(), colour_grid(), **one).counts["held_back_mIoU"] == {}
    with pytest.raises(ValueError, match="held_back=0.01 of 6 train images is 0"):
        measured(benchmark, toy_data(), colour_grid(), held_back=0.01, **few)


def test_equal_neighbours_give_their_own_labels(
    tmp_path: Path, colour_grid: Callable[[], Any]
) -> None:
    """Train and val images of the same content, k = 1: every pixel has its own label back, also
    where a patch is of two classes; patches that are mostly unlabelled do not vote.
    """
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / kind / part).mkdir(parents=True)
    for index in range(3):
        image = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        mask = rng.integers(0, 2, (16, 16)).astype(np.uint8)
        for part in ("train", "val"):
            Image.fromarray(image).save(tmp_path / "images" / part / f"{part}{index}.png")
            Image.fromarray(mask).save(tmp_path / "masks" / part / f"{part}{index}.png")
    parts = dict(images="images/{split}", masks="masks/{split}", allow_shared=True)
    data = SegmentationFolder(tmp_path, "plain", classes=2, ignore=255, **parts)
    settings = knn.Settings(size=(16, 16), neighbours=(1,), distances=("euclidean",))
    record = knn.BENCHMARK.measure(colour_grid(), data, settings)
    assert record.metrics["mIoU"].value == 100


@pytest.mark.parametrize(
    ("settings", "values", "message"),
    [
        (knn.Settings, dict(neighbours=(0,)), r"neighbours=\(0,\) must be greater than 0"),
        (knn.Settings, dict(neighbours=()), r"neighbours=\(\) must be"),
        (knn.Settings, dict(distances=("cosin",)), "did you mean 'cosine'"),
        (knn.Settings, dict(held_back=0), "held_back=0 must lie between 0 and 1"),
        (knn.Settings, dict(size=(0, 3)), r"size=\(0, 3\) must be two positive"),
        (logistic.Settings, dict(inverse_penalties=(-1.0,)), "must be greater than 0"),
        (logistic.Settings, dict(resample="area"), "resample='area' is not one of bicubic"),
    ],
)
def test_illegal_settings_are_named(settings: type, values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(**values)
