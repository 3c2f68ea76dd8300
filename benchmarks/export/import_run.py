"""From a file of others to a checkpoint of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.weights.checkpoint import PREFIXES, Checkpoint
from pretrain.files import atomic_path, sha256_of
from pretrain.specs import parse_spec
from pretrain.state_dicts import prefixed, refuse_non_finite
from pretrain.weights.layouts import UPSAMPLERS, find_layout
from pretrain.weights.network import Imported, call

_SUFFIXES = re.compile(r"(\.(pth|pt|tar|ckpt|bin|torch|safetensors))+$")


@dataclass(frozen=True)
class Written:
    """What an import gave.

    Attributes:
        path: The checkpoint of ours.
        lines: What to tell the user, a sentence each.
    """

    path: Path
    lines: tuple[str, ...]


def parse_backbone(spec: str | None) -> tuple[str | None, dict[str, Any]]:
    """Name and options of ``NAME?option=value&…``; of None, None and nothing."""
    if spec is None:
        return None, {}
    name, options = parse_spec(f"timm:{spec}")
    return name.removeprefix("timm:"), options


def import_file(
    path: str | Path,
    out: str | Path | None = None,
    *,
    layout: str = "auto",
    backbone: str | None = None,
    options: dict[str, Any] | None = None,
    weights: str | None = None,
) -> Written:
    """Reads a checkpoint of others and writes one of ours, atomically.

    Args:
        path: The file; ``torch.save``'s or safetensors.
        out: Where to; None: ``work_dirs/imported/<its name>.pth``.
        layout: A layout's name, or ``auto``.
        backbone: timm name; None infers it from shapes.
        options: Of the network.
        weights: ``online`` or ``target`` takes that network alone; None takes both where there are
            two.

    Returns:
        The checkpoint: ``backbone.*`` and, of two networks, ``target_backbone.*``; ``meta`` has
        ``backbone``, ``normalisation`` and ``imported``. For an upsampler ``upsampler.*`` and
        ``meta["upsampler"]``.

    Raises:
        ValueError, FileNotFoundError: as :meth:`benchmarks.weights.checkpoint.Checkpoint.read`,
            :func:`pretrain.weights.network.import_networks`; ``out`` is ``path``.
    """
    path = Path(path)
    out = (
        Path("work_dirs/imported") / f"{_SUFFIXES.sub('', path.name)}.pth"
        if out is None
        else Path(out)
    )
    if layout not in ("auto", *UPSAMPLERS):
        find_layout(layout)  # a wrong name is told before anything is read
    checkpoint = Checkpoint.read(path)
    if out.resolve() == path.resolve():
        raise ValueError(f"--out {out} is the file that is read; name another")
    meta: dict[str, Any] = dict(imported=dict(file=path.name, sha256=sha256_of(path)))
    if layout in UPSAMPLERS or (layout == "auto" and checkpoint.is_featup):
        if backbone or weights:
            raise ValueError(
                "--backbone and --weights are for networks; the layout 'featup' is for an "
                "upsampler's files"
            )
        state, lines = _upsampler(checkpoint, meta)
    else:
        imported = checkpoint.imported(
            layout=layout, backbone=backbone, options=options, weights=weights
        )
        state, lines = _networks(imported, meta)
    with atomic_path(out) as temporary:
        torch.save(dict(state_dict=state, meta=meta), temporary)
    return Written(out, tuple(lines))


def _networks(imported: Imported, meta: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """State dict of a checkpoint of ours and what to tell; fills ``meta``."""
    match, layout = imported.match, imported.match.layout
    backbone = imported.backbones["online"]
    places = {name: network.place + network.copies for name, network in match.networks.items()}
    meta |= dict(backbone=backbone.config, normalisation=imported.normalisation)
    meta["imported"] |= dict(
        layout=layout.name,
        source=layout.source,
        status=layout.status,
        places=places,
        report=imported.report.plain(),
    )
    lines = [
        f"layout {layout.name} ({layout.source}; {layout.status}): {match.why}",
        f"network {call(backbone.config)}, normalisation mean {imported.normalisation['mean']} std "
        f"{imported.normalisation['std']}",
        f"keys: {imported.report}",
    ]
    if layout.note:
        lines.append(f"assumed: {layout.note}")
    families = {network.translated.dialect.family for network in match.networks.values()}
    is_convnext = families == {"convnext"}
    if layout.convnext_note and is_convnext and not backbone.config.get("head_norm_first"):
        lines.append(f"differs: {layout.convnext_note}")
    if len(imported.backbones) == 2:
        advice = ", which is what its authors evaluate" if layout.usual == "target" else ""
        lines.append(
            "both networks are in the checkpoint; tools take the online one, --weights target "
            f"the other{advice}"
        )
    state = {}
    for which, network in imported.backbones.items():
        state |= prefixed(PREFIXES[which], network.state_dict())
    return state, lines


def _upsampler(checkpoint: Checkpoint, meta: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """State dict of a checkpoint of ours and what to tell; fills ``meta``."""
    stack = checkpoint.upsampler("featup")
    refuse_non_finite(stack.state_dict(), checkpoint.source)
    meta["upsampler"] = stack.config
    counts = stack.report.counts
    meta["imported"] |= dict(layout="featup", source="FeatUp, 2403.10516", report=counts)
    lines = [
        f"an upsampler for features of {stack.config['channels']} channels: {stack.config}",
        str(stack.report),
    ]
    return prefixed("upsampler.", stack.state_dict()), lines
