"""Layers of the timm networks of a model: learning rates that fall from the head to the stem, and
training of the last blocks alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

from timm.models import group_parameters
from torch import nn

from pretrain.engine.settings import ConfigError


class Layers(NamedTuple):
    """A timm network and the layer of each of its parameters.

    Attributes:
        network: the network.
        numbers: name of a parameter → its layer, timm's own numbering (``group_matcher``; a ViT: 0
            class token, positions and patch embedding, block b is b + 1, the last norm goes with
            the last block).
        above: the layer that a classifier on top would be.
    """

    network: nn.Module
    numbers: dict[str, int]
    above: int


def learning_rate_scales(model: nn.Module, layer_decay: float) -> dict[int, float]:
    """Returns id(parameter) → factor of its learning rate, for every parameter inside a timm
    network of the model.

    Layer l of a network whose classifier would be layer L gets ``layer_decay ** (L − l)``
    (:class:`Layers`). What is outside the network, such as a new head, is layer L and has the
    factor 1; a mask token is as a patch embedding, layer 0.

    Raises:
        ConfigError: ``layer_decay`` outside (0, 1], or no timm network with numbered layers in the
            model.
    """
    if not 0 < layer_decay <= 1:
        raise ConfigError(
            f"optimizer.layer_decay={layer_decay!r}: must be within (0, 1], factor per layer "
            "from the top"
        )
    scales: dict[int, float] = {}
    for layers in _numbered(model, f"layer_decay={layer_decay}"):
        parameters = dict(layers.network.named_parameters())
        for name, parameter in parameters.items():
            # A network within another keeps the outer one's numbers.
            scales.setdefault(id(parameter), layer_decay ** (layers.above - layers.numbers[name]))
        for owner in model.modules():
            # What stands for a hidden patch is trained as the embedding of a visible one.
            if getattr(owner, "model", None) is layers.network and hasattr(owner, "mask_token"):
                scales[id(owner.mask_token)] = layer_decay**layers.above
    return scales


def train_last_blocks(model: nn.Module, count: int) -> None:
    """Freezes all but the last blocks, with the last norm, of the timm networks that are trained;
    mask tokens stay trainable.

    Raises:
        ConfigError: ``count`` below 0 or above the number of blocks, or no network that numbers its
            layers.
    """
    for layers in _numbered(model, f"train_blocks={count}"):
        blocks = layers.above - 1
        if not 0 <= count <= blocks:
            raise ConfigError(
                f"optimizer.train_blocks={count}: the network has {blocks} blocks; must be from 0 "
                f"to {blocks}"
            )
        for name, parameter in layers.network.named_parameters():
            if layers.numbers[name] < layers.above - count:
                parameter.requires_grad_(False)


def _numbered(model: nn.Module, option: str) -> Iterator[Layers]:
    """Yields the timm networks of a model with their layers.

    Args:
        model: the model. option: of the optimiser, with its value, for the error.
    """
    networks = [module for module in model.modules() if hasattr(module, "group_matcher")]
    if not networks:
        raise ConfigError(
            f"optimizer.{option}: the model holds no timm network that numbers its layers"
        )
    for network in networks:
        classifier = (getattr(network, "pretrained_cfg", None) or {}).get("classifier") or "head"
        above = f"{classifier if isinstance(classifier, str) else classifier[0]}.weight"
        named = [*network.named_parameters(), (above, None)]
        # Stands in for the network with a classifier, which ours were built without.
        whole = SimpleNamespace(named_parameters=lambda named=named: iter(named))
        numbers = group_parameters(whole, network.group_matcher(coarse=False), reverse=True)
        yield Layers(network, numbers, numbers[above])


def split_groups(groups: list[dict[str, Any]], scales: dict[int, float]) -> list[dict[str, Any]]:
    """Splits parameter groups by learning rate: each part has one ``lr_scale``, smallest first."""
    parts = []
    for group in groups:
        by_scale: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            by_scale.setdefault(scales.get(id(parameter), 1.0), []).append(parameter)
        parts += [dict(group, params=by_scale[scale], lr_scale=scale) for scale in sorted(by_scale)]
    return parts
