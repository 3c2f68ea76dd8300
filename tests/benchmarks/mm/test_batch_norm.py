"""Statistics measured over batches against their closed form, in one process and in two."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from benchmarks.mm.batch_norm import measure, trained_norms

BATCHES = torch.from_numpy(
    np.random.default_rng(0).normal(3, 2, (5, 4, 2)).astype(np.float32)
)  # (batch, row, D)


class Toy(BaseModel):
    """BatchNorm on the input, on nothing, and twice a batch on the input and its double."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.idle, self.twice = nn.BatchNorm1d(2), nn.BatchNorm1d(2), nn.BatchNorm1d(2)
        self.idle.running_mean.fill_(5.0)

    def forward(self, inputs: Tensor, mode: str = "tensor") -> dict[str, Tensor]:
        return {"loss": (self.seen(inputs) + self.twice(inputs) + self.twice(2 * inputs)).sum()}


def measured(batches: Tensor) -> Toy:
    """A toy with statistics of some of the batches."""
    model = Toy().train()
    inputs = [dict(inputs=batch) for batch in batches]
    measure(model, trained_norms(model), batches=inputs, count=len(inputs))
    return model


def check(model: Toy, batches: Tensor) -> None:
    """Plain averages of the means and unbiased variances of the batches, computed by numpy."""
    rows = batches.numpy()
    mean, var = rows.mean(1).mean(0), rows.var(1, ddof=1).mean(0)
    np.testing.assert_allclose(model.seen.running_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(model.seen.running_var, var, rtol=1e-5)
    np.testing.assert_allclose(model.twice.running_mean, 1.5 * mean, rtol=1e-5)  # (1 + 2) / 2
    np.testing.assert_allclose(model.twice.running_var, 2.5 * var, rtol=1e-5)  # (1 + 4) / 2
    assert model.idle.running_mean.tolist() == [5, 5] and model.idle.running_var.tolist() == [1, 1]
    assert model.seen.momentum == 0.1 and model.seen.num_batches_tracked == 0


def test_statistics_are_plain_averages_over_batches() -> None:
    check(measured(BATCHES), BATCHES)


def test_layers_in_eval_mode_are_left_alone() -> None:
    model = Toy().train()
    model.seen.eval()
    assert trained_norms(model) == [model.idle, model.twice]


def measured_in_part(rank: int) -> dict[str, Tensor]:
    """The first process sees three batches, the second two."""
    return measured(BATCHES[:3] if rank == 0 else BATCHES[3:]).state_dict()


def test_two_processes_measure_what_one_does(in_two_processes: Callable[..., list]) -> None:
    for state in in_two_processes(measured_in_part):
        model = Toy()
        model.load_state_dict(state)
        check(model, BATCHES)
