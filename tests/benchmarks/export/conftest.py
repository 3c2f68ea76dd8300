"""Checkpoints of ours whose every weight and running statistic is drawn at random, so that no two
are exchangeable.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.core.extractor import FeatureExtractor


def shake(state: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """Moves every value away from what it was initialised with; variances stay positive."""
    generator = torch.Generator().manual_seed(seed)
    shaken = {}
    for key, value in state.items():
        if not value.is_floating_point():
            shaken[key] = value
            continue
        noise = torch.rand(value.shape, generator=generator)
        shaken[key] = 0.5 + noise if key.endswith("running_var") else value + 0.2 * (noise - 0.5)
    return shaken


@pytest.fixture
def write_ours(tmp_path: Path) -> Callable[..., Path]:
    """Writes a checkpoint as the engine does: write_ours(spec, seed=0, levels={}) -> its path."""

    def write(spec: str, seed: int = 0, levels: dict[str, torch.Tensor] | None = None) -> Path:
        backbone = FeatureExtractor.load(f"random:{spec}").backbone
        state = {}
        for prefix, offset in (("backbone.", 0), ("target_backbone.", 1)):
            shaken = shake(backbone.state_dict(), 2 * seed + offset)
            state |= {prefix + key: value for key, value in shaken.items()}
        state |= {f"objectives.0.levels.{key}": value for key, value in (levels or {}).items()}
        meta = dict(
            backbone=backbone.config, normalisation=dict(mean=[0.5, 0.4, 0.3], std=[0.25, 0.2, 0.3])
        )
        path = tmp_path / "final.pth"
        torch.save(dict(state_dict=state, meta=meta), path)
        return path

    return write
