"""LeJEPA on images and on cells: numbers of the specification, closed forms, loops, what the test
over images notices and what it does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.geometry import from_box
from pretrain.objectives import lejepa
from pretrain.objectives.lejepa import LeJEPA, known_values, place_invariance, sigreg
from pretrain.structures import Batch, Views

DIRECTIONS = torch.tensor([[1, 0, 0.6], [0, 1, 0.8]], dtype=torch.float64)


def each(z: Tensor, **options: float) -> list[float]:
    """The test of each of the three directions, of one set of samples (n, 2)."""
    return [sigreg(z[:, None], a[:, None], **options).item() for a in DIRECTIONS.T]


def test_numbers_of_the_specification(wave: Callable[..., Tensor]) -> None:
    z = (1.5 * wave(0, 6, 2)).requires_grad_()
    assert each(z) == pytest.approx([1.042692, 2.890164, 1.527037], abs=6e-7)
    value = sigreg(z[:, None], DIRECTIONS)
    assert value.item() == pytest.approx(1.819964, abs=6e-7)
    value.backward()
    assert z.grad[0].tolist() == pytest.approx([0.580230, 0.489579], abs=6e-7)
    wider = sigreg(z[:, None], DIRECTIONS, end=5.0).item()
    assert wider == pytest.approx(1.829323, abs=6e-7)


def closed_form(u: Tensor) -> float:
    """The integral over the whole line, of samples (n,)."""
    pairs = (-(u[:, None] - u).square() / 2).exp().sum() / len(u)
    single = math.sqrt(2) * (-u.square() / 4).exp().sum()
    return math.sqrt(2 * math.pi) * (pairs - single + len(u) / math.sqrt(3)).item()


def test_a_fine_rule_gives_the_closed_form(wave: Callable[..., Tensor]) -> None:
    z = 1.5 * wave(0, 6, 2)
    exact = [closed_form(z @ a) for a in DIRECTIONS.T]
    assert exact == pytest.approx([1.050030, 2.904595, 1.533346], abs=6e-7)
    assert each(z, knots=400, end=12.0) == pytest.approx(exact, abs=1e-9)
    assert closed_form(torch.zeros(10).double()) == pytest.approx(4.08923, abs=6e-6)


def test_total_of_two_global_and_two_local_views(wave: Callable[..., Tensor]) -> None:
    views = torch.cat([wave(0, 2, 3, 2), wave(1, 2, 3, 2)])  # (V, B, D)
    everywhere = [torch.ones(3, 1, 1, dtype=torch.bool)] * 2
    centres = [view[:, None] for view in views[:2]]
    values = [place_invariance(view[:, None], centres, everywhere) for view in views]
    invariance = torch.stack(values).mean().item()
    assert invariance == pytest.approx(0.263687, abs=6e-7)
    gaussian = sigreg(views.transpose(0, 1), DIRECTIONS).item()  # a test for each view
    assert gaussian == pytest.approx(0.623873, abs=6e-7)
    assert 0.05 * gaussian + 0.95 * invariance == pytest.approx(0.281696, abs=6e-7)
    flattened = sigreg(views.flatten(0, 1)[:, None], DIRECTIONS).item()
    assert flattened == pytest.approx(0.584521, abs=6e-7)


def test_known_values_of_gaussian_and_of_equal_samples() -> None:
    assert known_values(10) == pytest.approx((1.0525, 4.02048), abs=6e-5)
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(64, 4000, 1, generator=generator)
    assert sigreg(samples, torch.ones(1, 1)).item() == pytest.approx(1.0525, abs=0.05)
    assert sigreg(torch.zeros(10, 3, 2), DIRECTIONS).item() == pytest.approx(4.02048, abs=6e-5)


def test_unit_vectors_cannot_pass() -> None:
    generator = torch.Generator().manual_seed(0)
    z = nn.functional.normalize(torch.randn(512, 1, 64, generator=generator), dim=2)
    a = nn.functional.normalize(torch.randn(64, 256, generator=generator), dim=0)
    assert sigreg(z, a).item() == pytest.approx(194, abs=1)
    assert sigreg(8 * z, a).item() == pytest.approx(1.1, abs=0.1)


def test_cells_taken_for_independent_samples_punish_a_good_dense_map() -> None:
    """Cells that share half of their variance with their image; a test over images passes them, and
    passes just as well a map whose cells are all equal, which costs spread.
    """
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(16, 1, 32, generator=generator)
    own = torch.randn(16, 49, 32, generator=generator)
    a = nn.functional.normalize(torch.randn(32, 256, generator=generator), dim=0)
    mixed = math.sqrt(0.5) * (image + own)
    mostly_image = math.sqrt(0.9) * image + math.sqrt(0.1) * own
    for cells, value, spread in ((own, 1.1, 0.3), (mixed, 16.4, 3), (mostly_image, 41, 5)):
        assert sigreg(cells.reshape(-1, 1, 32), a).item() == pytest.approx(value, abs=spread)
    assert sigreg(mixed, a).item() == pytest.approx(1.05, abs=0.15)
    flat = image.expand(16, 49, 32)
    assert sigreg(flat, a).item() == pytest.approx(1.05, abs=0.3)
    lacking = [lejepa._lack_of_spread(cells).item() for cells in (own, mixed, flat)]
    assert lacking == pytest.approx([0, 0, 0.49], abs=0.01)


def test_directions_in_parts_change_nothing(
    wave: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for numbers in (2**24, 1):  # at least one direction at a time
        monkeypatch.setattr(lejepa, "NUMBERS", numbers)
        z = wave(0, 6, 3, 2).requires_grad_()
        value = sigreg(z, DIRECTIONS)
        value.backward()
        results.append((value, z.grad))
    assert torch.allclose(results[0][0], results[1][0])
    assert torch.allclose(results[0][1], results[1][1])


def test_invariance_against_loops(wave: Callable[..., Tensor]) -> None:
    cells, others = wave(0, 3, 4, 5), [wave(1, 3, 4, 5), wave(2, 3, 6, 5)]
    generator = torch.Generator().manual_seed(1)
    masks = [torch.rand(3, 4, n, generator=generator) < 0.4 for n in (4, 6)]
    masks[1][2] = False  # an image without a cell that both views show
    images = []
    for b in range(3):
        distances = []
        for i in range(4):
            near = [other[b][mask[b, i]] for other, mask in zip(others, masks, strict=True)]
            if all(len(one) for one in near):
                centre = (near[0].mean(0) + near[1].mean(0)) / 2
                distances.append((cells[b, i] - centre).square().mean())
        if distances:
            images.append(torch.stack(distances).mean())
    assert len(images) == 2
    expected = torch.stack(images).mean().item()
    assert place_invariance(cells, others, masks).item() == pytest.approx(expected)


class Given:
    """Encodings that are given: maps (B, D, h, w) of each view."""

    def __init__(self, **groups: list[Tensor]) -> None:
        self.groups = groups

    def online(self, group: str) -> list[Features]:
        return [Features({8: view}, view.mean((2, 3))) for view in self.groups[group]]


def given(wave: Callable[..., Tensor]) -> tuple[Batch, Given]:
    """Two large views, of the whole image and of its left half, and a local one, its top left
    quarter.
    """
    boxes = torch.tensor([[0, 0, 1, 1], [0, 0, 0.5, 1], [0, 0, 0.5, 0.5]], dtype=torch.float64)
    maps = from_box(boxes).expand(3, 3, 2, 3)
    pixels = torch.zeros(3, 3, 3, 8, 8)
    views = {
        "global": Views(pixels[:, :2], maps[:, :2]),
        "local": Views(pixels[:, 2:], maps[:, 2:]),
    }
    large = [wave(0, 3, 4, 4, 4), wave(1, 3, 4, 4, 4)]
    return Batch(views, None, torch.arange(3)), Given(
        **{"global": large, "local": [wave(2, 3, 4, 2, 2)]}
    )


def objective(**options: float) -> LeJEPA:
    torch.manual_seed(0)
    built = LeJEPA(FeatureInfo({8: 4}, 4), hidden=8, dim=4, directions=16, **options)
    built.projector = nn.Identity()
    return built


def test_cells_meet_at_their_places(wave: Callable[..., Tensor]) -> None:
    """The local view's four cells are those of the whole image's top left quarter, and each lies
    between two columns of the left half's top.
    """
    batch, encode = given(wave)
    whole, half = encode.groups["global"]
    local = encode.groups["local"][0]
    built = objective(pos_radius_diag=0.3)  # 0.7 would reach over a third of the narrow columns
    cells = built._embed("local", batch, encode)[0]
    value = built._invariance(cells, built._embed("global", batch, encode)).item()
    pairs = half[:, :, :2].unflatten(3, (2, 2)).mean(4)
    centre = (whole[:, :, :2, :2] + pairs) / 2
    assert value == pytest.approx((local - centre).square().mean().item())


def test_terms_add_up_and_draws_change_with_the_step(wave: Callable[..., Tensor]) -> None:
    batch, encode = given(wave)
    cells = objective(cells=3, spread_weight=0.7)
    terms = cells(batch, encode)
    expected = 0.05 * terms["gaussian"] + 0.95 * terms["invariance"] + 0.7 * terms["spread"]
    assert terms["loss"].item() == pytest.approx(expected.item())
    rng = np.random.default_rng(cells.draws.tolist())
    a = torch.from_numpy(rng.standard_normal((4, 16), dtype=np.float32))
    a, tests = a / a.norm(dim=0), []
    for view in (*encode.groups["global"], *encode.groups["local"]):
        chosen = rng.permutation(view[0, 0].numel())[:3]
        tests.append(sigreg(view.flatten(2).mT[:, chosen], a))
    assert terms["gaussian"].item() == pytest.approx(torch.stack(tests).mean().item(), rel=1e-6)
    assert cells(batch, encode)["gaussian"] == terms["gaussian"]
    cells.update_memory(batch, encode)
    assert cells(batch, encode)["gaussian"] != terms["gaussian"]


def test_vectors_need_no_places_and_no_spread(wave: Callable[..., Tensor]) -> None:
    batch, encode = given(wave)
    for views in batch.views.values():
        views.geometry = None
    terms = objective(level="vectors")(batch, encode)
    vectors = [view.mean((2, 3)) for view in (*encode.groups["global"], *encode.groups["local"])]
    centre = (vectors[0] + vectors[1]) / 2
    expected = [(vector - centre).square().mean() for vector in vectors]
    assert terms["invariance"].item() == pytest.approx(torch.stack(expected).mean().item())
    assert set(terms) == {"loss", "gaussian", "invariance"}


@pytest.mark.parametrize("level", ["cells", "vectors"])
def test_bound_of_embeddings_that_are_all_the_same(wave: Callable[..., Tensor], level: str) -> None:
    batch, encode = given(wave)
    for views in encode.groups.values():
        for view in views:
            view.zero_()
    built = objective(level=level)
    loss = built(batch, encode)["loss"].item()
    bounds = built.bounds(batch, {})
    assert bounds.collapsed == pytest.approx(loss, rel=1e-5)
    assert bounds.best == pytest.approx(0.05 * 1.0525, abs=1e-4)


def test_mistakes_are_named() -> None:
    for options, message in (
        (dict(level="cell"), "level='cell' is not one of cells, vectors; did you mean 'cells'"),
        (dict(gaussian_weight=2.0), r"gaussian_weight=2.0: must lie in \[0, 1\]"),
        (dict(cells=0), "cells=0: must be at least 1"),
        (dict(spread_weight=-1.0), "spread_weight=-1.0: must not be negative"),
    ):
        with pytest.raises(ValueError, match=message):
            objective(**options)
