"""Exports for mmdet and mmsegmentation: their own ResNets and ViT, and every network through
``TimmBackbone``.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.registry import MODELS
from torch import Tensor, nn

from benchmarks.export.plain import PlainResNet, PlainViT, plain_resnet, plain_vit, vit_state
from benchmarks.export.source import (
    Difference,
    Export,
    Network,
    NoCounterpart,
    in_bytes,
    save_state,
    timm_outputs,
)
from benchmarks.mm import libraries
from pretrain.places import how_to_install
from pretrain.state_dicts import prefixed
from pretrain.weights.key_names import MM_DEEP_STEM, MM_FPN, MMSEG_VIT, rename

# mmsegmentation's; contract_dilation: the first block of a stage dilates as the stage before, as in
# timm
_DILATED = {
    16: dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), contract_dilation=True),
    8: dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), contract_dilation=True),
}


def to_mmdet(network: Network) -> Export:
    """A state dict for mmdet's ResNet, ResNeXt, ResNetV1d; for other networks one for
    ``TimmBackbone``.
    """
    return _first_that_fits(network, "mmdet", [_resnet])


def to_mmseg(network: Network) -> Export:
    """A state dict for mmseg's ResNet(V1c, V1d), ResNeXt or VisionTransformer; else one for
    ``TimmBackbone``.
    """
    return _first_that_fits(network, "mmseg", [_resnet, _vit])


def _first_that_fits(
    network: Network, library: str, families: list[Callable[[Network, str], Export]]
) -> Export:
    for family in families:
        try:
            export = family(network, library)
            break
        except NoCounterpart:
            continue
    else:
        export = _through_timm(network, library)
    mean, std = in_bytes(network.mean), in_bytes(network.std)
    export.notes = (*export.notes, f"data_preprocessor: mean={mean}, std={std}, bgr_to_rgb=True")
    if network.pyramid:
        export.others["_fpn.pth"] = save_state(rename(network.pyramid, MM_FPN))
        export.notes = (*export.notes, _neck_line(network.pyramid))
    return export


def _neck_line(pyramid: dict[str, Tensor]) -> str:
    """How a pretrained pyramid is loaded, with its dimensions."""
    names = [key for key in pyramid if re.fullmatch(r"inner_blocks\.\d+\.0\.weight", key)]
    channels = [pyramid[name].shape[1] for name in names]
    return (
        f"the pyramid it was pretrained with, over its last {len(names)} maps: neck = "
        f"dict(type='FPN', in_channels={channels}, "
        f"out_channels={len(pyramid[names[0]])}, num_outs={len(names) + 1}, "
        "init_cfg=dict(type='Pretrained', checkpoint={_fpn.pth}))"
    )


def _resnet(network: Network, library: str) -> Export:
    plain = plain_resnet(network)
    config, notes = _resnet_config(network, plain, library), ()
    if network.output_stride < 32:
        if library == "mmseg" and plain.block == "bottleneck":
            config |= _DILATED[network.output_stride]
        else:
            notes = (
                f"output stride 32, not {network.output_stride}: {library}'s blocks dilate "
                "differently from timm's",
            )
            network = network.undilated()
    state = rename(network.weights, MM_DEEP_STEM) if plain.deep_stem else network.weights

    def outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
        return model.forward_intermediates(images)[1][1:]  # the first is the stem's

    return _export(network, library, config=config, state=state, outputs=outputs, notes=notes)


def _resnet_config(network: Network, plain: PlainResNet, library: str) -> dict[str, Any]:
    """The config of the library's backbone, without its checkpoint."""
    if plain.depth is None or not plain.doubling:
        raise NoCounterpart(f"{library}'s ResNets have 18 to 152 layers and channels that double")
    kinds = {(False, False): "ResNet", (True, False): "ResNetV1c", (True, True): "ResNetV1d"}
    config: dict[str, Any] = dict(
        type=kinds.get((plain.deep_stem, plain.avg_down)), depth=plain.depth
    )
    if config["type"] is None or (config["type"] == "ResNetV1c" and library == "mmdet"):
        raise NoCounterpart(
            f"{library} has no ResNet with the stem and shortcuts of {network.name!r}"
        )
    if (plain.groups, plain.width_per_group) != (1, 64):
        if plain.groups == 1 or config["type"] != "ResNet" or plain.block == "basic":
            raise NoCounterpart(
                f"{library} has no wide ResNets, no ResNeXt of basic blocks or with a deep stem"
            )
        base_width = (
            plain.width_per_group * plain.planes[0] // 64
        )  # per base channel there, per 64 in timm
        config |= dict(type="ResNeXt", groups=plain.groups, base_width=base_width)
    if plain.planes[0] != 64:
        config["base_channels"] = plain.planes[0]
    if plain.stem != plain.planes[0]:
        config["stem_channels"] = plain.stem
    return config | dict(
        style="pytorch", norm_cfg=dict(type="BN"), norm_eval=False, frozen_stages=-1
    )


def _vit(network: Network, library: str) -> Export:
    plain: PlainViT = plain_vit(network)
    state, changed = vit_state(network)
    normalised = not isinstance(network.model.norm, nn.Identity)
    left_out = tuple(key for key in state if key.startswith(("fc_norm.", "attn_pool.")))
    state = rename({key: value for key, value in state.items() if key not in left_out}, MMSEG_VIT)
    if plain.hidden % plain.dim:
        raise NoCounterpart(f"{library}'s ViTs have an MLP of a whole multiple of the width")
    config = dict(
        type="VisionTransformer",
        img_size=plain.image,
        patch_size=plain.patch,
        embed_dims=plain.dim,
        num_layers=plain.depth,
        num_heads=plain.heads,
        mlp_ratio=plain.hidden // plain.dim,
        patch_bias=True,
        out_indices=tuple(range(plain.depth)),
        norm_cfg=dict(type="LN", eps=plain.eps),
        final_norm=normalised,
    )

    def outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
        last, maps = model.forward_intermediates(images)
        grid = maps[-1].shape[-2:]
        # The last map is normalised in mmseg.
        return [*maps[:-1], last[:, 1:].unflatten(1, grid).permute(0, 3, 1, 2)]

    notes = ("out_indices: choose the blocks that your head takes",)
    export = _export(network, library, config=config, state=state, outputs=outputs, notes=notes)
    export.changed, export.left_out = changed, left_out
    return export


def _export(
    network: Network,
    library: str,
    *,
    config: dict[str, Any],
    state: dict[str, Tensor],
    outputs: Callable[[nn.Module, Tensor], list[Tensor]],
    notes: tuple[str, ...],
) -> Export:
    """An export for one of the library's own backbones."""

    def check(path: Path) -> Difference | str:
        if libraries.missing():
            lacking = ", ".join(libraries.missing())
            return f"{lacking} not installed ({how_to_install('transfer')})"
        registry = libraries.models(library)
        # The scope is named, because another library's may be this process's default since it ran a
        # training.
        built = _load(registry.build, config | dict(_scope_=library), path)
        return network.compare(built, lambda model, images: list(model(images)), own=outputs)

    return Export(
        suffix=".pth",
        write=save_state(state),
        check=check,
        keys=len(state),
        notes=notes,
        renamed=sum(key not in network.state for key in state),
        line=(
            f"backbone = dict({network.code(**config)}, init_cfg=dict(type='Pretrained', "
            "checkpoint={file}))"
        ),
    )


def _through_timm(network: Network, library: str) -> Export:
    """An export for this project's ``TimmBackbone`` inside the library's configs."""
    state = prefixed("model.", network.state)
    config = (
        dict(type="TimmBackbone", name=network.name, out_indices=_four_stages(network))
        | network.options
    )

    def check(path: Path) -> Difference:
        return network.compare(_load(MODELS.build, config, path).model, timm_outputs)

    return Export(
        suffix=".pth",
        write=save_state(state),
        check=check,
        keys=len(state),
        renamed=len(state),
        line=(
            f"backbone = dict({network.code(**config)}, init_cfg=dict(type='Pretrained', "
            "checkpoint={file}))"
        ),
        notes=(
            f"{library} has no backbone of its own for {network.name!r}; custom_imports = "
            "dict(imports=['benchmarks.mm.modules']) in the config makes TimmBackbone known",
        ),
    )


def _four_stages(network: Network) -> tuple[int, ...]:
    """Stages at strides 4 to 32, or four blocks of a ViT, evenly spaced."""
    stages = network.model.feature_info
    stages = stages if isinstance(stages, list) else stages.info
    deepest = {stage["reduction"]: index for index, stage in enumerate(stages)}
    if len(deepest) > 1:
        return tuple(index for stride, index in sorted(deepest.items()) if stride >= 4)
    return tuple(sorted({max(0, len(stages) * part // 4 - 1) for part in (1, 2, 3, 4)}))


def _load(
    build: Callable[[dict[str, Any]], nn.Module], config: dict[str, Any], path: Path
) -> nn.Module:
    """A backbone as the library builds it from a config, with the file's weights and no others.

    Raises:
        ValueError: a weight that is not the file's (mmengine passes over missing keys and other
            shapes with a warning).
    """
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)  # a line per weight
    try:
        with redirect_stdout(io.StringIO()):
            built = build(config | dict(init_cfg=dict(type="Pretrained", checkpoint=str(path))))
            built.init_weights()
    finally:
        logger.setLevel(level)
    state, wanted = torch.load(path), built.state_dict()
    fitting, random = set(), []
    for key, value in wanted.items():
        if key in state and state[key].shape == value.shape:
            fitting.add(key)
        elif not key.endswith("num_batches_tracked"):
            random.append(key)
    unused = [key for key in state if key not in fitting]
    if random or unused:
        raise ValueError(
            f"{config['type']} would have {len(random)} random weights {random[:3]}, "
            f"{len(unused)} unused {unused[:3]}"
        )
    return built
