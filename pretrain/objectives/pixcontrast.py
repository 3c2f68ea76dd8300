"""PixContrast: each cell picks the cells of the other view that show the same place."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from heads.projector import pixel_mlp
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.geometry import cell_centres, inside, pixel_positives
from pretrain.names import check_choice
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective, target_copy
from pretrain.objectives.parts.reduce import mean_over_valid
from pretrain.ranges import check_positive
from pretrain.structures import Batch


def pixcontrast_rows(q: Tensor, k: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """Per-cell loss −log( Σ_{j∈P_i} exp(cos(q_i, k_j)/τ) / Σ_j exp(cos(q_i, k_j)/τ) ), PixContrast
    eq. 2.

    The sum over positives stands inside the logarithm; negatives are the other cells of the other
    view of the same image.

    Args:
        q: (B, D, H, W) online cells. k: (B, D, H', W') target cells. positives: (B, N, N') bool.
        temperature: τ > 0.

    Returns:
        (B, N) ≥ 0; 0 in rows without a positive, which callers leave out. Cost O(B·N·N'·D).
    """
    with no_autocast(q):
        q = F.normalize(full_precision(q).flatten(2), dim=1)
        k = F.normalize(full_precision(k).flatten(2), dim=1)
        logits = q.transpose(1, 2) @ k / temperature
        empty = ~positives.any(2, keepdim=True)
        # An empty row would be log 0; letting all its cells count as positive gives exactly 0 with
        # a zero gradient.
        return logits.logsumexp(2) - logits.masked_fill(~(positives | empty), -math.inf).logsumexp(
            2
        )


def pixcontrast_loss(
    q: Tensor, k: Tensor, positives: Tensor, *, rows: Tensor, temperature: float
) -> Tensor:
    """Mean of :func:`pixcontrast_rows` over each image's valid rows, then over the images that have
    one.

    Args:
        q, k, positives, temperature: see :func:`pixcontrast_rows`.
        rows: (B, N) bool, the rows that may enter the average; rows without a positive never do.

    Returns:
        Scalar; 0 with zero gradient if no image has a valid row.
    """
    losses = pixcontrast_rows(q, k, positives, temperature)
    rows = rows & positives.any(2)
    per_image = (losses * rows).sum(1) / rows.sum(1).clamp_min(1)
    return mean_over_valid(per_image, rows.any(1))


@MODELS.register_module()
class PixContrast(Objective):
    """Pixel contrast (Xie et al., CVPR 2021, arXiv 2011.10043; its code was never released).

    Args:
        stride: stride of the map to learn on; None takes the deepest.
        hidden: width inside the projector. dim: width of the projection.
        temperature: τ; 0.3 in re-implementations, the paper's value is not confirmed.
        pos_radius_diag: two cells match if they are closer than this many cell diagonals.
        intersection: which rows enter the average: "partner" (the cell has a positive; our reading)
            or "centre" (it has one and its centre lies in the other view's crop).

    Raises:
        ValueError: temperature not positive, or unknown ``intersection``.
    """

    needs = Needs(target=("global",))

    def __init__(
        self,
        features: FeatureInfo,
        *,
        stride: int | None = None,
        hidden: int = 4096,
        dim: int = 256,
        temperature: float = 0.3,
        pos_radius_diag: float = 0.7,
        intersection: str = "partner",
    ) -> None:
        super().__init__(features)
        check_positive(temperature=temperature)
        check_choice("intersection", intersection, ("partner", "centre"))
        self.temperature, self.pos_radius_diag = temperature, pos_radius_diag
        self.intersection = intersection
        self.stride = features.pick(stride)
        self.projector = pixel_mlp(features.channels[self.stride], hidden, dim)
        self.target_projector = target_copy(self.projector)

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Collapsed: log of cells per positive (equal features make every logit equal)."""
        collapsed = float(terms["collapsed"])
        return Bounds(best=0.0, collapsed=collapsed, random_start=collapsed)

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """The projector follows."""
        return [(self.projector, self.target_projector)]

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``, the mean of both directions, ``rows``, the share of cells that entered
        it, and ``collapsed``, the value the loss would have if all features were equal."""
        first, second = batch.views["global"].geometry[:, :2].unbind(1)
        online, target = encode.online("global")[:2], encode.target("global")[:2]
        q = [self.projector(view.map(self.stride)) for view in online]
        with torch.no_grad():
            k = [self.target_projector(view.map(self.stride)) for view in target]
        size = q[0].shape[2:]
        positives = pixel_positives(
            first, second, size_q=size, size_k=size, pos_radius_diag=self.pos_radius_diag
        )
        losses, shares, collapsed = [], [], []
        for query, key, mask, maps in (
            (q[0], k[1], positives, (first, second)),
            (q[1], k[0], positives.transpose(1, 2), (second, first)),
        ):
            rows = self._rows(mask, *maps, size)
            losses.append(
                pixcontrast_loss(query, key, mask, rows=rows, temperature=self.temperature)
            )
            shares.append(rows.float().mean())
            collapsed.append(_collapsed_value(mask, rows))
        return {
            "loss": torch.stack(losses).mean(),
            "rows": torch.stack(shares).mean(),
            "collapsed": torch.stack(collapsed).mean(),
        }

    def _rows(self, mask: Tensor, own: Tensor, other: Tensor, size: tuple[int, int]) -> Tensor:
        """Rows (B, N) bool of the average."""
        rows = mask.any(2)
        if self.intersection == "partner":
            return rows
        return rows & inside(cell_centres(own, size), other)


def _collapsed_value(mask: Tensor, rows: Tensor) -> Tensor:
    """The loss for equal features: mean of log(N / |P_i|) over rows, then over images."""
    values = torch.log(mask.shape[2] / mask.sum(2).clamp_min(1))
    return mean_over_valid((values * rows).sum(1) / rows.sum(1).clamp_min(1), rows.any(1))
