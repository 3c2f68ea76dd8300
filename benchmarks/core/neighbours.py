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
# 1,024 x 4,096 similarities are 16 MB: close to a CPU's last cache, and of a shape at which the
# matmul runs at full rate (flat ones of 128 x 32,768 reach three quarters of it).
QUERY_CHUNK = {"cpu": 1024, "cuda": 4096}
KEY_CHUNK = {"cpu": 4096, "cuda": 65_536}
_BLOCK = 64  # similarities of a query that are judged together by their largest
_WIDENED_KEYS = 65_536  # float16 keys that are made float32 at once for faiss


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
        """The k nearest of one chunk of queries.

        Of a chunk of keys only those blocks are sorted whose largest similarity beats the k-th best
        so far: after the first chunks nearly none, so that the matmul is what the time goes into.
        """
        best = queries.new_full((len(queries), k), -torch.inf)
        where = torch.zeros(len(queries), k, dtype=torch.int64, device=queries.device)
        width = _whole_blocks(min(self._key_chunk, len(self.keys)))
        buffer = queries.new_empty(len(queries), width)
        for start in range(0, len(self.keys), self._key_chunk):
            keys = self.keys[start : start + self._key_chunk].to(queries.dtype)
            filled = _whole_blocks(len(keys))
            buffer[:, len(keys) : filled] = -torch.inf
            torch.mm(queries, keys.T, out=buffer[:, : len(keys)])
            similarity = buffer[:, :filled]
            # Block b is the columns b, b + blocks, …: so the maximum is one of whole rows.
            largest = similarity.unflatten(1, (_BLOCK, -1)).amax(1)  # (Q, blocks)
            better = int((largest > best[:, -1:]).sum(1).amax())
            if not better:
                continue
            blocks = largest.topk(min(better, k), dim=1).indices
            members = torch.arange(_BLOCK, device=queries.device) * largest.shape[1]
            columns = (blocks.unsqueeze(-1) + members).flatten(1)
            best, order = torch.cat([best, similarity.gather(1, columns)], 1).topk(k, dim=1)
            where = torch.cat([where, columns + start], 1).gather(1, order)
        return best, where


class FaissIndex:
    """faiss flat inner product, on CPU without a second copy of the keys, or on the current GPU.

    On a CPU float16 keys are widened piece by piece: faiss's own index of float16 keys multiplies
    without a matrix product, at a fifth of the speed.
    """

    def __init__(self, keys: Tensor, *, gpu: bool) -> None:
        import faiss

        self._faiss, self._device, self._count = faiss, keys.device, len(keys)
        self._keys, self._index = keys, None
        if gpu:
            resources = faiss.StandardGpuResources()
            resources.setTempMemory(256 << 20)  # older versions grab 18 % of the GPU by default
            options = faiss.GpuIndexFlatConfig()
            options.useFloat16 = keys.dtype == torch.float16
            options.device = keys.device.index or 0
            self._index = faiss.GpuIndexFlatIP(resources, keys.shape[1], options)
            self._resources = resources  # must outlive the index
            for part in keys.split(1 << 18):
                self._index.add(_array(part))

    def search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """See :class:`Index`; k is clamped to M."""
        k = min(k, self._count)
        if not len(queries):
            nothing = torch.empty(0, k, device=self._device)
            return nothing, nothing.long()
        array = _array(queries)
        if self._index is not None:
            similarity, indices = map(torch.from_numpy, self._index.search(array, k))
        else:
            similarity, indices = self._search(array, k)
        return similarity.to(self._device), indices.to(self._device)

    def _search(self, queries: np.ndarray, k: int) -> tuple[Tensor, Tensor]:
        """The k nearest of the CPU's keys, piece by piece where they must be widened."""
        pieces = self._keys.split(
            _WIDENED_KEYS if self._keys.dtype == torch.float16 else self._count
        )
        metric = self._faiss.METRIC_INNER_PRODUCT
        best, where, start = torch.empty(len(queries), 0), torch.empty(len(queries), 0).long(), 0
        for piece in pieces:
            found = self._faiss.knn(queries, _array(piece), min(k, len(piece)), metric=metric)
            similarity, indices = map(torch.from_numpy, found)
            joined = torch.cat([best, similarity], 1)
            best, order = joined.topk(min(k, joined.shape[1]), dim=1)
            where = torch.cat([where, indices + start], 1).gather(1, order)
            start += len(piece)
        return best, where


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


def _whole_blocks(columns: int) -> int:
    """That many columns, or as many more as fill the last block."""
    return -(-columns // _BLOCK) * _BLOCK


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())
