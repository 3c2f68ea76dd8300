"""NeCo: the specification's numbers, its queues, views, processes, and what collapses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pretrain.backbones.timm_backbone import FeatureInfo, TimmBackbone
from pretrain.encodings import BatchEncodings
from pretrain.engine.check import check_upright
from pretrain.engine.settings import ConfigError
from pretrain.geometry import from_box, identity
from pretrain.objectives.neco import NeCo, cosines, cross_entropy
from pretrain.objectives.parts.base import target_copy
from pretrain.structures import Batch, Views
from pretrain.views.recipe import ViewRecipe

INFO = FeatureInfo({8: 4}, 4)


def loss_of(
    maps: list[Tensor], *, distance: Callable[[Tensor, Tensor], Tensor] = cosines, **options: Any
) -> Tensor:
    """The loss of one pair of views: maps (B, D, n, n) of student, teacher and references."""
    objective = NeCo(INFO, hidden=4, dim=4, side=maps[0].shape[2], **options).double()
    student, teacher, references = (cells.flatten(2).mT for cells in maps)
    q = objective.logs(distance(teacher, references)).exp()
    return cross_entropy(objective.logs(distance(student, references)), q).mean()


def waves(wave: Callable[..., Tensor], images: int, side: int) -> list[Tensor]:
    return [wave(phase, images, 4, side, side) for phase in (0, 0.3, 1)]


def test_numbers_of_the_specification(wave: Callable[..., Tensor]) -> None:
    """The official code gave the same on the same input, those of odd-even and of the control
    aside.
    """
    maps = waves(wave, 2, 2)
    for options, value in (
        (dict(), 0.789107),
        (dict(steepness=10), 0.815829),
        (dict(steepness=1000), 1.245263),
        (dict(distance=torch.cdist), 0.887227),
        (dict(distance=lambda x, y: -cosines(x, y)), 0.789107),
        (dict(sort="odd_even"), 0.747508),
        (dict(sort="none"), 0.287498),
    ):
        assert loss_of(maps, **options).item() == pytest.approx(value, abs=6e-7), options
    same = [maps[1], maps[1], maps[2]]
    assert loss_of(same).item() == pytest.approx(0.156948, abs=6e-7)
    assert loss_of(same, sort="none").item() == pytest.approx(0.189382, abs=6e-7)
    assert loss_of(waves(wave, 1, 3)).item() == pytest.approx(1.826283, abs=6e-7)
    student = maps[0].requires_grad_()
    loss_of(maps).backward()
    row = [-3.281792, 1.506520, -0.206513, -1.415896]
    assert student.grad[0, :, 0, 0].tolist() == pytest.approx(row, abs=6e-7)


def test_against_loops(wave: Callable[..., Tensor]) -> None:
    """Cell by cell, reference by reference, rank by rank."""
    student, teacher, references = (cells.flatten(2).mT for cells in waves(wave, 2, 2))
    objective = NeCo(INFO, hidden=4, dim=4, side=2, steepness=10)
    total = 0.0
    for image in range(2):
        for cell in range(4):
            shares = []
            for cells in (student, teacher):
                near = torch.cosine_similarity(cells[image, cell], references[image], dim=1)
                shares.append(objective.soft_sort(near))
            for reference in range(4):
                for rank in range(4):
                    q = shares[1][reference, rank].item()
                    total -= q * math.log(shares[0][reference, rank].item())
    expected = loss_of(waves(wave, 2, 2), steepness=10).item()
    assert total / (2 * 4 * 4) == pytest.approx(expected)


def test_equal_cells_collapse_to_the_entropy_of_equal_cosines() -> None:
    flat = [torch.ones(1, 4, 2, 2, dtype=torch.float64)] * 3
    assert loss_of(flat).item() == pytest.approx(math.log(4))
    flat = [torch.ones(1, 4, 7, 7, dtype=torch.float64)] * 3
    assert loss_of(flat).item() == pytest.approx(3.862307, abs=6e-7)  # a little under ln 49
    terms = {"entropy": torch.tensor(3.2, dtype=torch.float64)}
    known = NeCo(INFO, hidden=4, dim=4).bounds(None, terms)
    assert known.best == 3.2 and known.collapsed == pytest.approx(3.862307, abs=6e-7)
    assert NeCo(INFO, hidden=4, dim=4, sort="none").bounds(None, terms).collapsed == pytest.approx(
        math.log(49)
    )


class FirstCells(NeCo):
    """Draws the same numbers for an image, whatever the process that has it."""

    first = 0

    def draw(self, limit: int | Tensor, shape: tuple[int, int]) -> Tensor:
        drawn = torch.rand(
            4, shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(3)
        )
        return (drawn[self.first : self.first + shape[0]] * limit).long()


def setting(
    images: slice = slice(0, 4), *, kind: type[NeCo] = FirstCells, local: int = 1, **options: Any
) -> tuple:
    torch.manual_seed(0)
    vit = dict(patch_size=8, img_size=32, embed_dim=24, depth=2, num_heads=2)
    backbone = TimmBackbone("vit_tiny_patch16_224", **vit).double()
    small = dict(hidden=16, dim=8, side=2, entries=12, entering=2)
    objective = kind(backbone.info, **(small | options)).double()
    for queue in getattr(objective, "queues", ()):
        queue.keys[:9] = F.normalize(torch.randn(9, 8).double(), dim=1)[: len(queue.keys)]
        queue.pushed += 9
    views = {}
    for name, count, side in (("global", 2, 32), ("local", local, 16)):
        corner = torch.rand(4, count, 2, dtype=torch.float64) / 2
        maps = from_box(torch.cat([corner, corner + 0.5], 2))
        pixels = torch.randn(4, count, 3, side, side).double()
        if count:
            views[name] = Views(pixels[images], maps[images])
    batch = Batch(views, None, torch.arange(4)[images])
    return objective, backbone, batch, BatchEncodings(batch, backbone, target_copy(backbone))


def step(images: slice, options: dict[str, Any]) -> dict[str, Tensor]:
    """Loss, gradients and queues of a step on some images of the batch."""
    objective, backbone, batch, encode = setting(images, **options)
    objective.first = images.start
    terms = objective(batch, encode)
    terms["loss"].backward()
    result = {"loss": terms["loss"].detach()}
    for name, module in (("head", objective.head), ("backbone", backbone)):
        for key, parameter in module.named_parameters():
            if parameter.grad is not None:
                result[f"{name}.{key}"] = parameter.grad
    objective.update_memory(batch, encode)
    for index, queue in enumerate(objective.queues):
        result[f"queue {index}"] = queue.keys
    return result


OPTIONS = {"bitonic": dict(), "softmax": dict(sort="none")}


def of_rank(rank: int) -> dict[str, dict[str, Tensor]]:
    results = {}
    for name, options in OPTIONS.items():
        results[name] = step(slice(2 * rank, 2 * rank + 2), options)
        for key, value in results[name].items():
            if not key.startswith("queue"):
                torch.distributed.all_reduce(value)
                value /= 2
    return results


def test_two_processes_equal_one(in_two_processes: Callable[..., list]) -> None:
    """With one queue in which the cells of both arrive in the order of the images."""
    first, second = in_two_processes(of_rank)
    for name, options in OPTIONS.items():
        whole = step(slice(0, 4), options)
        assert whole["head.mlp.0.weight"].any()
        for key, value in whole.items():
            # timm resizes positions for small views in float32.
            difference = (first[name][key] - value).abs().max()
            assert difference <= 1e-6 * value.abs().max() + 1e-12, (name, key)
            assert torch.equal(first[name][key], second[name][key])


def test_recomputing_changes_nothing() -> None:
    kept, again = (step(slice(0, 4), dict(recompute=value)) for value in (False, True))
    for key, value in kept.items():
        assert torch.allclose(value, again[key], atol=1e-12), key


def test_views_that_share_a_region_are_compared() -> None:
    objective, _, batch, encode = setting()
    terms = objective(batch, encode)
    assert 0 < terms["pairs"] <= 4  # 2 large views × (the other one and a local one)
    assert terms["excess"].item() == pytest.approx((terms["loss"] - terms["entropy"]).item())
    assert terms["excess"].item() > 0
    assert setting(local=0)[0](*setting(local=0)[2:])["pairs"] <= 2
    apart = from_box(torch.tensor([[[0, 0, 0.4, 1], [0.5, 0, 1, 1]]], dtype=torch.float64))
    objective, _, batch, encode = setting(local=0)
    batch.views["global"].geometry[:] = apart
    terms = objective(batch, encode)
    terms["loss"].backward()
    assert terms["loss"] == terms["pairs"] == 0


def test_the_loss_of_the_target_itself_is_its_entropy() -> None:
    """The same pixels at the same place, seen by equal networks."""
    objective, _, batch, encode = setting(local=0)
    batch.views["global"].geometry[:] = identity().double()
    batch.views["global"].images[:, 1] = batch.views["global"].images[:, 0]
    terms = objective(batch, encode)
    assert terms["excess"].item() == pytest.approx(0, abs=1e-9)


def test_references_come_from_the_queue_once_it_holds_cells() -> None:
    objective, _, batch, encode = setting(kind=NeCo, entries=5, entering=3)
    target = objective.target_head(encode.target("global")[1].map())
    kept = objective._references(1, target)
    assert kept.shape == (4, 4, 8)
    known = {tuple(key.tolist()) for key in objective.queues[1].keys}
    assert {tuple(row.tolist()) for row in kept.flatten(0, 1)} <= known
    cells = {tuple(row.tolist()) for row in target.movedim(1, -1).flatten(0, 2)}
    objective.queues[1].pushed.zero_()
    empty = objective._references(1, target)
    assert {tuple(row.tolist()) for row in empty.flatten(0, 1)} <= cells
    without = setting(kind=NeCo, entries=None)[0]
    drawn = without._references(1, target)
    assert {tuple(row.tolist()) for row in drawn.flatten(0, 1)} <= cells
    without.update_memory(batch, encode)
    objective.update_memory(batch, encode)
    entered = objective.queues[1]
    assert entered.pushed == 4 * 3 and entered.held == 5
    everything = target.movedim(1, -1).flatten(0, 2)
    assert torch.cdist(entered.keys, everything).min(1).values.max() < 1e-6


def test_turned_local_views_are_refused_when_a_run_begins() -> None:
    large = dict(size=32)
    recipe = ViewRecipe({"global": [large, large], "local": [dict(size=16, rotation=10)]})
    with pytest.raises(ConfigError, match=r"views.groups.local\[0\]: NeCo lays a grid"):
        check_upright([NeCo(INFO, hidden=4, dim=4)], recipe.specs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(side=1), "side=1: an order needs references; at least 2"),
        (dict(sort="quick"), "sort='quick'"),
        (dict(steepness=-1.0), "steepness=-1.0: must be positive"),
        (dict(temperature=0.0), "temperature=0.0: must be positive"),
        (dict(entering=0), "entering=0: must be positive"),
        (dict(entries=0), "entries=0: a queue holds at least 1 key"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NeCo(INFO, **options)
