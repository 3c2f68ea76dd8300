"""Geometry: the specification's vectors (PixPro, section 9, 1-5) and properties of affine maps."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pretrain import geometry as g

GRID = dict(size_q=(7, 7), size_k=(7, 7))


def box(*corners: float) -> torch.Tensor:
    return g.from_box(torch.tensor([corners], dtype=torch.float64))


def repository_box(top: int, left: int, height: int, width: int) -> torch.Tensor:
    """A crop of a 500×375 image in the convention of PixPro's code: corner-pixel centre to
    corner-pixel centre.
    """
    return box(left / 499, top / 374, (left + width - 1) / 499, (top + height - 1) / 374)


def mirrored(maps: torch.Tensor) -> torch.Tensor:
    """The maps of the same crops, mirrored left to right."""
    return g.compose(maps, box(1, 0, 0, 1))


unit = st.floats(0, 1, allow_nan=False)
side = st.floats(0.05, 1, allow_nan=False)


@st.composite
def boxes(draw: st.DrawFn) -> torch.Tensor:
    """A crop in the unit square, possibly flipped."""
    width, height = draw(side), draw(side)
    x, y = draw(unit) * (1 - width), draw(unit) * (1 - height)
    corners = (x, y, x + width, y + height)
    return (
        box(corners[2], corners[1], corners[0], corners[3])
        if draw(st.booleans())
        else box(*corners)
    )


@st.composite
def affine_maps(draw: st.DrawFn) -> torch.Tensor:
    """A rotated, scaled and shifted view."""
    angle, scale = draw(st.floats(-math.pi, math.pi)), draw(side)
    rotation = torch.tensor(
        [
            [math.cos(angle), -math.sin(angle), draw(unit)],
            [math.sin(angle), math.cos(angle), draw(unit)],
        ],
        dtype=torch.float64,
    )
    rotation[:, :2] *= scale
    return rotation[None]


@pytest.mark.parametrize(
    "radius, count",
    [
        (0.35, 49),
        (0.5, 49),
        (0.7, 49),
        (0.7072, 217),
        (1.0001, 361),
        (1.4, 361),
        (1.4143, 501),
        (2.8, 1305),
    ],
)
def test_positives_of_equal_crops_by_radius(radius: float, count: int) -> None:
    whole = box(0, 0, 1, 1)
    mask = g.pixel_positives(whole, whole, **GRID, pos_radius_diag=radius)
    assert mask.sum() == count
    if count == 49:
        assert torch.equal(mask[0], torch.eye(49, dtype=torch.bool))


def test_flipped_view_matches_mirrored_cells() -> None:
    mask = g.pixel_positives(box(0, 0, 1, 1), box(1, 0, 0, 1), **GRID)[0]
    mirrored = torch.arange(49).view(7, 7).flip(1).flatten()
    assert torch.equal(mask.nonzero(), torch.stack([torch.arange(49), mirrored], 1))
    assert [mirrored[i].item() for i in (0, 1, 7, 24, 48)] == [6, 5, 13, 24, 42]


def test_non_square_cells_also_match_their_vertical_neighbours() -> None:
    half = box(0, 0, 1, 0.5)
    mask = g.pixel_positives(half, half, **GRID)[0]
    assert mask.sum() == 133
    assert mask[0].nonzero().flatten().tolist() == [0, 7]
    assert mask[24].nonzero().flatten().tolist() == [17, 24, 31]


def test_two_crops_of_a_photo() -> None:
    first, second = repository_box(25, 50, 224, 224), repository_box(60, 120, 250, 300)
    assert g.cell_diagonals(first, (7, 7)).item() == pytest.approx(0.106449, abs=1e-6)
    assert g.cell_diagonals(second, (7, 7)).item() == pytest.approx(0.127959, abs=1e-6)
    corners = (
        g.apply(first, torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64))
        .flatten()
        .tolist()
    )
    assert corners == pytest.approx([0.100200, 0.066845, 0.547094, 0.663102], abs=1e-6)
    mask = g.pixel_positives(first, second, **GRID)[0]
    assert (mask.sum(), mask.any(1).sum(), mask.any(0).sum()) == (89, 31, 24)
    distances = g.pixel_distances(first, second, **GRID)[0]
    assert distances.min().item() == pytest.approx(0.107339, abs=1e-6)
    assert divmod(int(distances.argmin()), 49) == (12, 2)
    rows = {i: mask[i].nonzero().flatten().tolist() for i in (0, 16, 24, 48)}
    assert rows == {0: [], 16: [0, 7], 24: [7, 8, 14, 15], 48: [30, 31, 37, 38]}
    assert distances[16, [0, 7]].tolist() == pytest.approx([0.5904, 0.2585], abs=5e-5)
    assert distances[24, [7, 8, 14, 15]].tolist() == pytest.approx(
        [0.5774, 0.5990, 0.4086, 0.4386], abs=5e-5
    )


def test_two_crops_of_a_photo_flipped_and_other_normalisers() -> None:
    first, second = repository_box(25, 50, 224, 224), repository_box(60, 120, 250, 300)
    flipped = g.pixel_positives(first, mirrored(second), **GRID)[0]
    assert flipped.sum() == 89
    assert flipped[16].nonzero().flatten().tolist() == [6, 13]
    assert flipped[24].nonzero().flatten().tolist() == [12, 13, 19, 20]
    distances = g.pixel_distances(first, mirrored(second), **GRID)[0]
    assert divmod(int(distances.argmin()), 49) == (12, 4)
    assert g.pixel_positives(first, second, **GRID, normaliser="smaller").sum() == 68
    pixels = box(50, 25, 274, 249), box(120, 60, 420, 310)
    assert g.pixel_positives(*pixels, **GRID).sum() == 88


def test_whole_image_against_its_quarter() -> None:
    mask = g.pixel_positives(box(0, 0, 1, 1), box(0, 0, 0.5, 0.5), **GRID)[0]
    assert (mask.sum(), mask.any(1).sum(), mask.any(0).sum()) == (133, 16, 49)


def test_disjoint_crops_have_no_pair() -> None:
    left, right = box(0, 0, 0.4, 0.4), box(0.6, 0.6, 1, 1)
    assert g.pixel_positives(left, right, **GRID).sum() == 0
    assert not g.inside(g.cell_centres(left, (9, 9)), right).any()


def test_unknown_normaliser_is_named() -> None:
    with pytest.raises(ValueError, match="normaliser='mean'"):
        g.pixel_positives(box(0, 0, 1, 1), box(0, 0, 1, 1), **GRID, normaliser="mean")


@given(boxes(), boxes())
def test_positives_equal_a_loop_over_pairs(first: torch.Tensor, second: torch.Tensor) -> None:
    """The slow, obvious form of section 3 of the specification, signed bins and all."""
    size = (3, 4)
    centres, diagonals = [], []
    for maps in (first, second):
        (x1, y1), (x2, y2) = g.apply(
            maps, torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
        )[0].tolist()
        width, height = (x2 - x1) / size[1], (y2 - y1) / size[0]
        centres.append(
            [
                (x1 + (c + 0.5) * width, y1 + (r + 0.5) * height)
                for r in range(size[0])
                for c in range(size[1])
            ]
        )
        diagonals.append(math.hypot(width, height))
    expected = [[math.dist(m, n) / max(diagonals) for n in centres[1]] for m in centres[0]]
    distances = g.pixel_distances(first, second, size_q=size, size_k=size)[0]
    assert torch.allclose(distances, torch.tensor(expected, dtype=torch.float64), atol=1e-9)


@given(boxes(), boxes())
def test_swapping_the_views_transposes_the_mask(first: torch.Tensor, second: torch.Tensor) -> None:
    forward = g.pixel_positives(first, second, size_q=(5, 4), size_k=(3, 6))
    backward = g.pixel_positives(second, first, size_q=(3, 6), size_k=(5, 4))
    assert torch.equal(forward, backward.transpose(1, 2))


@given(affine_maps())
def test_a_map_and_its_inverse_cancel(maps: torch.Tensor) -> None:
    points = torch.rand(1, 9, 2, dtype=torch.float64)
    assert torch.allclose(g.apply(g.invert(maps), g.apply(maps, points)), points, atol=1e-9)
    assert torch.allclose(g.compose(maps, g.invert(maps))[0], g.identity(), atol=1e-9)


@given(affine_maps(), affine_maps(), affine_maps())
def test_composition_is_application_in_turn_and_associative(
    a: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> None:
    points = torch.rand(1, 5, 2, dtype=torch.float64)
    assert torch.allclose(
        g.apply(g.compose(a, b), points), g.apply(a, g.apply(b, points)), atol=1e-9
    )
    assert torch.allclose(g.compose(a, g.compose(b, c)), g.compose(g.compose(a, b), c), atol=1e-9)


@given(affine_maps())
def test_flipping_twice_changes_nothing(maps: torch.Tensor) -> None:
    assert torch.allclose(mirrored(mirrored(maps)), maps, atol=1e-12)


@given(boxes(), boxes())
def test_a_crop_of_a_crop_lies_inside_it(outer: torch.Tensor, inner: torch.Tensor) -> None:
    nested = g.compose(outer, inner)
    assert g.inside(g.cell_centres(nested, (4, 4)), outer).all()


@given(affine_maps(), affine_maps())
def test_correspondences_meet_in_the_source(first: torch.Tensor, second: torch.Tensor) -> None:
    points = torch.rand(1, 6, 2, dtype=torch.float64)
    partners = g.apply(g.compose(g.invert(second), first), points)
    assert torch.allclose(g.apply(second, partners), g.apply(first, points), atol=1e-8)


@given(affine_maps())
def test_translation_moves_every_point_alike(maps: torch.Tensor) -> None:
    points = torch.rand(1, 6, 2, dtype=torch.float64)
    moved = g.apply(g.translated(maps, 0.25, -0.5), points) - g.apply(maps, points)
    assert torch.allclose(moved, torch.tensor([0.25, -0.5], dtype=torch.float64), atol=1e-12)


def test_cell_centres_do_not_depend_on_stride() -> None:
    coarse = g.cell_centres(box(0.1, 0.2, 0.7, 0.6), (2, 2)).view(2, 2, 2)
    fine = g.cell_centres(box(0.1, 0.2, 0.7, 0.6), (4, 4)).view(2, 2, 2, 2, 2)
    assert torch.allclose(fine.mean((1, 3)), coarse)


def test_diagonal_of_a_rotated_square_view_is_unchanged() -> None:
    angle = 0.3
    turn = torch.tensor(
        [[[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]]]
    ).double()
    assert g.cell_diagonals(turn, (7, 7)).item() == pytest.approx(math.sqrt(2) / 7)


def test_coverage_of_crops_and_of_a_turned_square() -> None:
    context = g.from_box(torch.tensor([[0.5, 0.0, 1.0, 1.0]]))  # the right half of the image
    parts = g.from_box(
        torch.tensor([[[0.5, 0.0, 0.75, 0.5], [0.0, 0.0, 0.5, 1.0], [1.0, 0.0, 0.5, 1.0]]])
    )
    masks = g.coverage(context, parts, size=(2, 4))[0]
    assert masks[0].tolist() == [[True, True, False, False], [False] * 4]
    assert not masks[1].any() and masks[2].all()  # a neighbour; the context itself, mirrored
    # A square turned by 45° about the middle, half as large in area: |x - ½| + |y - ½| < ½.
    diamond = torch.tensor([[[[0.5, -0.5, 0.5], [0.5, 0.5, 0.0]]]], dtype=torch.float64)
    assert g.coverage(
        g.identity()[None], diamond, size=(100, 100)
    ).double().mean().item() == pytest.approx(0.5, abs=0.01)
