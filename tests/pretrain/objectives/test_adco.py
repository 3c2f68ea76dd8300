"""AdCo: loss by loops, the way up against autograd, the negatives' step against SGD, one process
against two.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.objectives.adco import AdCo, ascent, cosines, info_nce

INFO = FeatureInfo({8: 6}, 6)


def vectors(images: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys (images, 4) and seven negatives of different lengths."""
    generator = torch.Generator().manual_seed(3)
    sizes = (images, images, 7)
    return tuple(3 * torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in sizes)


def encodings(part: slice = slice(None)) -> SimpleNamespace:
    """Online and target features of two views of four images."""
    generator = torch.Generator().manual_seed(5)
    online, target = torch.randn(2, 2, 4, 6, generator=generator, dtype=torch.float64)
    return SimpleNamespace(
        online=lambda group: [Features({}, v[part]) for v in online],
        target=lambda group: [Features({}, v[part]) for v in target],
    )


def small(filled: bool = True, **options: float) -> AdCo:
    """Seven negatives, random ones if ``filled``: as if none were left to fill."""
    torch.manual_seed(0)
    objective = AdCo(INFO, hidden=8, dim=4, negatives=7, **options).double()
    if filled:
        objective.filled.fill_(7)
    return objective


def test_loss_equals_loops() -> None:
    q, k, negatives = vectors()
    terms = []
    for i in range(6):
        positive = math.exp(F.cosine_similarity(q[i], k[i], dim=0).item() / 0.2)
        others = [math.exp(F.cosine_similarity(q[i], d, dim=0).item() / 0.2) for d in negatives]
        terms.append(-math.log(positive / (positive + sum(others))))
    assert info_nce(cosines(q, k, negatives), 0.2).item() == pytest.approx(
        sum(terms) / 6, abs=1e-12
    )


def test_bounds_are_reached() -> None:
    bounds = small().bounds(None, {})
    q = torch.ones(3, 4, dtype=torch.float64)
    negatives = torch.ones(7, 4, dtype=torch.float64)
    assert info_nce(cosines(q, q, negatives), 0.12).item() == pytest.approx(bounds.collapsed)
    assert info_nce(cosines(q, q, -negatives), 0.12).item() == pytest.approx(bounds.best)


@pytest.mark.parametrize("temperature", [0.02, 0.12, 1.0])
def test_way_up_equals_autograd_and_keeps_the_length(temperature: float) -> None:
    q, k, negatives = vectors()
    leaf = negatives.clone().requires_grad_()
    info_nce(cosines(q, k, leaf), temperature).backward()
    actual = ascent(q, k, negatives, temperature)
    assert torch.allclose(actual, leaf.grad, rtol=1e-10, atol=1e-12)
    assert (actual * negatives).sum(1).abs().max() < 1e-12


def test_way_up_by_the_formula() -> None:
    q, k, negatives = (F.normalize(x, dim=1) for x in vectors())
    lengths = torch.arange(1.0, 8, dtype=torch.float64)
    for n in range(7):
        total = torch.zeros(4, dtype=torch.float64)
        for i in range(6):
            scores = torch.stack([q[i] @ k[i], *(q[i] @ d for d in negatives)]) / 0.2
            total += scores.softmax(0)[1 + n] * (q[i] - (q[i] @ negatives[n]) * negatives[n])
        actual = ascent(q, k, negatives * lengths[:, None], 0.2)[n]
        assert torch.allclose(actual, total / (6 * 0.2 * lengths[n]))


def test_negatives_step_like_torchs_sgd_on_the_negated_loss() -> None:
    objective = small(negative_lr=0.5, negative_weight_decay=0.1)
    leaf = objective.negatives.clone().requires_grad_()
    optimiser = torch.optim.SGD([leaf], lr=0.5, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        queries, keys = objective._pairs(encodings())
        optimiser.zero_grad()
        (-info_nce(cosines(queries.detach(), keys, leaf), 0.02)).backward()
        optimiser.step()
        objective.update_memory(None, encodings())
        assert torch.allclose(objective.negatives, leaf, atol=1e-12)


def test_negatives_climb() -> None:
    objective = small(negative_lr=0.05)
    before = objective(None, encodings())["loss"]
    for _ in range(50):
        objective.update_memory(None, encodings())
    assert objective(None, encodings())["loss"] > before + 0.5


def test_negatives_begin_as_keys() -> None:
    objective, encode = small(filled=False), encodings(slice(2))
    random = objective.negatives.clone()
    first, second = (
        F.normalize(objective.target_projector(v.vector).detach(), dim=1)
        for v in encode.target("global")
    )
    keys = torch.stack(
        [second[0], first[0], second[1], first[1]]
    )  # keys of view 0's queries are view 1's vectors
    objective.update_memory(None, encode)
    assert torch.allclose(objective.negatives[:4], keys) and torch.equal(
        objective.negatives[4:], random[4:]
    )
    objective.update_memory(None, encode)
    assert torch.allclose(objective.negatives[4:], keys[:3]) and (objective.velocity == 0).all()
    filled = objective.negatives.clone()
    objective.update_memory(None, encode)
    assert (objective.negatives != filled).all() and objective.filled == 7


def test_both_directions_and_only_online_heads_learn() -> None:
    objective, encode = small(), encodings()
    loss = objective(None, encode)["loss"]
    online = [objective.projector(view.vector) for view in encode.online("global")]
    target = [objective.target_projector(view.vector) for view in encode.target("global")]
    directions = [
        info_nce(cosines(online[i], target[1 - i], objective.negatives), 0.12) for i in range(2)
    ]
    assert torch.allclose(loss, sum(directions) / 2)
    loss.backward()
    assert all(p.grad is None for p in objective.target_projector.parameters())
    assert all(p.grad is not None for p in objective.projector.parameters())
    assert not objective.negatives.requires_grad


def test_forward_changes_nothing_and_the_memory_is_in_the_state() -> None:
    objective = small(filled=False)
    for _ in range(2):
        objective.update_memory(None, encodings())
    before = copy.deepcopy(objective.state_dict())
    objective(None, encodings())
    assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())
    torch.manual_seed(9)
    resumed = AdCo(INFO, hidden=8, dim=4, negatives=7).double()
    resumed.load_state_dict(before)
    for one in (objective, resumed):
        one.update_memory(None, encodings())
    assert torch.equal(resumed.negatives, objective.negatives)


def test_an_update_of_the_memory_between_forward_and_backward_leaves_the_gradient() -> None:
    gradients = []
    for updates in (False, True):
        objective = small()
        loss = objective(None, encodings())["loss"]
        if updates:
            objective.update_memory(None, encodings())
        loss.backward()
        gradients.append(objective.projector[0].weight.grad)
    assert torch.equal(*gradients)


def part_of(rank: int) -> list[torch.Tensor]:
    return after_four_steps(slice(2 * rank, 2 * rank + 2))


def after_four_steps(part: slice) -> list[torch.Tensor]:
    objective = small(filled=False)
    for _ in range(4):
        objective.update_memory(None, encodings(part))
    return [objective.negatives, objective.velocity]


def test_two_processes_equal_one(in_two_processes: Callable[..., list]) -> None:
    actual = in_two_processes(part_of)
    for index, expected in enumerate(after_four_steps(slice(None))):
        assert torch.equal(actual[0][index], actual[1][index])
        assert torch.allclose(actual[0][index], expected, atol=1e-12)


@pytest.mark.parametrize(
    "name, value",
    [
        ("negatives", 0),
        ("temperature", 0.0),
        ("negative_temperature", -1.0),
        ("negative_lr", -1.0),
        ("negative_momentum", 1.0),
        ("negative_weight_decay", -1.0),
    ],
)
def test_illegal_options_are_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}={value}"):
        AdCo(INFO, **{name: value})
