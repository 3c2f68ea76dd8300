"""Small MLPs between backbone and loss: on pooled vectors, or on every cell of a map."""

from __future__ import annotations

from torch import nn

STARTS = ("torch", "normal", "kaiming")


def vector_mlp(
    channels: int,
    hidden: int,
    out: int,
    *,
    layers: int = 2,
    last_norm: bool = False,
    last_shift: bool = True,
    last_bias: bool = True,
) -> nn.Sequential:
    """Builds an MLP for vectors (B, channels) -> (B, out): (Linear, BN, ReLU) × (layers − 1),
    Linear [, BN].

    Args:
        channels: input width. hidden: width between layers. out: output width.
        layers: number of linear layers, at least 1.
        last_norm: end in a BatchNorm, as SimCLR's code does.
        last_shift: whether that BatchNorm learns a shift; False keeps it at 0, as SimCLR's code
            does.
        last_bias: whether the last linear layer has a bias where no BatchNorm follows; BYOL's code
            has none.

    Raises:
        ValueError: ``layers`` below 1.
    """
    widths = _widths(channels, hidden, out, layers)
    modules: list[nn.Module] = []
    for index, (width_in, width_out) in enumerate(zip(widths, widths[1:], strict=False)):
        last = index == layers - 1
        normed = last_norm or not last
        # A bias before BatchNorm has no effect.
        modules.append(nn.Linear(width_in, width_out, bias=not normed and (last_bias or not last)))
        if normed:
            modules.append(nn.BatchNorm1d(width_out))
        if not last:
            modules.append(nn.ReLU(inplace=True))
    if last_norm:
        modules[-1].bias.requires_grad_(
            last_shift
        )  # frozen at 0: the checkpoint's keys do not depend on it
    return nn.Sequential(*modules)


def pixel_mlp(channels: int, hidden: int, out: int, *, layers: int = 2) -> nn.Sequential:
    """Builds an MLP for maps (B, channels, H, W) -> (B, out, H, W): 1×1 conv, BN, ReLU, …, 1×1
    conv, all with bias.

    PixPro's projector and predictor; with 2048 → 4096 → 256 it has 9,449,728 parameters. Arguments
    as in :func:`vector_mlp`.
    """
    widths = _widths(channels, hidden, out, layers)
    modules: list[nn.Module] = []
    for index, (width_in, width_out) in enumerate(zip(widths, widths[1:], strict=False)):
        modules.append(nn.Conv2d(width_in, width_out, 1))
        if index < layers - 1:
            modules += [nn.BatchNorm2d(width_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*modules)


def start_linear_layers(module: nn.Module, start: str) -> None:
    """Draws the weights of all linear layers anew and sets their biases to 0; 1×1 convolutions
    stay.

    Args:
        module: whose layers they are.
        start: "torch": all stay as torch drew them. "normal": N(0, 0.01²), SimCLR's code and
            SupCon's for ImageNet. "kaiming": N(0, 2 / width of the input), DenseCL's code.

    Raises:
        ValueError: unknown ``start``.
    """
    if start not in STARTS:
        raise ValueError(f"head_start={start!r}: must be one of {', '.join(map(repr, STARTS))}")
    if start == "torch":
        return
    for layer in module.modules():
        if not isinstance(layer, nn.Linear):
            continue
        if start == "normal":
            nn.init.normal_(layer.weight, std=0.01)
        else:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _widths(channels: int, hidden: int, out: int, layers: int) -> list[int]:
    if layers < 1:
        raise ValueError(f"layers={layers}: an MLP needs at least 1 layer")
    return [channels] + [hidden] * (layers - 1) + [out]
