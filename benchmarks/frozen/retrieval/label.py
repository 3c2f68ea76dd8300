"""Labelling the validation part from the memory. Predictions are held for one batch at most."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch.distributed as dist
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import grid_of
from benchmarks.core.memory import available_bytes
from benchmarks.core.neighbours import resolve_backend
from benchmarks.data import DepthFolder, SegmentationFolder
from benchmarks.data.pairs import LabelledBatch, PairSplit
from benchmarks.frozen.retrieval.decode import retrieve
from benchmarks.frozen.retrieval.memory import build_memory, place, share_of
from benchmarks.frozen.retrieval.memory_need import check_batch
from benchmarks.frozen.retrieval.patches import PatchLabels
from benchmarks.frozen.retrieval.settings import Settings
from pretrain.progress import Progress


def label_val(
    extractor: FeatureExtractor,
    data: SegmentationFolder | DepthFolder,
    settings: Settings,
    *,
    labelling: PatchLabels,
    score: Callable[[Tensor, LabelledBatch], None],
    progress: Progress | None,
    distributed: bool,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Fills the memory from the train part and labels the val part from it, batch by batch.

    Args:
        extractor, data, settings, progress, distributed: as in
            :func:`benchmarks.frozen.retrieval.run.run`.
        labelling: What is stored of the label maps.
        score: Called with the decoded labels (B, C, h, w) float32 of each batch of this process.

    Returns:
        What :func:`facts_of` says, and the cost.

    Raises:
        ValueError, MemoryError: as there.
    """
    started = time.perf_counter()
    backend = resolve_backend(settings.backend, extractor.device)
    grid = grid_of(settings.size, extractor.stride)
    if getattr(extractor, "upsampler", None) is not None:
        check_batch(
            settings.batch_size,
            channels=extractor.channels,
            cells=grid[0] * grid[1],
            available=available_bytes(extractor.device),
        )
    extractor = _as_published(extractor, settings.compat)
    memory = build_memory(
        extractor,
        data.train,
        settings,
        grid=grid,
        backend=backend,
        labelling=labelling,
        progress=progress,
        distributed=distributed,
    )
    encoded = time.perf_counter() - started
    index, labels, effective = place(
        memory, backend=backend, placement=settings.placement, distributed=distributed
    )
    for batch in _batches(data.val, settings, progress=progress, distributed=distributed):
        decoded = retrieve(
            extractor,
            batch,
            split=data.val,
            index=index,
            labels=labels,
            scale=memory.label_scale,
            settings=settings,
        )
        if batch is not None:
            score(decoded, batch)
    world = dist.get_world_size() if distributed else 1
    facts = facts_of(settings, stride=extractor.stride, backend=backend, effective=effective)
    return facts, dict(encode_seconds=encoded, processes=world)


def facts_of(settings: Settings, *, stride: int, backend: str, effective: int) -> dict[str, Any]:
    """What the protocol holds beside data and settings.

    Args:
        settings: of the run.
        stride: pixels per patch.
        backend: that searched.
        effective: entries of the memory.
    """
    return dict(
        stride=stride,
        backend=backend,
        memory_effective=effective,
        resolution="resized",
        compat=sorted(settings.compat),
    )


def _batches(
    split: PairSplit, settings: Settings, *, progress: Progress | None, distributed: bool
) -> Iterator[LabelledBatch | None]:
    """This process's batches, filled up with None: all take part in a sharded search equally
    often.
    """
    count = split.batch_count(settings.batch_size)
    world = dist.get_world_size() if distributed else 1
    rounds = -(-count // world)
    batches = split.batches(settings.size, settings.batch_size, part=share_of(count, distributed))
    for done in range(rounds):
        yield next(batches, None)
        if progress:
            progress("retrieve", done + 1, rounds)


def _as_published(extractor: FeatureExtractor, compat: tuple[str, ...]) -> FeatureExtractor:
    """The network, or with the compat mode's blue channel a copy that normalises so."""
    if "blue-std-0.255" not in compat:
        return extractor
    extractor = copy.copy(extractor)
    extractor.std = (*extractor.std[:2], 0.255)
    return extractor
