"""Exact k nearest neighbours by inner product: three back-ends, one result (up to ties).

``torch`` chunked matmul with a running top-k, any device; ``faiss-cpu`` and ``faiss-gpu`` flat
indices. ``auto`` is torch on a GPU and faiss-cpu on a CPU where it is installed (1.5-2 times
torch's speed on one core).
"""

from __future__ import annotations

import importlib.util
import warnings
from functools import cache
from typing import Protocol

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from pretrain.names import check_choice

BACKENDS = ("auto", "torch", "faiss-cpu", "faiss-gpu")
# 128 x 32,768 similarities are 16 MB: close to a CPU's last cache, and large enough for the matmul
# to run at full rate.
QUERY_CHUNK = {"cpu": 128, "cuda": 4096}
KEY_CHUNK = {"cpu": 32_768, "cuda": 65_536}


class Index(Protocol):
    """A set of keys that can be searched."""

    def search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Returns inner products (Q, k) float32 in descending order, and the keys' indices (Q, k)
        int64.
        """


def resolve_backend(backend: str, device: torch.device | str) -> str:
    """Turns ``auto`` into a back-end; one that cannot run here becomes ``torch`` (same neighbours),
    with a warning.

    Raises:
        ValueError: unknown name.
    """
    check_choice("backend", backend, BACKENDS)
    has_faiss = importlib.util.find_spec("faiss") is not None
    if backend == "auto":
        return "faiss-cpu" if torch.device(device).type == "cpu" and has_faiss else "torch"
    if backend.startswith("faiss") and not has_faiss:
        return _torch_instead(backend, "faiss is not installed (pip install faiss-cpu)")
    if backend == "faiss-gpu":
        import faiss

        if not hasattr(faiss, "GpuIndexFlatIP") or faiss.get_num_gpus() == 0:
            return _torch_instead(backend, "this faiss sees no GPU")
    return backend


def backend_of_networks(backend: str) -> str:
    """The back-end that a network would get on this machine. A predictor without a network runs on
    the CPU and must name the same one to share a network's column.
    """
    return resolve_backend(backend, "cuda" if torch.cuda.is_available() else "cpu")


@cache  # said once per process
def _torch_instead(backend: str, reason: str) -> str:
    warnings.warn(
        f"backend={backend!r}: {reason}; torch searches instead, with the same neighbours",
        stacklevel=3,
    )
    return "torch"


def build_index(keys: Tensor, backend: str = "auto") -> Index:
    """Builds an index over ``keys`` (M, D) float32 or float16; similarities are computed in float32
    by torch and faiss-cpu (float16 keys are widened chunk by chunk), so float16 costs rounding of
    the keys only.

    Raises:
        ValueError: no keys, or an unknown back-end.
    """
    if keys.ndim != 2 or not len(keys):
        raise ValueError(f"keys must be (M, D) with M > 0, found shape {tuple(keys.shape)}")
    backend = resolve_backend(backend, keys.device)
    return TorchIndex(keys) if backend == "torch" else FaissIndex(keys, gpu=backend == "faiss-gpu")


class TorchIndex:
    """Chunked matmul and running top-k. Cost O(Q·M·D) time, O(chunk) memory beside the keys."""

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys
        kind = "cpu" if keys.device.type == "cpu" else "cuda"
        self._query_chunk, self._key_chunk = QUERY_CHUNK[kind], KEY_CHUNK[kind]

    def search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """See :class:`Index`; k is clamped to M."""
        k = min(k, len(self.keys))
        dtype = torch.float64 if self.keys.dtype == torch.float64 else torch.float32
        queries = queries.to(self.keys.device, dtype)
        parts = [self._search(part, k) for part in queries.split(self._query_chunk)]
        similarities, indices = zip(*parts, strict=True)
        return torch.cat(similarities), torch.cat(indices)

    def _search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        best = queries.new_empty(len(queries), 0)
        where = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
        for start in range(0, len(self.keys), self._key_chunk):
            chunk = self.keys[start : start + self._key_chunk].to(queries.dtype)
            similarity = queries @ chunk.T  # (Q, chunk)
            values, indices = similarity.topk(min(k, len(chunk)), dim=1)
            best, where = torch.cat([best, values], 1), torch.cat([where, indices + start], 1)
            best, order = best.topk(min(k, best.shape[1]), dim=1)
            where = where.gather(1, order)
        return best, where


class FaissIndex:
    """faiss flat inner product, on CPU without a second copy of float32 keys, or on the current
    GPU.
    """

    def __init__(self, keys: Tensor, *, gpu: bool) -> None:
        import faiss

        self._faiss, self._device, self._count = faiss, keys.device, len(keys)
        self._keys, self._index = None, None
        half = keys.dtype == torch.float16
        if gpu:
            resources = faiss.StandardGpuResources()
            resources.setTempMemory(256 << 20)  # older versions grab 18 % of the GPU by default
            options = faiss.GpuIndexFlatConfig()
            options.useFloat16 = half
            options.device = keys.device.index or 0
            self._index = faiss.GpuIndexFlatIP(resources, keys.shape[1], options)
            self._resources = resources  # must outlive the index
            for part in keys.split(1 << 18):
                self._index.add(_array(part))
        elif half:
            self._index = faiss.IndexScalarQuantizer(
                keys.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            )
            for part in keys.split(1 << 18):
                self._index.add(_array(part))
        else:
            self._keys = _array(keys)

    def search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """See :class:`Index`; k is clamped to M."""
        k = min(k, self._count)
        if not len(queries):
            nothing = torch.empty(0, k, device=self._device)
            return nothing, nothing.long()
        array = _array(queries)
        if self._index is not None:
            similarity, indices = self._index.search(array, k)
        else:
            metric = self._faiss.METRIC_INNER_PRODUCT
            similarity, indices = self._faiss.knn(array, self._keys, k, metric=metric)
        similarity, indices = map(torch.from_numpy, (similarity, indices))
        return similarity.to(self._device), indices.to(self._device)


class DistributedIndex:
    """Keys split over the processes of the default group, each searching its own for everybody's
    queries.

    ``search`` is a collective: every process must call it equally often (with (0, D) queries when
    it has none left). Traffic per call: all queries and k (similarity, index) pairs per query and
    process; never labels or keys.
    """

    def __init__(self, local: Index, keys: Tensor) -> None:
        self._local, self._device, self.width = local, keys.device, keys.shape[1]
        lengths = _gather_ints(len(keys), self._device)
        self._offset = sum(lengths[: dist.get_rank()])
        self._total = sum(lengths)

    def search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """See :class:`Index`."""
        k, rank = min(k, self._total), dist.get_rank()
        queries = queries.to(self._device)
        counts = _gather_ints(len(queries), self._device)
        longest = max(max(counts), 1)
        padded = queries.new_zeros(longest, queries.shape[1])
        padded[: len(queries)] = queries
        similarity, indices = self._local.search(torch.cat(_gather(padded)), k)
        missing = k - similarity.shape[1]  # this process may hold fewer than k keys
        similarity = F.pad(similarity.float(), (0, missing), value=-torch.inf).contiguous()
        indices = F.pad(indices + self._offset, (0, missing)).contiguous()
        mine = slice(rank * longest, rank * longest + len(queries))
        # Of each process, what it found for the queries of this one.
        similarity = torch.cat([rows[mine] for rows in _gather(similarity)], 1)
        indices = torch.cat([rows[mine] for rows in _gather(indices)], 1)
        best, order = similarity.topk(min(k, similarity.shape[1]), dim=1)
        return best, indices.gather(1, order)


def _gather(tensor: Tensor) -> list[Tensor]:
    """The tensors of all processes, which have one shape."""
    everyone = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, tensor)
    return everyone


def _gather_ints(value: int, device: torch.device) -> list[int]:
    return [int(number) for number in _gather(torch.tensor([value], device=device))]


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())
