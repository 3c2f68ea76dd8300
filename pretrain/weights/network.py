"""From a checkpoint of others to networks of ours: which layout, which architecture, every tensor
in its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import chain, filterfalse
from typing import Any

import timm
import torch
from torch import Tensor, nn

from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.state_dicts import refuse_non_finite
from pretrain.weights.architecture import infer
from pretrain.weights.filling import LoadReport, fill
from pretrain.weights.layouts import IMAGENET, UPSAMPLERS, find_layout
from pretrain.weights.positions import resized_positions
from pretrain.weights.recognise import Match, StoredNetwork, find, flatten, recognise
from pretrain.weights.report import KeyReport, account, group_of


@dataclass(frozen=True)
class Imported:
    """The networks of a file.

    Attributes:
        match: Layout and places.
        backbones: {``online``, ``target``: network with the file's weights}; a file's only network
            is ``online``.
        loads: What was filled, for each of them.
        normalisation: What they expect, RGB in [0, 1]: ``mean``, ``std``.
        report: Where every tensor of the file went.
    """

    match: Match
    backbones: dict[str, TimmBackbone]
    loads: dict[str, LoadReport]
    normalisation: dict[str, tuple[float, ...]]
    report: KeyReport


def import_networks(
    content: dict[str, Any],
    source: str,
    *,
    layout: str = "auto",
    backbone: str | None = None,
    options: dict[str, Any] | None = None,
    weights: str | None = None,
) -> Imported:
    """Builds the networks of a checkpoint.

    Args:
        content: What :func:`pretrain.checkpoint_file.read_checkpoint` gives.
        source: What to call it in errors.
        layout: A layout's name, or ``auto``.
        backbone: timm name; None infers the architecture from shapes. Behind a tag stand the mean
            and standard deviation that timm states for those weights.
        options: Of the network, on top of what the name or the shapes give.
        weights: ``online`` or ``target`` takes that network alone, None whatever is there.

    Raises:
        ValueError: no, another or several layouts; a network that is incomplete, of another
            architecture than the named one, or with parts that the architecture has not; weights
            that are not in the file.
    """
    if isinstance(content.get("meta"), dict) and "backbone" in content["meta"]:
        raise ValueError(f"{source} is already one of our checkpoints; use it as it is")
    if layout in UPSAMPLERS:
        raise ValueError(
            f"{layout!r} is the layout of an upsampler, {source} is to be read as a backbone"
        )
    contents = flatten(content)
    if layout == "auto":
        match = recognise(contents, source)
    else:
        match = find(contents, find_layout(layout), source)
    networks = _chosen(match, weights, source)
    backbones, loads, filled = {}, {}, []
    for which, network in networks.items():
        name, own = _architecture(network, match, name=backbone, source=source)
        backbones[which] = TimmBackbone(name, **own | (options or {}))
        placed = _last_norm_where_it_stands(network, backbones[which].model)
        _refuse_non_finite(placed, source)
        try:
            loads[which], changes = _fill(backbones[which], placed, source)
        except ValueError as error:
            raise ValueError(f"{error}{_by_shapes(network, match) if backbone else ''}") from error
        filled.append((network, set(loads[which].loaded), changes))
    config, *others = [network.config for network in backbones.values()]
    if others and others[0] != config:
        raise ValueError(
            f"{source} holds two architectures, {config} and {others[0]}; take one with --weights"
        )
    tagged = backbone is not None and "." in backbone
    normalisation = None if tagged else match.layout.normalisation
    normalisation = normalisation or timm_normalisation(config["name"])
    return Imported(match, backbones, loads, normalisation, account(contents, match, filled))


def _chosen(match: Match, weights: str | None, source: str) -> dict[str, StoredNetwork]:
    networks = match.networks
    if weights is None:
        return networks if len(networks) == 2 else {"online": next(iter(networks.values()))}
    if weights not in networks:
        raise ValueError(
            f"weights={weights!r}: {source} (layout {match.layout.name!r}) holds the "
            f"{' and '.join(networks)} network only"
        )
    return {"online": networks[weights]}


def _architecture(
    network: StoredNetwork, match: Match, *, name: str | None, source: str
) -> tuple[str, dict[str, Any]]:
    """Name and options of a network; heads that shapes do not show come from the layout, for a
    named one as well.
    """
    state, family = network.translated.state, network.translated.dialect.family
    heads = dict(match.layout.heads)
    if name is None:
        try:
            return infer(family, state, heads)
        except ValueError as error:
            raise ValueError(f"{source}, network at {network.where}: {error}") from error
    width = state["cls_token"].shape[-1] if "cls_token" in state else None
    return name, {"num_heads": heads[width]} if family == "vit" and width in heads else {}


def _by_shapes(network: StoredNetwork, match: Match) -> str:
    """What to name instead of a network that does not fit, where shapes tell."""
    try:
        name, options = infer(
            network.translated.dialect.family, network.translated.state, dict(match.layout.heads)
        )
    except ValueError:
        return ""
    return (
        f"; by its shapes it is {call(dict(name=name) | options)}: leave --backbone out, or "
        "name that"
    )


def call(config: dict[str, Any]) -> str:
    """A backbone's config as one would write it in a spec."""
    options = []
    for key, value in config.items():
        if key != "name" and value is not None:
            options.append(f"{key}={value}")
    return config["name"] + (f"?{'&'.join(options)}" if options else "")


def _fill(
    backbone: TimmBackbone, network: StoredNetwork, source: str
) -> tuple[LoadReport, tuple[str, ...]]:
    """Puts a network's tensors in; returns what was filled and what was changed."""
    state, name = dict(network.translated.state), backbone.config["name"]
    changes = network.translated.changes + _resize_positions(backbone.model, state)
    changes += _fill_layer_scale(backbone.model, state)
    bias = "patch_embed.proj.bias"
    if (
        network.translated.dialect.name == "mm vit" and bias not in state
    ):  # mmsegmentation's patch_bias=False
        state[bias] = torch.zeros(state["patch_embed.proj.weight"].shape[0])
        changes += (f"{bias} set to zero, the file's layer has none",)
    report = fill(
        backbone.model,
        state,
        prefix="",
        source=f"{source} ({network.translated.dialect.name}) as {name}",
    )
    known = set(chain.from_iterable(network.translated.sources.values()))
    untranslated = filterfalse(known.__contains__, network.keys)
    strange = [key for key in chain(report.unexpected, untranslated) if group_of(key) is None]
    if strange:
        raise ValueError(
            f"{source} holds {len(strange)} tensors of its network that {name} has no place "
            f"for: {', '.join(strange[:4])}{', …' if len(strange) > 4 else ''}; without them "
            "its features would be others. Name the network with --backbone NAME"
        )
    return report, changes


def _refuse_non_finite(network: StoredNetwork, source: str) -> None:
    """Names the file's tensor that holds NaN or infinity: all features of the network would."""
    state = {}
    for name, keys in network.translated.sources.items():
        if group_of(name) is None:
            state[network.place + ", ".join(keys)] = network.translated.state[name]
    refuse_non_finite(state, source)


def _last_norm_where_it_stands(network: StoredNetwork, model: nn.Module) -> StoredNetwork:
    """Gives a ConvNeXt's last norm the name it has in front of the pooling
    (``head_norm_first=True``).
    """
    if not any(key.startswith("norm_pre.") for key in model.state_dict()):
        return network

    def renamed(values: dict[str, Any]) -> dict[str, Any]:
        return {re.sub(r"^head\.norm\.", "norm_pre.", key): value for key, value in values.items()}

    old = network.translated
    return replace(
        network, translated=replace(old, state=renamed(old.state), sources=renamed(old.sources))
    )


def _fill_layer_scale(model: nn.Module, state: dict[str, Tensor]) -> tuple[str, ...]:
    """Sets ConvNeXt's layer scale to one where the file's blocks have none: values stay equal."""
    own = model.state_dict()
    scales = [key for key in own if re.fullmatch(r"stages\..*\.gamma", key)]
    if not scales or not state.keys().isdisjoint(scales):
        return ()
    for key in scales:
        state[key] = torch.ones_like(own[key])
    return (f"layer scale of {len(scales)} blocks set to one, the file's blocks have none",)


def _resize_positions(model: nn.Module, state: dict[str, Tensor]) -> tuple[str, ...]:
    """Resizes the position table in ``state`` to the model's grid, where it can be; else shapes
    stand in the error.
    """
    held, wanted = state.get("pos_embed"), getattr(model, "pos_embed", None)
    if held is None or wanted is None or held.shape == wanted.shape:
        return ()
    table = resized_positions(held, model)
    if table is None:
        return ()
    grid = model.patch_embed.grid_size
    side = round((held.shape[1] - wanted.shape[1] + grid[0] * grid[1]) ** 0.5)
    state["pos_embed"] = table
    return (f"pos_embed resized from {side}x{side} to {grid[0]}x{grid[1]}",)


def timm_normalisation(name: str) -> dict[str, tuple[float, ...]]:
    """What timm states for a name, with its tag if it has one."""
    known = timm.get_pretrained_cfg(name)
    return dict(mean=known.mean, std=known.std) if known is not None else IMAGENET
