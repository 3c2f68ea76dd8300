"""Jitters against the recipe's four steps done one after the other, and the identity."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pretrain.upsampling.jitter import Jitter, canvas_size, draw_jitter


def slow(jitter: Jitter, maps: Tensor) -> Tensor:
    """Pads, resizes, crops and flips, as the method's description says it."""
    height, width = jitter.size
    padded = F.pad(maps, (jitter.pad,) * 4, mode="reflect")
    if jitter.zoom > 1:
        padded = F.interpolate(
            padded, scale_factor=jitter.zoom, mode="bilinear", align_corners=False
        )
    part = padded[..., jitter.top : jitter.top + height, jitter.left : jitter.left + width]
    return part.flip(-1) if jitter.flip else part


@pytest.mark.parametrize("size", [(12, 12), (9, 14)])
def test_equals_the_steps_one_by_one(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, *size, dtype=torch.float64, generator=generator)
    drawn = [draw_jitter(size, generator, pad=5) for _ in range(60)]
    assert len({j.flip for j in drawn}) == 2 and {j.zoom > 1 for j in drawn} == {True, False}
    for jitter in drawn:
        if jitter.zoom > 1 and canvas_size(size, 5, 1.0) == jitter.canvas:
            continue  # torch takes a map that keeps its size for one that is not resized
        torch.testing.assert_close(
            jitter(maps), slow(jitter, maps), rtol=1e-10, atol=1e-10, msg=str(jitter)
        )


def test_window_back_in_its_place_is_the_identity() -> None:
    maps = torch.randn(2, 3, 8, 10)
    assert torch.equal(Jitter((8, 10), pad=4, top=4, left=4)(maps), maps)
    half = maps.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(Jitter((8, 10), pad=4, top=4, left=4)(half), half)


def test_flip_alone_mirrors() -> None:
    maps = torch.randn(1, 2, 6, 7)
    assert torch.equal(Jitter((6, 7), pad=2, top=2, left=2, flip=True)(maps), maps.flip(-1))


def test_image_and_features_get_the_same_change() -> None:
    """Features that are the image's own colours stay its colours."""
    jitter = draw_jitter((16, 16), torch.Generator().manual_seed(3), pad=6)
    image = torch.rand(2, 3, 16, 16)
    both = jitter(torch.cat([image, 2 * image], 1))
    torch.testing.assert_close(both[:, 3:], 2 * both[:, :3])


def test_draws_are_repeatable_and_cover_what_is_legal() -> None:
    first, second = (
        [draw_jitter((10, 20), g, pad=3) for _ in range(2000)] for g in _generators(7, 2)
    )
    assert first == second
    zooms = torch.tensor([j.zoom for j in first])
    assert (
        0.45 < (zooms > 1).double().mean() < 0.55
        and 1.45 < zooms[zooms > 1].mean() < 1.55
        and zooms.max() < 2
    )
    plain = [j for j in first if j.zoom == 1]
    assert {j.top for j in plain} == set(range(7)) and {j.left for j in plain} == set(range(7))
    for jitter in first:
        assert jitter.canvas == canvas_size((10, 20), 3, jitter.zoom)


def _generators(seed: int, count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for _ in range(count)]


def test_gradient_reaches_every_pixel_that_is_seen() -> None:
    maps = torch.randn(1, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        Jitter((5, 6), pad=2, zoom=1.3, top=1, left=2, flip=True), (maps,)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(pad=8), "pad=8: must be from 0 to 7"),
        (dict(pad=2, zoom=0.9), "zoom=0.9: must be at least 1"),
        (dict(pad=2, top=5), r"window at \(5, 0\): legal are offsets from \(0, 0\) to \(4, 4\)"),
    ],
)
def test_mistakes_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Jitter((8, 8), **change)
    with pytest.raises(
        ValueError, match=r"maps \(1, 1, 9, 8\): this jitter was drawn for maps of \(8, 8\)"
    ):
        Jitter((8, 8), pad=1)(torch.zeros(1, 1, 9, 8))
