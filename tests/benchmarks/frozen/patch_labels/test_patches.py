"""Labels of patches and their votes: values of the published code, loops, and masks cut and put
together.
"""

from __future__ import annotations

import pytest
import torch

from benchmarks.core.scores import SegmentationTally, mean_iou
from benchmarks.data.label_maps import IGNORE
from benchmarks.frozen.patch_labels.choosing import count
from benchmarks.frozen.patch_labels.patches import (
    Standardiser,
    most_frequent,
    patch_labels,
    whole_mask,
)


def test_the_vote_of_three_neighbours_on_a_patch() -> None:
    """Equal to torch.mode in the published code, pixel by pixel."""
    patches = [[[1, 1], [2, 3]], [[2, 1], [2, 1]], [[3, 3], [2, 2]]]
    labels = torch.tensor(patches).view(1, 3, 4)
    assert most_frequent(labels, 4).tolist() == [[1, 1, 2, 1]]


def test_votes_against_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (20, 7, 3), generator=generator)
    expected = []
    for patch in labels:
        expected.append([min(p.tolist(), key=lambda x: (-p.tolist().count(x), x)) for p in patch.T])
    assert most_frequent(labels.to(torch.int16), 5).tolist() == expected


def test_a_label_that_is_only_predicted_has_an_iou_of_0() -> None:
    """Equal to sklearn's macro Jaccard index without average over absent labels."""
    n = torch.arange(20)
    truth, predicted = n % 4, torch.where(n % 3 == 0, n % 5, n % 4)
    tally = SegmentationTally(5)
    count(tally, predicted, target=truth)
    assert mean_iou(tally.confusion) == pytest.approx(0.386667, abs=5e-7)
    true_classes = tally.confusion.sum(1) > 0
    iou = tally.confusion.diagonal() / (
        tally.confusion.sum(0) + tally.confusion.sum(1) - tally.confusion.diagonal()
    )
    assert iou[true_classes].mean() == pytest.approx(0.644444, abs=5e-7)
    assert tally.confusion.sum() == 15  # pixels without a class are no part of it


def test_masks_are_cut_and_put_together() -> None:
    mask = torch.arange(6 * 4).view(1, 6, 4).to(torch.int16)
    mask[0, 0, 0] = IGNORE
    patches = patch_labels(mask, 2)
    assert patches[0, 0].tolist() == [0, 2, 5, 6] and patches.shape == (1, 6, 4)
    assert torch.equal(
        whole_mask(patches[0], (6, 4), 2), torch.where(mask == IGNORE, 0, mask + 1)[0]
    )


def test_standardised_channels_have_mean_0_and_variance_1() -> None:
    features = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * 7 + 1000
    features[:, 1] = 3
    standard = Standardiser.of(features, standardise=True)(features)
    assert standard.mean(0).abs().max() < 1e-4
    assert torch.allclose(standard.std(0, correction=0), torch.tensor([1.0, 0.0, 1.0]), atol=1e-4)
    assert torch.equal(Standardiser.of(features, standardise=False)(features), features)
