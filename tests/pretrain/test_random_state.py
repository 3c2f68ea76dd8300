"""Random generators are put back by whoever borrows them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from pretrain.random_state import random_state, restore_random_state, undisturbed_random


def draws() -> list[float]:
    return [random.random(), float(np.random.rand()), torch.rand(()).item(), random.gauss(0, 1)]


def test_a_state_is_restored_also_from_a_checkpoint(tmp_path: Path) -> None:
    torch.save(random_state(), tmp_path / "state.pth")
    first = draws()
    restore_random_state(torch.load(tmp_path / "state.pth", weights_only=True))
    assert draws() == first


def test_what_is_drawn_inside_shifts_nothing_outside() -> None:
    state = random_state()
    expected = draws()
    restore_random_state(state)
    with undisturbed_random(torch.device("cpu")):
        draws()
        torch.manual_seed(3)
    assert draws() == expected
