"""SlotCon: numbers of the official code, loops, views on one grid, processes, and what is left
out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.engine.check import check_upright
from pretrain.engine.settings import ConfigError
from pretrain.geometry import from_box
from pretrain.objectives.parts.sharpening import Centre
from pretrain.objectives.slotcon import (
    CountedNorm,
    Predictor,
    SlotCon,
    Slots,
    group_cells,
    grouping_loss,
    slot_contrast,
)
from pretrain.structures import Batch, Views
from pretrain.views.recipe import ViewRecipe

INFO = FeatureInfo({8: 6}, 6)
TURNED, TWIN = dict(size=32, rotation=20), ("turned", 0)


def as_it_is(z: Tensor, counts: Tensor) -> Tensor:
    """Predicts nothing."""
    return z


def rows_of(scores: Tensor) -> Tensor:
    """Scores (B, K, H, W) as (B, N, K)."""
    return scores.flatten(2).mT


def test_numbers_of_the_official_code(wave: Callable[..., Tensor]) -> None:
    """Two images of 2 × 2 cells, aligned views, K = 3, nothing predicted."""
    prototypes = wave(2, 3, 4)
    x1, x2, y1, y2 = (
        group_cells(wave(phase, 2, 4, 2, 2), prototypes, 0.07) for phase in (0, 0.7, 0.3, 1)
    )
    assert x1.scores[0, :, 0, 0].tolist() == pytest.approx([0.637408, 0.761026, 0.384072], abs=6e-7)
    expected = [0.659322, -0.021319, -0.969358, -0.049858]
    assert x1.vectors[0, 0].tolist() == pytest.approx(expected, abs=6e-7)
    assert x1.active.tolist() == [[True, True, False], [True, True, True]]
    centre = Centre(3).double()
    centre.centre = 0.05 * wave(0.5, 3)
    everywhere, losses = torch.ones(2, dtype=torch.bool), []
    for query, key, dense, slots in ((x1, y2, 3.466723, 0.566948), (x2, y1, 0.637185, 0.220907)):
        q = centre(rows_of(key.scores), 0.07)
        losses.append(grouping_loss(rows_of(query.scores), q, everywhere, 0.1))
        assert losses[-1].item() == pytest.approx(dense, abs=6e-7)
        losses.append(slot_contrast(query, key, as_it_is, 0.2))
        assert losses[-1].item() == pytest.approx(slots, abs=6e-7)
    assert sum(losses).item() / 2 == pytest.approx(2.445882, abs=6e-7)


def test_slots_and_contrast_equal_loops() -> None:
    torch.manual_seed(0)
    prototypes = torch.randn(4, 5, dtype=torch.float64)
    x, y = torch.randn(2, 3, 5, 2, 3, dtype=torch.float64)
    query, key = (group_cells(view, prototypes, 0.3) for view in (x, y))
    keys, anchors = {}, []
    for image in range(3):
        cells = x[image].flatten(1).T
        cosines = torch.cosine_similarity(cells[:, None], prototypes[None], dim=2)
        shares = (cosines / 0.3).softmax(1) + 1e-6
        for slot in range(4):
            mean = sum(shares[i, slot] * cells[i] for i in range(6)) / shares[:, slot].sum()
            assert torch.allclose(query.vectors[image, slot], mean)
            assert query.active[image, slot] == (slot in cosines.argmax(1))
            if key.active[image, slot]:
                keys[image, slot] = key.vectors[image, slot]
                if query.active[image, slot]:
                    anchors.append((image, slot))
    losses = []
    for anchor in anchors:
        values = {}
        for name, vector in keys.items():
            cosine = torch.cosine_similarity(query.vectors[anchor], vector, dim=0)
            values[name] = math.exp(cosine.item() / 0.2)
        losses.append(-math.log(values[anchor] / sum(values.values())))
    assert 0 < len(anchors) < len(keys) < 12
    expected = 2 * 0.2 * sum(losses) / len(losses)
    assert slot_contrast(query, key, as_it_is, 0.2).item() == pytest.approx(expected)


def test_lengths_of_cells_and_prototypes_and_the_order_of_cells() -> None:
    torch.manual_seed(0)
    x, prototypes = torch.randn(2, 5, 3, 3, dtype=torch.float64), torch.randn(4, 5).double()
    slots = group_cells(x, prototypes, 0.07)
    longer = group_cells(3 * x, 7 * prototypes, 0.07)
    assert torch.allclose(longer.scores, slots.scores)
    assert torch.allclose(longer.vectors, 3 * slots.vectors)
    other = group_cells(x.flip(2, 3), prototypes, 0.07)
    assert torch.allclose(other.vectors, slots.vectors) and torch.equal(other.active, slots.active)


def test_no_slot_is_active_in_both_views_or_no_region_is_shared() -> None:
    prototypes = torch.eye(2, dtype=torch.float64)
    x = torch.zeros(1, 2, 1, 2, dtype=torch.float64)
    x[:, 0] = 1
    leaf = x.clone().requires_grad_()
    query, key = group_cells(leaf, prototypes, 0.07), group_cells(x.flip(1), prototypes, 0.07)
    contrast = slot_contrast(query, key, Predictor(2, 4).double(), 0.2)
    nowhere = torch.zeros(1, dtype=torch.bool)
    q = rows_of(key.scores).softmax(2)
    dense = grouping_loss(rows_of(query.scores), q, nowhere, 0.1)
    (contrast + dense).backward()
    assert contrast.item() == dense.item() == 0
    assert torch.equal(leaf.grad, torch.zeros_like(leaf))


def test_statistics_of_the_rows_that_count() -> None:
    torch.manual_seed(0)
    norm, plain = CountedNorm(3), nn.BatchNorm1d(3)
    counts = torch.tensor([True, False, True, True, False])
    for _ in range(3):
        x = torch.randn(5, 3)
        assert torch.allclose(norm(x, counts)[counts], plain(x[counts]), atol=1e-6)
    assert torch.allclose(norm.running_mean, plain.running_mean)
    assert torch.allclose(norm.running_var, plain.running_var)
    before = norm.running_var.clone()
    assert torch.isfinite(norm(x, torch.zeros(5, dtype=torch.bool))).all()
    assert torch.equal(norm.running_var, before)
    x = torch.randn(5, 3)
    assert torch.allclose(norm.eval()(x, counts), plain.eval()(x), atol=1e-6)


class Encode:
    """Given maps in place of networks: of two views, online and target."""

    def __init__(self, online: list[Tensor], target: list[Tensor]) -> None:
        self.maps = {"online": online, "target": target}

    def online(self, group: str) -> list[Features]:
        return [Features({8: view}, view.mean((2, 3))) for view in self.maps["online"]]

    def target(self, group: str) -> list[Features]:
        return [Features({8: view}, view.mean((2, 3))) for view in self.maps["target"]]


def small(**options: Any) -> SlotCon:
    torch.manual_seed(0)
    return SlotCon(INFO, **{"slots": 5, "hidden": 8, "dim": 4, **options}).double()


def batch_of(*boxes: list[float], images: int = 3) -> Batch:
    """Two views of each image at given places."""
    geometry = from_box(torch.tensor(boxes, dtype=torch.float64)).expand(images, 2, 2, 3)
    views = Views(torch.zeros(images, 2, 3, 32, 32), geometry)
    return Batch({"global": views}, None, torch.arange(images))


def maps(images: int = 3) -> Encode:
    torch.manual_seed(1)
    online, target = torch.randn(2, 2, images, 6, 4, 4, dtype=torch.float64)
    return Encode(list(online.requires_grad_()), list(target))


def test_a_mirrored_view_is_compared_at_the_same_places() -> None:
    objective, encode = small().eval(), maps()
    plain = objective(batch_of([0, 0, 0.8, 0.8], [0.2, 0.2, 1, 1]), encode)
    for views in encode.maps.values():
        views[1] = views[1].flip(3)
    mirrored = objective(batch_of([0, 0, 0.8, 0.8], [1, 0.2, 0.2, 1]), encode)
    assert mirrored["loss"].item() == pytest.approx(plain["loss"].item())
    unaware = objective(batch_of([0, 0, 0.8, 0.8], [0.2, 0.2, 1, 1]), encode)
    assert unaware["dense"].item() != pytest.approx(plain["dense"].item(), rel=1e-3)


def test_equal_views_reach_the_best_value_of_their_cells() -> None:
    objective = small(online_temperature=0.07, dense_weight=1.0)
    torch.manual_seed(1)
    view = torch.randn(3, 6, 4, 4, dtype=torch.float64)
    whole = batch_of([0, 0, 1, 1], [0, 0, 1, 1])
    terms = objective(whole, Encode([view, view], [view, view]))
    best = objective.bounds(whole, terms).best
    assert terms["loss"].item() == pytest.approx(best) and best > 0.1
    terms = objective(whole, maps())
    assert terms["loss"].item() > objective.bounds(whole, terms).best + 0.1


def test_gradients_reach_what_is_trained_and_nothing_else() -> None:
    objective, encode = small(), maps()
    objective(batch_of([0, 0, 1, 1], [0, 0.2, 1, 1]), encode)["loss"].backward()
    for name, parameter in objective.named_parameters():
        assert name.startswith("target_") == (parameter.grad is None)
        if parameter.ndim > 1 and parameter.grad is not None:
            assert parameter.grad.any(), name
    assert all(view.grad is None for view in encode.maps["target"])
    online = dict(objective.momentum_pairs())
    assert set(online) == {objective.projector, objective.prototypes}


def test_the_centre_moves_by_the_scores_of_whole_views() -> None:
    objective, encode = small(centre_momentum=0.75), maps()
    batch = batch_of([0, 0, 0.6, 0.6], [0.4, 0.4, 1, 1])
    objective(batch, encode)
    assert not objective.centre.centre.any()
    objective.update_memory(batch, encode)
    scores = []
    for view in encode.maps["target"]:
        x = objective.target_projector(view)
        scores.append(group_cells(x, objective.target_prototypes.weight, 0.07).scores)
    mean = 0.25 * torch.stack(scores).mean((0, 1, 3, 4))
    assert torch.allclose(objective.centre.centre, mean)
    objective.eval()(batch, encode)
    objective.update_memory(batch, encode)
    assert torch.allclose(objective.centre.centre, mean)


def losses_of(part: slice) -> dict[str, Tensor]:
    """Both losses and their gradients on some of four images; the first holds fewer anchors."""
    torch.manual_seed(0)
    x, y = torch.randn(2, 4, 5, 2, 2, dtype=torch.float64)
    x[0] = y[0] = x[0, :, :1, :1]  # one slot
    prototypes = torch.randn(6, 5, dtype=torch.float64).requires_grad_()
    x, weight = x[part].clone().requires_grad_(), torch.randn(5, 5).double().requires_grad_()
    query = group_cells(x, prototypes, 0.07)
    with torch.no_grad():
        key = group_cells(y[part], prototypes, 0.07)
        q = rows_of(key.scores).softmax(2)
    shared = torch.tensor([True, False, True, True])[part]

    def predictor(z: Tensor, counts: Tensor) -> Tensor:
        return norm(F.linear(z, weight), counts)

    results, norm = {}, CountedNorm(5).double()
    for name, loss in (
        ("dense", grouping_loss(rows_of(query.scores), q, shared, 0.1)),
        ("slots", slot_contrast(query, key, predictor, 0.2)),
    ):
        leaves = (prototypes, weight, x)
        gradients = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
        results[name] = loss.detach()
        for leaf, gradient in zip(("prototypes", "weight", "cells"), gradients, strict=True):
            if gradient is not None:
                results[f"{name}.{leaf}"] = gradient
    results["mean"], results["var"] = norm.running_mean, norm.running_var
    return results


def of_rank(rank: int) -> dict[str, Tensor]:
    results = losses_of(slice(2 * rank, 2 * rank + 2))
    for name, value in results.items():
        if not name.endswith("cells"):
            torch.distributed.all_reduce(value)
        value /= 2
    return results


def test_two_processes_equal_one(in_two_processes: Callable[..., list]) -> None:
    first, second = in_two_processes(of_rank)
    for name, value in losses_of(slice(0, 4)).items():
        if name.endswith("cells"):
            both = torch.cat([first[name], second[name]])
            assert torch.allclose(both, value, atol=1e-12), name
        else:
            assert torch.allclose(first[name], value, atol=1e-12), name


def test_more_cells_than_prototypes_and_fewer() -> None:
    """The number of keys sent for an image is the smaller of both."""
    torch.manual_seed(0)
    for side, prototypes in ((2, 9), (4, 3)):
        x = torch.randn(2, 5, side, side, dtype=torch.float64)
        slots = group_cells(x, torch.randn(prototypes, 5).double(), 0.07)
        assert slots.active.sum(1).le(min(side**2, prototypes)).all()
        all_equal = Slots(slots.scores, torch.ones_like(slots.vectors), slots.active)
        collapsed = slot_contrast(all_equal, all_equal, as_it_is, 0.2).item()
        assert collapsed == pytest.approx(0.4 * math.log(int(slots.active.sum())))


def test_a_recipe_with_a_turned_view_is_refused_at_start() -> None:
    upright = dict(size=32)
    for groups in (
        {"global": [upright, TURNED]},
        {"turned": [TURNED], "global": [upright, dict(size=32, same_as=TWIN)]},
    ):
        specs = ViewRecipe(groups).specs
        with pytest.raises(ConfigError, match=r"views.groups.global\[1\]: SlotCon .* rotation=0"):
            check_upright([small()], specs)
    check_upright([small()], ViewRecipe({"global": [upright] * 2, "other": [TURNED]}).specs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(target_temperature=0.0), "target_temperature=0.0: must be positive"),
        (dict(dense_weight=1.5), "dense_weight=1.5"),
        (dict(slots=1), "slots=1: cells are put to at least 2"),
    ],
)
def test_mistakes_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)
