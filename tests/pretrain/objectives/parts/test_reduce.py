"""One process equals two: losses and gradients of everything that looks across processes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing

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


def worker(rank: int, store: str, results: str) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank))
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    features, positives, valid = inputs()
    part = slice(3 * rank, 3 * rank + 3)
    found = {}
    for name in losses(features[part], positives[part], valid[part]):
        leaf = features[part].clone().requires_grad_()
        value = losses(leaf, positives[part], valid[part])[name]
        value.backward()
        mean = value.detach().clone()
        dist.all_reduce(mean)
        # Each process's gradient reaches the weights through a mean over processes: what counts is
        # grad / world size.
        found[name] = (mean / 2, leaf.grad / 2)
    torch.save(found, f"{results}.{rank}")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes() -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        store, results = str(Path(folder) / "store"), str(Path(folder) / "result")
        multiprocessing.spawn(worker, (store, results), nprocs=2)
        return [torch.load(f"{results}.{rank}", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", ["nt_xent", "pixpro", "pixpro_skip", "pixcontrast", "mean"])
def test_two_processes_equal_one(two_processes: list[dict], name: str) -> None:
    features, positives, valid = inputs()
    leaf = features.clone().requires_grad_()
    value = losses(leaf, positives, valid)[name]
    value.backward()
    assert torch.allclose(two_processes[0][name][0], value.detach(), atol=1e-12)
    gradient = torch.cat([found[name][1] for found in two_processes])
    assert torch.allclose(gradient, leaf.grad, atol=1e-12)


def test_mean_over_nothing_is_zero() -> None:
    assert mean_over_valid(torch.tensor([1.0, 2.0]), torch.tensor([False, False])) == 0
