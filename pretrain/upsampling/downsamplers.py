"""Learned downsamplers: from features at the image's resolution to the backbone's own grid.

They stand for how a backbone pools its fine features into its cells; they are trained beside an
upsampler and not needed afterwards (FeatUp, arXiv 2403.10516). Windows of k × k are laid over the
map without padding, one per cell, at the stride ⌊(H − k)/(h − 1)⌋ in rows and likewise in columns;
pixels that this leaves over are shared by both ends. The authors' code fails on most maps that are
not square; this one takes any.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from pretrain.upsampling.losses import project


class Downsampler(nn.Module):
    """Base: cuts the windows; what is made of them is the subclass's.

    All of them treat channels alike, once it is known what to attend by: one combination of
    channels (``attention``). So combinations of channels can be pooled in place of the channels
    themselves, see ``pool``.

    Args:
        kernel: k in pixels; the backbone's stride is a good choice, then windows are the cells
            themselves.
    """

    def __init__(self, kernel: int) -> None:
        super().__init__()
        if kernel < 1:
            raise ValueError(f"kernel={kernel}: must be at least 1 pixel")
        self.kernel = kernel

    def forward(self, maps: Tensor, grid: tuple[int, int]) -> Tensor:
        """Pools maps (B, C, H, W) to (B, C, h, w).

        Args:
            maps: float.
            grid: (h, w).

        Raises:
            ValueError: the map is smaller than a window, or than the grid.
        """
        attended = self.attention(maps)
        return self.pool(maps, None if attended is None else project(maps, attended), grid)

    def attention(self, maps: Tensor) -> Tensor | None:
        """The combination of channels (B, C, 1) by which the windows of maps (B, C, …) attend; None
        if by none.
        """
        return None

    def pool(self, maps: Tensor, attended: Tensor | None, grid: tuple[int, int]) -> Tensor:
        """Pools maps (B, K, H, W) of any width K, given ``attention`` already applied (B, 1, H, W):
        (B, K, h, w).
        """
        raise NotImplementedError

    def windows(self, maps: Tensor, grid: tuple[int, int]) -> Tensor:
        """Returns the windows (B, C, h, w, k, k) of maps (B, C, H, W), as a view."""
        for axis, cells in zip((2, 3), grid, strict=True):
            stride, start = placement(maps.shape[axis], self.kernel, cells)
            used = stride * (cells - 1) + self.kernel
            maps = maps.narrow(axis, start, used).unfold(axis, self.kernel, stride)
        return maps


def placement(side: int, kernel: int, cells: int) -> tuple[int, int]:
    """Returns (stride, first pixel) of ``cells`` windows of ``kernel`` pixels along a side; see the
    module.

    Raises:
        ValueError: the side is shorter than a window, or than the number of cells.
    """
    if side < kernel or (cells > 1 and side - kernel < cells - 1):
        raise ValueError(
            f"a side of {side} pixels: too short for {cells} windows of kernel={kernel}; take "
            "larger images or a smaller kernel"
        )
    stride = (side - kernel) // (cells - 1) if cells > 1 else 1
    return stride, (side - kernel - stride * (cells - 1)) // 2


@MODELS.register_module()
class SimpleDownsampler(Downsampler):
    """One non-negative k × k kernel |θ|/Σ|θ| for all channels and cells; θ starts at 1, the mean of
    a window.

    Args:
        channels: unused, kernels are shared by channels; taken so that both downsamplers are built
            alike.
        kernel: k in pixels.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        del channels
        super().__init__(kernel)
        self.theta = nn.Parameter(torch.ones(kernel, kernel))

    def pool(self, maps: Tensor, attended: Tensor | None, grid: tuple[int, int]) -> Tensor:
        """See :class:`Downsampler`."""
        weights = self.theta.abs() / self.theta.abs().sum()
        return torch.einsum("bchwij,ij->bchw", self.windows(maps, grid), weights.to(maps.dtype))


@MODELS.register_module()
class AttentionDownsampler(Downsampler):
    """A softmax over each window's pixels that may depend on what they hold:

        a = v·F + c,   ℓ_q = w_q·a_q·d + b_q,   out = Σ_q softmax(ℓ)_q · F_q   over a window of k²

    w and b (k, k) are shared by all windows and start near 1 and 0. d = 1, but in training it is 0
    for a random share of the windows, which then pool by b alone; nothing is rescaled.

    Args:
        channels: C.
        kernel: k in pixels.
        blur: smooth the map first, by a 5 × 5 Gaussian of σ = 1 pixel (FeatUp's setting).
        input_drop: share of channels that the saliency a does not see, drawn for each image in
            training. (FeatUp's code drops single numbers; whole channels let v·F be computed before
            F is upsampled.)
        drop: share of windows with d = 0, in training.
    """

    def __init__(
        self,
        channels: int,
        kernel: int,
        *,
        blur: bool = True,
        input_drop: float = 0.2,
        drop: float = 0.2,
    ) -> None:
        super().__init__(kernel)
        for name, value in (("input_drop", input_drop), ("drop", drop)):
            if not 0 <= value < 1:
                raise ValueError(f"{name}={value}: must be a share in [0, 1)")
        self.blur, self.input_drop, self.drop = blur, input_drop, drop
        self.saliency = nn.Conv2d(channels, 1, 1)
        self.scale = nn.Parameter(1 + 0.01 * torch.randn(kernel, kernel))
        self.offset = nn.Parameter(0.01 * torch.randn(kernel, kernel))

    def attention(self, maps: Tensor) -> Tensor:
        """See :class:`Downsampler`: v, without the channels dropped for each image."""
        weights = self.saliency.weight.view(1, -1, 1).to(maps.dtype).expand(len(maps), -1, -1)
        return F.dropout1d(weights, self.input_drop, self.training)

    def pool(self, maps: Tensor, attended: Tensor | None, grid: tuple[int, int]) -> Tensor:
        """See :class:`Downsampler`."""
        if self.blur:
            maps, attended = gaussian_blur(maps), gaussian_blur(attended)
        saliency = attended + self.saliency.bias  # (B, 1, H, W)
        logits = self.windows(saliency, grid)[:, 0] * self.scale  # (B, h, w, k, k)
        if self.training:
            logits = (
                logits
                * (torch.rand(logits.shape[:3], device=maps.device) >= self.drop)[..., None, None]
            )
        weights = (logits + self.offset).flatten(3).softmax(-1).view_as(logits)
        return torch.einsum("bchwij,bhwij->bchw", self.windows(maps, grid), weights.to(maps.dtype))


def gaussian_blur(maps: Tensor, size: int = 5, sigma: float = 1.0) -> Tensor:
    """Smooths maps (B, C, H, W) by a Gaussian of ``sigma`` pixels cut to ``size`` taps, borders
    mirrored.
    """
    places = torch.arange(size, dtype=maps.dtype, device=maps.device) - size // 2
    taps = torch.exp(-(places**2) / (2 * sigma**2))
    taps = (taps / taps.sum()).expand(maps.shape[1], 1, size)
    padded = F.pad(maps, (size // 2,) * 4, mode="reflect")
    rows = F.conv2d(padded, taps[..., None], groups=maps.shape[1])
    return F.conv2d(rows, taps[:, :, None], groups=maps.shape[1])
