"""Labelling the validation part from the memory, and the record of it. Predictions are held for one
batch at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.neighbours import DistributedIndex, Index, resolve_backend
from benchmarks.core.record import Metric, Record, versions
from benchmarks.core.scores import SegmentationTally, class_iou, hungarian, mean_iou, pixel_accuracy
from benchmarks.data import DepthFolder, SegmentationFolder
from benchmarks.data.pairs import LabelledBatch, PairSplit
from benchmarks.frozen.retrieval.memory import build_memory, encode, place, share_of
from benchmarks.frozen.retrieval.memory_need import available_bytes, check_batch
from benchmarks.frozen.retrieval.patches import ClassLabels, PatchLabels
from benchmarks.frozen.retrieval.settings import Settings, grid_of, scored_classes
from pretrain.progress import Progress

_PIECE_BYTES = 64 << 20  # of class scores at once: gigabytes otherwise, with many classes


def run(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
    distributed: bool = False,
) -> Record:
    """Runs dense retrieval. Cost: M · queries · D multiply-adds.

    Args:
        extractor: Anything with ``maps``, ``stride``, ``device``, ``mean``, ``std`` and
            ``describe()``.
        data: Its train part fills the memory, its val part is scored.
        settings: The protocol.
        progress: Called with (phase, batches done, batches in all).
        distributed: Share the images among the processes of the default group; every process must
            call it and gets the record. False runs the whole benchmark in this process, even inside
            a group.

    Returns:
        Record ``retrieval``: mIoU and pixel accuracy in percent; counts for
            :func:`benchmarks.core.scores.image_counts`.

    Raises:
        ValueError: size and stride do not fit, a zero or non-finite feature (named image), too
            small a memory.
        MemoryError: the memory would not fit; names the smallest change that would.
    """
    tally = SegmentationTally(scored_classes(data.classes, settings.compat))
    protocol, cost = label_val(
        extractor,
        data,
        settings,
        labelling=class_labels(data, settings),
        score=lambda shares, batch: score_batch(tally, shares, batch),
        progress=progress,
        distributed=distributed,
    )
    if distributed:
        _reduce(tally, torch.device(extractor.device))
    return record_of(
        "retrieval", tally, protocol, compat=settings.compat, cost=cost, extractor=extractor
    )


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
        extractor, data, settings, progress, distributed: as in :func:`run`.
        labelling: What is stored of the label maps.
        score: Called with the decoded labels (B, C, h, w) float32 of each batch of this process.

    Returns:
        Protocol and cost of the record.

    Raises:
        ValueError, MemoryError: as :func:`run`.
    """
    started = time.perf_counter()
    backend = resolve_backend(settings.backend, extractor.device)
    grid = grid_of(settings.size, extractor.stride)
    if getattr(extractor, "upsampler", None) is not None:
        check_batch(
            settings.batch_size,
            extractor.channels,
            grid[0] * grid[1],
            available_bytes(extractor.device),
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
        index, labels, effective = place(memory, backend, settings.placement, distributed)
        for batch in _batches(data.val, settings, progress, distributed):
            decoded = retrieve(
                extractor,
                data.val,
                batch,
                index,
                labels=labels,
                scale=memory.label_scale,
                settings=settings,
            )
            if batch is not None:
                score(decoded, batch)
    world = dist.get_world_size() if distributed else 1
    protocol = protocol_of(
        data, settings, stride=extractor.stride, backend=backend, effective=effective
    )
    return protocol, dict(
        seconds=time.perf_counter() - started, encode_seconds=encoded, processes=world
    )


def class_labels(data: SegmentationFolder, settings: Settings) -> ClassLabels:
    """What the memory stores of masks."""
    ignored_as = None
    if "ignore-is-class-0" in settings.compat:
        ignored_as = 0
    elif "ignored-is-a-class" in settings.compat:
        ignored_as = data.classes
    return ClassLabels(scored_classes(data.classes, settings.compat), ignored_as)


def decode(similarity: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """ŷ = Σ_j softmax(s / β)_j · L_j.

    Args:
        similarity: (Q, k) cosines of the k nearest keys.
        labels: (Q, k, C) soft labels of these keys.
        temperature: β.

    Returns:
        (Q, C), same dtype; rows sum to 1 minus the weighted share of ignored pixels.
    """
    weights = torch.softmax(
        similarity / temperature, dim=1
    )  # softmax subtracts the maximum: s / β may be large
    return torch.einsum("qk,qkc->qc", weights, labels)


def retrieve(
    extractor: FeatureExtractor,
    split: PairSplit,
    batch: LabelledBatch | None,
    index: Index,
    *,
    labels: Tensor,
    scale: float,
    settings: Settings,
) -> Tensor:
    """Soft labels (B, C, h, w) float32 of a batch.

    Args:
        extractor: Gives the maps.
        split: Names the images in errors.
        batch: B images; None only takes part in a collective search.
        index: Of the memory's keys.
        labels: (M, C) as the memory holds them; ``scale`` times them are the soft labels.
        scale: See ``labels``.
        settings: The protocol.
    """
    if batch is None:
        if isinstance(index, DistributedIndex):
            index.search(torch.empty(0, index.width, device=labels.device), settings.neighbours)
        return torch.empty(0)
    queries = encode(extractor, split, batch)  # (B, h, w, D)
    similarity, found = index.search(queries.flatten(0, 2), settings.neighbours)
    piece = max(1, _PIECE_BYTES // (4 * found.shape[1] * labels.shape[1]))
    shares = torch.cat(
        [
            decode(s, labels[i].float() * scale, settings.temperature)
            for s, i in zip(similarity.split(piece), found.split(piece), strict=True)
        ]
    )
    return shares.view(*queries.shape[:3], -1).permute(0, 3, 1, 2)


def score_batch(tally: SegmentationTally, shares: Tensor, batch: LabelledBatch) -> None:
    """Upsamples soft labels (B, C, h, w) bilinearly to the masks, takes the argmax and counts it,
    image by image.

    Raises:
        ValueError: one of them is not finite, whose argmax would be a class all the same.
    """
    if not torch.isfinite(shares).all():
        raise ValueError("a predicted class score is not finite; did training diverge?")
    size = tuple(batch.masks.shape[1:])
    masks = batch.masks.to(shares.device)
    piece = max(1, _PIECE_BYTES // (4 * shares.shape[1] * size[0] * size[1]))
    start = 0
    for part in shares.contiguous().split(piece):
        predictions = F.interpolate(part, size=size, mode="bilinear", align_corners=False).argmax(
            1
        )  # (b, H, W)
        for row, prediction in enumerate(predictions, start=start):
            tally.add(prediction, masks[row], batch.ids[row])
        start += len(part)


def protocol_of(
    data: SegmentationFolder | DepthFolder,
    settings: Settings,
    *,
    stride: int,
    backend: str,
    effective: int,
) -> dict[str, Any]:
    """What the number depends on apart from the network; its name and the width of its features are
    not in it.
    """
    return dict(
        data=data.protocol,
        size=list(settings.size),
        stride=stride,
        neighbours=settings.neighbours,
        temperature=settings.temperature,
        memory_size=settings.memory_size,
        memory_effective=effective,
        passes=settings.passes,
        augment=settings.augment,
        seed=settings.seed,
        backend=backend,
        dtype=settings.dtype,
        matching="hungarian" if "hungarian" in settings.compat else "identity",
        resolution="resized",
        compat=sorted(settings.compat),
    )


def record_of(
    benchmark: str,
    tally: SegmentationTally,
    protocol: dict[str, Any],
    *,
    compat: tuple[str, ...],
    cost: dict[str, float],
    extractor: Any,
) -> Record:
    """Turns counts into a record; ``extractor`` needs ``describe()`` and ``device``.

    Raises:
        ValueError: no labelled pixel was counted.
    """
    if not tally.confusion.any():
        raise ValueError(
            f"{benchmark}: no pixel of the val part is labelled at this size: nothing can be scored"
        )
    confusion = hungarian(tally.confusion) if "hungarian" in compat else tally.confusion
    metrics = {
        "mIoU": Metric(
            100 * mean_iou(confusion, absent_as_zero="absent-is-zero" in compat), "%", "higher"
        ),
        "pixel_accuracy": Metric(100 * pixel_accuracy(confusion), "%", "higher"),
    }
    counts = dict(
        confusion=tally.confusion.tolist(),
        class_iou=class_iou(confusion).tolist(),
        per_image=tally.per_image(),
    )
    beside = versions(str(extractor.device))
    return Record(
        benchmark,
        metrics,
        protocol,
        counts=counts,
        cost=cost,
        subject=extractor.describe(),
        versions=beside,
    )


def _batches(
    split: PairSplit, settings: Settings, progress: Progress | None, distributed: bool
) -> Iterator[LabelledBatch | None]:
    """This process's batches, filled up with None: all take part in a sharded search equally often."""
    count, world = (
        split.batch_count(settings.batch_size),
        dist.get_world_size() if distributed else 1,
    )
    rounds = -(-count // world)
    batches = split.batches(settings.size, settings.batch_size, part=share_of(count, distributed))
    for done in range(rounds):
        yield next(batches, None)
        if progress:
            progress("retrieve", done + 1, rounds)


def _reduce(tally: SegmentationTally, device: torch.device) -> None:
    """Sums the confusion matrix over the processes and collects the (small) per-image counts."""
    confusion = torch.from_numpy(tally.confusion).to(device)
    dist.all_reduce(confusion)
    tables: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(tables, tally.per_image())
    tally.merge(tables, confusion.cpu().numpy().astype(np.int64))


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
