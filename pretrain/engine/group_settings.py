"""What the ``optimizer`` section of a config says beside the optimiser's own arguments: which
parameters are trained, when, and how fast each kind of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from timm.layers import PatchEmbed
from torch import nn

from pretrain.engine.layer_decay import learning_rate_scales, split_groups, train_last_blocks
from pretrain.engine.settings import ConfigError, read_section, require


@dataclass(frozen=True)
class GroupSettings:
    """Options of the section ``optimizer`` that no optimiser knows."""

    weight_decay: float = 0.0  # of tensors of 2 and more dimensions, at the first step
    weight_decay_end: float | None = None  # after the last step, along a cosine; None = constant
    layer_decay: float | None = None  # factor of the learning rate per layer from the top
    train_blocks: int | None = None  # of the backbone, from the top with the last norm; None = all
    backbone_lr: float = 1.0  # factor of the backbone's learning rate, heads have 1 (NeCo: 0.1)
    patch_embed_lr: float = 1.0  # further factor of a patch embedding's (DINOv2: 0.2)
    heads_first: float = 0.0  # epochs in which the backbone's learning rate is 0

    def __post_init__(self) -> None:
        for name in ("weight_decay", "weight_decay_end", "heads_first"):
            value = getattr(self, name)
            require(value is None or value >= 0, f"optimizer.{name}", value, ">= 0")
        for name in ("backbone_lr", "patch_embed_lr"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"optimizer.{name}", value, "a factor > 0")


#: What a parameter group carries of them.
GROUP_KEYS = ("weight_decay", "weight_decay_start", "weight_decay_end", "lr_scale", "waits")
#: Their names in a config.
OPTIONS = frozenset(field.name for field in fields(GroupSettings))


def take_settings(config: dict[str, Any]) -> GroupSettings:
    """Takes the options out of a config's ``optimizer`` section, which is changed.

    Raises:
        ConfigError: an illegal value.
    """
    own = {name: config.pop(name) for name in sorted(OPTIONS & config.keys())}
    return read_section(GroupSettings, "optimizer", own)


def freeze(model: nn.Module, settings: GroupSettings) -> None:
    """Stops the training of what ``train_blocks`` leaves out."""
    if settings.train_blocks is not None:
        train_last_blocks(_backbone(model, "train_blocks"), settings.train_blocks)


def refine(
    groups: list[dict[str, Any]], model: nn.Module, settings: GroupSettings
) -> list[dict[str, Any]]:
    """Splits parameter groups by learning rate and start of training.

    Args:
        groups: of the optimiser. model: whose parameters they hold.
        settings: the options.

    Returns:
        Groups with ``lr_scale`` where rates differ, ``waits`` (epochs with rate 0) where the
        backbone waits for the heads, and ``weight_decay_start`` and ``weight_decay_end`` where the
        decay changes; see :meth:`pretrain.engine.optim.PrecisionOptimWrapper.set_step`.
    """
    if settings.heads_first:
        own = set(map(id, _backbone(model, "heads_first").parameters()))
        groups = _apart(groups, own, waits=settings.heads_first)
    scales = _scales(model, settings)
    if scales is not None:
        groups = split_groups(groups, scales)
    if settings.weight_decay_end is not None:
        for group in groups:
            if group["adapt"]:
                group["weight_decay_start"] = group["weight_decay"]
                group["weight_decay_end"] = settings.weight_decay_end
    return groups


def _scales(model: nn.Module, settings: GroupSettings) -> dict[int, float] | None:
    """Returns id(parameter) → factor of its learning rate; None where all are 1."""
    scales: dict[int, float] = {}
    if settings.layer_decay is not None:
        scales = learning_rate_scales(model, settings.layer_decay)
    if settings.backbone_lr != 1:
        for parameter in _backbone(model, "backbone_lr").parameters():
            scales[id(parameter)] = scales.get(id(parameter), 1.0) * settings.backbone_lr
    if settings.patch_embed_lr != 1:
        embeddings = filter(_embeds_patches, _backbone(model, "patch_embed_lr").modules())
        embedding = next(embeddings, None)
        if embedding is None:
            raise ConfigError(
                f"optimizer.patch_embed_lr={settings.patch_embed_lr}: the backbone has no patch "
                "embedding; leave it out"
            )
        for parameter in embedding.parameters():
            scales[id(parameter)] = scales.get(id(parameter), 1.0) * settings.patch_embed_lr
    if settings.layer_decay is None and not scales:
        return None
    return scales


def _apart(groups: list[dict[str, Any]], own: set[int], **marks: Any) -> list[dict[str, Any]]:
    """Splits groups: parameters whose id is in ``own`` get ``marks``."""
    parts = []
    for group in groups:
        inside, outside = [], []
        for parameter in group["params"]:
            (inside if id(parameter) in own else outside).append(parameter)
        parts += [dict(group, params=inside, **marks)] if inside else []
        parts += [dict(group, params=outside)] if outside else []
    return parts


def _backbone(model: nn.Module, option: str) -> nn.Module:
    backbone = getattr(model, "backbone", None)
    if backbone is None:
        raise ConfigError(f"optimizer.{option}: the model has no backbone; leave it out")
    return backbone


def _embeds_patches(module: nn.Module) -> bool:
    return isinstance(module, PatchEmbed)
