"""What ``depth_bins`` and ``normals`` share of their protocol, one commented line per number."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.core.benchmark import speed_only
from benchmarks.frozen.surfaces.schedules import SCHEDULES
from pretrain.names import check_choice

SIZINGS = ("refuse", "resize", "centre", "bottom")
PADDED = ("cut", "stretched")
_POSITIVE = ("steps", "images_per_step", "images_per_loss", "lr", "enlarge")
_SHARES = ("flip", "colour", "warmup_from", "floor", "beta1", "beta2")
QUICK = dict(
    size=(128, 128),
    sizing="resize",
    steps=300,
    warmup_steps=30,
    images_per_step=8,
    images_per_loss=8,
    lr=3e-3,
)


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    # (H, W) of a scored image in pixels
    size: tuple[int, int] = (480, 640)
    # an image of another size: refuse it, resize it (aspect ratio not kept), or cut size out of its
    # centre or out of the bottom (columns from the centre)
    sizing: str = "refuse"
    # (top, left, bottom, right) of such an image that train views are cut from; () takes all of it
    train_frame: tuple[int, ...] = ()
    crop_size: tuple[int, ...] = ()  # (H, W) of random train crops; () takes the whole frame
    flip: float = 0.5  # share of train views that are mirrored
    colour: float = 0.0  # share of train views whose colours are changed by the next three
    gamma: tuple[float, float] = (0.9, 1.1)  # exponent of values in [0, 1], least and most
    brightness: tuple[float, float] = (0.75, 1.25)  # factor of all channels
    tint: tuple[float, float] = (0.9, 1.1)  # factor of each channel
    batch_norm: bool = True  # of the features, before the 1×1 convolution
    enlarge: int = 1  # the head's map is this many times the features', bilinearly
    # maps of padded images: cut the padding off, or stretch the map over the image as if there were
    # none (published so for DINOv2: predictions lie up to half of the padding away)
    padded: str = "cut"
    steps: int = 38_400  # optimiser steps
    images_per_step: int = 16
    # the loss is computed of so many images and averaged over them, as processes do
    images_per_loss: int = 2
    lr: float = 3e-4  # AdamW's peak learning rate
    weight_decay: float = 1e-4  # of AdamW, on all parameters
    beta1: float = 0.9  # of AdamW; one-cycle sets its own
    beta2: float = 0.99
    clip: float = 35.0  # largest norm of the gradient; 0 does not clip
    schedule: str = "one-cycle"  # of the learning rate per step, see schedules.py
    warmup_steps: int = 12_800
    warmup_from: float = 1e-3  # factor that the cosine's warm-up starts from
    floor: float = 1e-8  # factor that the cosine ends at
    flip_test: bool = True  # the prediction is the mean with that of the mirrored image
    seed: int = 0  # of initial weights, order and augmentation
    batch_size: int = speed_only(4)  # images scored at once

    def __post_init__(self) -> None:
        for name in ("size", "train_frame", "crop_size", "gamma", "brightness", "tint"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_choice("sizing", self.sizing, SIZINGS)
        check_choice("padded", self.padded, PADDED)
        check_choice("schedule", self.schedule, SCHEDULES)
        self._check_sizes()
        for name in (*_POSITIVE, "batch_size"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must be greater than 0")
        for name in ("weight_decay", "clip", "warmup_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must not be negative")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)!r} must be in [0, 1]")
        for name in ("gamma", "brightness", "tint"):
            ends = getattr(self, name)
            if len(ends) != 2 or not 0 < ends[0] <= ends[1]:
                raise ValueError(f"{name}={ends!r} must be two positive numbers, least and most")
        if self.warmup_steps > self.steps:
            raise ValueError(f"warmup_steps={self.warmup_steps} must be at most steps={self.steps}")
        if self.images_per_step % self.images_per_loss:
            raise ValueError(
                f"images_per_step={self.images_per_step} must be a multiple of "
                f"images_per_loss={self.images_per_loss}: the loss is that of equal groups"
            )

    def _check_sizes(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size={self.size!r} must be two positive numbers, (H, W)")
        check_rectangle("train_frame", self.train_frame, self.size)
        height, width = self.frame_size
        crop = self.crop_size
        if crop and (len(crop) != 2 or not 0 < crop[0] <= height or not 0 < crop[1] <= width):
            raise ValueError(
                f"crop_size={crop!r} must be () or (H, W) within train views of {height} × {width}"
            )

    @property
    def frame_size(self) -> tuple[int, int]:
        """(H, W) of what train crops are cut from."""
        if not self.train_frame:
            return self.size
        top, left, bottom, right = self.train_frame
        return bottom - top, right - left


def check_rectangle(name: str, rectangle: tuple[int, ...], size: tuple[int, int]) -> None:
    """Raises ValueError unless ``rectangle`` is () or (top, left, bottom, right) within an image of
    ``size`` (H, W).
    """
    if not rectangle:
        return
    if len(rectangle) == 4:
        top, left, bottom, right = rectangle
        if 0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]:
            return
    raise ValueError(
        f"{name}={rectangle!r} must be () or (top, left, bottom, right) within an image of "
        f"{size[0]} × {size[1]} pixels"
    )
