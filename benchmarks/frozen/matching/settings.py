"""The settings of matching in 3-D, and the names of what it measures."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.core.benchmark import speed_only

CENTIMETRES = (1, 2, 5)
PIXELS = (5, 25, 50)  # of an input of 512 pixels; others in proportion
ANGLES = (0, 30, 60, 90, 120)  # degrees, borders of the bins
MAIN = 2  # centimetres, what the bins are scored at


def bin_name(low: int, high: int) -> str:
    """Name of the metric of pairs turned by low ≤ angle < high degrees."""
    return f"recall@{MAIN}cm_{low}-{high}deg"


BINS = tuple(zip(ANGLES, ANGLES[1:], strict=False))
METRICS = (
    f"recall@{MAIN}cm",
    *(f"recall@{limit}cm" for limit in CENTIMETRES if limit != MAIN),
    *(f"recall@{limit}px" for limit in PIXELS),
    *(bin_name(*angles) for angles in BINS),
)


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    size: tuple[int, int] = (512, 512)  # (H, W) of the input in pixels, a square
    # shorter side in pixels of the copy that the input is taken of by nearest pixels; 0 = the photo
    copy_side: int = 1024
    stride: int = 4  # pixels of the input per matched cell
    matches: int = 1000  # of a pair at most, those of the largest weights
    batch_size: int = speed_only(4)  # pairs encoded at once

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        if len(self.size) != 2 or self.size[0] != self.size[1] or self.size[0] < 1:
            raise ValueError(f"size={self.size} must be a square, as (512, 512)")
        for name, least in (("copy_side", 0), ("stride", 1), ("matches", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least}")
        if self.size[0] % self.stride:
            raise ValueError(f"size={self.size} must be a multiple of stride={self.stride}")
