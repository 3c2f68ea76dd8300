"""The weights a backbone begins with, from whatever its option ``start`` names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from torch import Tensor

from pretrain.backbones.timm_backbone import TimmBackbone, timm_options, weight_options
from pretrain.checkpoint_file import read_checkpoint
from pretrain.names import check_choice, check_names
from pretrain.random_state import undisturbed_random
from pretrain.specs import parse_spec
from pretrain.state_dicts import under
from pretrain.weights.filling import fill, find_state
from pretrain.weights.network import import_networks
from pretrain.weights.recognise import Unrecognised

#: What a licence is called that nobody stated.
UNKNOWN = "unknown"
_OPTIONS = ("weights", "layout", "licence")
_PREFIXES = {"online": "backbone.", "target": "target_backbone."}


@dataclass(frozen=True)
class StartWeights:
    """Weights for a backbone.

    Attributes:
        state: tensors by the names of the backbone's state dict.
        licence: what the weights may be used for, ``unknown`` where nobody says.
        normalisation: ``mean`` and ``std`` of the images they were trained on, RGB in [0, 1]; None
            where that is not known.
        notes: what else a user should know, a sentence each.
    """

    state: dict[str, Tensor]
    licence: str = UNKNOWN
    normalisation: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


def read_start(spec: str, backbone: TimmBackbone) -> StartWeights:
    """Reads weights for a backbone, which is not changed.

    Args:
        spec: ``timm:NAME.TAG`` (published weights, fetched once and kept by timm), or ``FILE``: a
            checkpoint of ours, one in a layout of :mod:`pretrain.weights.layouts`, or any state
            dict by timm's names. Behind it ``?weights=target`` takes the EMA network of a file of
            two, ``?layout=NAME`` says how to read it, ``?licence=TEXT`` what it may be used for.
        backbone: built, with the architecture and the options of the training.

    Raises:
        ValueError: an illegal spec, weights of another architecture, or of only a part of it.
        OSError: no such file; the published weights cannot be fetched.
    """
    source, options = parse_spec(spec)
    check_names("option of start", options, _OPTIONS)
    which, licence = options.get("weights", "online"), options.get("licence")
    check_choice("weights", which, _PREFIXES)
    kind, _, name = source.partition(":")
    with undisturbed_random():  # building the network that is read draws weights
        if kind == "timm":
            found = _published(name, backbone)
        elif kind == "random":
            raise ValueError("a network begins with random weights without start")
        else:
            found = _from_file(source, backbone, which=which, layout=options.get("layout", "auto"))
    if licence is None:
        return found
    return StartWeights(found.state, str(licence), found.normalisation, found.notes)


def _published(name: str, backbone: TimmBackbone) -> StartWeights:
    """timm's weights of a name and tag."""
    own = backbone.config["name"]
    if name.split(".")[0] != own.split(".")[0]:
        raise ValueError(
            f"the weights are {name.split('.')[0]}'s and the backbone is {own}; give the "
            f"backbone name={name.split('.')[0]!r}"
        )
    network = TimmBackbone(name, pretrained=True, **timm_options(backbone.config))
    known = network.model.pretrained_cfg
    normalisation = dict(mean=known["mean"], std=known["std"])
    return StartWeights(
        network.state_dict(), known.get("license") or UNKNOWN, normalisation=normalisation
    )


def _from_file(source: str, backbone: TimmBackbone, *, which: str, layout: str) -> StartWeights:
    """The network of a file of ours or of others."""
    if not Path(source).exists() and timm.is_model(source.split(".")[0]):
        raise FileNotFoundError(f"no such file; published weights are named 'timm:{source}'")
    content = read_checkpoint(source)
    meta = content.get("meta")
    if isinstance(meta, dict) and "backbone" in meta:
        return _from_ours(find_state(content), meta, backbone, which=which)
    options = timm_options(backbone.config)
    name = backbone.config["name"].split(".")[0]
    try:
        imported = import_networks(
            content, source, layout=layout, backbone=name, options=options, weights=None
        )
    except Unrecognised:
        if which == "target":
            raise
        network = TimmBackbone(name, **options)
        fill(network.model, find_state(content), source=source)
        return StartWeights(network.state_dict())
    check_choice("weights", which, imported.backbones)
    notes = ()
    if len(imported.backbones) == 2 and imported.match.layout.usual != which:
        notes = (
            f"the file holds two networks and the {which} one was taken; its authors evaluate the "
            f"other: start='{source}?weights={imported.match.layout.usual}'",
        )
    return StartWeights(
        imported.backbones[which].state_dict(), UNKNOWN, imported.normalisation, notes
    )


def _from_ours(
    state: Mapping[str, Tensor], meta: Mapping[str, Any], backbone: TimmBackbone, *, which: str
) -> StartWeights:
    """The network of a checkpoint of ours."""
    theirs, own = _comparable(meta["backbone"]), _comparable(backbone.config)
    differing = []
    for key in sorted(theirs | own):
        if theirs.get(key) != own.get(key):
            differing.append(f"{key} {theirs.get(key)!r} there, {own.get(key)!r} here")
    if differing:
        raise ValueError(f"the weights are of another network: {'; '.join(differing)}")
    network = under(_PREFIXES[which], state)
    if not network:
        raise ValueError(f"weights={which!r}: the checkpoint has no such network")
    return StartWeights(network, meta.get("licence") or UNKNOWN, meta.get("normalisation"))


def _comparable(config: Mapping[str, Any]) -> dict[str, Any]:
    """What decides which weights there are; a tag names weights, not an architecture."""
    options = {key: value for key, value in weight_options(config).items() if value is not None}
    return options | dict(name=config["name"].split(".")[0])
