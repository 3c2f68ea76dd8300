"""Finding and loading the compiled operators; without them everything works, more slowly."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from heads.upsamplers.build import COMMAND, built

_state: dict[str, str] = {}  # device -> "" when its library was loaded, else why not
_REFUSED = "PIXELPRETEXT_NO_COMPILED is set"


def load() -> None:
    """Loads the libraries of the CPU and, where there is a GPU, of CUDA; what is missing is
    remembered, not raised.

    PIXELPRETEXT_NO_COMPILED=1 refuses them, for comparisons.
    """
    for device in ("cpu", "cuda"):
        if device == "cuda" and not torch.cuda.is_available():
            continue
        if os.environ.get("PIXELPRETEXT_NO_COMPILED", "0") not in ("", "0"):
            _state[device] = _REFUSED
            continue
        path, reason = built(device)
        if path is not None:
            try:
                torch.ops.load_library(str(path))
            except (OSError, RuntimeError) as error:
                reason = (
                    f"{path.name} does not load: {str(error.__cause__ or error).splitlines()[0]}"
                )
        _state[device] = reason


def status() -> dict[str, str]:
    """Returns {device: "" if its compiled operators are in use, else the reason}."""
    return dict(_state)


def cure(reason: str) -> str:
    """Returns what to do about a reason of :func:`status`."""
    return "unset it to use them" if reason == _REFUSED else f"build them with: {COMMAND}"


def announced(fallback: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a fallback so that its first call on a device tells why it runs, once per process and
    device.
    """

    @functools.wraps(fallback)
    def run(*arguments: Any) -> Any:
        device = next(a for a in arguments if isinstance(a, Tensor)).device.type
        _tell(device)
        return fallback(*arguments)

    return run


@functools.cache
def _tell(device: str) -> None:
    reason = _state.get(device, f"there are none for {device}")
    warnings.warn(
        f"feature upsampling runs without compiled operators on {device} ({reason}): same "
        f"results, but slower; {cure(reason)}",
        RuntimeWarning,
        stacklevel=3,
    )
