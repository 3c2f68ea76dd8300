"""Encoding the labelled train set into the memory of dense retrieval, in one process or shared
among several.

The order of the memory is batch, augmentation pass, image, patch. A process encodes a contiguous
run of batches, so that the shares put one after the other are the memory that one process would
have built, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import require_grid
from benchmarks.core.memory import available_bytes
from benchmarks.core.neighbours import DistributedIndex, Index, build_index
from benchmarks.data.pairs import LabelledBatch, PairSplit, RandomCrop
from benchmarks.frozen.retrieval.encode import encode
from benchmarks.frozen.retrieval.memory_need import MemoryNeed, check_memory
from benchmarks.frozen.retrieval.patches import PatchLabels, PatchMemory, select_patches
from benchmarks.frozen.retrieval.settings import MemorySettings, per_image_limit
from pretrain.progress import Progress


def train_batches(
    split: PairSplit, settings: MemorySettings, part: tuple[int, int] | None = None
) -> Iterator[LabelledBatch]:
    """Yields the train batches of the memory in their order: batch, then pass; augmented if the
    settings say so.
    """
    scale = (0.5, 2.0) if "crop-scale-2" in settings.compat else (0.5, 1.0)
    crop = RandomCrop(scale=scale, seed=settings.seed) if settings.augment else None
    yield from split.batches(
        settings.size, settings.batch_size, part=part, passes=settings.passes, crop=crop
    )


def stored_patches(
    batch: LabelledBatch,
    settings: MemorySettings,
    *,
    grid: tuple[int, int],
    labelling: PatchLabels,
    limit: int | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields per image the patches that enter the memory: (n,) indices into h·w and their (n, C)
    labels.
    """
    counts, labels = labelling(batch.masks, grid)  # (B, h·w, any), (B, h·w, C)
    for row, image in enumerate(batch.ids):
        rng = np.random.default_rng([settings.seed, 1, batch.repeat, image])
        chosen = select_patches(counts[row], limit, rng)
        yield chosen, labels[row][chosen]


def build_memory(
    extractor: FeatureExtractor,
    split: PairSplit,
    settings: MemorySettings,
    *,
    grid: tuple[int, int],
    backend: str,
    labelling: PatchLabels,
    progress: Progress | None = None,
    distributed: bool = False,
) -> PatchMemory:
    """Encodes this process's share of the train part into a memory.

    Args:
        extractor: Gives the maps.
        split: Train part.
        settings: The protocol.
        grid: (h, w) of the maps.
        backend: Resolved name; decides where the keys live.
        labelling: What is stored of the label maps.
        progress: Called with ("encode", batches done, batches in all).
        distributed: Take a share only.

    Raises:
        ValueError: an unusable feature (named image), a map of another grid, fewer batches than
            processes.
        MemoryError: the memory would not fit.
    """
    limit = per_image_limit(settings.memory_size, len(split), settings.passes)
    batches = split.batch_count(settings.batch_size)
    if distributed and batches < dist.get_world_size():
        raise ValueError(
            f"{len(split)} train images are {batches} batches of {settings.batch_size}, fewer than "
            f"{dist.get_world_size()} processes; use a smaller batch_size or fewer processes"
        )
    first, end = share_of(batches, distributed)
    jitter_seed = settings.seed if settings.augment else None
    memory, done = None, 0
    for batch in train_batches(split, settings, (first, end)):
        keys = encode(extractor, batch, split=split, jitter_seed=jitter_seed)
        require_grid(keys.shape[1:3], grid, extractor.stride)
        if memory is None:
            memory = _allocate(
                keys,
                split,
                settings,
                labelling=labelling,
                part=(first, end),
                backend=backend,
                distributed=distributed,
            )
        stored = stored_patches(batch, settings, grid=grid, labelling=labelling, limit=limit)
        for row, (chosen, labels) in enumerate(stored):
            memory.add(keys[row].flatten(0, 1)[chosen.to(keys.device)], labels)
        done += 1
        if progress:
            progress("encode", done, (end - first) * settings.passes)
    return memory


def share_of(count: int, distributed: bool) -> tuple[int, int]:
    """Returns the (first, end) of this process's contiguous part of ``count`` batches; all of them
    if alone.
    """
    if not distributed:
        return 0, count
    rank, world = dist.get_rank(), dist.get_world_size()
    return rank * count // world, (rank + 1) * count // world


def place(
    memory: PatchMemory, *, backend: str, placement: str, distributed: bool
) -> tuple[Index, Tensor, int]:
    """Makes the memory searchable from every process.

    Returns:
        The index; the labels (M, C) of all entries, whole on every process; M.
    """
    if not distributed:
        return build_index(memory.keys, backend), memory.labels, len(memory)
    labels = _gather_rows(memory.labels)
    if placement == "replicate":
        return build_index(_gather_rows(memory.keys), backend), labels, len(labels)
    local = build_index(memory.keys, backend)
    return DistributedIndex(local, memory.keys), labels, len(labels)


def _gather_rows(rows: Tensor) -> Tensor:
    """Puts the (n_r, …) rows of all processes one after the other."""
    length = torch.tensor([len(rows)], device=rows.device)
    lengths = [torch.empty_like(length) for _ in range(dist.get_world_size())]
    dist.all_gather(lengths, length)
    longest = int(max(lengths))
    padded = rows.new_zeros(longest, *rows.shape[1:])
    padded[: len(rows)] = rows
    everyone = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(everyone, padded)
    return torch.cat([part[: int(n)] for part, n in zip(everyone, lengths, strict=True)])


def _allocate(
    keys: Tensor,
    split: PairSplit,
    settings: MemorySettings,
    *,
    labelling: PatchLabels,
    part: tuple[int, int],
    backend: str,
    distributed: bool,
) -> PatchMemory:
    """Announces the need of the whole memory, refuses it if it does not fit, and allocates this
    process's share.

    Args:
        keys: (B, h, w, D) first encoded batch.
        part: (first, end) batches of this process.
        split, settings, labelling, backend, distributed: as in :func:`build_memory`.
    """
    world = dist.get_world_size() if distributed else 1
    cells, width = keys.shape[1] * keys.shape[2], keys.shape[3]
    limit = per_image_limit(settings.memory_size, len(split), settings.passes)
    per_image = settings.passes * (cells if limit is None else min(limit, cells))
    images = min(part[1] * settings.batch_size, len(split)) - part[0] * settings.batch_size
    patch_pixels = settings.size[0] * settings.size[1] // cells
    home = torch.device("cpu") if backend == "faiss-cpu" else keys.device
    need = MemoryNeed(
        len(split) * per_image,
        width,
        labelling.width,
        patch_pixels,
        settings.dtype,
        shards=world if settings.placement == "shard" else 1,
        copies=2 if backend == "faiss-gpu" else 1,
        label_dtype=labelling.dtype,
        word=labelling.word,
    )
    if not distributed or dist.get_rank() == 0:
        print(f"nearest neighbours need at most a {need}", flush=True)
    check_memory(need, available_bytes(home))
    return PatchMemory(
        images * per_image,
        width,
        classes=labelling.width,
        patch_pixels=patch_pixels,
        dtype=getattr(torch, settings.dtype),
        device=home,
        label_dtype=labelling.dtype,
    )
