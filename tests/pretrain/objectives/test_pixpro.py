"""PixPro: vectors 5, 7, 8, 9, 10 and 13 of the specification, float64, and a loop over pairs."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from heads.pixel_propagation import PixelPropagation
from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.geometry import from_box, pixel_positives
from pretrain.objectives.pixpro import PixPro, mean_positive_cosine, pixpro_loss
from pretrain.structures import Batch, Views


def toy_maps() -> tuple[
    tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor], torch.Tensor
]:
    """Vector 7: online maps x¹ x², target maps, positives; channels c = 1..4, cells i = 1..4."""
    ci = torch.arange(1.0, 5, dtype=torch.float64)[:, None] * torch.arange(
        1.0, 5, dtype=torch.float64
    )
    online = [torch.sin(0.7 * ci), torch.cos(0.4 * ci + 0.3)]
    target = [torch.sin(0.7 * ci + 0.2), torch.cos(0.4 * ci + 0.5)]
    maps = from_box(torch.tensor([[0, 0, 0.8, 0.8], [0.9, 0.2, 0.1, 1]], dtype=torch.float64))
    positives = pixel_positives(maps[:1], maps[1:], size_q=(2, 2), size_k=(2, 2))
    shape = lambda pair: tuple(m.view(1, 4, 2, 2) for m in pair)  # noqa: E731
    return shape(online), shape(target), positives


def test_full_toy() -> None:
    x, k, positives = toy_maps()
    assert positives[0].int().tolist() == [[0, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 1, 1]]
    propagate = PixelPropagation(4, layers=0)
    y = (propagate(x[0]), propagate(x[1]))
    transposed = positives.transpose(1, 2)
    assert mean_positive_cosine(y[0], k[1], positives).item() == pytest.approx(0.183681, abs=5e-7)
    assert mean_positive_cosine(y[1], k[0], transposed).item() == pytest.approx(0.214894, abs=5e-7)
    assert mean_positive_cosine(x[0], k[1], positives).item() == pytest.approx(0.183674, abs=5e-7)
    assert mean_positive_cosine(x[1], k[0], transposed).item() == pytest.approx(0.193085, abs=5e-7)
    assert pixpro_loss(y, k, positives).item() == pytest.approx(-0.797151, abs=5e-7)
    assert pixpro_loss(y, k, positives, loss_form="paper").item() == pytest.approx(
        -0.398576, abs=5e-7
    )


def test_loss_equals_a_loop_over_pairs_and_ignores_scale() -> None:
    torch.manual_seed(0)
    y, k = [tuple(torch.randn(3, 5, 2, 3, dtype=torch.float64) for _ in range(2)) for _ in range(2)]
    positives = torch.rand(3, 6, 6) < 0.3
    positives[1] = False
    total = 0.0
    for a, b, mask in ((y[0], k[1], positives), (y[1], k[0], positives.transpose(1, 2))):
        for image in range(3):
            pairs = mask[image].nonzero().tolist()
            cosines = [
                F.cosine_similarity(
                    a[image].flatten(1)[:, i], b[image].flatten(1)[:, j], dim=0
                ).item()
                for i, j in pairs
            ]
            total -= 2 * sum(cosines) / (len(cosines) + 1e-6) / 3
    assert pixpro_loss(y, k, positives).item() == pytest.approx(total, abs=1e-12)
    longer = tuple(3 * m for m in y)
    assert torch.allclose(pixpro_loss(longer, k, positives), pixpro_loss(y, k, positives))
    kept = pixpro_loss(y, k, positives, count_empty=False)
    assert kept.item() == pytest.approx(total * 3 / 2, abs=1e-12)  # two of three images have pairs


def test_perfect_agreement_and_collapse_cannot_be_told_apart() -> None:
    x = torch.randn(2, 8, 7, 7, dtype=torch.float64)
    identity = torch.eye(49, dtype=torch.bool).expand(2, 49, 49)
    best = -4 * 49 / (49 + 1e-6)
    assert pixpro_loss((x, x), (x, x), identity).item() == pytest.approx(best, abs=1e-12)
    constant = torch.ones_like(x)
    assert pixpro_loss(
        (constant, constant), (constant, constant), identity
    ).item() == pytest.approx(best, abs=1e-12)


def test_disjoint_crops_give_zero_with_finite_gradient() -> None:
    x = torch.randn(1, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    for count_empty in (True, False):
        none = torch.zeros(1, 4, 4, dtype=torch.bool)
        loss = pixpro_loss((x, x), (x.detach(), x.detach()), none, count_empty=count_empty)
        loss.backward()
        assert loss == 0 and (x.grad == 0).all()


def test_swapping_the_views_changes_nothing() -> None:
    x, k, positives = toy_maps()
    swapped = pixpro_loss(x[::-1], k[::-1], positives.transpose(1, 2))
    assert torch.allclose(swapped, pixpro_loss(x, k, positives), atol=1e-15)


class MapEncodings:
    """Encodings of fixed random features, the only thing an objective sees of the backbone."""

    def __init__(self, channels: int, size: int) -> None:
        self.pool = [torch.randn(4, channels, size, size, requires_grad=True) for _ in range(4)]

    def online(self, group: str) -> list[Features]:
        return [Features({8: m}, m.mean((2, 3))) for m in self.pool[:2]]

    def target(self, group: str) -> list[Features]:
        return [Features({8: m.detach()}, m.detach().mean((2, 3))) for m in self.pool[2:]]


def toy_batch() -> Batch:
    geometry = from_box(
        torch.tensor([[[0, 0, 0.8, 0.8], [0.9, 0.2, 0.1, 1]]] * 4, dtype=torch.float64)
    )
    return Batch({"global": Views(torch.zeros(4, 2, 3, 32, 32), geometry)}, None, torch.arange(4))


def test_objective_trains_online_heads_only() -> None:
    objective = PixPro(FeatureInfo({8: 6}, 6), hidden=8, dim=5)
    encode = MapEncodings(6, 4)
    terms = objective(toy_batch(), encode)
    terms["loss"].backward()
    followers = [p for _, target in objective.momentum_pairs() for p in target.parameters()]
    assert followers and all(p.grad is None and not p.requires_grad for p in followers)
    online = [*objective.projector.parameters(), *objective.propagation.parameters()]
    assert all(p.grad is not None for p in online) and encode.pool[0].grad is not None
    expected = pixel_positives(
        *toy_batch().views["global"].geometry.unbind(1), size_q=(4, 4), size_k=(4, 4)
    )
    assert terms["pairs"] == expected[0].sum()


def test_without_propagation_projections_are_compared_as_they_are() -> None:
    torch.manual_seed(0)
    objective = PixPro(FeatureInfo({8: 6}, 6), hidden=8, dim=5, propagate=False)
    encode, batch = MapEncodings(6, 4), toy_batch()
    y = tuple(objective.projector(m) for m in encode.pool[:2])
    k = tuple(objective.target_projector(m) for m in encode.pool[2:])
    positives = pixel_positives(
        *batch.views["global"].geometry.unbind(1), size_q=(4, 4), size_k=(4, 4)
    )
    loss = objective(batch, encode)["loss"]
    torch.testing.assert_close(loss, pixpro_loss(y, k, positives))
    assert not list(objective.propagation.parameters())


def test_a_fresh_objective_starts_near_its_random_value() -> None:
    torch.manual_seed(0)
    objective = PixPro(FeatureInfo({8: 64}, 64), hidden=128, dim=64)
    loss = objective(toy_batch(), MapEncodings(64, 4))["loss"].item()
    bounds = objective.bounds(None, {})
    assert abs(loss - bounds.random_start) < 0.5 and bounds.best == -4
    assert PixPro(FeatureInfo({8: 4}, 4), loss_form="paper").bounds(None, {}).best == -2


def test_pyramid_learns_on_every_level_and_counts_each_equally() -> None:
    info = FeatureInfo({8: 6, 16: 10}, 10)
    objective = PixPro(
        info, hidden=8, dim=5, pyramid=dict(strides=(8, 16), channels=12, head_convs=1)
    )
    views = [
        Features({8: torch.randn(4, 6, 8, 8), 16: torch.randn(4, 10, 4, 4)}, torch.randn(4, 10))
        for _ in range(2)
    ]
    encode = type("E", (), {"online": lambda self, g: views, "target": lambda self, g: views})()
    maps = objective.levels(views[0])
    assert [tuple(m.shape) for m in maps] == [(4, 12, 8, 8), (4, 12, 4, 4), (4, 12, 2, 2)]
    objective(toy_batch(), encode)["loss"].backward()
    assert all(p.grad is not None for p in objective.levels.parameters())


def test_illegal_options_are_named() -> None:
    info = FeatureInfo({8: 6, 16: 10}, 10)
    with pytest.raises(ValueError, match="stride=4: .*8, 16"):
        PixPro(info, stride=4)
    with pytest.raises(ValueError, match="loss_form='papers'"):
        PixPro(info, loss_form="papers")
    with pytest.raises(ValueError, match="unknown keys .*'levels'"):
        PixPro(info, pyramid=dict(levels=3))
    with pytest.raises(ValueError, match="replaces stride"):
        PixPro(info, stride=8, pyramid=dict(strides=(8,)))


def test_share_of_pairs_at_default_crops_is_near_the_specification() -> None:
    """Vector 12: 2.3 % of crop pairs of a 500×375 image have no positive; the mean is 115."""
    generator = torch.Generator().manual_seed(0)

    def crops(count: int) -> torch.Tensor:
        area = torch.rand(count * 10, generator=generator, dtype=torch.float64) * 0.92 + 0.08
        log_ratio = (
            torch.rand(count * 10, generator=generator, dtype=torch.float64) * 2 - 1
        ) * math.log(4 / 3)
        width = (area * 500 * 375 * log_ratio.exp()).sqrt().round()
        height = (area * 500 * 375 / log_ratio.exp()).sqrt().round()
        fits = (width <= 500) & (height <= 375)
        width, height = width[fits][:count], height[fits][:count]
        left = ((501 - width) * torch.rand(count, generator=generator, dtype=torch.float64)).floor()
        top = ((376 - height) * torch.rand(count, generator=generator, dtype=torch.float64)).floor()
        return from_box(
            torch.stack(
                [left / 499, top / 374, (left + width - 1) / 499, (top + height - 1) / 374], 1
            )
        )

    counts = (
        pixel_positives(crops(4000), crops(4000), size_q=(7, 7), size_k=(7, 7)).sum((1, 2)).double()
    )
    assert (counts == 0).double().mean().item() == pytest.approx(0.023, abs=0.01)
    assert counts.mean().item() == pytest.approx(115, abs=5)
