"""A head that turns every cell of a map into a unit vector."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from heads.prototypes import gelu_mlp


class CellHead(nn.Module):
    """MLP and unit length for each cell: the head of DINO without its prototypes, as NeCo has it.

    For ViT-S (D = 384) at the default widths 5.5 M parameters.

    Args:
        channels: D. out: width of the unit vectors. hidden: width inside the MLP.
        layers: of the MLP.
    """

    def __init__(self, channels: int, out: int, *, hidden: int = 2048, layers: int = 3) -> None:
        super().__init__()
        self.mlp = gelu_mlp(channels, hidden, out, layers=layers)

    def forward(self, features: Tensor) -> Tensor:
        """Maps (B, channels, H, W) -> (B, out, H, W), every cell of length 1."""
        return unit_cells(self.mlp(features.movedim(1, -1)).movedim(-1, 1))


def unit_cells(features: Tensor) -> Tensor:
    """Returns maps (B, D, H, W) with every cell scaled to length 1, at least in float32."""
    with no_autocast(features):
        return F.normalize(full_precision(features), dim=1)
