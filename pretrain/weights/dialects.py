"""Dialects: what the layers of one and the same network are called in checkpoint files, translated
to timm's names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from torch import Tensor

from pretrain.weights.key_names import (
    DETECTRON2_RESNET,
    HUGGINGFACE_RESNET,
    HUGGINGFACE_VIT,
    MM_DEEP_STEM,
    MMSEG_VIT,
    TORCHVISION_VIT,
    Names,
    counterpart,
    fuse_qkv,
    turned,
)

# A ResNet cut into nn.Sequential(*children): conv1, bn1, ReLU and pooling are 0 to 3, layers
# follow.
SEQUENTIAL_RESNET: Names = [
    ("conv1.*", "0.*"),
    ("bn1.*", "1.*"),
    *((f"layer{n}.*", f"{n + 3}.*") for n in (1, 2, 3, 4)),
]
MMPRETRAIN_VIT: Names = [
    *MMSEG_VIT,
    ("blocks.{}.attn.qkv.*", "layers.{}.attn.qkv.*"),
    ("blocks.{}.attn.proj.*", "layers.{}.attn.proj.*"),
    ("blocks.{}.ls1.gamma", "layers.{}.attn.gamma1.weight"),
    ("blocks.{}.ls2.gamma", "layers.{}.ffn.gamma2.weight"),
]
HUGGINGFACE_DINOV2: Names = [
    ("reg_token", "embeddings.register_tokens"),
    ("blocks.{}.norm1.*", "encoder.layer.{}.norm1.*"),
    ("blocks.{}.norm2.*", "encoder.layer.{}.norm2.*"),
    ("blocks.{}.ls1.gamma", "encoder.layer.{}.layer_scale1.lambda1"),
    ("blocks.{}.ls2.gamma", "encoder.layer.{}.layer_scale2.lambda1"),
    ("blocks.{}.mlp.fc1.*", "encoder.layer.{}.mlp.fc1.*"),
    ("blocks.{}.mlp.fc2.*", "encoder.layer.{}.mlp.fc2.*"),
    ("blocks.{}.mlp.fc1.*", "encoder.layer.{}.mlp.weights_in.*"),
    ("blocks.{}.mlp.fc2.*", "encoder.layer.{}.mlp.weights_out.*"),
    *HUGGINGFACE_VIT,
]
OFFICIAL_CONVNEXT: Names = [
    ("stem.{}.*", "downsample_layers.0.{}.*"),
    ("stages.{}.downsample.{}.*", "downsample_layers.{}.{}.*"),
    ("stages.{}.blocks.{}.conv_dw.*", "stages.{}.{}.dwconv.*"),
    ("stages.{}.blocks.{}.norm.*", "stages.{}.{}.norm.*"),
    ("stages.{}.blocks.{}.mlp.fc{}.*", "stages.{}.{}.pwconv{}.*"),
    ("stages.{}.blocks.{}.gamma", "stages.{}.{}.gamma"),
    ("head.norm.*", "norm.*"),
]
TORCHVISION_CONVNEXT: list[tuple[str, str]] = [
    ("stem.{}.*", "features.0.{}.*"),
    ("head.norm.*", "classifier.0.*"),
    ("stages.1.downsample.{}.*", "features.2.{}.*"),
    ("stages.2.downsample.{}.*", "features.4.{}.*"),
    ("stages.3.downsample.{}.*", "features.6.{}.*"),
]
# torchvision alternates stages (odd) and the downsampling in front of them (even).
for _n in (0, 1, 2, 3):
    _ours, _theirs = f"stages.{_n}.blocks.{{}}", f"features.{2 * _n + 1}.{{}}"
    TORCHVISION_CONVNEXT += [
        (f"{_ours}.conv_dw.*", f"{_theirs}.block.0.*"),
        (f"{_ours}.norm.*", f"{_theirs}.block.2.*"),
        (f"{_ours}.mlp.fc1.*", f"{_theirs}.block.3.*"),
        (f"{_ours}.mlp.fc2.*", f"{_theirs}.block.5.*"),
        (f"{_ours}.gamma", f"{_theirs}.layer_scale"),
    ]
_DINOV2_RULES = (
    # Training files group blocks; the inner number is the block's own.
    (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),
    (r"^(blocks\.\d+\.mlp\.)w12\.", r"\1fc1."),
    (r"^(blocks\.\d+\.mlp\.)w3\.", r"\1fc2."),
    (r"^register_tokens$", "reg_token"),
)


@dataclass(frozen=True)
class Dialect:
    """One way to name a network's layers.

    Attributes:
        name: What it is called in reports.
        family: ``resnet``, ``vit`` or ``convnext``.
        anchors: Keys that all stand in a network of this dialect; their presence is how it is
            recognised.
        names: Table of :mod:`pretrain.weights.key_names`; None where timm's names are used.
        rules: Regular expressions and replacements, applied to each key where ``names`` is None.
    """

    name: str
    family: str
    anchors: tuple[str, ...]
    names: Names | None = None
    rules: tuple[tuple[str, str], ...] = ()

    def translate(self, key: str) -> str | None:
        """Returns timm's name of a key, None if the dialect has none for it."""
        if self.names is not None:
            return counterpart(key, turned(self.names))
        for pattern, replacement in self.rules:
            key = re.sub(pattern, replacement, key)
        return key


DIALECTS = (
    Dialect("mm deep stem", "resnet", ("stem.0.weight", "layer1.0.conv1.weight"), MM_DEEP_STEM),
    Dialect(
        "resnet",
        "resnet",
        ("layer1.0.conv1.weight",),
        rules=((r"(layer\d+\.\d+)\.shortcut\.", r"\1.downsample."),),
    ),
    Dialect("numbered resnet", "resnet", ("0.weight", "4.0.conv1.weight"), SEQUENTIAL_RESNET),
    Dialect(
        "detectron2 resnet",
        "resnet",
        ("stem.conv1.weight", "res2.0.conv1.weight"),
        DETECTRON2_RESNET,
    ),
    Dialect(
        "transformers resnet",
        "resnet",
        ("embedder.embedder.convolution.weight",),
        HUGGINGFACE_RESNET,
    ),
    Dialect("vit", "vit", ("patch_embed.proj.weight",), rules=_DINOV2_RULES),
    Dialect("torchvision vit", "vit", ("conv_proj.weight",), TORCHVISION_VIT),
    Dialect("mm vit", "vit", ("patch_embed.projection.weight",), MMPRETRAIN_VIT),
    Dialect(
        "transformers vit",
        "vit",
        ("embeddings.patch_embeddings.projection.weight",),
        HUGGINGFACE_DINOV2,
    ),
    Dialect("convnext", "convnext", ("stages.0.blocks.0.conv_dw.weight",)),
    Dialect("official convnext", "convnext", ("stages.0.0.dwconv.weight",), OFFICIAL_CONVNEXT),
    Dialect(
        "torchvision convnext", "convnext", ("features.1.0.block.0.weight",), TORCHVISION_CONVNEXT
    ),
)


@dataclass(frozen=True)
class Translated:
    """A network's tensors under timm's names.

    Attributes:
        dialect: How the file names them.
        state: Tensors by timm's name.
        sources: {timm's name: keys of the file that went into it}, three for a joined qkv.
        changes: What was done to values, in words.
    """

    dialect: Dialect
    state: dict[str, Tensor]
    sources: dict[str, tuple[str, ...]]
    changes: tuple[str, ...] = ()


def dialect_of(state: Mapping[str, Tensor]) -> Dialect | None:
    """The dialect whose anchors all stand among the keys, None for a network of no known one."""
    return next((d for d in DIALECTS if state.keys() >= set(d.anchors)), None)


def translate(state: Mapping[str, Tensor]) -> Translated | None:
    """Gives a network's tensors timm's names; what the dialect has no name for is left out. None:
    no known dialect.

    Separate query, key and value are joined. Position entries of DINOv2's class token are added to
    that token where there are registers, as timm has it: registers have no position, the table then
    holds patches only.

    Raises:
        ValueError: two keys with one name, or query, key and value that are not all there.
    """
    dialect = dialect_of(state)
    if dialect is None:
        return None
    renamed: dict[str, Tensor] = {}
    sources: dict[str, tuple[str, ...]] = {}
    changes: tuple[str, ...] = ()
    for key, value in state.items():
        ours = dialect.translate(key)
        if ours is None:
            continue
        if ours in renamed:
            raise ValueError(
                f"{sources[ours][0]} and {key} would both be {ours}: the file holds two "
                "networks in one"
            )
        renamed[ours], sources[ours] = value, (key,)
    if dialect.family == "vit":
        joined = fuse_qkv(renamed)
        for key in joined.keys() - renamed.keys():
            head, _, rest = key.rpartition(".qkv.")
            parts = [sources.pop(f"{head}.{letter}.{rest}", ()) for letter in "qkv"]
            sources[key] = tuple(chain.from_iterable(parts))
        renamed = joined
        if any(source[0].endswith("register_tokens") for source in sources.values()):
            changes = _absorb_class_position(renamed)
    if dialect.name == "torchvision convnext":
        for key, value in renamed.items():
            if key.endswith(".gamma"):
                renamed[key] = value.flatten()  # (C, 1, 1) there
    return Translated(dialect, renamed, sources, changes)


def _absorb_class_position(state: dict[str, Tensor]) -> tuple[str, ...]:
    if not {"cls_token", "pos_embed"} <= state.keys():
        return ()
    state["cls_token"] = state["cls_token"] + state["pos_embed"][:, :1]
    state["pos_embed"] = state["pos_embed"][:, 1:]
    return ("cls_token has its position added, as timm keeps it if there are registers",)
