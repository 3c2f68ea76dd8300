"""Backbone, head and upsamplers as one network."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.upsamplers import build_kind
from benchmarks.frozen.decoder.settings import Settings, trainable_kinds
from heads.segformer import SegformerHead
from heads.upsamplers.base import Upsampler


class DecoderNetwork(nn.Module):
    """Normalised images to logits.

    Args:
        backbone: gives a pyramid; copied, so that training leaves the original alone.
        head: reads it.
        finetune: whether the backbone takes gradients. It stays in eval mode in any case.
    """

    def __init__(self, backbone: nn.Module, head: SegformerHead, *, finetune: bool) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(backbone).requires_grad_(finetune)
        self.head, self.finetune = head, finetune

    def train(self, mode: bool = True) -> DecoderNetwork:
        """Train mode for the head alone."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised -> (B, classes, H / stride, W / stride)."""
        with torch.set_grad_enabled(self.finetune and torch.is_grad_enabled()):
            pyramid = self.backbone(images).pyramid
        return self.head(images, pyramid)


def make_network(
    extractor: FeatureExtractor, classes: int, settings: Settings
) -> tuple[DecoderNetwork, dict]:
    """Builds the network on the extractor's device; the head's initial weights do not depend on the
    upsampler.

    Returns:
        The network; what its upsamplers are, as ``FeatureExtractor.describe()`` says it of one.

    Raises:
        ValueError: a size that is not a multiple of the deepest stride used; an upsampler that
            cannot be trained here; an extractor whose features were chosen by settings.
    """
    extractor.require_whole("the decoder")
    channels = extractor.backbone.info.channels
    deepest = max(*channels, settings.stride)
    if any(side % deepest for side in settings.size):
        raise ValueError(
            f"size={settings.size} must be a multiple of the deepest stride, {max(channels)}"
        )
    head = SegformerHead(channels, classes, dim=settings.dim, stride=settings.stride)
    config = upsampler_config(extractor, settings)
    for place, stride in enumerate(head.strides):
        if stride > settings.stride:
            head.upsamplers[place] = make_upsampler(
                config, dim=settings.dim, stride=stride, target=settings.stride
            )
    network = DecoderNetwork(extractor.backbone, head, finetune=settings.finetune)
    network = network.to(extractor.device)
    spec = settings.upsampler or getattr(extractor.upsampler, "spec", "bilinear")
    if next(head.upsamplers.parameters(), None) is not None:
        # whatever weights a file held, they were not used
        spec = f"{spec.partition(':')[0]}, trained here"
    return network, dict(spec=spec, **config)


def upsampler_config(extractor: FeatureExtractor, settings: Settings) -> dict[str, Any]:
    """The registry's config of the kind of upsampler to train.

    Raises:
        ValueError: the extractor's upsampler is none that can be built and trained anew.
    """
    trainable = trainable_kinds()
    if settings.upsampler or extractor.upsampler is None:
        kind = settings.upsampler or "bilinear"
        if trainable[kind].source == "trained":
            return dict(type=trainable[kind].__name__)
        return dict(build_kind(kind).config)
    config = dict(getattr(extractor.upsampler, "config", {}))
    if config.get("type") not in [cls.__name__ for cls in trainable.values()]:
        name = type(extractor.upsampler).__name__
        raise ValueError(
            f"upsampler {name}: a decoder trains its own, of a kind among {', '.join(trainable)}"
        )
    return config


def make_upsampler(config: dict[str, Any], *, dim: int, stride: int, target: int) -> Upsampler:
    """Builds a new upsampler for a level of ``dim`` channels from one stride to another.

    Raises:
        ValueError: strides that an upsampler of integer factors cannot join.
    """
    taken = inspect.signature(MODELS.get(config["type"])).parameters
    if "factor" in taken and stride % target:
        raise ValueError(
            f"stride={target}: {config['type']} needs a divisor of the level's stride {stride}"
        )
    config = dict(config)
    for name, value in (("channels", dim), ("factor", stride // target)):
        if name in taken:
            config[name] = value
    return MODELS.build(config)


def loss_of(logits: Tensor, masks: Tensor, ignore: int) -> Tensor:
    """Mean cross-entropy of logits (B, C, h, w), resized bilinearly to masks (B, H, W), over pixels
    that count.
    """
    resized = F.interpolate(
        logits, size=tuple(masks.shape[1:]), mode="bilinear", align_corners=False
    )
    total = F.cross_entropy(resized, masks.long(), ignore_index=ignore, reduction="sum")
    return total / (masks != ignore).sum().clamp_min(1)
