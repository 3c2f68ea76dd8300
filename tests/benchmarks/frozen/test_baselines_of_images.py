"""The largest class and small pixels, against counting and against a slow nearest neighbour."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.data import ClassFolder
from benchmarks.frozen import knn, linear
from benchmarks.frozen.baselines import Pixels

COLOURS = [
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 0),
    (255, 0, 255),
    (0, 255, 255),
    (255, 255, 255),
]
COUNTS = {
    "a": (2, 3),
    "b": (7, 1),
    "c": (4, 2),
    "d": (3, 1),
    "e": (5, 1),
    "f": (6, 1),
    "g": (1, 1),
}  # train, val


@pytest.fixture
def folder(tmp_path: Path) -> ClassFolder:
    """Seven classes of unequal size, each with its own colour in one corner."""
    rng = np.random.default_rng(0)
    for colour, (name, counts) in zip(COLOURS, COUNTS.items(), strict=True):
        for part, count in zip(("train", "val"), counts, strict=True):
            (tmp_path / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                pixels[:24, :24] = colour
                Image.fromarray(pixels).save(tmp_path / part / name / f"{index}.png")
    return ClassFolder(tmp_path)


@pytest.mark.parametrize("module", [knn, linear])
def test_majority_names_the_largest_train_classes(folder: ClassFolder, module: Any) -> None:
    """b is the largest train class, with one of ten val images; b, f, e, c, d have six."""
    settings = module.Settings(size=32)
    record = module.BENCHMARK.measure_baseline("majority", folder, settings)
    assert record.metrics["top1"].value == pytest.approx(10)
    assert record.metrics["top5"].value == pytest.approx(60)
    assert Counter(record.counts["top1"]) == {0: 9, 1: 1}


def test_pixels_are_means_over_equal_areas_around_mid_grey() -> None:
    image = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    image[0, 0, :2, 2:4] = 255  # the second of 16 x 16 cells, red
    vector = Pixels().vector(image).view(3, 16, 16)
    assert vector[0, 0, 1] == 0.5 and vector.sum() == pytest.approx(0.5 - 0.5 * (3 * 256 - 1))


def test_the_nearest_small_image_gives_its_class(folder: ClassFolder) -> None:
    """Cosine of 16 x 16 means, one neighbour, one image at a time."""
    settings = knn.Settings(size=32, crop_fraction=1.0, neighbours=1)
    record = knn.BENCHMARK.measure_baseline("pixels", folder, settings)
    vectors = []
    for split in (folder.train, folder.val):
        images = [split.image(i, 32, 1.0).astype(float) for i in range(len(split))]
        small = [image.reshape(16, 2, 16, 2, 3).mean((1, 3)) / 255 - 0.5 for image in images]
        vectors.append([cell.ravel() / np.linalg.norm(cell) for cell in small])
    right = []
    for vector, label in zip(vectors[1], folder.val.labels, strict=True):
        nearest = int(np.argmax([vector @ other for other in vectors[0]]))
        right.append(int(folder.train.labels[nearest] == label))
    assert record.counts["top1"] == right and record.metrics["top1"].value == pytest.approx(
        100 * np.mean(right)
    )
    assert record.metrics["top1"].value == 100


def test_a_linear_classifier_of_pixels_reads_the_colours(folder: ClassFolder) -> None:
    settings = linear.Settings(size=32, weight_decays=(1e-2,))
    record = linear.BENCHMARK.measure_baseline("pixels", folder, settings)
    assert record.metrics["top1"].value > 80
