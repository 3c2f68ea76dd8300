"""The state of the random generators of Python, NumPy and torch."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """Returns the states of Python, NumPy, torch and this process's CUDA, as plain values."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    numbers = torch.from_numpy(keys.astype(np.int64))
    return {
        "python": random.getstate(),
        "numpy": (kind, numbers, int(position), int(has_gauss), float(gauss)),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Restores what :func:`random_state` returned."""
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


@contextmanager
def undisturbed_random(*devices: torch.device) -> Iterator[None]:
    """Puts all generators back on leaving, so that whatever is drawn inside shifts nothing outside.

    Args:
        devices: whose CUDA generators are put back beside those of the CPU.
    """
    state, array_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device for device in devices if device.type == "cuda"]):
            yield
    finally:
        random.setstate(state)
        np.random.set_state(array_state)
