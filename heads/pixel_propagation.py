"""Pixel propagation: a cell becomes a blend of the cells similar to it (PixPro, eq. 3 and 4)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast


class PixelPropagation(nn.Module):
    """y_i = Σ_j max(cos(x_i, x_j), 0)^γ · g(x_j), over all cells j of the same map, i included.

    The weights are neither divided by their sum nor passed through a softmax; the cosine in the
    loss removes the scale. Cost O(B·N²·D) time and O(B·N²) memory for N = H·W cells.

    Args:
        channels: D.
        gamma: exponent of the similarity; 2 in the released scripts.
        layers: linear layers of g: 0 identity, 1 a 1×1 convolution (released scripts), 2
            conv-BN-ReLU-conv.
        normalise_values: L2-normalise g(x_j) over channels before the sum. The authors' code does,
            the paper's equations do not; it changes the direction of y where norms differ.

    Raises:
        ValueError: ``layers`` not 0, 1 or 2, or ``gamma`` not positive.
    """

    def __init__(
        self, channels: int, gamma: float = 2.0, *, layers: int = 1, normalise_values: bool = True
    ) -> None:
        super().__init__()
        if layers not in (0, 1, 2):
            raise ValueError(f"layers={layers}: pixel propagation has 0, 1 or 2 layers")
        if gamma <= 0:
            raise ValueError(f"gamma={gamma}: must be positive")
        self.gamma, self.normalise_values = gamma, normalise_values
        if layers == 0:
            self.transform: nn.Module = nn.Identity()
        elif layers == 1:
            self.transform = nn.Conv2d(channels, channels, 1)
        else:
            self.transform = nn.Sequential(
                nn.Conv2d(channels, channels, 1),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
                nn.Conv2d(channels, channels, 1),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Propagates x (B, D, H, W) -> y (B, D, H, W), not normalised; computed in float32 at
        least.
        """
        values = full_precision(self.transform(x)).flatten(2)  # (B, D, N)
        with no_autocast(x):  # the power of a small cosine underflows in half precision
            if self.normalise_values:
                values = F.normalize(values, dim=1)
            unit = F.normalize(full_precision(x).flatten(2), dim=1)
            similarity = (unit.transpose(1, 2) @ unit).clamp_min(0)  # (B, N, N)
            if self.gamma < 1:
                similarity = similarity + 1e-6  # the slope of s^γ is infinite at 0
            propagated = values @ (similarity**self.gamma)  # symmetric, so no transpose: (B, D, N)
        return propagated.unflatten(2, x.shape[2:])
