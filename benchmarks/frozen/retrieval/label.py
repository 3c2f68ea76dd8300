"""A memory of labelled patches, and other images labelled from it, batch by batch."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import grid_of
from benchmarks.core.memory import available_bytes
from benchmarks.core.neighbours import Index, resolve_backend
from benchmarks.data.pairs import LabelledBatch, PairSplit
from benchmarks.frozen.retrieval.decode import retrieve
from benchmarks.frozen.retrieval.memory import build_memory, place, share_of
from benchmarks.frozen.retrieval.memory_need import check_batch
from benchmarks.frozen.retrieval.patches import PatchLabels
from benchmarks.frozen.retrieval.settings import MemorySettings
from pretrain.progress import Progress


@dataclass(frozen=True)
class Labeller:
    """A filled memory, and the network that asks it.

    Attributes:
        extractor: gives the maps.
        settings: the protocol.
        index: of the memory's keys.
        labels: (M, C) as the memory holds them; ``scale`` times them are the soft labels.
        scale: see ``labels``.
        facts: what :func:`facts_of` says.
        cost: seconds of encoding, and how many processes there are.
        distributed: whether the search is shared among the processes.
    """

    extractor: FeatureExtractor
    settings: MemorySettings
    index: Index
    labels: Tensor
    scale: float
    facts: dict[str, Any]
    cost: dict[str, float]
    distributed: bool

    def label(
        self, split: PairSplit, progress: Progress | None = None
    ) -> Iterator[tuple[Tensor, LabelledBatch]]:
        """Yields this process's batches of a part with their soft labels (B, C, h, w) float32.

        All processes must go to the end: they take part in each other's searches.

        Args:
            split: the part.
            progress: called with ("retrieve", batches done, batches in all).

        Raises:
            ValueError: a zero or non-finite feature; names the image.
        """
        for batch in _batches(
            split, self.settings, progress=progress, distributed=self.distributed
        ):
            labels = retrieve(
                self.extractor,
                batch,
                split=split,
                index=self.index,
                labels=self.labels,
                scale=self.scale,
                settings=self.settings,
            )
            if batch is not None:
                yield labels, batch


def fill_memory(
    extractor: FeatureExtractor,
    train: PairSplit,
    settings: MemorySettings,
    *,
    labelling: PatchLabels,
    progress: Progress | None,
    distributed: bool = False,
) -> Labeller:
    """Encodes the train part into a memory that labels other images.

    Args:
        extractor: gives the maps.
        train: the part.
        settings: the protocol.
        labelling: what is stored of the label maps.
        progress: called with ("encode", batches done, batches in all).
        distributed: share the images among the processes of the default group.

    Raises:
        ValueError: size and stride do not fit, a zero or non-finite feature (named image), too
            small a memory.
        MemoryError: the memory would not fit; names the smallest change that would.
    """
    started = time.perf_counter()
    backend = resolve_backend(settings.backend, extractor.device)
    grid = grid_of(settings.size, extractor.stride)
    if getattr(extractor, "upsampler", None) is not None:
        # Upsampled maps of a whole batch are there at once; a network's own maps are small.
        check_batch(
            settings.batch_size,
            channels=extractor.channels,
            cells=grid[0] * grid[1],
            available=available_bytes(extractor.device),
        )
    extractor = _as_published(extractor, settings.compat)
    memory = build_memory(
        extractor,
        train,
        settings,
        grid=grid,
        backend=backend,
        labelling=labelling,
        progress=progress,
        distributed=distributed,
    )
    seconds = time.perf_counter() - started
    index, labels, effective = place(
        memory, backend=backend, placement=settings.placement, distributed=distributed
    )
    return Labeller(
        extractor,
        settings,
        index,
        labels,
        scale=memory.label_scale,
        facts=facts_of(settings, stride=extractor.stride, backend=backend, effective=effective),
        cost=dict(encode_seconds=seconds, processes=dist.get_world_size() if distributed else 1),
        distributed=distributed,
    )


def facts_of(
    settings: MemorySettings, *, stride: int, backend: str, effective: int
) -> dict[str, Any]:
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
    split: PairSplit, settings: MemorySettings, *, progress: Progress | None, distributed: bool
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
