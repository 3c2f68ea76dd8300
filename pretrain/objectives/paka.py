"""PaKA: the student's cells of an image are to resemble each other as the teacher's do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from heads.cells import CellHead, unit_cells
from heads.precision import full_precision, no_autocast
from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.encodings import Encodings
from pretrain.names import check_choice
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective, target_copy
from pretrain.objectives.parts.overlap import overlap_cells, shared_part
from pretrain.objectives.parts.reduce import mean_over_valid
from pretrain.ranges import check_positive, check_share
from pretrain.structures import Batch

LEAST = 2  # cells of an image that counts: one alone is like no other
LEAST_DEBIASED = 4  # cells, by the divisor n − 3
# Of a kernel's norm: that of 49 unit cells which differ by 1e-4. Below it their gradient, which
# grows as 1 / spread, would be float32's rounding and nothing else.
SMALLEST_NORM = 1e-6


def kernel_alignment(x: Tensor, y: Tensor, counts: Tensor | None = None) -> Tensor:
    """Centred kernel alignment CKA = ‖X_cᵀY_c‖² / (‖X_cᵀX_c‖ · ‖Y_cᵀY_c‖) of each image's cells.

    Computed as the cosine of the kernels X_cX_cᵀ and Y_cY_cᵀ, which is the same. It does not change
    when the cells of one side are rotated, scaled or shifted all alike, and the two sides may have
    different widths.

    Args:
        x: (B, N, D). y: (B, N, D'), the same places. counts: (B, N) bool, cells that count; None =
            all.

    Returns:
        (B,) in [0, 1]; 0, with no gradient, where all cells of a side are equal. Biased: for
        independent Gaussian cells .84 at N = 49 and D = 256. Cost O(B·N²·D).
    """
    with no_autocast(x):
        first, second = (_centred_kernel(side, counts) for side in (x, y))
        return _cosine(first, second)


@torch.no_grad()
def debiased_alignment(x: Tensor, y: Tensor, counts: Tensor | None = None) -> Tensor:
    """The same with unbiased estimates (Song et al. 2012): about 0 for independent cells, so it may
    be negative; NaN for images of fewer than 4 cells.

    Args:
        x: as in :func:`kernel_alignment`. y: likewise. counts: likewise.
    """
    with no_autocast(x):
        kernels = []
        for side in (x, y):
            kernel = _centred_kernel(side, counts)
            kernel = kernel - torch.diag_embed(kernel.diagonal(dim1=1, dim2=2))
            kernels.append(_without_own(kernel, counts))
        return _cosine(*kernels)


def _centred_kernel(x: Tensor, counts: Tensor | None) -> Tensor:
    """Inner products (B, N, N) of cells minus the mean of those that count; 0 for the others."""
    x = full_precision(x)
    if counts is None:
        x = x - x.mean(1, keepdim=True)
    else:
        counted = counts[..., None].to(x.dtype)
        mean = (x * counted).sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp_min(1)
        x = (x - mean) * counted
    return x @ x.mT


def _without_own(kernel: Tensor, counts: Tensor | None) -> Tensor:
    """Centres kernels (B, N, N) whose diagonal is 0 over the entries off it; NaN for fewer than 4
    cells.
    """
    size = kernel.shape[1]
    if counts is None:
        counts = torch.ones(kernel.shape[:2], dtype=torch.bool, device=kernel.device)
    n = counts.sum(1).to(kernel.dtype)
    n = torch.where(n < LEAST_DEBIASED, torch.nan, n)[:, None, None]
    rows = kernel.sum(2, keepdim=True) / (n - 2)
    total = rows.sum(1, keepdim=True) / (n - 1)
    off_diagonal = ~torch.eye(size, dtype=torch.bool, device=kernel.device)
    both = counts[:, :, None] & counts[:, None] & off_diagonal
    return (kernel - rows - rows.mT + total) * both


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    norms = [kernel.flatten(1).norm(dim=1).clamp_min(SMALLEST_NORM) for kernel in (first, second)]
    return (first * second).sum((1, 2)) / (norms[0] * norms[1])


@MODELS.register_module()
class PaKA(Objective):
    """Patch-level kernel alignment (arXiv 2509.05606).

    Each view of the student is compared with each view of the teacher of which it shows enough, on
    a grid laid into what they share. A view does not teach itself, unless the teacher is another
    network (``against="reference"``) or the student does not see all of it (``masked``).

    Args:
        stride: stride of the map to learn on; None takes the deepest.
        student: view group of the trained network. teacher: view group of the teacher, such as
            clean twins of the large views; both may be the same group.
        against: the teacher is the ``target`` network or the frozen ``reference``.
        masked: the student's views have cells hidden, as beside ``IBOT``; these are left out.
        hidden: width inside the heads. dim: width of their unit vectors; None = no heads: the
            backbone's own cells, scaled to length 1. The reference has no head.
        side: n, cells of the common grid in each direction.
        least_share: least share of the student's view that lies within the teacher's, else the
            pair does not count.

    Raises:
        ValueError: a ``side`` below 2, ``least_share`` not in (0, 1], an unknown ``against``, or
            heads with ``against="reference"``.
    """

    needs = Needs(target=("global",), any_views=True, upright=True)

    def __init__(
        self,
        features: FeatureInfo,
        *,
        stride: int | None = None,
        student: str = "global",
        teacher: str = "global",
        against: str = "target",
        masked: bool = False,
        hidden: int = 2048,
        dim: int | None = 256,
        side: int = 7,
        least_share: float = 0.5,
    ) -> None:
        super().__init__(features)
        check_choice("against", against, ("target", "reference"))
        check_share(least_share=least_share)
        check_positive(least_share=least_share)
        if side < 2:
            raise ValueError(f"side={side}: cells are compared with each other; at least 2")
        if against == "reference" and dim is not None:
            raise ValueError(
                f"dim={dim}: the reference has no head, and one on the student's side would move "
                "in place of the backbone; set dim=None"
            )
        self.student, self.teacher, self.against, self.masked = student, teacher, against, masked
        self.side, self.least_share = side, least_share
        self.stride = features.pick(stride)
        if dim is not None:
            self.head = CellHead(features.channels[self.stride], dim, hidden=hidden)
            self.target_head = target_copy(self.head)
        self.own_pairs = student != teacher or masked or against == "reference"
        reads = dict(online=(), masked=(student,)) if masked else dict(online=(student,))
        reads[against] = (teacher,)
        views = 1 if self.own_pairs else 2
        self.needs = Needs(**reads, upright=True, views=views, any_views=True, attacked=student)

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Collapsed: cells of an image that are all equal, of either side, are aligned with
        nothing.
        """
        return Bounds(best=0.0, collapsed=1.0)

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """The head follows, if there is one."""
        return [(self.head, self.target_head)] if hasattr(self, "head") else []

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``, the mean of 1 − CKA over pairs of views that count; ``debiased``: their
        mean debiased CKA, NaN where nothing counts; ``pairs``: how many there are for each image.
        """
        losses, counted, debiased = [], [], []
        for x, y, counts in self._pairs(batch, encode):
            losses.append(1 - kernel_alignment(x, y, counts))
            counted.append(counts.sum(1) >= LEAST)
            debiased.append(debiased_alignment(x, y, counts))
        valid = torch.stack(counted)  # (pairs, B)
        return {
            "loss": mean_over_valid(torch.stack(losses).flatten(), valid.flatten()),
            "debiased": torch.stack(debiased).nanmean(),
            "pairs": valid.sum(0).float().mean(),
        }

    def _pairs(self, batch: Batch, encode: Encodings) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The cells of each pair of views on their common grid: (B, n², D) of the student, (B, n²,
        D') of the teacher, and which count, (B, n²) bool.
        """
        hidden = encode.mask(self.student) if self.masked else None
        students = self._cells(encode.online(self.student, mask=hidden), "head")
        views = encode.reference if self.against == "reference" else encode.target
        with torch.no_grad():
            teachers = self._cells(views(self.teacher), "target_head")
        for (s, x), (t, y) in product(enumerate(students), enumerate(teachers)):
            if s == t and not self.own_pairs:
                continue
            own = batch.views[self.student].geometry[:, s]
            other = batch.views[self.teacher].geometry[:, t]
            # A share of 1 stays one after rounding.
            enough = shared_part(own, other) >= self.least_share - 1e-9
            counts = enough[:, None].expand(-1, self.side**2)
            if hidden is not None:
                covered = hidden[:, s, None].to(x.dtype)
                covered = overlap_cells(covered, own, other, side=self.side)
                counts = counts & (covered[..., 0] < 0.5)
            x = overlap_cells(x, own, other, side=self.side)
            yield x, overlap_cells(y, other, own, side=self.side), counts

    def _cells(self, views: list[Features], head: str) -> list[Tensor]:
        """Unit cells (B, D, H, W) of each view, by the head of that name if there is one; of the
        deepest map where a reference has none at the stride.
        """
        turn = getattr(self, head, unit_cells)
        return [
            turn(view.map(self.stride if self.stride in view.pyramid else None)) for view in views
        ]
