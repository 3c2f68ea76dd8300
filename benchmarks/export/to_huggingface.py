"""Exports for the Hugging Face hub: folders for transformers' ResNet and ViT, and for timm where
they do not fit.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import timm
from safetensors.torch import save
from timm.models import save_for_hf
from torch import Tensor, nn

from benchmarks.export.plain import plain_resnet, plain_vit, vit_state
from benchmarks.export.source import (
    Difference,
    Export,
    Network,
    NoCounterpart,
    timm_outputs,
    write_json,
)
from pretrain.weights.key_names import HUGGINGFACE_RESNET, HUGGINGFACE_VIT, rename, split_qkv


def to_huggingface(network: Network) -> Export:
    """A folder for ``ResNetModel`` or ``ViTModel`` of transformers; other networks: one that timm
    loads.
    """
    for family in (_resnet, _vit):
        try:
            return family(network)
        except NoCounterpart:
            continue
    return _timm_folder(network)


def _resnet(network: Network) -> Export:
    plain = plain_resnet(network)
    if plain.deep_stem or plain.avg_down or (plain.groups, plain.width_per_group) != (1, 64):
        raise NoCounterpart(
            "transformers' ResNets have a 7x7 stem, no groups and bottlenecks of a quarter"
        )
    notes: tuple[str, ...] = ()
    if network.output_stride < 32:
        notes = (
            f"output stride 32, not {network.output_stride}: transformers' ResNet does not dilate",
        )
        network = network.undilated()
    config = dict(
        architectures=["ResNetModel"],
        model_type="resnet",
        num_channels=3,
        embedding_size=plain.stem,
        hidden_sizes=[width * plain.expansion for width in plain.planes],
        depths=list(plain.layers),
        layer_type=plain.block,
        hidden_act="relu",
        downsample_in_first_stage=False,
        downsample_in_bottleneck=False,
    )
    size = dict(shortest_edge=224)
    preprocessor = _preprocessor(network, "ConvNextImageProcessor", size) | dict(crop_pct=0.875)

    def outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
        outputs = model(images, output_hidden_states=True)
        return [*outputs.hidden_states[1:], outputs.pooler_output.flatten(1)]

    def own(model: nn.Module, images: Tensor) -> list[Tensor]:
        return timm_outputs(model, images)[1:]  # the first is the stem's, before max-pooling

    def check(path: Path) -> Difference | str:
        return _check(network, path, name="ResNetModel", outputs=outputs, own=own)

    state = rename(network.state, HUGGINGFACE_RESNET)
    return Export(
        suffix="",
        write=_writer(state, config, preprocessor),
        check=check,
        keys=len(state),
        renamed=len(state),
        line="model = transformers.ResNetModel.from_pretrained({file})",
        notes=notes,
    )


def _vit(network: Network) -> Export:
    plain = plain_vit(network)
    if not plain.pooled:
        raise NoCounterpart("transformers' ViT ends in a LayerNorm of all tokens")
    state, changed = vit_state(network)
    state = rename(split_qkv(state), HUGGINGFACE_VIT)
    config = dict(
        architectures=["ViTModel"],
        model_type="vit",
        num_channels=3,
        patch_size=plain.patch,
        hidden_size=plain.dim,
        image_size=plain.image[0] if plain.image[0] == plain.image[1] else list(plain.image),
        num_hidden_layers=plain.depth,
        num_attention_heads=plain.heads,
        intermediate_size=plain.hidden,
        layer_norm_eps=plain.eps,
        hidden_act="gelu",
        qkv_bias=True,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    preprocessor = _preprocessor(
        network, "ViTImageProcessor", dict(height=plain.image[0], width=plain.image[1])
    )

    def check(path: Path) -> Difference | str:
        return _check(
            network,
            path,
            name="ViTModel",
            outputs=lambda m, x: [m(x).last_hidden_state],
            own=lambda m, x: [m.forward_features(x)],
            add_pooling_layer=False,
        )

    split = f"{plain.depth} matrices of query, key and value and their biases cut into three"
    return Export(
        suffix="",
        write=_writer(state, config, preprocessor),
        check=check,
        keys=len(state),
        renamed=len(state),
        changed=(*changed, split),
        line="model = transformers.ViTModel.from_pretrained({file}, add_pooling_layer=False)",
    )


def _timm_folder(network: Network) -> Export:
    """timm's own layout on the hub, for every network."""

    def write(path: Path) -> None:
        arguments = {
            key: value for key, value in network.options.items() if key != "dynamic_img_size"
        }
        save_for_hf(
            network.model,
            str(path),
            model_args=arguments,
            safe_serialization=True,
            data_config=dict(mean=network.mean, std=network.std),
        )

    def check(path: Path) -> Difference:
        return network.compare(
            timm.create_model(f"local-dir:{path}", pretrained=True), timm_outputs
        )

    return Export(
        suffix="",
        write=write,
        check=check,
        keys=len(network.state),
        line="model = timm.create_model('local-dir:' + {file}, pretrained=True)",
        notes=(
            f"transformers has no architecture for {network.name!r}: this is timm's layout on "
            "the hub",
        ),
    )


def _writer(state: dict[str, Tensor], config: dict[str, Any], preprocessor: dict[str, Any]) -> Any:
    def write(path: Path) -> None:
        write_json(path / "config.json", config)
        write_json(path / "preprocessor_config.json", preprocessor)
        (path / "model.safetensors").write_bytes(
            save({k: v.contiguous() for k, v in state.items()}, {"format": "pt"})
        )

    return write


def _preprocessor(network: Network, kind: str, size: dict[str, int]) -> dict[str, Any]:
    """What transformers' image processor does: bicubic resizing, then our normalisation."""
    return dict(
        image_processor_type=kind,
        do_resize=True,
        size=size,
        resample=3,
        do_rescale=True,
        rescale_factor=1 / 255,
        do_normalize=True,
        image_mean=list(network.mean),
        image_std=list(network.std),
    )


def _check(
    network: Network, path: Path, *, name: str, outputs: Any, own: Any, **options: Any
) -> Difference | str:
    if importlib.util.find_spec("transformers") is None:
        return "transformers is not installed"
    kind = getattr(importlib.import_module("transformers"), name)
    model, info = kind.from_pretrained(str(path), output_loading_info=True, **options)
    gaps = {key: sorted(value) for key, value in info.items() if value}
    if gaps:
        raise ValueError(
            f"transformers' {name} does not take every weight: "
            f"{json.dumps(gaps, default=str)[:300]}"
        )
    return network.compare(model, outputs, own=own)
