"""From the text that names a network to the network, its weights and its colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.weights.checkpoint import Checkpoint
from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.random_state import undisturbed_random
from pretrain.specs import parse_spec
from pretrain.weights.filling import LoadReport
from pretrain.weights.layouts import IMAGENET

#: Options of a spec that are not the network's own.
SPEC_OPTIONS = (
    "weights",
    "seed",
    "map_stride",
    "backbone",
    "layout",
    "mean",
    "std",
    "without_place",
)


def load_network(spec: str, weights: str = "online") -> tuple[nn.Module, dict[str, Any]]:
    """Builds the network of a spec, on the CPU.

    Args:
        spec: see :meth:`benchmarks.core.extractor.FeatureExtractor.load`.
        weights: ``online`` or ``target`` where a file holds both; ``?weights=`` overrides it.

    Returns:
        The network, and further arguments of a ``FeatureExtractor``.

    Raises:
        ValueError: unknown spec, option or network; colours that are not three numbers; a file that
            would leave part of the backbone random.
        FileNotFoundError: no such file.
    """
    source, options = parse_spec(spec)
    own = {key: options.pop(key) for key in SPEC_OPTIONS if key in options}
    weights = own.get("weights", weights)
    if weights not in ("online", "target"):
        raise ValueError(f"weights={weights!r} must be 'online' or 'target'")
    stated = _stated_colours(spec, own)
    kind, _, name = source.partition(":")
    if kind in ("timm", "random"):
        seed = own.get("seed", 0)
        if type(seed) is not int:
            raise ValueError(f"spec {spec!r}: seed={seed!r} must be a whole number")
        backbone, known = _named(name, options, pretrained=kind == "timm", seed=seed)
    else:
        backbone, known = _filed(source, options, own=own, weights=weights)
    known |= dict(spec=spec, weights=weights, map_stride=own.get("map_stride"))
    return backbone, known | stated | dict(stated_colours=bool(stated))


def _named(
    name: str, options: dict[str, Any], *, pretrained: bool, seed: int
) -> tuple[nn.Module, dict[str, Any]]:
    """A timm network with its own normalisation; random weights depend on the seed only."""
    with undisturbed_random():
        torch.manual_seed(seed)
        backbone = TimmBackbone(name, **options, **(dict(pretrained=True) if pretrained else {}))
    if not pretrained:  # it has no normalisation of its own: the same for all of them
        return backbone, {}
    known = getattr(backbone.model, "pretrained_cfg", None) or {}
    return backbone, dict(
        mean=known.get("mean", IMAGENET["mean"]),
        std=known.get("std", IMAGENET["std"]),
        report=LoadReport(tuple(backbone.state_dict())),
        licence=known.get("license"),
    )


def _filed(
    source: str, options: dict[str, Any], *, own: dict[str, Any], weights: str
) -> tuple[nn.Module, dict[str, Any]]:
    """A network from a file, with what the file says of it."""
    if not Path(source).exists() and not Path(source).is_symlink():
        raise FileNotFoundError(
            f"no checkpoint {source}; a network without a file is 'timm:NAME' or 'random:NAME'"
        )
    checkpoint = Checkpoint.read(source)
    loaded = checkpoint.network(
        weights,
        backbone=own.get("backbone"),
        options=options,
        layout=own.get("layout", "auto"),
    )
    return loaded.backbone, dict(
        mean=loaded.normalisation["mean"],
        std=loaded.normalisation["std"],
        report=loaded.report,
        pyramid=checkpoint.pyramid(weights),
        licence=checkpoint.licence,
        samples_seen=checkpoint.meta.get("samples_seen"),
    )


def _stated_colours(spec: str, own: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    """``mean`` and ``std`` that the spec states, or nothing."""
    if "mean" not in own and "std" not in own:
        return {}
    colours = {name: _three_numbers(own.get(name)) for name in ("mean", "std")}
    if None in colours.values() or min(colours["std"]) <= 0:
        raise ValueError(
            f"spec {spec!r}: mean={own.get('mean')!r}, std={own.get('std')!r} must both be three "
            "numbers for RGB in [0, 1], std above 0, such as ?mean=.5,.5,.5&std=.5,.5,.5"
        )
    return colours


def _three_numbers(value: Any) -> tuple[float, ...] | None:
    numbers = value if isinstance(value, tuple) else ()
    plain = all(type(number) in (int, float) for number in numbers)
    return tuple(map(float, numbers)) if len(numbers) == 3 and plain else None
