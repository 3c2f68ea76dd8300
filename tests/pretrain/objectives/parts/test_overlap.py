"""Two views on one grid: numbers of RoI-align, average pooling, mirrored views."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pretrain.geometry import from_box, shared_boxes
from pretrain.objectives.parts.overlap import (
    box_cells,
    overlap_cells,
    shared_part,
    shares_region,
)


def view(*box: float) -> Tensor:
    """Maps (1, 2, 3) of a view of an image of 500 px."""
    return from_box(torch.tensor([box], dtype=torch.float64) / 500)


def test_numbers_of_roi_align(wave: Callable[..., Tensor]) -> None:
    box = torch.tensor([[0.3, 0.7, 3.6, 2.9]], dtype=torch.float64)
    cells = box_cells(wave(0, 1, 1, 4, 4), box, side=3)
    expected = [0.375542, 0.215415, 0.168585, -0.061540, -0.407291, 0.149261]
    expected += [-0.780923, -0.954644, -0.800296]
    assert cells.flatten().tolist() == pytest.approx(expected, abs=6e-7)


def test_a_whole_map_is_pooled(wave: Callable[..., Tensor]) -> None:
    features = wave(0, 2, 3, 4, 4)
    whole = view(0, 0, 500, 500).expand(2, 2, 3)
    cells = overlap_cells(features, whole, whole, side=2)
    pooled = F.avg_pool2d(features, 2).flatten(2).transpose(1, 2)
    assert cells.shape == (2, 4, 3) and torch.allclose(cells, pooled)


def test_boxes_of_two_crops() -> None:
    one, two = view(50, 25, 274, 249), view(120, 60, 420, 310)
    assert (16 * shared_boxes(one, two)[0]).flatten().tolist() == pytest.approx([5, 2.5, 16, 16])
    first, mirrored = shared_boxes(two, one)
    assert (16 * first).flatten().tolist() == pytest.approx([0, 0, 8.213333, 12.096], abs=1e-6)
    assert not mirrored.any()


@pytest.mark.parametrize("box", [(420, 60, 120, 310), (120, 310, 420, 60)])
def test_mirrored_views_are_sampled_in_the_sources_order(box: tuple[float, ...]) -> None:
    """Maps that hold the place in the source: both grids hold the same places."""
    one, two = view(50, 25, 274, 249), view(*box)
    places = []
    for own, other in ((one, two), (two, one)):
        centres = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
        x = own[:, 0, 0] * centres + own[:, 0, 2]
        y = own[:, 1, 1] * centres + own[:, 1, 2]
        grid = torch.stack([x.expand(64, 64), y[:, None].expand(64, 64)])[None]
        places.append(overlap_cells(grid, own, other, side=3))
    assert torch.allclose(*places, atol=1e-3)
    assert (places[0][0, 1:3, 0] > places[0][0, 0:2, 0]).all()  # to the right
    assert (places[0][0, 3:, 1] > places[0][0, :-3, 1]).all()  # downwards


def test_nothing_shared_and_turned_views() -> None:
    one, two = view(0, 0, 100, 100), view(100, 0, 300, 100)
    assert not shares_region(one, two).any() and shares_region(one, one).all()
    turned = one.clone()
    turned[0, 0, 1] = 0.1
    with pytest.raises(ValueError, match="a turned view"):
        shared_boxes(one, turned)


def test_views_that_share_nothing_give_finite_cells(wave: Callable[..., Tensor]) -> None:
    """Far apart in one direction alone, where the shared box would have a negative area."""
    features = wave(0, 1, 2, 8, 8).requires_grad_()
    one, two = view(0, 0, 100, 450), view(450, 0, 400, 450)
    cells = overlap_cells(features, one, two, side=4)
    assert torch.allclose(cells, overlap_cells(features, one, one, side=4))
    cells.sum().backward()
    assert torch.isfinite(features.grad).all()


def test_how_much_of_a_view_lies_within_another() -> None:
    one, two = view(0, 0, 200, 100), view(400, 0, 150, 50)
    assert shared_part(one, two).item() == pytest.approx(50 * 50 / (200 * 100))
    assert shared_part(two, one).item() == pytest.approx(50 * 50 / (250 * 50))
    assert shared_part(one, one).item() == 1
    assert shared_part(one, view(300, 200, 400, 300)).item() == 0


def test_gradients_reach_the_map() -> None:
    features = torch.randn(2, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    one, two = view(0, 0, 400, 400).expand(2, 2, 3), view(300, 100, 90, 450).expand(2, 2, 3)
    assert torch.autograd.gradcheck(lambda x: overlap_cells(x, one, two, side=2), features)
