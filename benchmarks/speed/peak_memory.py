"""How much memory a call takes beyond what was there before, and how much there is."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.doctor.machine import memory_gib
from pretrain.memory import peak_resident

_RESET = Path("/proc/self/clear_refs")


def extra(action: Callable[[], Any], device: torch.device) -> tuple[Any, float]:
    """Runs ``action`` once; returns its result and the peak of the bytes taken meanwhile, the
    result included.

    On CUDA torch's own count of its allocations, on the CPU the kernel's count of resident pages,
    which also sees what libraries take for themselves; it is exact to about a megabyte. NaN where
    the system keeps no such count.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return action(), torch.cuda.max_memory_allocated(device) - before
    if not _RESET.exists():
        return action(), float("nan")
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)  # what the process has freed and kept would be used again unseen
    _RESET.write_text("5")  # the peak starts anew from what is resident now
    before = peak_resident()
    return action(), peak_resident() - before


def available(device: torch.device) -> float:
    """Free bytes; infinite where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return memory_gib().get("available", float("inf")) * 2**30
