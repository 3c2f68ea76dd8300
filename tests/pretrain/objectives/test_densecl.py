"""DenseCL: matching and loss against loops, its queues over several steps, gradients only where
they belong.
"""

from __future__ import annotations

import math

import pytest
import torch
from mmengine.registry import MODELS
from torch.nn import functional as F

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.engine.check import register_all
from pretrain.geometry import identity
from pretrain.objectives.densecl import DenseCL, dense_info_nce, nearest_cells
from pretrain.objectives.parts.queue import KeyQueue
from pretrain.structures import Batch, Views

INFO = FeatureInfo({8: 6, 16: 10}, 7)


def features(images: int, seed: int, *, grad: bool = False) -> list[Features]:
    """Two views; the finer map has 2 × 3 cells."""
    generator = torch.Generator().manual_seed(seed)
    views = []
    for _ in range(2):
        maps = {
            8: torch.randn(images, 6, 2, 3, generator=generator),
            16: torch.randn(images, 10, 1, 2),
        }
        vector = torch.randn(images, 7, generator=generator)
        views.append(
            Features(
                {s: m.requires_grad_(grad) for s, m in maps.items()}, vector.requires_grad_(grad)
            )
        )
    return views


class Encode:
    """Given online and target features in place of networks."""

    def __init__(self, online: list[Features], target: list[Features]) -> None:
        self.views = {"online": online, "target": target}

    def online(self, group: str) -> list[Features]:
        return self.views["online"]

    def target(self, group: str) -> list[Features]:
        return self.views["target"]


def small(**options: object) -> DenseCL:
    torch.manual_seed(0)
    return DenseCL(INFO, **{"stride": 8, "hidden": 8, "dim": 5, "entries": 16, **options})


def test_nearest_cells_and_dense_loss_equal_loops() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 2, 6, 2, 3, dtype=torch.float64)
    q, k = torch.randn(2, 2, 4, 2, 3, dtype=torch.float64)
    queue = KeyQueue(5, 4).double()
    queue.push(F.normalize(torch.randn(3, 4, dtype=torch.float64), dim=1))
    losses, match = [], nearest_cells(a, b)
    for image in range(2):
        for i in range(6):
            cell = a[image].flatten(1)[:, i]
            alike = [
                torch.cosine_similarity(cell, b[image].flatten(1)[:, j], dim=0).item()
                for j in range(6)
            ]
            partner = max(range(6), key=alike.__getitem__)
            assert match[image, i] == partner
            query, key = q[image].flatten(1)[:, i], k[image].flatten(1)[:, partner]
            own = math.exp(torch.cosine_similarity(query, key, dim=0).item() / 0.2)
            others = [
                math.exp(torch.cosine_similarity(query, queue.keys[n], dim=0).item() / 0.2)
                for n in range(3)
            ]
            losses.append(-math.log(own / (own + sum(others))))
    assert dense_info_nce(q, k, match, queue, 0.2).item() == pytest.approx(
        sum(losses) / 12, abs=1e-10
    )


def test_a_shifted_map_is_matched_cell_by_cell() -> None:
    a = torch.randn(2, 16, 4, 4)
    match = nearest_cells(a, 3 * a.roll(1, dims=3))  # neither shift nor scale matter
    column = torch.arange(16).view(4, 4).roll(-1, dims=1)
    assert torch.equal(match, column.flatten().expand(2, -1))


@pytest.mark.parametrize("symmetric, keys", [(True, 2), (False, 1)])
def test_queues_fill_in_update_memory_only_and_image_by_image(symmetric: bool, keys: int) -> None:
    objective = small(symmetric=symmetric)
    encode = Encode(features(4, 1), features(4, 2))
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    first, second = objective(None, encode), objective(None, encode)
    assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())
    assert torch.equal(first["loss"], second["loss"])
    objective.update_memory(None, encode)
    assert objective.queue.held == objective.cell_queue.held == 4 * keys
    target = encode.target("global")
    answering = [target[1], target[0]][:keys]
    for place, (image, view) in enumerate((i, v) for i in range(4) for v in answering):
        vector = objective.target_projector(view.vector)[image]
        cells = objective.target_cell_projector(view.map(8))[image]
        assert torch.allclose(objective.queue.keys[place], F.normalize(vector, dim=0))
        assert torch.allclose(
            objective.cell_queue.keys[place], F.normalize(cells.mean((1, 2)), dim=0)
        )


def test_first_step_has_no_negatives_and_later_ones_have_a_known_collapse() -> None:
    objective = small()
    terms = objective(None, Encode(features(4, 1), features(4, 2)))
    assert terms["loss"] == 0 and terms["held"] == 0
    assert objective.bounds(None, terms).collapsed == 0
    same = [Features({8: torch.ones(4, 6, 2, 3)}, torch.ones(4, 7))] * 2
    for held in (8, 16, 16):
        objective.update_memory(None, Encode(same, same))
        terms = objective(None, Encode(same, same))
        assert terms["held"] == held
        for name in ("loss", "image", "cell"):
            assert terms[name].item() == pytest.approx(math.log(1 + held), abs=1e-5)
        assert objective.bounds(None, terms).collapsed == pytest.approx(math.log(1 + held))


def test_gradient_reaches_online_heads_and_features_only() -> None:
    objective = small()
    online, target = features(4, 1, grad=True), features(4, 2, grad=True)
    objective.update_memory(None, Encode(online, target))
    objective(None, Encode(online, target))["loss"].backward()
    for head in (objective.projector, objective.cell_projector):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())
    for head in (objective.target_projector, objective.target_cell_projector):
        assert all(p.grad is None for p in head.parameters())
    assert all(v.vector.grad is not None and v.map(8).grad is not None for v in online)
    assert all(v.vector.grad is None and v.map(8).grad is None for v in target)
    assert not objective.queue.keys.requires_grad


@pytest.mark.parametrize("weight, part", [(0.0, "image"), (1.0, "cell")])
def test_dense_weight_picks_its_part(weight: float, part: str) -> None:
    objective = small(dense_weight=weight)
    encode = Encode(features(4, 1), features(4, 2))
    objective.update_memory(None, encode)
    terms = objective(None, encode)
    assert terms["loss"].item() == pytest.approx(terms[part].item())


def test_the_model_fills_the_queues_once_per_training_step_and_saves_them() -> None:
    register_all()
    torch.manual_seed(0)
    config = dict(
        type="Pretrainer",
        backbone=dict(type="TimmBackbone", name="test_resnet"),
        objectives=[dict(type="DenseCL", hidden=8, dim=5, entries=7)],
    )
    model, resumed = MODELS.build(dict(config)), MODELS.build(dict(config))
    batch = Batch(
        {"global": Views(torch.randn(2, 2, 3, 64, 64), identity().expand(2, 2, 2, 3))},
        None,
        torch.arange(2),
    )
    for held in (4, 7):
        terms = model(batch)
        terms["DenseCL.loss"].backward()  # after the queues have moved on
        assert model.objectives[0].queue.held == held
    resumed.load_state_dict(model.state_dict())
    assert torch.equal(resumed(batch)["DenseCL.loss"], model(batch)["DenseCL.loss"])
    model.eval()
    model(batch)
    assert model.objectives[0].queue.pushed == 12  # three training passes of four keys


def test_illegal_options_are_named() -> None:
    for options, message in (
        (dict(temperature=0), "temperature=0"),
        (dict(dense_weight=1.5), r"dense_weight=1.5"),
        (dict(entries=0), "entries=0"),
        (dict(stride=4), "stride=4"),
    ):
        with pytest.raises(ValueError, match=message):
            small(**options)
