"""The feature pyramid that some objectives pretrain together with a network."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from benchmarks.core.extractor import parse_spec
from benchmarks.weights.checkpoint import find_state, read_checkpoint
from pretrain.state_dicts import refuse_non_finite


def pretrained_levels(spec: str, weights: str = "online") -> dict[str, Tensor]:
    """Returns the pyramid of a checkpoint of ours, keys from ``fpn.`` and ``head_convs.``.

    Empty where the source is no file, or has none; of several objectives with a pyramid the first
    counts.

    Args:
        spec: as ``FeatureExtractor.load`` takes it.
        weights: ``online`` or ``target``: the pyramid that belongs to that network.

    Raises:
        ValueError: a weight is NaN or infinite.
    """
    path, _ = parse_spec(spec)
    if not Path(path).is_file():
        return {}
    state = find_state(read_checkpoint(path))
    name = "levels" if weights == "online" else "target_levels"
    found = (re.match(rf"objectives\.(\d+)\.(.+\.)?{name}\.", key) for key in state)
    marked = [(int(match[1]), match[0]) for match in found if match]  # objective 2 is before 10
    if not marked:
        return {}
    prefix = min(marked)[1]
    levels = {key: value for key, value in state.items() if key.startswith(prefix)}
    refuse_non_finite(levels, path)
    return {key[len(prefix) :]: value for key, value in levels.items()}
