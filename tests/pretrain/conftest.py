"""Inputs that the specifications' numbers were computed from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor


def make_wave(phase: float, *shape: int) -> Tensor:
    """Returns G(phase; shape): sin(0.3·t² + phase), t = 1, 2, … row by row, float64."""
    t = torch.arange(1, torch.Size(shape).numel() + 1, dtype=torch.float64)
    return torch.sin(0.3 * t**2 + phase).view(shape)


@pytest.fixture(scope="session")
def wave() -> Callable[..., Tensor]:
    """Returns :func:`make_wave`."""
    return make_wave
