"""Networks that refuse the size of an image, in sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# How torch words an operation whose operands do not fit: what a network of fixed size fails with
# that does not check its input. Errors of memory or of the device are something else.
_MISMATCH = re.compile(
    r"size of tensor|sizes of tensors|existing size|invalid for input of size|shapes cannot|bounds"
)


@contextmanager
def refused_sizes(backbone: nn.Module, images: Tensor) -> Iterator[None]:
    """Turns a network's refusal of the size of its input into a sentence. In timm it is an
    ``AssertionError``, or whatever the first operation raises that does not fit.

    Args:
        backbone: with an ``info``, as extractors have them.
        images: (B, 3, H, W), about to be encoded.

    Raises:
        ValueError: the network refused; names the nearest size that fits, or how the network is
            built for this one.
    """
    try:
        yield
    except (AssertionError, RuntimeError, IndexError) as error:
        if not isinstance(error, AssertionError) and not _mismatch(error):
            raise
        size = tuple(images.shape[-2:])
        name = getattr(backbone, "config", {}).get("name", "the network")
        reason = " ".join(str(error).split()) or "its modules do not fit this size"
        raise ValueError(
            f"images of {size[0]} × {size[1]} pixels: {name} refuses this size ({reason})"
            f"{_way_out(backbone, size)}"
        ) from error


def _mismatch(error: Exception) -> bool:
    device = isinstance(error, torch.OutOfMemoryError) or "CUDA error" in str(error)
    return not device and _MISMATCH.search(str(error).lower()) is not None


def _way_out(backbone: nn.Module, size: tuple[int, int]) -> str:
    step, own = max(backbone.info.channels), getattr(backbone, "own_size", None)
    whole = own is None or not any(side % step for side in own)
    if whole and any(side % step for side in size):
        fitting = " × ".join(str(max(1, round(side / step)) * step) for side in size)
        return (
            f"; both sides must be multiples of {step}, the nearest size is {fitting}; set it by "
            "size="
        )
    if own is None:
        return ""
    if own == size:
        return "; it takes no images of this shape, whatever it is built for"
    built = f"; it was built for {own[0]} × {own[1]} pixels: set size= to that"
    if backbone.takes_size:
        built += f", or try to build it for these images by ?img_size={size} behind its name"
    return built
