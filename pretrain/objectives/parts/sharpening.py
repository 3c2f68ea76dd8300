"""From a teacher's logits to distributions over prototypes: sharpened, and kept from falling onto
one prototype by centring or by Sinkhorn–Knopp.

Axes: n rows of this process, K prototypes.
"""

from __future__ import annotations

import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from pretrain.names import check_choice
from pretrain.objectives.parts.reduce import sum_over_processes
from pretrain.ranges import check_positive


class Centre(nn.Module):
    """Centring (DINO): q = softmax((z − c)/τ), where c is the running mean of the logits of all
    processes.

    Args:
        prototypes: K.
        momentum: weight of the old c.

    Attributes:
        centre: (K,) float32, c; saved with the weights.
    """

    centre: Tensor

    def __init__(self, prototypes: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("centre", torch.zeros(prototypes))
        self._seen: Tensor | None = None

    @torch.no_grad()
    def forward(self, z: Tensor, temperature: float) -> Tensor:
        """Returns q (…, K) of logits z (…, K), by c as it was before this step."""
        with no_autocast(z):
            return ((full_precision(z) - self.centre) / temperature).softmax(-1)

    @torch.no_grad()
    def observe(self, z: Tensor, counts: Tensor | None = None) -> None:
        """Keeps the sum of logits (…, K) for :meth:`move`, in place of what was kept before;
        ``counts``, (…) bool: only of these rows.
        """
        rows = full_precision(z).flatten(0, -2)
        if counts is None:
            number = rows.new_full((1,), len(rows))
        else:
            rows = rows * counts.flatten()[:, None]
            number = counts.sum(dtype=rows.dtype).view(1)
        self._seen = torch.cat([rows.sum(0), number])

    @torch.no_grad()
    def move(self) -> None:
        """Moves c by the mean of the rows that all processes observed; once, after the losses."""
        if self._seen is None:
            return
        if get_world_size() > 1:
            dist.all_reduce(self._seen)
        total, count = self._seen[:-1], self._seen[-1].clamp_min(1)
        # Replaced, not written to: the losses of this step may still need the old one.
        self.centre = torch.lerp(total / count, self.centre.to(total), self.momentum)
        self._seen = None


@torch.no_grad()
def sinkhorn(
    z: Tensor, temperature: float, *, rounds: int = 3, counts: Tensor | None = None
) -> Tensor:
    """Sinkhorn–Knopp over the rows of all processes: distributions of which every prototype gets
    about an equal share.

    Q = exp(z/τ); ``rounds`` times every prototype's column is divided by its sum and by K, every
    row by its sum and by n.

    Args:
        z: (n, K) logits; n may differ between processes and be 0. temperature: τ > 0.
        rounds: at least 1.
        counts: (n,) bool, the rows that take part; None = all.

    Returns:
        (n, K) float, rows of sum 1, those that take no part 0, also where none does. Cost O(n·K)
        time and memory; 1 +
        2·rounds reductions of at most K numbers.
    """
    with no_autocast(z):
        z = full_precision(z) / temperature
        highest = z.max() if z.numel() else z.new_tensor(-torch.inf)
        if get_world_size() > 1:
            dist.all_reduce(highest, dist.ReduceOp.MAX)
        shares = (z - highest).exp()
        if counts is not None:
            shares = shares * counts[:, None]
        least = torch.finfo(shares.dtype).tiny  # sums are 0 where no row takes part
        shares /= sum_over_processes(shares.sum()).clamp_min(least)
        for _ in range(rounds):
            shares /= sum_over_processes(shares.sum(0)).clamp_min(least) * z.shape[1]
            sums = shares.sum(1, keepdim=True)
            shares /= sums if counts is None else torch.where(counts[:, None], sums, 1)
        return shares


class Sharpening(nn.Module):
    """The way from a teacher's logits to its distributions over prototypes.

    Args:
        prototypes: K.
        how: ``sinkhorn`` (DINOv2) or ``centring`` (DINO, iBOT).
        start, end: τ in the first epoch and after the warm-up; above 0.07 it is unstable.
        warmup_epochs: see :func:`warmed_temperature`; 0 = ``end`` throughout.
        momentum: of the centre.

    Raises:
        ValueError: another ``how``, or a τ that is not positive.
    """

    def __init__(
        self,
        prototypes: int,
        *,
        how: str = "sinkhorn",
        start: float = 0.04,
        end: float = 0.07,
        warmup_epochs: int = 30,
        momentum: float = 0.9,
    ) -> None:
        super().__init__()
        check_choice("sharpening.how", how, ("sinkhorn", "centring"))
        check_positive(**{"sharpening.start": start, "sharpening.end": end})
        self.start, self.end, self.warmup_epochs = start, end, warmup_epochs
        self.centre = Centre(prototypes, momentum) if how == "centring" else None

    @torch.no_grad()
    def forward(
        self, z: Tensor, *, epoch: float, training: bool = True, counts: Tensor | None = None
    ) -> Tensor:
        """Returns distributions (n, K) of logits z (n, K).

        Args:
            z: the logits. epoch: of the run, for τ.
            training: whether the centre is to move by these logits (:meth:`move`).
            counts: (n,) bool, the rows that matter; the others' distributions mean nothing. None =
                all.
        """
        tau = warmed_temperature(self.start, self.end, epochs=self.warmup_epochs, epoch=epoch)
        if self.centre is None:
            return sinkhorn(z, tau, counts=counts)
        if training:
            self.centre.observe(z, counts)
        return self.centre(z, tau)

    def move(self) -> None:
        """Moves the centre, if there is one; once a step, after the losses."""
        if self.centre is not None:
            self.centre.move()


def warmed_temperature(start: float, end: float, *, epochs: int, epoch: float) -> float:
    """Returns τ of the teacher in an epoch: linear from ``start`` in epoch 0 to ``end`` in epoch
    ``epochs`` − 1, constant within each epoch and afterwards (DINO's code).
    """
    if epochs < 2:
        return end
    return start + (end - start) * min(1.0, int(epoch) / (epochs - 1))


def cross_entropies(logits: Tensor, q: Tensor, temperature: float) -> Tensor:
    """Returns −Σ_K q · log softmax(logits/τ) for each row: logits (…, K), q (…, K) -> (…)."""
    with no_autocast(logits):
        return -(q * F.log_softmax(full_precision(logits) / temperature, -1)).sum(-1)


def entropy(q: Tensor) -> Tensor:
    """Mean over rows of −Σ_K q ln q, of distributions (…, K); 0-d."""
    return -torch.xlogy(q, q).sum(-1).mean()
