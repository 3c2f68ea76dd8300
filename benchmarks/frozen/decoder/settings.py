"""The protocol of decoder training, one commented line per number."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.core.benchmark import in_subject, speed_only
from benchmarks.core.upsamplers import kinds
from heads.upsamplers.base import Upsampler
from pretrain.names import check_choice


def trainable_kinds() -> dict[str, type[Upsampler]]:
    """Kinds that an evaluation can train from nothing; others need a file or are fitted to single
    images.
    """
    return kinds("", "trained")


_POSITIVE = ("dim", "stride", "steps", "images_per_step", "lr", "backbone_lr", "batch_size")


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data, network and upsampler."""

    # (H, W) input in pixels, aspect ratio not kept; scores are those of masks of it
    size: tuple[int, int] = (512, 512)
    # a kind of trainable_kinds(); empty = that of the extractor, bilinear where it has none
    upsampler: str = in_subject("")
    dim: int = 256  # width of the head
    stride: int = 4  # pixels per feature of the logits, resized bilinearly to the mask
    finetune: bool = False  # train the backbone, too (BatchNorm statistics stay)
    steps: int = 10_000  # optimiser steps
    images_per_step: int = 16  # of one optimiser step
    lr: float = 6e-4  # AdamW's peak learning rate of head and upsamplers
    backbone_lr: float = 6e-5  # of a backbone that is trained
    weight_decay: float = 0.01  # of AdamW, on tensors of two axes or more
    # share of the steps in which the learning rate rises linearly; it falls linearly to 0
    warmup: float = 0.05
    crop: float = 0.25  # least share of an image's area that a crop takes; 1 takes whole images
    flip: float = 0.5  # share of the crops that are mirrored
    seed: int = 0  # of initial weights, order, crops, flips and dropout
    batch_size: int = speed_only(8)  # images scored at once

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        if self.upsampler:
            check_choice("upsampler", self.upsampler, trainable_kinds())
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must be greater than 0")
        for name, legal in (("crop", "(0, 1]"), ("warmup", "[0, 1)"), ("flip", "[0, 1]")):
            value = getattr(self, name)
            if (
                not 0 <= value <= 1
                or (name == "crop" and value == 0)
                or (name == "warmup" and value == 1)
            ):
                raise ValueError(f"{name}={value!r} must be in {legal}")
        if self.images_per_step < 2:
            raise ValueError(
                f"images_per_step={self.images_per_step} must be at least 2: the head "
                "normalises by batch"
            )
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay={self.weight_decay!r} must not be negative")
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size={self.size!r} must be two positive numbers, (H, W)")
