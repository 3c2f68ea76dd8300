"""The supervised contrastive loss in two processes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import distributed as dist

from pretrain.objectives.parts.supcon_loss import ContrastOptions, supcon_loss

DISTRIBUTED = {
    "plain": dict(),
    "in, chunk": dict(form="in", chunk=3),
    "cap": dict(max_positives=2),
    "one": dict(denominator="one", anchors="one", chunk=2),
    "negatives": dict(denominator="negatives"),
    "single views": dict(),
    "several labels": dict(),
}


def distributed_inputs(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (6, V, 4) and labels; of single views the second process has fewer anchors with
    positives.
    """
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(
        6, 1 if name == "single views" else 2, 4, generator=generator, dtype=torch.float64
    )
    several = torch.rand(6, 3, generator=generator) < 0.4
    return z, several if name == "several labels" else torch.tensor([0, 1, 1, 2, 0, -1])


def part_of(rank: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    part, actual = slice(3 * rank, 3 * rank + 3), {}
    for name, options in DISTRIBUTED.items():
        z, labels = distributed_inputs(name)
        leaf = z[part].clone().requires_grad_()
        values = supcon_loss(leaf, labels[part], ContrastOptions(0.3, **options))
        values.loss.backward()
        means = torch.stack([v.detach() for v in values])
        dist.all_reduce(means)
        # A weight's gradient is the mean over processes, so what counts here is a half of each.
        actual[name] = (means / 2, leaf.grad / 2)
    return actual


@pytest.fixture(scope="module")
def two_processes(in_two_processes: Callable[..., list]) -> list[dict]:
    return in_two_processes(part_of)


@pytest.mark.parametrize("name", list(DISTRIBUTED))
def test_two_processes_equal_one(two_processes: list[dict], name: str) -> None:
    z, labels = distributed_inputs(name)
    leaf = z.clone().requires_grad_()
    values = supcon_loss(leaf, labels, ContrastOptions(0.3, **DISTRIBUTED[name]))
    values.loss.backward()
    assert torch.allclose(
        two_processes[0][name][0], torch.stack([v.detach() for v in values]), atol=1e-12
    )
    gradient = torch.cat([actual[name][1] for actual in two_processes])
    assert torch.allclose(gradient, leaf.grad, atol=1e-12)
