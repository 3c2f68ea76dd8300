"""Keeping numerically delicate parts out of half precision."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """Returns ``x`` in float32 if it is float16 or bfloat16, unchanged otherwise (float64 tests
    stay float64).
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def no_autocast(x: Tensor) -> torch.autocast:
    """Returns a context that switches mixed precision off on the device of ``x``."""
    return torch.autocast(x.device.type, enabled=False)
