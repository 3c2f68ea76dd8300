"""One process equals two: losses and gradients of everything that looks across processes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import distributed as dist

from pretrain.objectives.distillation import RunningScale, distillation_loss
from pretrain.objectives.gram import cell_cosines, gram_loss
from pretrain.objectives.lejepa import place_invariance, sigreg
from pretrain.objectives.parts.reduce import mean_over_valid, sum_over_processes
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
    standard = RunningScale(5).double()(k[0].movedim(1, -1).flatten(0, 2))
    cells, others = (features[:, view].flatten(2).mT for view in (0, 1))
    places = (cells, [cells, others], [torch.eye(6).bool().expand_as(positives), positives])
    cosines = [cell_cosines(view.flatten(2).mT) for view in (y[0], k[0])]
    return {
        "distillation": distillation_loss(y[0].movedim(1, -1).flatten(0, 2), standard),
        "sigreg": sigreg(features.mean((3, 4)), torch.eye(5, dtype=torch.float64)),
        "places": place_invariance(*places),
        "gram": gram_loss(*cosines),
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


@pytest.mark.parametrize("name", sorted(losses(*inputs())))
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


def sliced_gaussianity(
    z: torch.Tensor, total: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """LeJEPA's SIGReg, 17 knots on [0, 3], three directions; z (n, 2) and the sum over rows of all
    processes.
    """
    directions = torch.tensor([[1, 0], [0, 1], [0.6, 0.8]], dtype=torch.float64)
    knots = torch.linspace(0, 3, 17, dtype=torch.float64)
    weights = torch.full_like(knots, 3 / 16)
    weights[[0, -1]] /= 2
    phases = (z @ directions.T)[..., None] * knots  # (n, 3, 17)
    count = total(torch.tensor([float(len(z))], dtype=torch.float64))
    cosines, sines = total(phases.cos().sum(0)) / count, total(phases.sin().sum(0)) / count
    normal = (-knots.square() / 2).exp()
    distance = (cosines - normal).square() + sines.square()
    return (2 * count * (distance * normal * weights).sum(1)).mean()


def scaled_part(rank: int) -> dict[str, torch.Tensor]:
    t = torch.arange(1, 13, dtype=torch.float64)
    z = 1.5 * torch.sin(0.3 * t**2).view(6, 2)[3 * rank : 3 * rank + 3]
    results = {}
    for name, total in (("summed", sum_over_processes), ("apart", lambda x: x)):
        scale = torch.ones(2, dtype=torch.float64, requires_grad=True)
        loss = sliced_gaussianity(z * scale, total)
        loss.backward()
        dist.all_reduce(scale.grad)  # what data-parallel training does, divided by 2
        results[name] = torch.cat([loss.detach()[None], scale.grad / 2])
    return results


def test_sums_over_processes_have_the_gradient_of_one_process(
    in_two_processes: Callable[..., list],
) -> None:
    """Numbers of the specification of LeJEPA on cells; a loss of each process by itself has another
    gradient.
    """
    for part in in_two_processes(scaled_part):
        assert part["summed"].tolist() == pytest.approx([1.819964, 1.544166, 4.198729], abs=6e-7)
        assert part["apart"][1:].tolist() == pytest.approx([1.473700, 2.130212], abs=6e-7)
