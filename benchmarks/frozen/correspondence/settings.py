"""The settings of keypoint correspondence: the choices that make one PCK, all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image

from benchmarks.core.benchmark import added, speed_only
from pretrain.names import check_choice

#: Legal α. The first is the benchmark's main number.
ALPHAS = (0.1, 0.05, 0.15, 0.01, 0.2)
METRICS = tuple(f"PCK@{alpha}" for alpha in ALPHAS)
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
#: Fields that take one of a few words.
CHOICES = dict(
    relative_to=("", "box", "image"),
    fit=("squash", "letterbox", "corner"),
    resample=tuple(FILTERS),
    source=("cell", "rounded", "bilinear", "bilinear-corners"),
    answer=("nearest", "soft"),
    outside=("zero", "excluded"),
    place=("centre", "corner"),
    frame=("image", "input"),
    average=("image", "point", "category-of-images", "category-of-points"),
)


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network.

    Which pairs are scored is the data's matter: :class:`benchmarks.data.KeypointPairs`.
    """

    size: tuple[int, int] = (224, 224)  # (H, W) of the network's input in pixels
    # what α is a share of: box, image (longer side); empty = as the data set defines it
    relative_to: str = ""
    batch_size: int = speed_only(8)  # images encoded at once
    # how an image comes to that size: squash (aspect ratio not kept), letterbox (kept, in the
    # middle, offset rounded down), corner (kept, at the upper left)
    fit: str = added("squash")
    fill: int = added(0)  # grey value, 0 to 255, of what letterbox and corner add
    resample: str = added("bilinear")  # filter of the resizing, with antialiasing (Pillow's)
    # the source's feature: of the cell that holds the point, of the nearest cell number (which is
    # half a cell off), bilinear between cell centres, or bilinear where the first and the last
    # centre are stretched to the image's edges (grid_sample's align_corners=True)
    source: str = added("cell")
    answer: str = added("nearest")  # nearest cell, or soft = mean place under softmax(cosine / β)
    temperature: float = added(0.02)  # β of soft
    window: int = added(0)  # half width in cells around the nearest that soft uses; 0 = whole map
    # cosines beyond the window: zero (they keep a weight of exp 0) or excluded (no weight)
    outside: str = added("excluded")
    # cells; soft multiplies cosines by exp(−d² / 2σ²), d from the nearest cell; 0 = by nothing
    gauss: float = added(0.0)
    place: str = added("centre")  # of a cell: its centre, or its upper left corner
    # where distances are measured: in the target image's own pixels, or in the input's with α's
    # length times the longer side of the input / the longer side of the image
    frame: str = added("image")
    strict: bool = added(False)  # a point counts if its distance is < α·L instead of ≤
    # shares of pairs, averaged over pairs (image) or per category; or points pooled, over all or
    # per category
    average: str = added("image")
    alphas: tuple[float, ...] = added((0.1, 0.05, 0.15))  # those that are reported
    # pixels of the input per feature that is asked of an upsampler; nothing without one
    upsampled_stride: int = added(2)
    flip: bool = added(False)  # mean of the unit features of an image and of its mirror image

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "alphas", tuple(map(float, self.alphas)))
        if len(self.size) != 2 or min(self.size) < 1 or self.batch_size < 1:
            raise ValueError(
                f"size={self.size} must be two positive sides, batch_size={self.batch_size} "
                "positive"
            )
        for name, legal in CHOICES.items():
            check_choice(name, getattr(self, name), legal)
        for alpha in self.alphas:
            check_choice("alphas", alpha, ALPHAS)
        if not self.alphas or len(set(self.alphas)) < len(self.alphas):
            raise ValueError(f"alphas={self.alphas} must be some of {ALPHAS}, each once")
        if not (0 <= self.fill <= 255 and self.window >= 0 and self.upsampled_stride >= 1):
            raise ValueError(
                f"fill={self.fill} must be 0 to 255, window={self.window} 0 (whole map) or more, "
                f"upsampled_stride={self.upsampled_stride} at least 1"
            )
        if not (math.isfinite(self.temperature) and self.temperature > 0 and self.gauss >= 0):
            raise ValueError(
                f"temperature={self.temperature} must be positive, gauss={self.gauss} 0 (none) or "
                "more"
            )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what is reported."""
        return tuple(f"PCK@{alpha}" for alpha in self.alphas)
