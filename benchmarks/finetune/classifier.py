"""A fine-tuned network as its users see it: un-normalised images in, class scores out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from benchmarks.core.extractor import normalise
from benchmarks.core.sizes import refused_sizes
from benchmarks.finetune import shuffle  # noqa: F401 — checkpoints name BlockShuffle
from benchmarks.finetune.head import PooledHead
from benchmarks.weights.checkpoint import Checkpoint
from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.views.preprocessor import IMAGENET_MEAN, IMAGENET_STD
from pretrain.weights.filling import fill, weights_fingerprint


class Classifier(nn.Module):
    """Backbone, head and everything needed to feed them; parameters are named as in the
    fine-tuning's checkpoints.

    Args:
        backbone: is changed in place, see :class:`benchmarks.finetune.head.PooledHead`.
        classes: names in the order of the scores: the sorted names of the class folders.
        pooling: ``mean`` or ``network``.
        size: side of the square input in pixels that it was trained for.
        crop_fraction: the shorter side is resized (bicubic) to ``size / crop_fraction`` before the
            centre is cut.
        mean: normalisation, RGB in [0, 1]. std: likewise.
        inputs: registry dict of what changes normalised images before the network sees them, see
            :class:`benchmarks.finetune.model.Finetuner`; None: nothing does.
        source: what to call it; stands in tables.
    """

    def __init__(
        self,
        backbone: TimmBackbone,
        *,
        classes: tuple[str, ...],
        pooling: str = "mean",
        size: int = 224,
        crop_fraction: float = 0.95,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
        inputs: dict[str, Any] | None = None,
        source: str = "given",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = PooledHead(backbone, len(classes), pooling)
        self.inputs = MODELS.build(dict(size=size) | inputs) if inputs else nn.Identity()
        self.classes, self.size, self.crop_fraction = tuple(classes), size, crop_fraction
        self.mean, self.std, self.source = tuple(map(float, mean)), tuple(map(float, std)), source

    @classmethod
    def load(cls, path: str | Path, device: torch.device | str = "cpu") -> Classifier:
        """Reads a checkpoint that ``pixelpretext finetune`` wrote; the result is in eval mode.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not a checkpoint, or not one of a fine-tuning.
        """
        checkpoint = Checkpoint.read(path)
        settings = checkpoint.meta.get("classifier")
        if not isinstance(settings, dict):
            raise ValueError(
                f"{path} holds no classifier: fine-tune it first (pixelpretext finetune), or name "
                "the final.pth of a fine-tuning"
            )
        model = cls(
            MODELS.build(checkpoint.architecture),
            source=checkpoint.source,
            **checkpoint.normalisation,
            **dict(settings, classes=tuple(settings["classes"])),
        )
        fill(model, checkpoint.state, prefix="", source=checkpoint.source)
        return model.to(device=device, memory_format=torch.channels_last).eval()

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.head.linear.weight.device

    def forward(self, normalised: Tensor) -> Tensor:
        """Returns logits (B, C) float32 of normalised images (B, 3, H, W) float."""
        return self.head(self.backbone(self.inputs(normalised)))

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Returns logits (B, C) float32 of un-normalised images (B, 3, H, W) uint8, or float in [0,
        1].

        Raises:
            ValueError: another shape, or a size that the network refuses.
        """
        with refused_sizes(self.backbone, images):
            return self(normalise(images, self.mean, self.std, self.device))

    def describe(self) -> dict[str, Any]:
        """Says which classifier this is, as plain values for ``Record.subject``."""
        return dict(
            spec=self.source,
            backbone=getattr(self.backbone, "config", {}),
            pooling=self.head.pooling,
            classes=len(self.classes),
            size=self.size,
            crop_fraction=self.crop_fraction,
            mean=self.mean,
            std=self.std,
            fingerprint=weights_fingerprint(self),
        )
