"""Start weights made of a trained network, as a file that ``load_from`` and benchmarks read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.analysis.layers import WEIGHTED, Shown, layers_of
from benchmarks.analysis.references import START, load_reference
from benchmarks.analysis.starts import StartPlan, make_start
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data import ClassFolder
from benchmarks.weights.checkpoint import PREFIXES
from pretrain.files import atomic_path, require_writable
from pretrain.progress import Progress
from pretrain.state_dicts import prefixed


def write_start(
    network: str,
    out: str | Path,
    plan: StartPlan,
    *,
    data: str | Path | None = None,
    images: int = 500,
    size: int = 96,
    reference: str = START,
    weights: str = "online",
    progress: Progress | None = None,
) -> list[str]:
    """Writes a backbone that begins as planned, atomically: no heads, so that every training draws
    its own.

    Args:
        network: spec of :meth:`FeatureExtractor.load`, usually a checkpoint.
        out: file to write.
        plan: what is taken over.
        data: root of class folders, of whose train part images are shown; needed to draw more than
            the first layer.
        images: at most so many. size: their side in pixels.
        reference: the network before its training, see ``load_reference``.
        weights: ``online`` or ``target``, of our checkpoints.
        progress: called with (phase, done, in all).

    Returns:
        Names of the layers that were taken over.

    Raises:
        OSError: ``out`` cannot be written.
        ValueError: ``out`` is the network's own file, deeper layers are to be drawn without data,
            or see :func:`benchmarks.analysis.starts.make_start`.
    """
    source = network.partition("?")[0]
    if Path(out).resolve() == Path(source).resolve():
        raise ValueError(f"--out {out} is the checkpoint itself; name another file")
    require_writable(Path(out), "--out")
    if plan.filters == "drawn" and plan.layers != 1 and data is None:
        raise ValueError(
            f"--layers {plan.layers}: layers behind the first are drawn along the directions in "
            "which their inputs vary; name class folders by --data"
        )
    trained = FeatureExtractor.load(network, weights)
    initial = load_reference(trained, reference)
    split = None if data is None else ClassFolder(data).train
    shown = Shown(split, images, size, 1.0, batch_size=64)
    backbone = make_start(trained, initial, plan, shown=shown, progress=progress)
    meta = dict(
        backbone=backbone.config,
        normalisation=dict(mean=trained.mean, std=trained.std),
        samples_seen=0,
        start=dict(asdict(plan), network=network, fingerprint=trained.fingerprint),
    )
    state = prefixed(PREFIXES["online"], backbone.state_dict())
    with atomic_path(Path(out)) as temporary:
        torch.save(dict(meta=meta, state_dict=state), temporary)
    return list(layers_of(trained, WEIGHTED, size))[: plan.layers or None]
