"""Schedules: test vectors V2 (torch's own schedulers) and V3 of the presets."""

from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from benchmarks.frozen.linear_segmentation.schedules import SCHEDULES, Course

PLACES = (0, 5, 10, 20, 30, 40, 199)
V2 = {
    "cosine-20": (1, 0.853553, 0.5, 0, 0.5, 1, 0.993844),
    "cosine-epochs": (1, 1, 0.993844, 0.975528, 0.945503, 0.904508, 0.006156),
    "cosine": (1, 0.998459, 0.993844, 0.975528, 0.945503, 0.904508, 0.000062),
}
V3 = {
    0: 1e-9,
    1: 6.676493e-7,
    750: 4.906255e-4,
    1499: 9.618833e-4,
    1500: 9.965296e-4,
    20000: 4.999607e-4,
}


@pytest.mark.parametrize("name", V2)
def test_v2(name: str) -> None:
    course = Course(iterations=200, per_epoch=10)
    factors = [SCHEDULES[name](place, course) for place in PLACES]
    assert factors == pytest.approx(V2[name], abs=6e-7)


def test_v2_means_are_about_one_half() -> None:
    course = Course(iterations=200, per_epoch=10)
    means = {name: sum(SCHEDULES[name](g, course) for g in range(200)) / 200 for name in V2}
    assert means == pytest.approx({"cosine-20": 0.5, "cosine-epochs": 0.525, "cosine": 0.5025})


@pytest.mark.parametrize("name", ["cosine", "cosine-20"])
def test_torchs_scheduler_agrees(name: str) -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = CosineAnnealingLR(optimiser, T_max=20 if name == "cosine-20" else 60)
    for g in range(60):
        factor = SCHEDULES[name](g, Course(iterations=60, per_epoch=3))
        assert optimiser.param_groups[0]["lr"] == pytest.approx(factor, abs=1e-9)
        optimiser.step()
        scheduler.step()


@pytest.mark.parametrize("t", V3)
def test_v3(t: int) -> None:
    """The printed t belongs to iteration t + 1, and that of 0 also to iteration 0."""
    course = Course(iterations=40_000, per_epoch=1264, warmup=1500)
    for g in {t + 1, 0} if t == 0 else {t + 1}:
        assert 1e-3 * SCHEDULES["dinov3"](g, course) == pytest.approx(V3[t], rel=2e-7)


def test_poly_is_the_first_branch_of_v3_and_then_a_line() -> None:
    course = Course(iterations=40_000, per_epoch=1264, warmup=1500)
    for t in (0, 1, 750, 1499):
        assert 1e-3 * SCHEDULES["poly"](t, course) == pytest.approx(V3[t], rel=2e-7)
    for g in (1500, 20_000, 39_999):
        assert SCHEDULES["poly"](g, course) == pytest.approx(1 - g / 40_000)
    assert SCHEDULES["poly"](0, Course(10, 1)) == 1


def test_drops() -> None:
    course = Course(iterations=250, per_epoch=10, drops=(20, 22))
    factors = [SCHEDULES["drops"](g, course) for g in (0, 199, 200, 219, 220, 249)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
