"""VICRegL: criterion and matches against loops, closed forms, two processes against one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
import torch
from torch import distributed as dist

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.geometry import cell_centres, from_box
from pretrain.objectives.vicregl import VICRegL, feature_matches, location_matches, vicreg
from pretrain.structures import Batch, Views

BOXES = torch.tensor(
    [[[0, 0, 0.8, 0.8], [0.9, 0.2, 0.1, 1]], [[0.1, 0, 1, 0.7], [0.3, 0.2, 0.9, 1]]]
)


def slow(x: torch.Tensor, y: torch.Tensor) -> tuple[float, float, float]:
    """The three terms of (n, D) pairs by loops over single numbers, the last two as means over both
    branches.
    """
    n, channels = x.shape
    invariance = sum((x[i, d] - y[i, d]).item() ** 2 for i in range(n) for d in range(channels)) / (
        n * channels
    )
    variance = covariance = 0.0
    for z in (x, y):
        mean = [sum(z[i, d].item() for i in range(n)) / n for d in range(channels)]
        for d in range(channels):
            for e in range(channels):
                c = sum(
                    (z[i, d].item() - mean[d]) * (z[i, e].item() - mean[e]) for i in range(n)
                ) / (n - 1)
                if d == e:
                    variance += max(0.0, 1 - math.sqrt(c + 1e-4)) / channels / 2
                else:
                    covariance += c**2 / channels / 2
    return invariance, variance, covariance


@pytest.mark.parametrize("images, channels", [(4, 7), (7, 4), (5, 5)])
def test_criterion_equals_loops_for_more_and_for_fewer_images_than_channels(
    images: int, channels: int
) -> None:
    torch.manual_seed(0)
    x, y = 0.6 * torch.randn(2, images, 2, 3, channels, dtype=torch.float64)
    by_rank = [slow(x[:, s, p], y[:, s, p]) for s in range(2) for p in range(3)]
    by_cells = [slow(x[:, s].flatten(0, 1), y[:, s].flatten(0, 1)) for s in range(2)]
    for statistics, sets in (("rank", by_rank), ("cells", by_cells)):
        expected = [sum(terms) / len(sets) for terms in zip(*sets, strict=True)]
        assert [t.item() for t in vicreg(x, y, statistics=statistics)] == pytest.approx(
            expected, abs=1e-12
        )


def test_closed_forms() -> None:
    equal = vicreg(torch.ones(4, 1, 1, 8), torch.ones(4, 1, 1, 8))
    assert [t.item() for t in equal] == pytest.approx([0, 0.99, 0], abs=1e-6)
    # Rows of a Hadamard matrix: columns of mean 0, variance 4/3 and no covariance; a copied column
    # has covariance 4/3.
    hadamard = torch.tensor([[1.0, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]])[:, None, None]
    assert [t.item() for t in vicreg(hadamard, hadamard + 2)] == pytest.approx([4, 0, 0], abs=1e-6)
    copied = hadamard[..., [0, 0]]
    assert vicreg(copied, copied).covariance.item() == pytest.approx((4 / 3) ** 2)


def test_gradients_are_right_and_finite_when_all_is_equal() -> None:
    torch.manual_seed(1)
    x, y = torch.randn(2, 3, 1, 2, 4, dtype=torch.float64)

    def total(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return sum(vicreg(x, y))

    assert torch.autograd.gradcheck(total, (0.5 * x.requires_grad_(), 0.5 * y.requires_grad_()))
    flat = torch.zeros(4, 1, 2, 8, requires_grad=True)
    total(flat, flat.detach()).backward()
    assert flat.grad.isfinite().all()
    with pytest.raises(ValueError, match="batch of 1"):
        vicreg(flat[:1, :, :1], flat[:1, :, :1])


def best_by_loop(points: torch.Tensor, others: torch.Tensor, count: int) -> set[tuple[int, int]]:
    actual = []
    for i in range(len(points)):
        distances = [(points[i] - others[j]).norm().item() for j in range(len(others))]
        j = min(range(len(others)), key=distances.__getitem__)
        actual.append((distances[j], i, j))
    return {(i, j) for _, i, j in sorted(actual)[:count]}


def as_set(pair: tuple[torch.Tensor, torch.Tensor], image: int) -> set[tuple[int, int]]:
    return set(zip(pair[0][image].tolist(), pair[1][image].tolist(), strict=True))


def test_matches_equal_loops_in_both_directions() -> None:
    torch.manual_seed(0)
    maps, size = from_box(BOXES), (3, 4)
    forth, back = location_matches(maps[:, 0], maps[:, 1], size, 5)
    a, b = cell_centres(maps[:, 0], size), cell_centres(maps[:, 1], size)
    x, y = torch.randn(2, 2, 12, 5, dtype=torch.float64)
    near, far = feature_matches(x, y, 5)
    for i in range(2):
        assert as_set(forth, i) == best_by_loop(a[i], b[i], 5)
        assert as_set(back[::-1], i) == best_by_loop(b[i], a[i], 5)
        assert as_set(near, i) == best_by_loop(x[i], y[i], 5)
        assert as_set(far[::-1], i) == best_by_loop(y[i], x[i], 5)


def test_a_mirrored_view_is_matched_to_its_mirror_image_best_first() -> None:
    whole = from_box(torch.tensor([[0.0, 0, 1, 1]]))
    mirrored = from_box(torch.tensor([[1.0, 0, 0, 1]]))
    pairs = location_matches(whole, mirrored, (2, 3), 99)
    mirror = {(0, 2), (1, 1), (2, 0), (3, 5), (4, 4), (5, 3)}
    assert [as_set(pair, 0) for pair in pairs] == [mirror, mirror]
    part = from_box(torch.tensor([[0.0, 0, 0.5, 1]]))
    own, _ = location_matches(whole, part, (1, 4), 2)[0]
    assert sorted(own[0].tolist()) == [0, 1]  # the cells that the half view shows come first


def small(**options: object) -> VICRegL:
    torch.manual_seed(0)
    widths = dict(stride=8, hidden=8, dim=6, local_hidden=8, local_dim=5)
    return VICRegL(FeatureInfo({8: 6}, 7), **{**widths, "matches": 3, **options})


def inputs(*, constant: bool = False) -> tuple[Batch, object, list[Features]]:
    generator = torch.Generator().manual_seed(2)
    views = []
    for _ in range(2):
        cells, vector = (
            torch.randn(2, 6, 2, 3, generator=generator),
            torch.randn(2, 7, generator=generator),
        )
        cells, vector = (torch.ones_like(t) if constant else t for t in (cells, vector))
        views.append(Features({8: cells.requires_grad_()}, vector.requires_grad_()))
    batch = Batch(
        {"global": Views(torch.zeros(2, 2, 3, 16, 24), from_box(BOXES))}, None, torch.arange(2)
    )
    return batch, type("E", (), {"online": lambda self, g: views})(), views


@pytest.mark.parametrize("alpha, statistics", [(0.75, "rank"), (0.9, "cells"), (1.0, "rank")])
def test_collapsed_value_is_the_bound(alpha: float, statistics: str) -> None:
    objective = small(alpha=alpha, statistics=statistics)
    batch, encode, _ = inputs(constant=True)
    value = (alpha + 2 * (1 - alpha)) * 24.75
    terms = objective(batch, encode)
    assert terms["loss"].item() == pytest.approx(value, rel=1e-4)
    assert objective.bounds(batch, terms).collapsed == pytest.approx(value)


def test_the_published_weights_collapse_to_the_authors_value() -> None:
    """25, 25, 1 and alpha 0.75 with terms that are means over branches: 1.25 · 25 · 0.99; sums
    would give 61.9.
    """
    features = FeatureInfo({8: 6}, 7)
    bounds = VICRegL(features, hidden=8, dim=6).bounds(None, {})
    assert bounds.collapsed == pytest.approx(30.9375)


def test_terms_that_are_sums_need_half_the_weights() -> None:
    """The authors' 25, 25, 1 are 25, 12.5, 0.5 for terms that are sums over branches."""
    torch.manual_seed(4)
    x, y = 0.5 * torch.randn(2, 6, 1, 1, 5, dtype=torch.float64)
    branches = [
        vicreg(z, z) for z in (x, y)
    ]  # both branches alike: the mean is the term of that branch
    terms = vicreg(x, y)
    sums = (sum(b.variance for b in branches), sum(b.covariance for b in branches))
    authors = 25 * terms.invariance + 25 * terms.variance + terms.covariance
    by_sums = 25 * (x - y).square().mean() + 12.5 * sums[0] + 0.5 * sums[1]
    assert authors.item() == pytest.approx(by_sums.item(), rel=1.5e-15)


def slow_rule(
    rule: list, a: torch.Tensor, b: torch.Tensor, count: int, statistics: str
) -> torch.Tensor:
    """The three terms of the best ``count`` matches of a rule, a mean over both directions."""
    terms = torch.zeros(3, dtype=torch.float64)
    for own, other in rule:
        picked = []
        for p in range(min(count, own.shape[1])):
            rows_a = torch.stack([a[i, own[i, p]] for i in range(len(a))])
            rows_b = torch.stack([b[i, other[i, p]] for i in range(len(b))])
            picked.append((rows_a, rows_b))
        if statistics == "cells":
            picked = [tuple(torch.cat(rows) for rows in zip(*picked, strict=True))]
        for rows_a, rows_b in picked:
            terms += torch.tensor(slow(rows_a, rows_b), dtype=torch.float64) / len(picked) / 2
    return terms


OFFICIAL = dict(matches=None, location_matches=(5, 2), feature_matches=None)


@pytest.mark.parametrize("statistics", ["rank", "cells"])
@pytest.mark.parametrize(
    "options, by_place, by_feature",
    [
        (dict(matches=3), (3,), 3),
        (OFFICIAL, (5, 2), 6),
        (dict(OFFICIAL, feature_matches=4), (5, 2), 4),
    ],
)
def test_loss_is_the_weighted_sum_of_slow_terms_and_repeats(
    options: dict, by_place: tuple[int, ...], by_feature: int, statistics: str
) -> None:
    weights = dict(invariance=3.0, variance=2.0, covariance=0.5)
    objective = small(alpha=0.6, statistics=statistics, **weights, **options).double()
    batch, encode, views = inputs()
    for view in views:
        view.vector, view.pyramid[8] = (
            view.vector.detach().double(),
            view.pyramid[8].detach().double(),
        )
    x, y = (objective.expander(v.vector) for v in views)
    a, b = (objective.local_expander(v.map(8)).flatten(2).mT for v in views)
    maps, size = batch.views["global"].geometry, (2, 3)
    places = location_matches(maps[:, 0], maps[:, 1], size, 6)
    local = slow_rule(feature_matches(a, b, 6), a, b, by_feature, statistics)
    for count in by_place:
        local += slow_rule(places, a, b, count, statistics) / len(by_place)
    values = torch.tensor(list(weights.values()), dtype=torch.float64)
    expected = 0.6 * values @ torch.tensor(slow(x, y), dtype=torch.float64) + 0.4 * values @ local
    for _ in range(2):
        assert objective(batch, encode)["loss"].item() == pytest.approx(expected.item(), rel=1e-14)


def test_the_defaults_are_the_authors_numbers_of_matches() -> None:
    objective = VICRegL(FeatureInfo({8: 6}, 7), hidden=8, dim=6)
    assert (objective.location_matches, objective.feature_matches) == ((20, 4), None)
    both = VICRegL(FeatureInfo({8: 6}, 7), hidden=8, dim=6, matches=20)
    assert (both.location_matches, both.feature_matches) == ((20,), 20)


def test_gradient_reaches_both_expanders_and_both_views() -> None:
    objective = small()
    batch, encode, views = inputs()
    objective(batch, encode)["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in objective.parameters())
    assert all(v.vector.grad.abs().sum() > 0 and v.map(8).grad.abs().sum() > 0 for v in views)


def test_illegal_options_are_named() -> None:
    for options, message in (
        (dict(alpha=1.2), "alpha=1.2"),
        (dict(matches=0), "matches=0"),
        (dict(matches=None, location_matches=()), "location_matches=()"),
        (dict(matches=None, location_matches=(20, 0)), "location_matches=(20, 0)"),
        (dict(matches=None, location_matches=20), "location_matches=20"),
        (dict(matches=None, feature_matches=0), "feature_matches=0"),
        (dict(covariance=-1.0), "covariance=-1.0"),
        (dict(statistics="batch"), "statistics='batch'"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            small(**options)


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(
        0.7
        * torch.randn(
            2, 6, 2, 3, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64
        )
    )


def gradients_of(rank: int) -> dict[str, tuple[torch.Tensor, ...]]:
    actual = {}
    for statistics in ("rank", "cells"):
        x, y = (t[3 * rank : 3 * rank + 3].clone().requires_grad_() for t in pairs())
        value = sum(vicreg(x, y, statistics=statistics))
        value.backward()
        mean = value.detach().clone()
        dist.all_reduce(mean)
        # Each process's gradient reaches the weights through a mean over processes: what counts is
        # grad / world size.
        actual[statistics] = (mean / 2, x.grad / 2, y.grad / 2)
    return actual


def test_two_processes_equal_one(in_two_processes: Callable[..., list]) -> None:
    actual = in_two_processes(gradients_of)
    for statistics in ("rank", "cells"):
        x, y = (t.requires_grad_() for t in pairs())
        value = sum(vicreg(x, y, statistics=statistics))
        value.backward()
        assert torch.allclose(actual[0][statistics][0], value.detach(), atol=1e-12)
        for place, leaf in ((1, x), (2, y)):
            assert torch.allclose(
                torch.cat([f[statistics][place] for f in actual]), leaf.grad, atol=1e-12
            )
