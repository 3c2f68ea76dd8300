"""Gram anchoring: how the cells of an image resemble each other stays as a frozen network sees
it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective
from pretrain.objectives.parts.held import HeldViews
from pretrain.structures import Batch


def cell_cosines(x: Tensor, *, negatives: bool = True) -> Tensor:
    """Returns the cosines among the cells of each image: (B, P, D), any scale -> (B, P, P).

    Args:
        x: the cells. negatives: False takes 0 for negative cosines.
    """
    with no_autocast(x):
        x = F.normalize(full_precision(x), dim=2)
        cosines = x @ x.mT
        return cosines if negatives else cosines.clamp_min(0)


def gram_loss(cosines: Tensor, reference: Tensor) -> Tensor:
    """‖XXᵀ − YYᵀ‖²_F / P², mean over images, X and Y unit cells of both networks (DINOv3, eq. 2,
    where the sum stands; it grows with P²).

    Unchanged by a rotation of all cells of either network and by the scale of each cell.

    Args:
        cosines: XXᵀ, (B, P, P), see :func:`cell_cosines`. reference: YYᵀ, likewise.

    Returns:
        Scalar within [0, 4], a plain mean: exact under data-parallel averaging with B equal on all
        processes. Cost O(B·P²·D) time with the cosines, several times B·P² numbers of memory.
    """
    return (cosines - reference).square().mean()


@MODELS.register_module()
class Gram(Objective):
    """Gram anchoring (Siméoni et al., DINOv3, arXiv 2508.10104, section 4.2; no code of it was
    read).

    The frozen network is the model's ``reference``: by default the trained backbone as the run
    begins, with ``reference.refresh_every`` replaced by the target network from time to time.

    Args:
        stride: stride of the maps; None = each network's deepest.
        twins: group of views, each ``dict(size=…, same_as=("global", index))``, that the frozen
            network sees in place of ``global``; DINOv3's high-resolution form takes twice the
            pixels.
        resize: how the frozen network's maps come to the trained one's grid: ``bicubic``,
            ``antialiased`` or ``area``. They are normalised afterwards.
        negatives: whether negative cosines count; False takes them for 0 on both sides.
        cells: most cells of a view that are compared, drawn anew in each step and the same for all
            images; None = all.

    Raises:
        ValueError: a stride that one of the networks lacks, another ``resize``, ``cells`` below 2.
    """

    needs = Needs(reference=("global",), views=1, any_views=True)

    def __init__(
        self,
        features: FeatureInfo,
        *,
        stride: int | None = None,
        twins: str | None = None,
        resize: str = "bicubic",
        negatives: bool = True,
        cells: int | None = 512,
    ) -> None:
        super().__init__(features)
        if cells is not None and cells < 2:
            raise ValueError(f"cells={cells}: must be None or at least 2")
        self.views = HeldViews(features, stride=stride, twins=twins, resize=resize)
        self.needs = self.views.needs
        self.negatives, self.cells = negatives, cells

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Collapsed: all cells of an image equal, from the frozen network's cosines."""
        return Bounds(best=0.0, collapsed=float(terms["flat"]))

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``, and ``flat``: what it would be if all cells of an image were equal."""
        views = self.views.read(encode)
        chosen = self._choose(views[0].x[0, 0])
        losses, flat = [], []
        for view in views:
            own, frozen = (
                cell_cosines(_picked(cells, chosen), negatives=self.negatives)
                for cells in (view.x, view.y)
            )
            losses.append(gram_loss(own, frozen))
            flat.append(gram_loss(torch.ones_like(frozen), frozen))
        return {"loss": torch.stack(losses).mean(), "flat": torch.stack(flat).mean()}

    def _choose(self, grid: Tensor) -> Tensor | None:
        """The numbers of the cells to compare on a grid (h, w); None = all."""
        if self.cells is None or grid.numel() <= self.cells:
            return None
        # Drawn on the CPU, whose generator a resumed run continues.
        chosen = torch.randperm(grid.numel())[: self.cells]
        return chosen.to(grid.device, non_blocking=True)


def _picked(features: Tensor, chosen: Tensor | None) -> Tensor:
    """Cells of a map (B, D, h, w), all or those of the numbers chosen: (B, P, D)."""
    cells = features.flatten(2).transpose(1, 2)
    return cells if chosen is None else cells.index_select(1, chosen)
