"""Prediction in windows: an image is cut into windows of equal size that overlap, and every pixel
gets the mean of the class scores of the windows that see it.

Along an axis of length L, with windows of length c every s pixels, there are

    n = ⌊max(L − c + s − 1, 0) / s⌋ + 1      windows, which start at max(min(k·s + c, L) − c, 0):

one that would leave the image is moved back. An axis shorter than c gets one window of its own
length; nothing is padded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SMALL = ("whole", "square")
_PIECE_BYTES = 64 << 20  # of class scores at once: gigabytes otherwise, with many classes


class Window(NamedTuple):
    """A rectangle of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, pixels: Tensor) -> Tensor:
        """The part (…, height, width) of ``pixels`` (…, H, W), not copied."""
        rows = slice(self.top, self.top + self.height)
        return pixels[..., rows, self.left : self.left + self.width]


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Where the windows along an axis start, in pixels; the first of them at 0.

    Args:
        length: L. window: c. stride: s, all at least 1.
    """
    count = max(length - window + stride - 1, 0) // stride + 1
    return [max(min(k * stride + window, length) - window, 0) for k in range(count)]


def windows_of(
    size: tuple[int, int], window: tuple[int, int], stride: int, *, small: str = "whole"
) -> list[Window]:
    """Cuts an image of ``size`` (H, W) into windows of equal size, row by row.

    Args:
        size: of the image, in pixels.
        window: (height, width) of a window.
        stride: between windows, along both axes; 0: the whole image is the only window.
        small: what an image gets that is smaller than the window on both sides: ``whole``, one
            window of its size; ``square``, windows of its shorter side, no further apart than
            that.
    """
    if stride == 0:
        return [Window(0, 0, *size)]
    height, width = (min(side, most) for side, most in zip(size, window, strict=True))
    if small == "square" and size[0] < window[0] and size[1] < window[1]:
        height = width = min(size)
        stride = min(stride, height)  # windows further apart would leave a gap
    rows = window_starts(size[0], height, stride)
    columns = window_starts(size[1], width, stride)
    return [Window(top, left, height, width) for top in rows for left in columns]


def slide(
    size: tuple[int, int],
    windows: list[Window],
    scores_of: Callable[[list[Window]], Tensor],
    *,
    at_once: int,
) -> Tensor:
    """Means of the class scores of all windows: (K, H, W).

    Args:
        size: (H, W) of the image.
        windows: as :func:`windows_of` gives them.
        scores_of: returns the scores (B, K, h, w) of some windows, resized bilinearly to the
            windows' size where they have another.
        at_once: how many windows it gets, at most.
    """
    total: Tensor | None = None
    for start in range(0, len(windows), at_once):
        part = windows[start : start + at_once]
        scores = resize(scores_of(part), (part[0].height, part[0].width))
        if total is None:
            total = scores.new_zeros(scores.shape[1] + 1, *size)  # the last one counts windows
        for window, seen in zip(part, scores, strict=True):
            window.of(total)[:-1] += seen
            window.of(total)[-1] += 1
    return total[:-1] / total[-1]


def resize(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Class scores (B, K, h, w) at ``size`` (H, W), bilinear between the centres of cells."""
    if tuple(scores.shape[-2:]) == tuple(size):
        return scores
    return F.interpolate(scores, size=tuple(size), mode="bilinear", align_corners=False)


def largest_class(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes scores (K, h, w) and returns the class of each pixel's largest one: (H, W) int64. The
    lowest class counts among equals.

    A few classes at a time are resized, so that an image of many pixels needs little memory.
    """
    bytes_each = scores.element_size() * size[0] * size[1]
    best, chosen = None, None
    first = 0
    for part in scores.split(max(1, _PIECE_BYTES // bytes_each)):
        value, label = resize(part[None], size)[0].max(0)
        label += first
        first += len(part)
        if best is None:
            best, chosen = value, label
        else:
            larger = value > best
            best, chosen = torch.where(larger, value, best), torch.where(larger, label, chosen)
    return chosen
