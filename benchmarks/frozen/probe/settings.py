"""The protocol of dense linear probes, one commented line per number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.core.benchmark import speed_only
from benchmarks.core.extractor import FeatureExtractor
from pretrain.names import check_choice

TRAIN_AT = ("high", "low")
QUICK = dict(size=(128, 128), epochs=5, least_steps=200)


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data, network and upsampler."""

    # (H, W) input in pixels, aspect ratio not kept; scores are those of masks of it
    size: tuple[int, int] = (448, 448)
    # high: behind the upsampler; low: on the network's own grid, applied behind the upsampler
    train_at: str = "high"
    epochs: int = 10  # passes over the train part
    # small sets are passed more often, until there are so many optimiser steps
    least_steps: int = 300
    images_per_step: int = 8  # of one optimiser step
    # AdamW's peak learning rate is lr / √C: outputs then move alike for features of any width
    lr: float = 1.0
    weight_decay: float = 0.0  # of AdamW
    # share of the steps in which the learning rate rises linearly; a cosine to 0 follows
    warmup: float = 0.05
    seed: int = 0  # of the initial weights and the order of images
    # what is kept of an upsampler's work on an image; float16 halves its memory
    weights_dtype: str = "float32"
    # for features and upsampling weights; more than half of the free memory is never taken
    cache_bytes: int = speed_only(8 << 30)
    batch_size: int = speed_only(32)  # images encoded at once

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


def facts_of(network: FeatureExtractor, images: int, settings: Settings) -> dict[str, Any]:
    """What the protocol holds beside data and settings, the loss left to the caller.

    The grid of the network is in it only where the probe is trained there: probes that were trained
    at different grids do not belong into one column.

    Args:
        network: its ``task_stride`` and ``map_stride``.
        images: of the train part.
        settings: of the probe.
    """
    at_low = settings.train_at == "low"
    return dict(
        stride=network.task_stride,
        train_stride=network.map_stride if at_low else network.task_stride,
        steps=settings.steps(images),
        optimiser="adamw",
        schedule="cosine per step",
        standardised="train part on its own grid",
        augment=False,
        resolution="resized",
    )
