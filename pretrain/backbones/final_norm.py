"""Where timm keeps the norm that a network's last map is meant to be read through."""

from __future__ import annotations

import torch
from timm.layers import LayerNorm2d, RmsNorm2d, SimpleNorm2d
from timm.layers.norm import LayerNorm2dFp32, LayerNormExp2d, RmsNorm2dFp32, SimpleNorm2dFp32
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

# In the order of asking. ``norm_pre`` is that of ConvNeXts which normalise before they pool, and in
# ViTs the one before the first block: width and place do not tell them apart, see final_norm.
_PLACES = ("norm", "fc_norm", "head.norm")
# Norms of (B, D, h, w); all others are of (…, D).
_OF_MAPS = (
    _BatchNorm,
    nn.GroupNorm,
    LayerNorm2d,
    LayerNorm2dFp32,
    LayerNormExp2d,
    RmsNorm2d,
    RmsNorm2dFp32,
    SimpleNorm2d,
    SimpleNorm2dFp32,
)


def final_norm(model: nn.Module, width: int) -> nn.Module | None:
    """Returns the norm after a network's last block; None for networks without, as ResNets are.

    Most ViTs apply it to all tokens (``norm``). Networks that were trained with average pooling
    (EVA-02, BEiT, Hiera, ConvNeXt, Swin's relatives) keep it behind the pooling, where timm's own
    maps do not pass: ``fc_norm`` or ``head.norm``.

    Args:
        model: timm network.
        width: D of its last map; a norm of another width is not the map's.
    """
    places = _PLACES if hasattr(model, "blocks") else ("norm_pre", *_PLACES)
    for place in places:
        module = model
        for name in place.split("."):
            module = getattr(module, name, None)
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.shape == (width,):
            return module
    return None


def normalise_map(norm: nn.Module, maps: Tensor) -> Tensor:
    """Applies a norm to a map (B, D, h, w), whichever order of axes the norm takes."""
    if isinstance(norm, _OF_MAPS):
        return norm(maps)
    return torch.movedim(norm(torch.movedim(maps, 1, -1)), -1, 1)
