"""What benchmarks of dense maps share: the grid of an input, and checks of what a network gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def grid_of(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Returns the (h, w) feature grid of an input of ``size`` (H, W) pixels.

    Raises:
        ValueError: the size is not a multiple of the stride; names the nearest that is.
    """
    if size[0] % stride or size[1] % stride:
        fitting = tuple(max(1, round(side / stride)) * stride for side in size)
        raise ValueError(
            f"size={size} is not a multiple of the feature stride {stride}; the nearest is "
            f"{fitting}"
        )
    return size[0] // stride, size[1] // stride


def require_grid(shape: Sequence[int], grid: tuple[int, int], stride: int) -> None:
    """Compares the (h, w) of a network's map with what its stride promises.

    Raises:
        ValueError: another grid.
    """
    if tuple(shape) != grid:
        raise ValueError(
            f"the network gives maps of {shape[0]}x{shape[1]} where stride {stride} asks for "
            f"{grid[0]}x{grid[1]}; choose a size that is a multiple of its deepest stride"
        )


def require_directions(norms: Tensor, ids: Sequence[int], name: Callable[[int], str]) -> None:
    """Refuses features that have no direction.

    Args:
        norms: (B, …) of the features of B images.
        ids: the images' numbers.
        name: of an image, by its number.

    Raises:
        ValueError: a norm that is zero or not finite; names the first such image.
    """
    broken = ~(torch.isfinite(norms) & (norms > 0)).flatten(1).all(1)
    if broken.any():
        raise ValueError(
            f"{name(ids[int(broken.nonzero()[0])])}: a feature is zero or not finite, so it has no "
            "direction; is the network collapsed?"
        )
