"""Bins, losses and schedules against printed digits, loops and what must be 0."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from benchmarks.frozen.surfaces.bins import depth_of_bins, gradient_loss, sig_loss
from benchmarks.frozen.surfaces.schedules import Schedule


def decoded(outputs: Tensor) -> float:
    return float(depth_of_bins(outputs.double().view(1, -1, 1, 1), 1e-3, 10.0))


def test_bins_to_the_printed_digits() -> None:
    one, large = torch.zeros(256), torch.zeros(256)
    one[100], large[100] = 5, 1e4
    assert decoded(torch.zeros(256)) == pytest.approx(5.0005, abs=1e-6)
    assert decoded(one) == pytest.approx(4.824303, abs=1e-6)
    assert decoded(large) == pytest.approx(3.924930, abs=1e-6)
    assert decoded(torch.arange(256) % 7 - 3) == pytest.approx(5.012186, abs=1e-6)


@pytest.fixture
def four() -> tuple[Tensor, Tensor]:
    """Predictions A, B, A + .1, B + .1 and truths A, B, 1.3·A, 1.3·B, (4, 4, 6) each."""
    i, j = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    a = 1 + 0.5 * ((3 * i + 5 * j) % 7).double()
    p = a * (1 + 0.1 * (((2 * i + j) % 3) - 1)) + 0.2
    a = torch.where((i + j) % 5 != 0, a, 0)
    b = 2 + ((i + 2 * j) % 5).double()
    q = b - 0.5
    return torch.stack([p, q, p + 0.1, q + 0.1]), torch.stack([a, b, 1.3 * a, 1.3 * b])


def test_sig_loss_to_the_printed_digits(four: tuple[Tensor, Tensor]) -> None:
    p, d = (part[:1] for part in four)
    for step, expected in ((None, 0.080498), (100, 0.080498), (99, 0.033454), (0, 0.033454)):
        assert float(sig_loss(p, d, step=step)) == pytest.approx(expected, abs=1e-6)


def test_sig_loss_of_perfect_and_of_no_depths_has_gradients() -> None:
    d = torch.tensor([[[1.0, 2.0], [0.0, 3.0]]])
    for target in (d, torch.zeros_like(d), torch.tensor([[[1.0, 0], [0, 0]]])):
        p = d.clamp_min(1).requires_grad_()
        loss = sig_loss(p, target)
        loss.backward()
        assert float(loss.detach()) <= 1e-6 and torch.isfinite(p.grad).all()


def test_gradient_loss_along_images_is_the_published_code(four: tuple[Tensor, Tensor]) -> None:
    p, d = four
    assert float(gradient_loss(p, d, between="images")) == pytest.approx(0.112222, abs=1e-6)
    for count in (1, 2):
        assert float(gradient_loss(p[:count], d[:count], between="images")) == 0


def test_gradient_loss_along_pixels_is_that_of_loops(four: tuple[Tensor, Tensor]) -> None:
    p, d = four
    expected = 0.0
    for step in (1, 2, 4, 6):
        total, count = 0.0, 0
        for image in range(4):
            g, known = {}, p[image, ::step, ::step].shape
            for row in range(known[0]):
                for column in range(known[1]):
                    true = float(d[image, row * step, column * step])
                    if true > 0:
                        value = float(p[image, row * step, column * step])
                        g[row, column] = math.log(value + 1e-3) - math.log(true + 1e-3)
            count += len(g)
            for (row, column), value in g.items():
                for other in ((row + 2, column), (row, column + 2)):
                    total += abs(value - g[other]) if other in g else 0
        expected += total / count
    assert float(gradient_loss(p, d, between="pixels")) == pytest.approx(expected)
    assert float(gradient_loss(2 * d + 1e-3, d, between="pixels")) == pytest.approx(0, abs=1e-12)


def test_one_cycle_to_the_printed_digits() -> None:
    schedule = Schedule("one-cycle", 3e-4, 38_400, 12_800)
    expected = {
        0: 3e-7,
        1: 3.234375e-7,
        6400: 1.402519e-4,
        12_799: 2.252930e-4,
        12_800: 2.249924e-4,
        25_600: 7.499837e-5,
        38_399: 1.2e-8,
    }
    for step, rate in expected.items():
        assert schedule.rate(step) == pytest.approx(rate, rel=1e-6), step
    assert [schedule.momentum(step) for step in (0, 12_799)] == [0, 0]
    assert 0.85 < schedule.momentum(12_800) < schedule.momentum(30_000) < 0.95
    assert schedule.momentum(38_399) == pytest.approx(0.95)


def test_cosine_starts_and_ends_at_its_factors() -> None:
    schedule = Schedule("cosine", 2.0, 100, 20, warmup_from=1e-3, floor=1e-2, beta1=0.8)
    assert schedule.rate(0) == pytest.approx(2e-3)
    assert schedule.rate(20) == pytest.approx(2 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi / 5))))
    half = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi / 10))
    assert schedule.rate(10) == pytest.approx(2 * half * (1 - 0.5 * 0.999))
    assert schedule.rate(100) == pytest.approx(0.02) and schedule.momentum(3) == 0.8
