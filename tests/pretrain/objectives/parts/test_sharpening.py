"""Centring and Sinkhorn–Knopp: numbers of the official code, and processes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pretrain.objectives.parts.sharpening import (
    Centre,
    Sharpening,
    entropy,
    sinkhorn,
    warmed_temperature,
)

ROW = [0.262826, 0.246618, 0.000009, 0, 0.319647, 0, 0.095620, 0.075280]
SHARES = [0.800260, 1.295933, 0.499831, 0.307690, 1.295039, 0.371594, 0.377185, 1.052469]
MOVED = [0.095374, 0.116244, -0.051687, -0.052668, 0.120013, -0.037860, -0.016892, 0.116443]


def near(expected: list[float]) -> object:
    return pytest.approx(expected, abs=6e-7)


def teacher() -> Tensor:
    t = torch.arange(1, 49, dtype=torch.float64)
    return torch.sin(0.3 * t**2 + 0.5).view(6, 8)


def test_sinkhorn_of_the_official_code() -> None:
    q = sinkhorn(teacher(), 0.07)
    assert q[0].tolist() == near(ROW)
    assert q.sum(0).tolist() == near(SHARES)
    assert torch.allclose(q.sum(1), torch.ones(6, dtype=torch.float64))
    # Far from 0 as well, where exp alone would overflow.
    assert torch.allclose(sinkhorn(teacher() + 1e4, 0.07), q)
    uniform = sinkhorn(torch.ones(5, 8), 0.07)
    assert entropy(uniform).item() == pytest.approx(math.log(8))


def test_the_centre_moves_by_the_official_rule(wave: Callable[..., Tensor]) -> None:
    centre = Centre(8).double()
    centre.centre = 0.1 * wave(1, 8)
    before = centre.centre.clone()
    q = centre(teacher(), 0.04)
    assert torch.allclose(q, ((teacher() - before) / 0.04).softmax(1))
    assert torch.equal(centre.centre, before)
    centre.observe(torch.zeros(1, 8, dtype=torch.float64))
    centre.observe(teacher())  # a second pass of the same step takes the place of the first
    centre.move()
    assert centre.centre.tolist() == near(MOVED)
    centre.move()
    assert centre.centre.tolist() == near(MOVED)


def test_the_centre_of_cells_by_ibots_rule(wave: Callable[..., Tensor]) -> None:
    centre = Centre(8).double()
    centre.centre = 0.1 * wave(2, 8)
    centre.observe(wave(1.5, 4, 4, 8))
    centre.move()
    assert centre.centre.tolist() == near(
        [0.081787, -0.029827, -0.109204, 0.064888, 0.027625, 0.049654, -0.090611, 0.051633]
    )


@pytest.mark.parametrize(
    ("epoch", "temperature"), [(0, 0.04), (1, 0.041034), (15, 0.055517), (29, 0.07), (80.7, 0.07)]
)
def test_the_teachers_temperature_warms_up(epoch: float, temperature: float) -> None:
    value = warmed_temperature(0.04, 0.07, epochs=30, epoch=epoch)
    assert value == pytest.approx(temperature, abs=6e-7)
    assert warmed_temperature(0.04, 0.07, epochs=0, epoch=0) == 0.07


def test_no_row_takes_part_in_sinkhorn() -> None:
    assert not sinkhorn(teacher(), 0.07, counts=torch.zeros(6, dtype=torch.bool)).any()


def of_rank(rank: int) -> dict[str, Tensor]:
    """Rows are split 4 to 2, and once 6 to 0."""
    rows = teacher()[:4] if rank == 0 else teacher()[4:]
    centre = Centre(8).double()
    centre.observe(rows)
    centre.move()
    nothing = teacher()[6 * rank :]
    return {"q": sinkhorn(rows, 0.07), "c": centre.centre, "uneven": sinkhorn(nothing, 0.07)}


def test_two_processes_equal_one(in_two_processes: Callable[..., list]) -> None:
    first, second = in_two_processes(of_rank)
    whole = sinkhorn(teacher(), 0.07)
    assert torch.allclose(torch.cat([first["q"], second["q"]]), whole)
    assert torch.allclose(first["uneven"], whole) and second["uneven"].shape == (0, 8)
    assert torch.allclose(first["c"], 0.1 * teacher().mean(0))
    assert torch.equal(first["c"], second["c"])


@pytest.mark.parametrize("how", ["sinkhorn", "centring"])
def test_rows_that_do_not_count_change_nothing(how: str) -> None:
    counts = torch.tensor([True, False, True, True, False, True])
    whole, part = (Sharpening(8, how=how).double() for _ in range(2))
    q = whole(teacher(), epoch=0, counts=counts)
    assert torch.allclose(q[counts], part(teacher()[counts], epoch=0))
    for sharpening in (whole, part):
        sharpening.move()
    if how == "centring":
        assert torch.allclose(whole.centre.centre, part.centre.centre)
