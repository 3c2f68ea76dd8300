"""The protocol of dense linear probes, one commented line per number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.core.extractor import FeatureExtractor
from pretrain.names import check_choice

TRAIN_AT = ("high", "low")


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data, network and upsampler."""

    size: tuple[int, int] = (
        448,
        448,
    )  # (H, W) input in pixels, aspect ratio not kept; scores are those of masks of it
    train_at: str = (
        "high"  # behind the upsampler; low: on the network's own grid, applied behind the upsampler
    )
    epochs: int = 10  # passes over the train part
    least_steps: int = (
        300  # small sets are passed more often, until there are so many optimiser steps
    )
    images_per_step: int = 8  # of one optimiser step
    # AdamW's peak learning rate is lr / √C: outputs then move alike for features of any width
    lr: float = 1.0
    weight_decay: float = 0.0  # of AdamW
    warmup: float = (
        0.05  # share of the steps in which the learning rate rises linearly; a cosine to 0 follows
    )
    seed: int = 0  # of the initial weights and the order of images
    weights_dtype: str = (
        "float32"  # what is kept of an upsampler's work on an image; float16 halves its memory
    )
    cache_bytes: int = (
        8 << 30
    )  # for features and upsampling weights; more than half of the free memory is never taken
    batch_size: int = 32  # images encoded at once; changes speed, not the result

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        check_choice("train_at", self.train_at, TRAIN_AT)
        check_choice("weights_dtype", self.weights_dtype, ("float32", "float16"))
        for name in ("epochs", "least_steps", "images_per_step", "lr", "batch_size"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must be greater than 0")
        for name in ("weight_decay", "cache_bytes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must not be negative")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup={self.warmup!r} must be in [0, 1)")
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size={self.size!r} must be two positive numbers, (H, W)")

    def steps(self, images: int) -> int:
        """Optimiser steps for a train part of so many images."""
        return max(self.epochs * -(-images // self.images_per_step), self.least_steps)


def protocol_of(extractor: FeatureExtractor, data: Any, settings: Settings) -> dict[str, Any]:
    """What the number depends on apart from network and upsampler, the loss left to the caller.

    The grid of the network is in it only where the probe is trained there: probes that were trained
    at different grids do not belong into one column.
    """
    at_low = settings.train_at == "low"
    return dict(
        data=data.protocol,
        size=list(settings.size),
        stride=extractor.upsampled_stride,
        train_at=settings.train_at,
        train_stride=extractor.grid_stride if at_low else extractor.upsampled_stride,
        epochs=settings.epochs,
        steps=settings.steps(len(data.train)),
        least_steps=settings.least_steps,
        images_per_step=settings.images_per_step,
        optimiser="adamw",
        schedule="cosine per step",
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        warmup=settings.warmup,
        seed=settings.seed,
        standardised="train part on its own grid",
        weights_dtype=settings.weights_dtype,
        augment=False,
        resolution="resized",
    )
