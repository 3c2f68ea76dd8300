"""Small MLPs between a backbone and a loss: on pooled vectors, or on every cell of a map as 1×1 convolutions."""

from __future__ import annotations

from torch import nn


def vector_mlp(channels: int, hidden: int, out: int, *, layers: int = 2, last_norm: bool = False) -> nn.Sequential:
    """Builds an MLP for vectors (B, channels) -> (B, out): (Linear, BN, ReLU) × (layers − 1), Linear [, BN].

    Args:
        channels: input width. hidden: width between layers. out: output width.
        layers: number of linear layers, at least 1.
        last_norm: end in a BatchNorm, as SimCLR's code does.

    Raises:
        ValueError: ``layers`` below 1.
    """
    widths = _widths(channels, hidden, out, layers)
    modules: list[nn.Module] = []
    for index, (width_in, width_out) in enumerate(zip(widths, widths[1:], strict=False)):
        last = index == layers - 1
        normed = last_norm or not last
        modules.append(nn.Linear(width_in, width_out, bias=not normed))  # a bias before BatchNorm has no effect
        if normed:
            modules.append(nn.BatchNorm1d(width_out))
        if not last:
            modules.append(nn.ReLU(inplace=True))
    return nn.Sequential(*modules)


def pixel_mlp(channels: int, hidden: int, out: int, *, layers: int = 2) -> nn.Sequential:
    """Builds an MLP for maps (B, channels, H, W) -> (B, out, H, W): 1×1 conv, BN, ReLU, …, 1×1 conv, all with bias.

    PixPro's projector and predictor; with 2048 → 4096 → 256 it has 9,449,728 parameters. Arguments as in
    :func:`vector_mlp`.
    """
    widths = _widths(channels, hidden, out, layers)
    modules: list[nn.Module] = []
    for index, (width_in, width_out) in enumerate(zip(widths, widths[1:], strict=False)):
        modules.append(nn.Conv2d(width_in, width_out, 1))
        if index < layers - 1:
            modules += [nn.BatchNorm2d(width_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*modules)


def _widths(channels: int, hidden: int, out: int, layers: int) -> list[int]:
    if layers < 1:
        raise ValueError(f"layers={layers}: an MLP needs at least 1 layer")
    return [channels] + [hidden] * (layers - 1) + [out]
