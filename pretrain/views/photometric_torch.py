"""Photometrics, batched, in plain torch on any device.

Nothing is computed for images that a step leaves alone: images are grouped by the order of their
jitter steps and by the radius of their blur, and each group is processed as one tensor. There are
at most 65 jitter groups (ordered subsets of four steps, 24 with all of them active) and as many
blur groups as there are radii; no loop runs over images.

The operations avoid comparisons and ``torch.where``, which run unvectorised on CPUs (40 times the
price of an addition).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pretrain.structures import Photometric
from pretrain.views.photometric import (
    BRIGHTNESS,
    CONTRAST,
    GREY_WEIGHTS,
    HUE,
    SATURATION,
    blur_kernel,
    blur_radius,
)


@torch.no_grad()
def apply_torch(images: Tensor, photometric: Photometric) -> Tensor:
    """Applies each image's own parameters: jitter in its own order, greyscale, blur, solarise.

    Args:
        images: (N, 3, H, W) uint8, or float in [0, 1]; RGB; any device.
        photometric: fields (N,), on the CPU or on the images' device. The groups are formed on the
            CPU: parameters on a GPU cost one synchronisation, so leave them on the CPU.

    Returns:
        (N, 3, H, W) float32 in [0, 1] on the images' device; ``images`` is unchanged.

    Raises:
        ValueError: the shapes do not fit each other.

    Cost: O(N·H·W), 0.6 to 0.9 ms of one core per 224-px image of the PixPro recipe.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images of shape {tuple(images.shape)}: must be (N, 3, H, W)")
    if photometric.order.shape != (len(images), 4):
        raise ValueError(
            f"photometric.order of shape {tuple(photometric.order.shape)}: must be "
            f"({len(images)}, 4), a row per image"
        )
    host = photometric.map(lambda field: field.cpu())
    result = torch.empty(images.shape, dtype=torch.float32, device=images.device)
    for steps, members in _jitter_groups(host):
        chosen = _sent(members, images.device)
        group = _as_float(images.index_select(0, chosen))
        for step in steps:
            group = _JITTER[step](group, _sent(_factors(host, step, members), images.device))
        result.index_copy_(0, chosen, group)
    _apply_to(result, host.grey.nonzero()[:, 0], lambda group, _: grey(group).expand_as(group))
    sigmas = host.blur_sigma.double()
    radii = blur_radius(sigmas)
    for radius in radii[sigmas > 0].unique().tolist():
        members = ((radii == radius) & (sigmas > 0)).nonzero()[:, 0]
        _apply_to(result, members, lambda group, i, r=radius: blur(group, sigmas[i], r))
    _apply_to(
        result,
        (host.solarise <= 1).nonzero()[:, 0],
        lambda group, i: solarise(group, host.solarise[i]),
    )
    return result


def _apply_to(
    images: Tensor, members: Tensor, function: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """Replaces ``images[members]`` by ``function(images[members], members)``; nothing happens for
    no members.
    """
    if len(members):
        chosen = _sent(members, images.device)
        images.index_copy_(0, chosen, function(images.index_select(0, chosen), members))


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Returns a CPU tensor on ``device``; by way of page-locked memory, so that nothing waits."""
    if device.type != "cpu" and tensor.device.type == "cpu" and torch.cuda.is_available():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _as_float(images: Tensor) -> Tensor:
    """Returns a copy as float32 in [0, 1]; by division, so that a value of 128 equals a threshold
    of 128 / 255.
    """
    return (
        images.float().div_(255.0)
        if images.dtype == torch.uint8
        else images.to(torch.float32, copy=True)
    )


def _jitter_groups(photometric: Photometric) -> list[tuple[list[int], Tensor]]:
    """Returns (active steps in their order, (n,) int64 indices of the images that share it) for
    every image.
    """
    neutral = torch.tensor([1.0, 1.0, 1.0, 0.0])
    factors = torch.stack(
        [photometric.brightness, photometric.contrast, photometric.saturation, photometric.hue], -1
    )
    active = (factors != neutral).gather(1, photometric.order)
    # Active steps first, in their order; 4 stands for "nothing" and fills up.
    steps = photometric.order.masked_fill(~active, 4).gather(
        1, (~active).to(torch.int8).argsort(dim=1, stable=True)
    )
    kinds, kind = torch.unique(steps, dim=0, return_inverse=True)
    groups = []
    for number, row in enumerate(kinds.tolist()):
        active_steps = [step for step in row if step < 4]
        groups.append((active_steps, (kind == number).nonzero()[:, 0]))
    return groups


def _factors(photometric: Photometric, step: int, members: Tensor) -> Tensor:
    """Returns (n, 1, 1, 1) float32 parameters of one jitter step."""
    name = ("brightness", "contrast", "saturation", "hue")[step]
    return getattr(photometric, name)[members].float().view(-1, 1, 1, 1)


def grey(images: Tensor) -> Tensor:
    """Returns the grey values (N, 1, H, W) of RGB images (N, 3, H, W)."""
    red, green, blue = images.split(1, dim=1)
    return (
        (red * GREY_WEIGHTS[0]).add_(green, alpha=GREY_WEIGHTS[1]).add_(blue, alpha=GREY_WEIGHTS[2])
    )


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Returns clamp(f·I). ``images`` (N, 3, H, W) in [0, 1] is overwritten, ``factor`` is (N, 1, 1,
    1).
    """
    return images.mul_(factor).clamp_(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Returns clamp(f·I + (1 − f)·m), m the mean grey. ``images`` is overwritten, ``factor`` is (N,
    1, 1, 1).
    """
    # Not lerp: it is unvectorised where both the start and the weight are one number per image.
    mean = grey(images).mean((1, 2, 3), keepdim=True)
    return images.mul_(factor).add_(mean.mul_(1 - factor)).clamp_(0, 1)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Returns clamp(f·I + (1 − f)·g), g each pixel's grey. ``images`` (N, 3, H, W), ``factor`` (N,
    1, 1, 1).
    """
    return torch.lerp(grey(images), images, factor).clamp_(0, 1)


def hue(images: Tensor, turns: Tensor) -> Tensor:
    """Rotates the hue in HSV space, value and saturation unchanged.

    With M = max, c = max − min over RGB, the hue as a signed distance from red in sextants, h ∈
    [−3, 3], is
        |h| = 2 + (G + B − R − M) / c,  sign(h) = sign(G − B)
    (checked sextant by sextant: the trapezoids of the two channels beside the maximum are linear
    there), and the rotated channel that peaks at sextant p ∈ {0, 2, 4} (R, G, B) is
        M − c · clamp(|w| − 1, 0, 1),  w = h + 6·turns − p wrapped to [−3, 3].
    No comparison is needed, and grey pixels (c = 0) stay as they are.

    Args:
        images: (N, 3, H, W) in [0, 1]. turns: (N, 1, 1, 1) in [-0.5, 0.5].

    Returns:
        (N, 3, H, W), a new tensor.
    """
    red, green, blue = images.split(1, dim=1)
    top = torch.maximum(torch.maximum(red, green), blue)
    chroma6 = (top - torch.minimum(torch.minimum(red, green), blue)).mul_(6).clamp_min_(1e-12)
    # In turns: h / 6.
    distance = (green + blue).sub_(red).sub_(top).div_(chroma6).add_(1 / 3)
    angle = distance.copysign_(green - blue)
    peaks = turns - torch.tensor([0.0, 1 / 3, 2 / 3], device=images.device).view(1, 3, 1, 1)
    wrapped = angle + peaks  # (N, 3, H, W)
    wrapped.sub_(wrapped.round()).abs_().clamp_(1 / 6, 1 / 3)
    # M − c·(6·wrapped − 1) = (M + c) − 6c·wrapped, in [0, 1] but for rounding.
    return wrapped.mul_(chroma6).neg_().add_(top.add_(chroma6, alpha=1 / 6)).clamp_(0, 1)


_JITTER = {BRIGHTNESS: brightness, CONTRAST: contrast, SATURATION: saturation, HUE: hue}


def blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Blurs with a separable Gaussian of 2·radius + 1 taps, borders reflected without repeating the
    edge pixel.

    Shifted multiply-adds instead of a grouped convolution: as fast on CPUs at these radii, and free
    of the convolution libraries' slow paths (a batch of one costs 20 times as much there).

    Args:
        images: (N, 3, H, W) float32. sigma: (N,) pixels, on the CPU. radius: taps to each side;
            where the image is smaller than that, H − 1 or W − 1.
    """
    weights = _sent(blur_kernel(sigma.double(), radius).float(), images.device)  # (N, 2r+1)
    for dim in (2, 3):
        reach = min(radius, images.shape[dim] - 1)
        taps = weights[:, radius - reach : radius + reach + 1]
        taps = (taps / taps.sum(1, keepdim=True)).view(len(images), -1, 1, 1, 1)
        padding = (0, 0, reach, reach) if dim == 2 else (reach, reach, 0, 0)
        padded = F.pad(images, padding, mode="reflect")
        length = images.shape[dim]
        images = padded.narrow(dim, 0, length) * taps[:, 0]
        for k in range(1, 2 * reach + 1):
            images.addcmul_(padded.narrow(dim, k, length), taps[:, k])
    return images


def solarise(images: Tensor, threshold: Tensor) -> Tensor:
    """Returns 1 − I where I ≥ threshold, else I. ``images`` (N, 3, H, W) in [0, 1], ``threshold``
    (N,).
    """
    limit = _sent(threshold, images.device).view(-1, 1, 1, 1)
    # The in-place comparison writes 0 and 1 as floats and is vectorised; a boolean mask is not.
    above = images.clone().ge_(limit)
    return images.addcmul(above, 1 - 2 * images)
