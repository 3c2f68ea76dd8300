"""One confusion matrix over a set, image by image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from benchmarks.core import scores
from benchmarks.core.scores import SegmentationTally, class_iou, image_counts, mean_iou
from benchmarks.data.label_maps import IGNORE
from benchmarks.data.pairs import LabelledBatch


def random_batch(images: list[int]) -> tuple[torch.Tensor, LabelledBatch]:
    """Class scores (B, 3, 4, 6) and masks (B, 8, 12) with some ignored pixels; by the numbers."""
    maps, masks = [], []
    for image in images:
        generator = torch.Generator().manual_seed(image)
        maps.append(torch.randn(3, 4, 6, generator=generator))
        masks.append(torch.randint(0, 3, (8, 12), generator=generator, dtype=torch.int16))
        masks[-1][0, :image] = IGNORE
    pixels = torch.empty(len(images), 3, 8, 12)
    return torch.stack(maps), LabelledBatch(pixels, torch.stack(masks), images)


def tally_of(images: list[int]) -> SegmentationTally:
    """The tally of these images, in one batch."""
    tally = SegmentationTally(3)
    tally.add_scores(*random_batch(images))
    return tally


def test_scores_in_pieces_count_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tally_of([0, 1, 2, 3])
    monkeypatch.setattr(scores, "_PIECE_BYTES", 4 * 3 * 8 * 12)  # one image at a time
    pieces = tally_of([0, 1, 2, 3])
    assert np.array_equal(whole.confusion, pieces.confusion)
    assert whole.per_image() == pieces.per_image()
    maps, batch = random_batch([0, 1, 2, 3])
    resized = torch.nn.functional.interpolate(maps, size=(8, 12), mode="bilinear")
    right = (resized.argmax(1) == batch.masks)[batch.masks != IGNORE]
    assert whole.confusion.trace() == right.sum() and whole.confusion.sum() == len(right)


def test_counts_per_image_add_up_to_the_whole() -> None:
    tally = tally_of([3, 5, 7])
    result = tally.result("toy", facts=dict(stride=2), cost=dict(bytes=1))
    intersection, union = image_counts(result.counts)
    iou = np.nanmean(intersection.sum(0) / union.sum(0))
    assert result.metrics["mIoU"].value == pytest.approx(100 * iou)
    assert result.facts == dict(stride=2) and result.cost == dict(bytes=1)


def count_half(rank: int) -> tuple[list, dict]:
    """What a process holds after it counted half of four images and took over the rest."""
    tally = tally_of([[0, 2], [1, 3]][rank])
    tally.gather(torch.device("cpu"))
    return tally.confusion.tolist(), tally.per_image()


def test_processes_hold_the_counts_of_all(in_two_processes: Callable[..., list]) -> None:
    whole = tally_of([0, 1, 2, 3])
    for confusion, per_image in in_two_processes(count_half):
        assert confusion == whole.confusion.tolist() and per_image == whole.per_image()


def test_a_class_that_occurs_nowhere_has_no_score() -> None:
    confusion = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    np.testing.assert_allclose(class_iou(confusion), [3 / 4, 4 / 5, np.nan])
    assert mean_iou(confusion) == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert mean_iou(confusion, absent_as_zero=True) == pytest.approx((3 / 4 + 4 / 5) / 3)
    assert np.isnan(mean_iou(np.zeros((2, 2), int)))
