"""The terms that train an upsampler, as pure functions (FeatUp, arXiv 2403.10516, and its code)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heads.precision import full_precision, no_autocast

LEAST_SCALE = 0.01


class Uncertainty(nn.Module):
    """Predicts, from the features a cell should have, how far off the reconstruction will be:

        s = max(exp(conv(f) + 0.1), LEAST_SCALE)

    The authors' code floors s at 1e-4, where a cell that is met weighs 5·10⁷ in the loss; 0.01
    bounds that at 5·10³. Features should therefore not be far below 1 in size. The convolution
    starts at a tenth of torch's usual size.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1)
        with torch.no_grad():
            for parameter in self.conv.parameters():
                parameter *= 0.1

    def forward(self, target: Tensor) -> Tensor:
        """Returns s (B, 1, h, w) > 0, in the unit of features (B, C, h, w), at least float32."""
        with no_autocast(target):
            weight, bias = (
                full_precision(parameter) for parameter in (self.conv.weight, self.conv.bias)
            )
            return torch.exp(F.conv2d(full_precision(target), weight, bias) + 0.1).clamp_min(
                LEAST_SCALE
            )


def reconstruction(prediction: Tensor, target: Tensor, scale: Tensor | None = None) -> Tensor:
    """Per-image loss of a reconstruction, mean over channels and cells:

        (p − t)² / (2 s²) + ln s     or, without s, (p − t)²

    For a fixed residual the best s² is the mean squared residual; there the loss is ½ + ln s,
    negative for s < 0.6.

    Args:
        prediction: (B, C, h, w) float.
        target: (B, C, h, w) float.
        scale: s (B, 1, h, w), or None.

    Returns:
        (B,), at least float32: it is a small difference of large numbers.
    """
    squared = (full_precision(prediction) - full_precision(target)) ** 2
    if scale is not None:
        squared = squared / (2 * scale**2) + scale.log()
    return squared.flatten(1).mean(1)


def random_projection(
    batch: int,
    channels: int,
    width: int = 30,
    *,
    like: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draws (B, C, width): standard normal columns scaled to length 1, another set for each image.

    Args:
        like: gives dtype and device; numbers are drawn there, or on the CPU with a ``generator``,
            which lives there.
    """
    device = like.device if generator is None else generator.device
    columns = torch.randn(batch, channels, width, device=device, generator=generator)
    return F.normalize(columns, dim=1).to(like.device, like.dtype)


def project(maps: Tensor, projection: Tensor) -> Tensor:
    """Applies a projection (B, C, D) to the channels of maps (B, C, H, W): (B, D, H, W)."""
    return torch.einsum("bchw,bcd->bdhw", maps, projection)


def total_variation(maps: Tensor) -> Tensor:
    """Squared differences of neighbours below and to the right, summed and divided by the number of
    elements; 0-d.

    Args:
        maps: (B, C, H, W) float.
    """
    maps = full_precision(maps)
    down, right = maps.diff(dim=2), maps.diff(dim=3)
    return ((down**2).sum() + (right**2).sum()) / maps.numel()


def magnitude(maps: Tensor) -> Tensor:
    """Length of every position's feature (B, 1, H, W); its gradient at zeros is zero."""
    return torch.linalg.vector_norm(maps, dim=1, keepdim=True)


def magnitude_loss(pooled: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of the pooled lengths (B, 1, h, w) and those of the target (B, C, h,
    w); 0-d.
    """
    return ((pooled - magnitude(target)) ** 2).mean()


def sampled_crf(
    image: Tensor, maps: Tensor, *, samples: int = 1000, generator: torch.Generator | None = None
) -> Tensor:
    """Asks random pairs of pixels near in place and colour to have near features:

        mean_ij k_ij·‖f_i − f_j‖²,   k = 10·exp(−‖Δp‖²/0.2 − ‖Δg‖²/0.3) + 3·exp(−‖Δp‖²/0.01)

    p = (row/H, column/W), g the image's normalised colours. Both arguments must show the same: the
    jittered image goes with jittered features (the authors' code pairs the latter with the image as
    it was).

    Args:
        image: (B, 3, H, W) float, normalised.
        maps: (B, D, H, W) float, features f, projected or not.
        samples: pixels drawn, with repetition, the same for all images.
        generator: on the CPU; None for torch's own.

    Returns:
        0-d. Cost B·samples²·D flop.
    """
    height, width = image.shape[-2:]
    drawn = torch.randint(height * width, (samples,), generator=generator).to(
        image.device, non_blocking=True
    )
    places = torch.stack([drawn // width / height, drawn % width / width], -1)[None]  # (1, n, 2)
    colours, features = (
        x.flatten(2)[..., drawn].transpose(1, 2) for x in (image, maps)
    )  # (B, n, ·)
    near = squared_distances(places.to(image.dtype))
    alike = 10 * torch.exp(-near / 0.2 - squared_distances(colours) / 0.3) + 3 * torch.exp(
        -near / 0.01
    )
    return (alike * squared_distances(features)).mean()


def squared_distances(points: Tensor) -> Tensor:
    """‖x_i − x_j‖² of points (B, n, D): (B, n, n), at least float32: it is a small difference of
    large numbers.
    """
    with no_autocast(points):
        points = full_precision(points)
        lengths = (points**2).sum(-1)
        return (
            lengths[:, :, None] + lengths[:, None] - 2 * points @ points.transpose(1, 2)
        ).clamp_min(0)
