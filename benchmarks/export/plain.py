"""Which timm networks are plain ResNets and ViTs, the ones that every library has, and what their
dimensions are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import torch
from timm.layers import LayerNorm
from timm.models import resnet as timm_resnet
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import Tensor, nn

from benchmarks.export.source import Network, NoCounterpart

DEPTHS = {
    ("basic", (2, 2, 2, 2)): 18,
    ("basic", (3, 4, 6, 3)): 34,
    ("bottleneck", (3, 4, 6, 3)): 50,
    ("bottleneck", (3, 4, 23, 3)): 101,
    ("bottleneck", (3, 8, 36, 3)): 152,
}


@dataclass(frozen=True)
class PlainResNet:
    """Dimensions of a ResNet of one kind of block, as He et al. and the ResNeXt paper define them,
    stride in the 3x3.

    Attributes:
        block: ``basic`` or ``bottleneck``.
        layers: blocks per stage.
        planes: channels per stage, before a bottleneck's expansion by 4.
        groups: of the 3x3 convolutions.
        width_per_group: 64 for a ResNet, 4 for a ResNeXt 32x4d, 128 for a wide one.
        deep_stem: three 3x3 convolutions instead of one 7x7 (V1c); with ``avg_down`` also V1d.
        avg_down: shortcuts pool before their 1x1 convolution.
        stem: channels of the stem.
    """

    block: str
    layers: tuple[int, ...]
    planes: tuple[int, ...]
    groups: int
    width_per_group: int
    deep_stem: bool
    avg_down: bool
    stem: int

    @property
    def depth(self) -> int | None:
        """18, 34, 50, 101 or 152; None for other numbers of blocks."""
        return DEPTHS.get((self.block, self.layers))

    @property
    def expansion(self) -> int:
        """Output channels of a stage over its planes."""
        return {"basic": 1, "bottleneck": 4}[self.block]

    @property
    def doubling(self) -> bool:
        """Every stage has twice the planes of the one before."""
        return self.planes == tuple(self.planes[0] * 2**i for i in range(len(self.planes)))

    @property
    def standard(self) -> bool:
        """One 7x7 convolution as stem, no pooling in shortcuts, planes 64 to 512."""
        return not (self.deep_stem or self.avg_down) and self.planes == (64, 128, 256, 512)


def plain_resnet(network: Network) -> PlainResNet:
    """Measures a plain ResNet.

    Raises:
        NoCounterpart: something else, or a ResNet with attention, other norms, blurred strides and
            so on.
    """
    model, what = network.model, f"{network.name!r} is not a plain ResNet"
    if type(model) is not timm_resnet.ResNet:
        raise NoCounterpart(f"{what} (timm class {type(model).__name__})")
    stages = [getattr(model, f"layer{n}", ()) for n in (1, 2, 3, 4)]
    blocks = list(chain.from_iterable(stages))
    kinds = sorted({type(block).__name__ for block in blocks})
    if len(kinds) != 1 or min(map(len, stages)) == 0:
        raise NoCounterpart(f"{what}: its blocks are {', '.join(kinds)} in 4 stages")
    if not all(map(_is_plain_block, blocks)):
        raise NoCounterpart(
            f"{what}: its blocks have attention, blurred strides or another activation than ReLU"
        )
    norms = {type(m) for m in model.modules() if "Norm" in type(m).__name__}
    if not isinstance(model.maxpool, nn.MaxPool2d) or not _all_of(norms, nn.BatchNorm2d):
        raise NoCounterpart(
            f"{what}: it has another norm than BatchNorm, or no max-pooling after its stem"
        )
    block = "basic" if kinds == ["BasicBlock"] else "bottleneck"
    expansion = blocks[0].expansion
    planes = tuple(stage[0].conv2.out_channels for stage in stages)
    if block == "bottleneck":
        planes = tuple(stage[0].conv3.out_channels // expansion for stage in stages)
    groups = blocks[0].conv2.groups
    return PlainResNet(
        block=block,
        layers=tuple(map(len, stages)),
        planes=planes,
        groups=groups,
        width_per_group=blocks[0].conv2.out_channels * 64 // (groups * planes[0]),
        deep_stem=isinstance(model.conv1, nn.Sequential),
        stem=model.bn1.num_features,
        avg_down=not isinstance(stages[1][0].downsample[0], nn.Conv2d),
    )


def _is_plain_block(block: nn.Module) -> bool:
    """Whether a ResNet's block has no attention, unblurred strides and ReLU."""
    plain = block.se is None and isinstance(block.aa, nn.Identity)
    return plain and isinstance(block.act1, nn.ReLU)


def _all_of(kinds: Iterable[type], *parents: type) -> bool:
    """Whether all classes derive from one of the parents."""
    return all(issubclass(kind, parents) for kind in kinds)


@dataclass(frozen=True)
class PlainViT:
    """Dimensions of a plain pre-norm ViT with a class token.

    Attributes:
        image: (H, W) of the position table, pixels.
        patch: pixels.
        dim, depth, heads, hidden: width, blocks, attention heads, width inside the MLP.
        eps: of the LayerNorms.
        pooled: the class token, normalised, is the network's vector; False: a mean of un-normalised
            patches.
    """

    image: tuple[int, int]
    patch: int
    dim: int
    depth: int
    heads: int
    hidden: int
    eps: float
    pooled: bool


def plain_vit(network: Network) -> PlainViT:
    """Measures a plain ViT.

    Raises:
        NoCounterpart: something else, or a ViT with register tokens, LayerScale, norms of queries
            and so on.
    """
    model, what = network.model, f"{network.name!r} is not a plain ViT"
    if type(model) is not VisionTransformer:
        raise NoCounterpart(f"{what} (timm class {type(model).__name__})")
    odd = {
        "no class token": not model.has_class_token,
        "no position table": model.pos_embed is None,
        f"{model.num_reg_tokens} register tokens": model.num_reg_tokens > 0,
        "a norm before its blocks": not isinstance(model.norm_pre, nn.Identity),
    }
    blocks = list(model.blocks)
    for block in blocks:
        for name, holds in _oddities(block).items():
            odd[name] = odd.get(name, False) or holds
    odd["patches that are not square"] = len(set(model.patch_embed.patch_size)) > 1
    named = [name for name, holds in odd.items() if holds]
    if named:
        raise NoCounterpart(f"{what}: it has {', '.join(named)}")
    return PlainViT(
        image=tuple(model.patch_embed.img_size),
        patch=model.patch_embed.patch_size[0],
        dim=model.embed_dim,
        depth=len(blocks),
        heads=blocks[0].attn.num_heads,
        hidden=blocks[0].mlp.fc1.out_features,
        eps=blocks[0].norm1.eps,
        pooled=model.global_pool == "token" and not isinstance(model.norm, nn.Identity),
    )


def _oddities(block: nn.Module) -> dict[str, bool]:
    """What a plain ViT's block has not: name -> whether this one has it."""
    if type(block) is not Block or type(block.attn) is not Attention:
        return {"blocks of another kind": True}
    return {
        "LayerScale": not isinstance(block.ls1, nn.Identity),
        "norms of queries and keys": not isinstance(block.attn.q_norm, nn.Identity),
        "no bias of query, key and value": block.attn.qkv.bias is None,
        "another activation than GELU": not isinstance(block.mlp.act, nn.GELU),
        "another norm than LayerNorm": not isinstance(block.norm1, nn.LayerNorm | LayerNorm),
    }


def vit_state(network: Network) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """A plain ViT's weights with a position for the class token, and the keys that were changed for
    it.
    """
    state, model = dict(network.state), network.model
    if model.no_embed_class:
        table = state["pos_embed"]
        state["pos_embed"] = torch.cat([torch.zeros_like(table[:, :1]), table], dim=1)
        return state, ("pos_embed: a zero for the class token put in front",)
    return state, ()
