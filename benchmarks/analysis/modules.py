"""The modules of a network: its stem and its blocks, as timm numbers its layers."""

from __future__ import annotations

from collections.abc import Sequence

from timm.models import group_parameters
from torch import nn


def module_parameters(backbone: nn.Module) -> dict[str, list[str]]:
    """Module -> names of its parameters in the backbone, from the stem on.

    Layers are those of timm's ``group_matcher``, by which learning rates decay: a ResNet's stem and
    residual blocks, a transformer's embedding and blocks (a last norm goes with the last block).

    Args:
        backbone: a ``TimmBackbone``; the names begin with ``model.``.
    """
    network = backbone.model
    groups = group_parameters(network, network.group_matcher(coarse=False))
    modules: dict[str, list[str]] = {}
    for names in groups.values():
        modules.setdefault(_title(names), []).extend(f"model.{name}" for name in names)
    return modules


def _title(names: Sequence[str]) -> str:
    """What parameters are called together: ``layer1.0``, ``conv1+bn1``, ``blocks.11+norm``."""
    shared: dict[str, list[str]] = {}
    for name in names:
        parts = name.split(".")
        path = parts[:-1] or parts
        before = shared.setdefault(parts[0], path)
        shared[parts[0]] = _common(before, path)
    return "+".join(map(".".join, shared.values()))


def _common(first: list[str], second: list[str]) -> list[str]:
    """The parts with which both begin."""
    common = []
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        common.append(a)
    return common
