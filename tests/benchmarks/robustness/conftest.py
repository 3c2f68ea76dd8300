"""Pictures to be corrupted, and a classifier that needs no training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image


def _picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Coarse and fine structure, edges, all colours: (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (3, 8, 20, 50):
        grid = rng.normal(size=(cells, cells, 3)) / cells**0.7
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    image = np.clip(128 + 110 * total, 0, 255).astype(np.uint8)
    for _ in range(6):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(
            image, (x, y), max(2, min(height, width) // 9), rng.integers(0, 256, 3).tolist(), -1
        )
    return image


@pytest.fixture(scope="session")
def picture() -> Callable[..., np.ndarray]:
    """``picture(height, width, seed=0)``: (height, width, 3) uint8."""
    return _picture


class ByColour:
    """Stands for a classifier: score of class i is how near the image's mean colour is to the i-th
    of its colours.
    """

    size, crop_fraction, device = 32, 1.0, torch.device("cpu")

    def __init__(self, colours: dict[str, tuple[int, int, int]]) -> None:
        self.classes = tuple(colours)
        self.colours = torch.tensor(list(colours.values())).float()

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        assert images.dtype == torch.uint8 and images.shape[1:] == (3, self.size, self.size)
        return -torch.cdist(images.float().mean((2, 3)), self.colours)

    def describe(self) -> dict[str, Any]:
        return {"spec": "by colour"}


@pytest.fixture
def by_colour() -> type[ByColour]:
    """The toy classifier's class."""
    return ByColour


@pytest.fixture(scope="session")
def write_classes() -> Callable[..., Path]:
    """``write_classes(root, colours, count=2)``: ``root/<class>/<number>.png``, 36 x 40 pixels,
    noisy.
    """

    def write(root: Path, colours: dict[str, tuple[int, int, int]], count: int = 2) -> Path:
        rng = np.random.default_rng(0)
        for name, colour in colours.items():
            (root / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(
                    np.array(colour) + rng.integers(-20, 21, (36, 40, 3)), 0, 255
                ).astype(np.uint8)
                Image.fromarray(pixels).save(root / name / f"{number}.png")
        return root

    return write
