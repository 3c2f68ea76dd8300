"""The second network of an analysis: what the measured one is compared with."""

from __future__ import annotations

from pathlib import Path

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.network import SPEC_OPTIONS
from benchmarks.weights.checkpoint import Checkpoint
from benchmarks.weights.untrained import untrained_content
from pretrain.specs import parse_spec

#: The network itself, as it was before its pretraining.
START = "start"


def load_reference(extractor: FeatureExtractor, reference: str = START) -> FeatureExtractor:
    """Loads the network that a measured one is compared with, to the same device.

    Args:
        extractor: the measured network, as :meth:`FeatureExtractor.load` made it.
        reference: ``start``: the same network before its pretraining, rebuilt from the recipe and
            the seed in its checkpoint, start weights included; a network that was
            never trained is its own start. Anything else is a spec of
            :meth:`FeatureExtractor.load`.

    Raises:
        ValueError: ``start`` of a network that does not say how it began; what is wrong with a
            spec.
        FileNotFoundError: no such file.
    """
    if reference != START:
        return FeatureExtractor.load(reference, weights=extractor.weights, device=extractor.device)
    source, options = parse_spec(extractor.spec)
    kind = source.partition(":")[0]
    if kind == "random":
        return FeatureExtractor.load(extractor.spec, device=extractor.device)
    if kind == "timm" or not Path(source).is_file():
        raise _without_start(extractor, "it is not in a checkpoint of ours")
    checkpoint = Checkpoint.read(source)
    if not checkpoint.meta.get("untrained"):
        checkpoint = _started(extractor, checkpoint)
    for name in SPEC_OPTIONS:
        options.pop(name, None)
    loaded = checkpoint.network(extractor.weights, options=options)
    return FeatureExtractor(
        loaded.backbone.to(extractor.device).eval(),
        mean=extractor.mean,
        std=extractor.std,
        spec=f"start of {extractor.spec}",
        weights=extractor.weights,
        map_stride=extractor.map_stride,
        samples_seen=0,
    )


def reference_fact(reference: str, network: FeatureExtractor) -> str:
    """What the protocol says of a reference: ``start``, which is another network for each seed, and
    else the name or, of a file, the fingerprint of its weights.

    Args:
        reference: as :func:`load_reference` takes it.
        network: what it gave.
    """
    if reference == START or reference.startswith(("timm:", "random:")):
        return reference
    return network.fingerprint


def _started(extractor: FeatureExtractor, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint as its run would have written it before the first step."""
    try:
        content = untrained_content(checkpoint.config)
    except ValueError as error:
        raise _without_start(extractor, str(error)) from error
    return Checkpoint(f"start of {checkpoint.source}", content)


def _without_start(extractor: FeatureExtractor, reason: str) -> ValueError:
    return ValueError(
        f"reference={START!r}: there is no start of {extractor.spec}: {reason}; name the second "
        "network: FILE.pth, timm:NAME or random:NAME"
    )
