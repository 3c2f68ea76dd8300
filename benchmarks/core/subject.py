"""What records say of the network that they measure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from torch import nn

from pretrain.weights.filling import weights_fingerprint


def describe_upsampler(upsampler: Any) -> dict[str, Any]:
    """Says which upsampler this is, as plain values: what it was called, its config, a fingerprint
    of its weights.
    """
    described = dict(
        spec=getattr(upsampler, "spec", type(upsampler).__name__), type=type(upsampler).__name__
    )
    if isinstance(upsampler, nn.Module):
        described |= dict(
            config=dict(getattr(upsampler, "config", {})),
            fingerprint=weights_fingerprint(upsampler),
        )
    if getattr(upsampler, "trained_on", None):
        described["trained_on"] = upsampler.trained_on
    return described


def identity(described: Mapping[str, Any]) -> str:
    """First 12 hex digits of a hash of weights, architecture and normalisation, and of what is read
    and removed where that was chosen: what makes a network this one.

    Dilation, attention heads and colours change features and leave the weights' fingerprint as it
    is.

    Args:
        described: what :meth:`FeatureExtractor.describe` says, from a record that was read as well.
    """
    parts = [described[name] for name in ("fingerprint", "backbone", "mean", "std")]
    for chosen in ("features", "without_place"):
        parts += [described[chosen]] if chosen in described else []
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
