"""Exports under timm's own key names: for timm itself, and as safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timm
from safetensors.torch import load_file, save
from torch import nn

from benchmarks.export.source import Difference, Export, Network, save_state, timm_outputs


def to_timm(network: Network) -> Export:
    """A state dict for ``timm.create_model(name, checkpoint_path=FILE, num_classes=0)``; every
    network.
    """

    def check(path: Path) -> Difference:
        theirs = timm.create_model(
            network.name, checkpoint_path=str(path), num_classes=0, **network.options
        )
        return network.compare(theirs, timm_outputs)

    arguments = network.code(
        repr(network.name), "checkpoint_path={file}", "num_classes=0", **network.options
    )
    return Export(
        suffix=".pth",
        write=save_state(network.state),
        check=check,
        line=f"model = timm.create_model({arguments})",
        keys=len(network.state),
    )


def to_safetensors(network: Network) -> Export:
    """timm's keys in a safetensors file whose metadata holds the provenance; every network."""

    def write(path: Path) -> None:
        # "format" is the framework there, which readers of other libraries look at.
        path.write_bytes(
            save(network.state, as_text(network.provenance("safetensors") | {"format": "pt"}))
        )

    def check(path: Path) -> Difference:
        theirs: nn.Module = timm.create_model(network.name, num_classes=0, **network.options)
        theirs.load_state_dict(load_file(path), strict=True)
        return network.compare(theirs, timm_outputs)

    arguments = network.code(
        repr(network.name), "checkpoint_path={file}", "num_classes=0", **network.options
    )
    return Export(
        suffix=".safetensors",
        write=write,
        check=check,
        keys=len(network.state),
        line="state = safetensors.torch.load_file({file})  # or model = timm.create_model("
        + arguments
        + ")",
    )


def as_text(content: dict[str, Any]) -> dict[str, str]:
    """Plain values as strings, what metadata of files must be; those that are not text as JSON."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, default=list)
        for key, value in content.items()
    }
