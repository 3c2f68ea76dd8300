"""What the same weights are called in other libraries: tables of key names, readable in both
directions.

A table is a list of pairs (timm's name, the other library's). ``{}`` stands for a number that both
names hold, ``*`` for the rest of a name; both sides hold them in the same order.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Names = Sequence[tuple[str, str]]

# Plain ViT, for libraries with one matrix for query, key and value. The class token, where there is
# one, is first in every position table here.
TORCHVISION_VIT: Names = [
    ("cls_token", "class_token"),
    ("pos_embed", "encoder.pos_embedding"),
    ("patch_embed.proj.*", "conv_proj.*"),
    ("blocks.{}.norm1.*", "encoder.layers.encoder_layer_{}.ln_1.*"),
    ("blocks.{}.attn.qkv.*", "encoder.layers.encoder_layer_{}.self_attention.in_proj_*"),
    ("blocks.{}.attn.proj.*", "encoder.layers.encoder_layer_{}.self_attention.out_proj.*"),
    ("blocks.{}.norm2.*", "encoder.layers.encoder_layer_{}.ln_2.*"),
    ("blocks.{}.mlp.fc1.*", "encoder.layers.encoder_layer_{}.mlp.0.*"),
    ("blocks.{}.mlp.fc2.*", "encoder.layers.encoder_layer_{}.mlp.3.*"),
    ("norm.*", "encoder.ln.*"),
]
MMSEG_VIT: Names = [
    ("cls_token", "cls_token"),
    ("pos_embed", "pos_embed"),
    ("patch_embed.proj.*", "patch_embed.projection.*"),
    ("blocks.{}.norm1.*", "layers.{}.ln1.*"),
    ("blocks.{}.attn.qkv.*", "layers.{}.attn.attn.in_proj_*"),
    ("blocks.{}.attn.proj.*", "layers.{}.attn.attn.out_proj.*"),
    ("blocks.{}.norm2.*", "layers.{}.ln2.*"),
    ("blocks.{}.mlp.fc1.*", "layers.{}.ffn.layers.0.0.*"),
    ("blocks.{}.mlp.fc2.*", "layers.{}.ffn.layers.1.*"),
    ("norm.*", "ln1.*"),
]
# After split_qkv: query, key and value are three matrices.
HUGGINGFACE_VIT: Names = [
    ("cls_token", "embeddings.cls_token"),
    ("pos_embed", "embeddings.position_embeddings"),
    ("patch_embed.proj.*", "embeddings.patch_embeddings.projection.*"),
    ("blocks.{}.norm1.*", "encoder.layer.{}.layernorm_before.*"),
    ("blocks.{}.attn.q.*", "encoder.layer.{}.attention.attention.query.*"),
    ("blocks.{}.attn.k.*", "encoder.layer.{}.attention.attention.key.*"),
    ("blocks.{}.attn.v.*", "encoder.layer.{}.attention.attention.value.*"),
    ("blocks.{}.attn.proj.*", "encoder.layer.{}.attention.output.dense.*"),
    ("blocks.{}.norm2.*", "encoder.layer.{}.layernorm_after.*"),
    ("blocks.{}.mlp.fc1.*", "encoder.layer.{}.intermediate.dense.*"),
    ("blocks.{}.mlp.fc2.*", "encoder.layer.{}.output.dense.*"),
    ("norm.*", "layernorm.*"),
]

# ResNet with a 7x7 stem; timm, torchvision, mmdet and mmseg share the names on the left.
DETECTRON2_RESNET: list[tuple[str, str]] = [
    ("conv1.weight", "stem.conv1.weight"),
    ("bn1.*", "stem.conv1.norm.*"),
]
HUGGINGFACE_RESNET: list[tuple[str, str]] = [
    ("conv1.weight", "embedder.embedder.convolution.weight"),
    ("bn1.*", "embedder.embedder.normalization.*"),
]
for _n in (1, 2, 3, 4):
    _ours, _res, _stage = (
        f"layer{_n}.{{}}",
        f"res{_n + 1}.{{}}",
        f"encoder.stages.{_n - 1}.layers.{{}}",
    )
    DETECTRON2_RESNET += [
        (f"{_ours}.conv{{}}.weight", f"{_res}.conv{{}}.weight"),
        (f"{_ours}.bn{{}}.*", f"{_res}.conv{{}}.norm.*"),
        (f"{_ours}.downsample.0.weight", f"{_res}.shortcut.weight"),
        (f"{_ours}.downsample.1.*", f"{_res}.shortcut.norm.*"),
    ]
    for _conv in (1, 2, 3):  # conv1 is transformers' layer.0, and so on
        _layer = f"{_stage}.layer.{_conv - 1}"
        HUGGINGFACE_RESNET += [
            (f"{_ours}.conv{_conv}.weight", f"{_layer}.convolution.weight"),
            (f"{_ours}.bn{_conv}.*", f"{_layer}.normalization.*"),
        ]
    HUGGINGFACE_RESNET += [
        (f"{_ours}.downsample.0.weight", f"{_stage}.shortcut.convolution.weight"),
        (f"{_ours}.downsample.1.*", f"{_stage}.shortcut.normalization.*"),
    ]
# mmdet's and mmseg's ResNetV1c and ResNetV1d: three 3x3 convolutions in the stem (timm: resnet50c,
# resnet50d).
MM_DEEP_STEM: Names = [
    ("bn1.*", "stem.7.*"),
    ("conv1.{}.*", "stem.{}.*"),
    ("layer{}.*", "layer{}.*"),
]
# torchvision's FeaturePyramidNetwork, which pretraining on pyramids uses, on the left; mmdet's FPN.
MM_FPN: Names = [
    ("inner_blocks.{}.0.*", "lateral_convs.{}.conv.*"),
    ("layer_blocks.{}.0.*", "fpn_convs.{}.conv.*"),
]


def rename(state: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """Gives every value its name in the other library; the order of the keys stays.

    Args:
        state: Values under the names on the left of ``names``; turn the table around with
            :func:`turned`.
        names: Pairs of patterns. The first that fits a whole key counts.

    Raises:
        ValueError: a key that no pattern fits, or two keys that get one name.
    """
    result: dict[str, Any] = {}
    for key, value in state.items():
        new = counterpart(key, names)
        if new is None:
            known = ", ".join(ours for ours, _ in names[:4])
            raise ValueError(
                f"key {key!r} has no counterpart: the table knows {known}, … ({len(names)} "
                "patterns)"
            )
        if new in result:
            raise ValueError(f"key {key!r} would be the second one called {new!r}")
        result[new] = value
    return result


def counterpart(key: str, names: Names) -> str | None:
    """The name of one key in the other library, None where no pattern fits it."""
    for ours, theirs in names:
        match = re.fullmatch(_as_regex(ours), key)
        if match:
            parts = iter(match.groups())
            return re.sub(r"\{\}|\*", lambda _, parts=parts: next(parts), theirs)
    return None


def turned(names: Names) -> Names:
    """The same table from the other library's names to timm's."""
    return [(theirs, ours) for ours, theirs in names]


def split_qkv(state: Mapping[str, Tensor], fused: str = "qkv") -> dict[str, Tensor]:
    """Cuts timm's fused (3·D, …) tensors ``X.qkv.weight`` and ``.bias`` into ``X.q``, ``X.k`` and
    ``X.v`` (D, …).
    """
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        head, dot, rest = key.rpartition(f".{fused}.")
        if not dot:
            result[key] = value
            continue
        for letter, part in zip("qkv", value.chunk(3), strict=True):
            result[f"{head}.{letter}.{rest}"] = part.clone()
    return result


def fuse_qkv(state: Mapping[str, Tensor], fused: str = "qkv") -> dict[str, Tensor]:
    """Joins ``X.q``, ``X.k`` and ``X.v``, each (D, …), to timm's ``X.qkv`` (3·D, …): undoes
    :func:`split_qkv`.

    A bias of which parts are missing (BEiT has none for keys) is filled up with zeros. ``X.q``
    beside ``X.kv`` is the query of a cross-attention, whose inputs are two: it stays apart.

    Raises:
        ValueError: a weight of which a part is missing, or parts beside the joined tensor.
    """
    groups: dict[tuple[str, str], dict[str, Tensor]] = {}
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        match = re.fullmatch(r"(.*)\.([qkv])\.(weight|bias)", key)
        if not match or f"{match[1]}.kv.weight" in state:
            result[key] = value
            continue
        head, letter, rest = match.groups()
        if f"{head}.{fused}.{rest}" in state:
            raise ValueError(
                f"{head}: {fused}.{rest} and {letter}.{rest} are both in the file; keep one form"
            )
        group = groups.setdefault((head, rest), {})
        group[letter] = value
        result.setdefault(f"{head}.{fused}.{rest}", value)  # keeps the place; joined below
    for (head, rest), group in groups.items():
        if len(group) < 3 and rest == "weight":
            raise ValueError(
                f"{head}: found {sorted(group)}.weight of query, key and value; the file is not "
                "whole"
            )
        absent = torch.zeros_like(next(iter(group.values())))
        result[f"{head}.{fused}.{rest}"] = torch.cat([group.get(x, absent) for x in "qkv"])
    return result


@functools.cache
def _as_regex(pattern: str) -> str:
    return re.escape(pattern).replace(r"\{\}", r"(\d+)").replace(r"\*", "(.*)")
