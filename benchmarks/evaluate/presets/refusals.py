"""What must fit before a preset is measured; each of these once changed a published number
silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.evaluate.presets.preset import OF_WEIGHTS, Preset


def require_counts(protocol: Mapping[str, Any], preset: Preset) -> None:
    """Refuses data of another size than the published one.

    Args:
        protocol: of the opened data.
        preset: its ``counts`` name entries of that protocol.

    Raises:
        ValueError: another count; names both and the way out.
    """
    for name, entry in preset.counts.items():
        if name not in protocol:
            raise ValueError(
                f"preset {preset.name}: counts.{name} is no entry of the data's protocol, which "
                f"has {', '.join(protocol)}"
            )
        if protocol[name] != entry.value:
            raise ValueError(
                f"preset {preset.name}: {name} is {protocol[name]}, published {entry.value} "
                f"({entry.source}); use the whole data set, or mark the result as limited with "
                "?limit=TRAIN,VAL behind the folder"
            )


def require_own_colours(extractor: FeatureExtractor, normalisation: Any) -> None:
    """Refuses weights that are shown colours which they were not trained with.

    A file without a normalisation of its own gets ImageNet's; timm may state another one for its
    architecture (SigLIP 2 has .5, satellite weights have their own). Our own checkpoints say what
    they were trained with, and so may the user.

    Args:
        extractor: with the weights.
        normalisation: of the preset; one that is stated in numbers is taken as it is.

    Raises:
        ValueError: the two differ; names both and the way out.
    """
    known = getattr(getattr(extractor.backbone, "model", None), "pretrained_cfg", None) or {}
    untrained = extractor.report is None
    said = extractor.samples_seen is not None or extractor.stated_colours
    if normalisation != OF_WEIGHTS or untrained or said:
        return
    for name, used in (("mean", extractor.mean), ("std", extractor.std)):
        stated = tuple(map(float, known.get(name) or used))
        if any(abs(a - b) > 1e-6 for a, b in zip(stated, used, strict=True)):
            raise ValueError(
                f"{extractor.spec}: {name}={_numbers(used)} would be used, but timm states "
                f"{_numbers(stated)} for {known.get('architecture', 'this network')}; colours of "
                "other weights change the number silently: say which are right, by "
                "?mean=…,…,…&std=…,…,… behind the network"
            )


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
