"""Labels of a batch from its nearest neighbours in the memory."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.neighbours import DistributedIndex, Index
from benchmarks.data.pairs import LabelledBatch, PairSplit
from benchmarks.frozen.retrieval.encode import encode
from benchmarks.frozen.retrieval.settings import MemorySettings

_PIECE_BYTES = 64 << 20  # of class scores at once: gigabytes otherwise, with many classes


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
    settings: MemorySettings,
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
