"""What both benchmarks of patch labels can be set to."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from benchmarks.core.benchmark import speed_only
from pretrain.names import check_choice

RESAMPLES = ("bicubic", "bilinear")
DTYPES = ("float32", "float16")


@dataclass(frozen=True)
class PatchSettings:
    """Every number that does not depend on the classifier."""

    # (H, W) input in pixels, aspect ratio not kept; scores are those of masks of it
    size: tuple[int, int] = (224, 224)
    resample: str = "bicubic"  # bicubic or bilinear, Pillow's, with antialiasing
    standardise: bool = True  # every channel to mean 0 and variance 1 over the train patches
    # share of the train images on which settings are chosen; unused where there is one of each
    held_back: float = 0.1
    seed: int = 0  # of that draw
    dtype: str = "float32"  # of the stored features; float16 halves the memory
    batch_size: int = speed_only(32)  # images encoded at once

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size={self.size!r} must be two positive numbers, (H, W)")
        check_choice("resample", self.resample, RESAMPLES)
        check_choice("dtype", self.dtype, DTYPES)
        if not 0 < self.held_back < 1:
            raise ValueError(f"held_back={self.held_back!r} must lie between 0 and 1")
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size!r} must be greater than 0")

    @property
    def filter(self) -> Image.Resampling:
        """Pillow's filter."""
        return Image.Resampling[self.resample.upper()]


def check_positive(settings: PatchSettings, *names: str) -> None:
    """Makes settings of several values tuples, and refuses an empty one and values that are not
    greater than 0.

    Args:
        settings: frozen; changed in place, from its ``__post_init__``.
        names: of the settings, tuples or numbers.

    Raises:
        ValueError: names the setting and the value.
    """
    for name in names:
        value = getattr(settings, name)
        values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        if isinstance(value, list):
            object.__setattr__(settings, name, values)
        if not values or not min(values) > 0:
            raise ValueError(f"{name}={value!r} must be greater than 0, one value at least")
