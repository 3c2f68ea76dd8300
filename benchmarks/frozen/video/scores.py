"""Scores of masks in a video as the DAVIS challenge defines them (Perazzi et al. 2016; Pont-Tuset
et al. 2017, arXiv 1704.00675): region J, boundary F, and what becomes of them along the frames.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

_TOLERANCE = 0.008  # of the image's diagonal: how far a boundary may lie from the true one
_BINS = 4  # of a video's frames, for the decay


def region(predicted: np.ndarray, true: np.ndarray) -> float:
    """J, intersection over union of two masks (H, W) bool; 1 where both are empty."""
    union = np.count_nonzero(predicted | true)
    return np.count_nonzero(predicted & true) / union if union else 1.0


def boundary(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask (H, W) bool that differ from their neighbour to the east, south or
    south-east, (H, W) bool; beyond the last row and column there is no neighbour. A mask that
    covers the whole frame has none.
    """
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1] |= mask[:-1] ^ mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def tolerance(size: tuple[int, int]) -> int:
    """Pixels that a boundary may lie from the true one in an image of ``size`` (H, W)."""
    return math.ceil(_TOLERANCE * math.hypot(*size))


def contour(predicted: np.ndarray, true: np.ndarray) -> float:
    """F, the harmonic mean of precision and recall of the boundary of two masks (H, W) bool.

    A pixel of a boundary is right where the other boundary lies within :func:`tolerance`. 1 where
    both boundaries are empty, 0 where one is.
    """
    edges = boundary(predicted), boundary(true)
    present = [bool(edge.any()) for edge in edges]
    if not all(present):
        return float(not any(present))
    reach = tolerance(true.shape)
    precision, recall = (
        float((_distance_to(other)[edge] <= reach).mean()) for edge, other in (edges, edges[::-1])
    )
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _distance_to(edge: np.ndarray) -> np.ndarray:
    """(H, W) float32: pixels to the nearest one of ``edge`` (H, W) bool, exactly. It is the root of
    a whole number, and float32 tells r² and r² + 1 apart up to r = 2,000.
    """
    outside = np.where(edge, 0, 255).astype(np.uint8)
    return cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def share_above_half(values: np.ndarray) -> float:
    """Recall of a score (n,): the share of frames above 0.5."""
    return float((np.asarray(values) > 0.5).mean())


def decay(values: np.ndarray) -> float:
    """How much of a score (n,) is lost from the first quarter of the frames to the last; quarters
    share the frame at their border.
    """
    places = 1 + (len(values) - 1) * np.arange(_BINS + 1) / _BINS
    ends = np.floor(places + 0.5).astype(np.int64) - 1
    first, last = values[ends[0] : ends[1] + 1], values[ends[-2] : ends[-1] + 1]
    return float(np.mean(first) - np.mean(last))
