"""A memory of the keys of past steps, and InfoNCE with it as the negatives."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from pretrain.objectives.parts.reduce import gather


class KeyQueue(nn.Module):
    """First in, first out: the newest K keys of all processes, the same on each of them.

    Everything lies in buffers, so a checkpoint resumes with the very same negatives. Before K keys
    have come, only those that have are used; nothing is invented to fill the queue.

    Args:
        entries: K, need not be a multiple of the batch. dim: D.

    Attributes:
        keys: (K, D) float32. pushed: 0-d int64, keys that ever came in; the next one goes to place
            ``pushed`` mod K.

    Raises:
        ValueError: ``entries`` below 1.
    """

    keys: Tensor
    pushed: Tensor

    def __init__(self, entries: int, dim: int) -> None:
        super().__init__()
        if entries < 1:
            raise ValueError(f"entries={entries}: a queue holds at least 1 key")
        self.register_buffer("keys", torch.zeros(entries, dim))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))

    @property
    def held(self) -> Tensor:
        """Number of keys in the queue, 0-d int64, a copy."""
        return self.pushed.clamp(max=len(self.keys))

    @property
    def filled(self) -> Tensor:
        """Which places hold a key, (K,) bool."""
        return torch.arange(len(self.keys), device=self.keys.device) < self.held

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Enqueues the keys (B, …, D) of all processes, image by image in rank order; the oldest
        ones leave.

        Cost O(K·D): the buffer is replaced, not written to, because the losses of this step may
        still need the old values in their backward pass.
        """
        entries, dim = self.keys.shape
        keys = gather(keys.detach()).reshape(-1, dim).to(self.keys)
        newest = keys[-entries:]
        first = self.pushed + len(keys) - len(newest)
        places = (first + torch.arange(len(newest), device=keys.device)) % entries
        self.keys = self.keys.index_copy(0, places, newest)
        self.pushed += len(keys)


def info_nce(q: Tensor, positive: Tensor, queue: KeyQueue, temperature: float) -> Tensor:
    """Per-row loss −log( exp(s⁺) / (exp(s⁺) + Σ_k exp(s_k)) ), s = cos/τ, over the keys k that the
    queue holds.

    All features and keys equal: ln(1 + held). An empty queue: 0 with a zero gradient.

    Args:
        q: (n, D) queries, any scale. positive: (n, D), each query's own key, any scale.
        queue: unit keys. temperature: τ > 0.

    Returns:
        (n,). Cost O(n·K·D) time, O(n·K) memory.
    """
    with no_autocast(q):
        q = F.normalize(full_precision(q), dim=1) / temperature
        own = (q * F.normalize(full_precision(positive), dim=1)).sum(1)
        # Added by the product itself, which spares passes over n × K numbers. The least finite
        # number, not −∞: over an empty queue log-sum-exp would have 0 · NaN in its gradient.
        empty = q.new_zeros(len(queue.keys)).masked_fill_(~queue.filled, torch.finfo(q.dtype).min)
        logits = torch.addmm(empty, q, queue.keys.to(q.dtype).T)
        return F.softplus(logits.logsumexp(1) - own)
