"""Object discovery: the vector that SlotMIM's own function gave, and properties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.data.label_maps import IGNORE
from benchmarks.frozen.clusters.boxes import boxes_of, located, object_box, overlap
from benchmarks.frozen.clusters.discovery import BENCHMARK, Settings, best_overlap

SMALL = Settings(size=(40, 48), clusters=3, background=True, batch_size=3)


@pytest.fixture
def vector() -> tuple[np.ndarray, np.ndarray]:
    """Masks (3, 6, 8) and what is true."""
    true = np.zeros((6, 8), np.int16)
    true[1:4, 1:4], true[3:6, 5:8] = 3, 5
    true[0, 0], true[1:4, 4] = IGNORE, IGNORE
    masks = np.zeros((3, 6, 8), bool)
    masks[0, :4, :4], masks[1, 2:6, 4:8] = True, True
    masks[2] = ~masks[:2].any(0)
    return masks, true


def test_overlaps_of_the_vector(vector: tuple[np.ndarray, np.ndarray]) -> None:
    masks, true = vector
    published = best_overlap(masks, true, Settings(void_counts=True))
    assert published == pytest.approx(0.5625)
    assert best_overlap(masks, true, Settings()) == pytest.approx((0.6 + 0.642857) / 2, abs=1e-6)


def test_the_background_is_an_object_only_if_asked(vector: tuple[np.ndarray, np.ndarray]) -> None:
    masks, true = vector
    own = true == 0
    iou = max((mask & own).sum() / ((mask | own) & (true != IGNORE)).sum() for mask in masks)
    asked = best_overlap(masks, true, Settings(background=True))
    assert asked == pytest.approx((0.6 + 0.642857 + iou) / 3, abs=1e-6)
    assert np.isnan(best_overlap(masks, np.zeros_like(true), Settings()))


def test_colours_cover_their_classes(colour_grid: Any, toy_data: Callable[..., Any]) -> None:
    data = toy_data()
    record = BENCHMARK.measure(colour_grid(), data, SMALL)
    best, table = record.metrics["best_overlap"].value, record.counts["per_image"]
    assert best > 95 and table["image"] == [0, 1, 2, 3]
    assert best == pytest.approx(np.mean(table["best_overlap"]))
    assert record.metrics["CorLoc"].value == np.mean(table["CorLoc"])
    assert set(table["CorLoc"]) <= {0, 100}
    whole = BENCHMARK.measure_baseline("whole", data, SMALL, stride=8)
    assert whole.metrics["best_overlap"].value < 50


@pytest.mark.filterwarnings("ignore:.*one class, so any network")
def test_masks_without_an_object_are_refused(
    colour_grid: Any, toy_data: Callable[..., Any]
) -> None:
    data = toy_data(masks="masks/{split}", values=(0,), classes=None, ignore=(1, 2, 255))
    with pytest.raises(ValueError, match="no mask shows an object"):
        BENCHMARK.measure(colour_grid(), data, replace(SMALL, background=False))


def test_half_an_overlap_is_not_enough() -> None:
    assert overlap((0, 0, 10, 10), (0, 0, 20, 10)) == 0.5
    assert not located((0, 0, 10, 10), [(0, 0, 20, 10), (30, 0, 40, 10)])
    assert located((0, 0, 11, 10), [(30, 0, 40, 10), (0, 0, 20, 10)])
    assert overlap((0, 0, 10, 10), (10, 0, 20, 10)) == 0


def test_boxes_are_around_connected_parts() -> None:
    mask = np.zeros((6, 8), bool)
    mask[0, 0], mask[1, 1] = True, True  # corners do not connect
    mask[2:5, 4:8] = True
    assert boxes_of(mask) == [(2, 4, 5, 8), (0, 0, 1, 1), (1, 1, 2, 2)]


def test_the_box_is_of_what_touches_the_border_least() -> None:
    masks = np.zeros((4, 8, 8), bool)
    masks[1, 2:5, 3:7] = True
    masks[2, 6:, 6:] = True
    masks[0] = ~masks.any(0)
    assert object_box(masks) == (2, 3, 5, 7)
    with pytest.raises(ValueError, match="masks: all of them are empty"):
        object_box(masks[3:])


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"size=\(0, 8\) must be \(height, width\)"):
        Settings(size=(0, 8))
    with pytest.raises(ValueError, match="restarts=0 must be at least 1"):
        Settings(restarts=0)
