"""One process equals two: losses and gradients of everything that looks across processes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import distributed as dist

from pretrain.objectives.parts.reduce import mean_over_valid
from pretrain.objectives.pixcontrast import pixcontrast_loss
from pretrain.objectives.pixpro import pixpro_loss
from pretrain.objectives.simclr import nt_xent


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features (6, 2, 5, 2, 3), positives (6, 6, 6) and a mask (6,) that splits unevenly between
    two processes.
    """
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(6, 2, 5, 2, 3, generator=generator, dtype=torch.float64)
    positives = torch.rand(6, 6, 6, generator=generator) < 0.3
    positives[:2] = False
    return features, positives, torch.tensor([True, False, False, True, True, True])


def losses(
    features: torch.Tensor, positives: torch.Tensor, valid: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Every loss that is averaged or gathered across processes."""
    y, k = (features[:, 0], features[:, 1]), (features[:, 1].detach(), features[:, 0].detach())
    rows = torch.ones(len(features), 6, dtype=torch.bool)
    return {
        "nt_xent": nt_xent(features.mean((3, 4)), 0.3),
        "pixpro": pixpro_loss(y, k, positives),
        "pixpro_skip": pixpro_loss(y, k, positives, count_empty=False),
        "pixcontrast": pixcontrast_loss(y[0], k[1], positives, rows=rows, temperature=0.3),
        "mean": mean_over_valid(features.mean((1, 2, 3, 4)), valid),
    }


def part_of(rank: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    features, positives, valid = inputs()
    part = slice(3 * rank, 3 * rank + 3)
    actual = {}
    for name in losses(features[part], positives[part], valid[part]):
        leaf = features[part].clone().requires_grad_()
        value = losses(leaf, positives[part], valid[part])[name]
        value.backward()
        mean = value.detach().clone()
        dist.all_reduce(mean)
        # Each process's gradient reaches the weights through a mean over processes: what counts is
        # grad / world size.
        actual[name] = (mean / 2, leaf.grad / 2)
    return actual


@pytest.fixture(scope="module")
def two_processes(in_two_processes: Callable[..., list]) -> list[dict]:
    return in_two_processes(part_of)


@pytest.mark.parametrize("name", ["nt_xent", "pixpro", "pixpro_skip", "pixcontrast", "mean"])
def test_two_processes_equal_one(two_processes: list[dict], name: str) -> None:
    features, positives, valid = inputs()
    leaf = features.clone().requires_grad_()
    value = losses(leaf, positives, valid)[name]
    value.backward()
    assert torch.allclose(two_processes[0][name][0], value.detach(), atol=1e-12)
    gradient = torch.cat([actual[name][1] for actual in two_processes])
    assert torch.allclose(gradient, leaf.grad, atol=1e-12)


def test_mean_over_nothing_is_zero() -> None:
    assert mean_over_valid(torch.tensor([1.0, 2.0]), torch.tensor([False, False])) == 0
