"""Labelling the validation part from the memory. Predictions are held for one batch at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import grid_of
from benchmarks.core.memory import available_bytes
from benchmarks.core.neighbours import DistributedIndex, Index, resolve_backend
from benchmarks.data import DepthFolder, SegmentationFolder
from benchmarks.data.pairs import LabelledBatch, PairSplit
from benchmarks.frozen.retrieval.memory import build_memory, encode, place, share_of
from benchmarks.frozen.retrieval.memory_need import check_batch
from benchmarks.frozen.retrieval.patches import PatchLabels
from benchmarks.frozen.retrieval.settings import Settings
from pretrain.progress import Progress

_PIECE_BYTES = 64 << 20  # of class scores at once: gigabytes otherwise, with many classes


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
    with _normalisation(extractor, settings.compat):
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


def decode(similarity: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """ŷ = Σ_j softmax(s / β)_j · L_j.

    Args:
        similarity: (Q, k) cosines of the k nearest keys.
        labels: (Q, k, C) soft labels of these keys.
        temperature: β.

    Returns:
        (Q, C), same dtype; rows sum to 1 minus the weighted share of ignored pixels.
    """
    # softmax subtracts the maximum: s / β may be large
    weights = torch.softmax(similarity / temperature, dim=1)
    return torch.einsum("qk,qkc->qc", weights, labels)


def retrieve(
    extractor: FeatureExtractor,
    batch: LabelledBatch | None,
    *,
    split: PairSplit,
    index: Index,
    labels: Tensor,
    scale: float,
    settings: Settings,
) -> Tensor:
    """Soft labels (B, C, h, w) float32 of a batch.

    Args:
        extractor: Gives the maps.
        batch: B images; None only takes part in a collective search.
        split: Names the images in errors.
        index: Of the memory's keys.
        labels: (M, C) as the memory holds them; ``scale`` times them are the soft labels.
        scale: See ``labels``.
        settings: The protocol.
    """
    if batch is None:
        if isinstance(index, DistributedIndex):
            index.search(torch.empty(0, index.width, device=labels.device), settings.neighbours)
        return torch.empty(0)
    queries = encode(extractor, batch, split=split)  # (B, h, w, D)
    similarity, nearest = index.search(queries.flatten(0, 2), settings.neighbours)
    piece = max(1, _PIECE_BYTES // (4 * nearest.shape[1] * labels.shape[1]))
    decoded = []
    for cosines, entries in zip(similarity.split(piece), nearest.split(piece), strict=True):
        decoded.append(decode(cosines, labels[entries].float() * scale, settings.temperature))
    shares = torch.cat(decoded)
    return shares.view(*queries.shape[:3], -1).permute(0, 3, 1, 2)


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


@contextmanager
def _normalisation(extractor: FeatureExtractor, compat: tuple[str, ...]) -> Iterator[None]:
    """Normalises with the compat mode's blue channel while it runs."""
    std = extractor.std
    if "blue-std-0.255" in compat:
        extractor.std = (*std[:2], 0.255)
    try:
        yield
    finally:
        extractor.std = std
