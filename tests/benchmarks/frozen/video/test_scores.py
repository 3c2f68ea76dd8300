"""J, F and what becomes of them: the specification's vectors, which DAVIS' own functions gave, the
obvious way, and properties.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.frozen.video.scores import (
    boundary,
    contour,
    decay,
    region,
    share_above_half,
    tolerance,
)


def block(size: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    """A rectangle from the first row and column to the last ones."""
    mask = np.zeros(size, bool)
    mask[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = True
    return mask


def ellipse(centre: tuple[int, int], radii: tuple[int, int]) -> np.ndarray:
    i, j = np.mgrid[:120, :160]
    return ((i - centre[0]) / radii[0]) ** 2 + ((j - centre[1]) / radii[1]) ** 2 <= 1


def as_rows(mask: np.ndarray) -> str:
    return " ".join("".join(map(str, row)) for row in mask.astype(int))


def test_the_boundary_of_the_vectors() -> None:
    inside = boundary(block((5, 6), (1, 3), (1, 3)))
    assert as_rows(inside) == "111100 100100 100100 111100 000000"
    corner = boundary(block((5, 6), (2, 4), (3, 5)))
    assert as_rows(corner) == "000000 001111 001000 001000 001000"


@pytest.mark.parametrize(
    ("true", "predicted", "j", "f"),
    [
        (block((20, 30), (5, 14), (8, 19)), block((20, 30), (6, 15), (10, 21)), 0.6, 0.568182),
        (block((20, 30), (12, 19), (22, 29)), block((20, 30), (11, 19), (22, 29)), 0.888889, 1),
        (np.ones((20, 30), bool), block((20, 30), (0, 19), (0, 28)), 0.966667, 0),
        (np.zeros((20, 30), bool), np.zeros((20, 30), bool), 1, 1),
        (np.zeros((20, 30), bool), block((20, 30), (5, 14), (8, 19)), 0, 0),
        (ellipse((60, 80), (40, 60)), ellipse((63, 78), (40, 55)), 0.866425, 0.298078),
    ],
)
def test_scores_of_the_vectors(true: np.ndarray, predicted: np.ndarray, j: float, f: float) -> None:
    assert region(predicted, true) == pytest.approx(j, abs=1e-6)
    assert contour(predicted, true) == pytest.approx(f, abs=1e-6)
    assert contour(true, predicted) == pytest.approx(contour(predicted, true))


@pytest.mark.parametrize("mask", [np.zeros((9, 7), bool), np.ones((9, 7), bool), np.eye(9) > 0])
def test_equal_masks_score_one(mask: np.ndarray) -> None:
    assert region(mask, mask) == contour(mask, mask) == 1


def test_tolerances_of_the_vectors() -> None:
    sizes = [(20, 30), (120, 160), (224, 224), (480, 854), (480, 910), (1080, 1920)]
    assert [tolerance(size) for size in sizes] == [1, 2, 3, 8, 9, 18]


def test_the_contour_equals_dilation_by_a_disc() -> None:
    """Pixel by pixel, in images of a tolerance of 3."""
    rng = np.random.default_rng(0)
    coarse = [np.kron(rng.random((14, 14)) < 0.3, np.ones((16, 16), bool)) for _ in range(2)]
    masks = [mask | (rng.random(mask.shape) < 0.0005) for mask in coarse]
    edges = [np.argwhere(boundary(mask)) for mask in masks]
    squares = ((edges[0][:, None] - edges[1][None]) ** 2).sum(-1)
    precision, recall = (squares.min(1) <= 9).mean(), (squares.min(0) <= 9).mean()
    expected = 2 * precision * recall / (precision + recall)
    assert contour(*masks) == pytest.approx(expected) and 0.1 < expected < 0.9


def test_recall_and_decay_of_the_vectors() -> None:
    values = np.array([0.9, 0.8, 0.7, 0.55, 0.5, 0.45, 0.6, 0.3, 0.2, 0.4])
    assert values.mean() == pytest.approx(0.54)
    assert share_above_half(values) == 0.5
    assert decay(values) == pytest.approx(0.5)


def test_decay_of_long_videos() -> None:
    """Ends of the quarters of 300 frames: 0, 75, 150, 224, 299; the challenge's own program keeps
    them in eight bits, where the last one is 43.
    """
    values = np.arange(300.0)
    assert decay(values) == np.mean(values[:76]) - np.mean(values[224:])
    assert decay(np.ones(1)) == 0
