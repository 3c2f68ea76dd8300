"""Exports for torchvision: ResNets, whose key names are timm's, and ViTs."""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from benchmarks.export.plain import PlainResNet, PlainViT, plain_resnet, plain_vit, vit_state
from benchmarks.export.source import Difference, Export, Network, NoCounterpart, save_state
from pretrain.weights.key_names import TORCHVISION_VIT, rename

# (block, layers, groups, width per group) of the networks that torchvision has a name for.
_RESNETS = {
    ("basic", (2, 2, 2, 2), 1, 64): "resnet18",
    ("basic", (3, 4, 6, 3), 1, 64): "resnet34",
    ("bottleneck", (3, 4, 6, 3), 1, 64): "resnet50",
    ("bottleneck", (3, 4, 23, 3), 1, 64): "resnet101",
    ("bottleneck", (3, 8, 36, 3), 1, 64): "resnet152",
    ("bottleneck", (3, 4, 6, 3), 32, 4): "resnext50_32x4d",
    ("bottleneck", (3, 4, 23, 3), 32, 8): "resnext101_32x8d",
    ("bottleneck", (3, 4, 23, 3), 64, 4): "resnext101_64x4d",
    ("bottleneck", (3, 4, 6, 3), 1, 128): "wide_resnet50_2",
    ("bottleneck", (3, 4, 23, 3), 1, 128): "wide_resnet101_2",
}
_DILATION = {32: None, 16: [False, False, True], 8: [False, True, True]}
_VITS = {
    (16, 768, 12, 12, 3072): "vit_b_16",
    (32, 768, 12, 12, 3072): "vit_b_32",
    (16, 1024, 24, 16, 4096): "vit_l_16",
    (32, 1024, 24, 16, 4096): "vit_l_32",
    (14, 1280, 32, 16, 5120): "vit_h_14",
}


def to_torchvision(network: Network) -> Export:
    """A state dict for torchvision's ResNet (also ResNeXt, wide) or VisionTransformer without its
    classifier.
    """
    try:
        return _resnet(network, plain_resnet(network))
    except NoCounterpart as no_resnet:
        try:
            return _vit(network, plain_vit(network))
        except NoCounterpart as no_vit:
            raise NoCounterpart(f"{no_resnet}; {no_vit}") from None


def _resnet(network: Network, plain: PlainResNet) -> Export:
    if not plain.standard:
        raise NoCounterpart(
            f"torchvision's ResNets have a 7x7 stem and 64 to 512 channels; {network.name!r} "
            "does not"
        )
    known = _RESNETS.get((plain.block, plain.layers, plain.groups, plain.width_per_group))
    notes: tuple[str, ...] = ()
    if plain.block == "basic" and network.output_stride < 32:
        notes = (
            f"output stride 32, not {network.output_stride}: torchvision's basic blocks do not "
            "dilate",
        )
        network = network.undilated()
    dilation = _DILATION[network.output_stride]
    options = {} if dilation is None else dict(replace_stride_with_dilation=dilation)
    kind = {"basic": "BasicBlock", "bottleneck": "Bottleneck"}[plain.block]
    if known:
        build = f"torchvision.models.{known}({network.code(**options)})"
    else:
        sizes = {} if plain.groups == 1 else dict(groups=plain.groups)
        sizes |= {} if plain.width_per_group == 64 else dict(width_per_group=plain.width_per_group)
        arguments = network.code(
            f"torchvision.models.resnet.{kind}", repr(list(plain.layers)), **sizes, **options
        )
        build = f"torchvision.models.ResNet({arguments})"

    def check(path: Path) -> Difference:
        theirs = torchvision.models.ResNet(
            getattr(torchvision.models.resnet, kind),
            list(plain.layers),
            groups=plain.groups,
            width_per_group=plain.width_per_group,
            **options,
        )
        theirs.fc = nn.Identity()
        theirs.load_state_dict(torch.load(path), strict=True)
        return network.compare(theirs, _resnet_outputs, own=_timm_resnet_outputs)

    return Export(
        suffix=".pth",
        write=save_state(network.state),
        check=check,
        keys=len(network.state),
        notes=notes,
        line=(
            f"model = {build}; model.fc = torch.nn.Identity(); "
            "model.load_state_dict(torch.load({file}))"
        ),
    )


def _vit(network: Network, plain: PlainViT) -> Export:
    if plain.image[0] != plain.image[1] or not plain.pooled:
        raise NoCounterpart(
            f"torchvision's ViTs see square images and pool the class token, {network.name!r} "
            "does not"
        )
    if plain.eps != 1e-6:
        raise NoCounterpart(
            f"torchvision's ViTs have LayerNorms of eps 1e-6, {network.name!r} has {plain.eps}"
        )
    state, changed = vit_state(network)
    state = rename(state, TORCHVISION_VIT)
    sizes = dict(
        image_size=plain.image[0],
        patch_size=plain.patch,
        num_layers=plain.depth,
        num_heads=plain.heads,
        hidden_dim=plain.dim,
        mlp_dim=plain.hidden,
    )
    known = _VITS.get((plain.patch, plain.dim, plain.depth, plain.heads, plain.hidden))
    shown = (
        dict(image_size=plain.image[0])
        if known and plain.image[0] != 224
        else {}
        if known
        else sizes
    )
    build = f"torchvision.models.{known or 'VisionTransformer'}({network.code(**shown)})"

    def check(path: Path) -> Difference:
        theirs = torchvision.models.VisionTransformer(**sizes)
        theirs.heads = nn.Identity()
        theirs.load_state_dict(torch.load(path), strict=True)
        return network.compare(theirs, lambda m, x: [m(x)], own=lambda m, x: [m(x)])

    return Export(
        suffix=".pth",
        write=save_state(state),
        check=check,
        keys=len(state),
        renamed=len(state),
        changed=changed,
        line=(
            f"model = {build}; model.heads = torch.nn.Identity(); "
            "model.load_state_dict(torch.load({file}))"
        ),
    )


def _resnet_outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
    """The four stages and the pooled vector of torchvision's ResNet."""
    features = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    maps = []
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        features = stage(features)
        maps.append(features)
    return [*maps, model(images)]


def _timm_resnet_outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
    last, maps = model.forward_intermediates(images)
    return [*maps[1:], model.forward_head(last, pre_logits=True)]  # the first is the stem's
