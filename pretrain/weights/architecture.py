"""Which timm network a state dict belongs to, from its keys and shapes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import timm
from torch import Tensor

# Name for timm.create_model and the options that differ from it.
Architecture = tuple[str, dict[str, Any]]

_RESNETS = {  # (bottleneck blocks, blocks per stage): name
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (2, 2, 2, 2)): "resnet26",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "resnet152",
}
_WIDER = {  # (name, groups, width of a group): name
    ("resnet50", 1, 128): "wide_resnet50_2",
    ("resnet101", 1, 128): "wide_resnet101_2",
    ("resnet50", 32, 4): "resnext50_32x4d",
    ("resnet101", 32, 8): "resnext101_32x8d",
    ("resnet101", 64, 4): "resnext101_64x4d",
}
_VITS = {  # (width, blocks): (size, heads)
    (192, 12): ("tiny", 3),
    (384, 12): ("small", 6),
    (768, 12): ("base", 12),
    (1024, 24): ("large", 16),
    (1280, 32): ("huge", 16),
}
_GIANT = (1536, 40)  # DINOv2's, with gated MLPs
_CONVNEXTS = {  # (blocks per stage, width of the first): name
    ((3, 3, 9, 3), 96): "convnext_tiny",
    ((3, 3, 27, 3), 96): "convnext_small",
    ((3, 3, 27, 3), 128): "convnext_base",
    ((3, 3, 27, 3), 192): "convnext_large",
    ((3, 3, 27, 3), 256): "convnext_xlarge",
}


def infer(family: str, state: Mapping[str, Tensor], heads: Mapping[int, int]) -> Architecture:
    """The architecture of a network under timm's names.

    Args:
        family: ``resnet``, ``vit`` or ``convnext``.
        state: Its tensors.
        heads: {width: attention heads} of the layout, where a ViT has not the usual number: shapes
            do not tell.

    Raises:
        ValueError: an architecture that timm has not, or that shapes do not determine; says what to
            do.
    """
    try:
        if family == "resnet":
            return _resnet(state)
        return _vit(state, heads) if family == "vit" else _convnext(state)
    except (KeyError, IndexError) as error:
        raise ValueError(
            f"the file's {family} has no {error.args[0]!r}: it is incomplete, or of a kind not "
            "known here; name the network with --backbone NAME"
        ) from error


def _resnet(state: Mapping[str, Tensor]) -> Architecture:
    layers = tuple(_count(state, rf"layer{n}\.(\d+)\.") for n in (1, 2, 3, 4))
    if not all(layers):
        raise KeyError(f"layer{layers.index(0) + 1}")
    bottleneck = "layer1.0.conv3.weight" in state
    last, expansion = ("conv3", 4) if bottleneck else ("conv2", 1)
    planes = tuple(len(state[f"layer{n}.0.{last}.weight"]) // expansion for n in (1, 2, 3, 4))
    conv = state["layer1.0.conv2.weight"]
    groups = conv.shape[0] // conv.shape[1]
    group_width = conv.shape[0] * 64 // planes[0] // groups
    name = _RESNETS.get((bottleneck, layers))
    options: dict[str, Any] = {}
    if name is None:
        name, options = "resnet50" if bottleneck else "resnet18", dict(layers=layers)
    if (groups, group_width) != (1, 64):
        wider = _WIDER.get((name, groups, group_width)) if not options else None
        if wider:
            name = wider
        else:
            options |= dict(cardinality=groups, base_width=group_width)
    if planes != (64, 128, 256, 512):
        options["channels"] = planes
    return name, options | _stem(state)


def _stem(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Options for the first layers of a ResNet."""
    options: dict[str, Any] = {}
    if "conv1.weight" in state:
        if tuple(state["conv1.weight"].shape) != (64, 3, 7, 7):
            raise ValueError(
                f"the ResNet's conv1.weight is {tuple(state['conv1.weight'].shape)}; timm's "
                "have (64, 3, 7, 7): stems for CIFAR's images and widened ones cannot be built"
            )
    else:
        first, second, third = (len(state[f"conv1.{n}.weight"]) for n in (0, 3, 6))
        options = dict(
            stem_type="deep" if first == second else "deep_tiered", stem_width=third // 2
        )
    shortcut = next((v for k, v in state.items() if k.endswith("downsample.1.weight")), None)
    if shortcut is not None and shortcut.ndim == 4:  # an average pooling before the convolution
        options["avg_down"] = True
    return options


def _vit(state: Mapping[str, Tensor], heads: Mapping[int, int]) -> Architecture:
    patches = state["patch_embed.proj.weight"]
    width, patch = patches.shape[0], patches.shape[-1]
    depth = _count(state, r"blocks\.(\d+)\.")
    scaled = "blocks.0.ls1.gamma" in state
    registers = state["reg_token"].shape[1] if "reg_token" in state else 0
    hidden = state["blocks.0.mlp.fc1.weight"].shape[0]
    size, usual = _VITS.get((width, depth), ("", 0))
    if (width, depth) == _GIANT and scaled and patch == 14:
        size, usual = "giant", 24
    dinov2 = bool(size) and scaled and patch == 14 and registers in (0, 4)
    options: dict[str, Any] = {}
    if dinov2 and timm.is_model(f"vit_{size}_patch14_{'reg4_' if registers else ''}dinov2"):
        name = f"vit_{size}_patch14_{'reg4_' if registers else ''}dinov2"
    else:
        name = _plain_vit(size, patch, options)
        if not size:
            options |= dict(embed_dim=width, depth=depth)
            usual = 0
        if scaled:
            options["init_values"] = 1e-5
        if hidden != 4 * width:
            options["mlp_ratio"] = hidden / width
        if registers:
            options["reg_tokens"] = registers
    number = heads.get(width) or usual or _heads_of(width)
    if number != usual:
        options["num_heads"] = number
    return name, options | _parts(state) | _positions(state, name, patch, registers)


def _plain_vit(size: str, patch: int, options: dict[str, Any]) -> str:
    """A timm name with a size's widths; sets the patch size where there is no name for it."""
    size = size or "tiny"
    name = f"vit_{size}_patch{patch}_224"
    if timm.is_model(name):
        return name
    options["patch_size"] = patch
    return f"vit_{size}_patch{14 if size == 'huge' else 16}_224"


def _heads_of(width: int) -> int:
    if width % 64:
        raise ValueError(
            f"the ViT is {width} wide, which is not a multiple of 64: its number of attention "
            "heads does not show in shapes. Name it: --backbone "
            f"'vit_tiny_patch16_224?embed_dim={width}&num_heads=…&depth=…'"
        )
    return width // 64


def _parts(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Options for what a ViT may have or lack."""
    options: dict[str, Any] = {}
    if "blocks.0.attn.qkv.bias" not in state:
        options["qkv_bias"] = False
    if "blocks.0.attn.q_norm.weight" in state:
        options["qk_norm"] = True
    if "fc_norm.weight" in state or "cls_token" not in state:
        options["global_pool"] = "avg"
    if "cls_token" not in state:
        options["class_token"] = False
    if "fc_norm.weight" not in state:
        if "cls_token" not in state:
            options["fc_norm"] = False  # the last norm stands in front of the mean, not behind it
        if "norm.weight" not in state:
            options["final_norm"] = False
    return options


def _positions(
    state: Mapping[str, Tensor], name: str, patch: int, registers: int
) -> dict[str, Any]:
    """Options for the position table, so that the file's own fits as it is."""
    length = state["pos_embed"].shape[1]
    tokens = int("cls_token" in state) + registers
    known = "dinov2" in name
    for held in dict.fromkeys((0, tokens)):
        side = math.isqrt(max(0, length - held))
        if side and side * side == length - held:
            options: dict[str, Any] = (
                {} if side * patch == (518 if known else 224) else dict(img_size=side * patch)
            )
            if held == 0 and tokens and not (known and registers):
                options["no_embed_class"] = True
            return options
    raise ValueError(
        f"the position table has {length} entries, which are not a square grid with or without "
        f"{tokens} tokens before them; name the network with its size: --backbone "
        "'vit_base_patch16_224?img_size=(H,W)'"
    )


def _convnext(state: Mapping[str, Tensor]) -> Architecture:
    depths = tuple(_count(state, rf"stages\.{n}\.blocks\.(\d+)\.") for n in range(4))
    dims = tuple(state[f"stages.{n}.blocks.0.conv_dw.weight"].shape[0] for n in range(4))
    name = _CONVNEXTS.get((depths, dims[0]))
    if name and dims == tuple(dims[0] << n for n in range(4)):
        return name, {}
    return "convnext_tiny", dict(depths=depths, dims=dims)


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the largest number at a pattern's place, 0 if it is nowhere."""
    matches = filter(None, (re.match(pattern, key) for key in state))
    return max((int(match[1]) + 1 for match in matches), default=0)
