"""What the compiled operators compute, in standard torch operations: any device, any dtype, no
compiler.

The f² pixels of a cell see the same window, so a cell is one small matrix product, (f², T)·(T, C).
Windows are cut out for a band of cells at a time: nothing of size C·K²·H·W is ever made (an unfold
needs 3.8 GB at 384 channels and 224²). Half precisions are summed in float32. T = K² taps.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

_BUDGET = 2**22  # numbers of the windows of a band: 16 MB in float32


def adaptive_conv(
    x: Tensor, w: Tensor, factor: int, padding: int, bias: Tensor | None = None
) -> Tensor:
    """See :func:`heads.upsamplers.operators.adaptive_conv`."""
    x, kernel = _channels_inside(x, padding), w.shape[3]
    y = x.new_empty(len(x), *w.shape[1:3], x.shape[3])
    for image, rows in _bands(w, factor, x.shape[3]):
        cells = _cells(w[image, _fine(rows, factor)].flatten(2), factor) @ _windows(
            x[image], rows, kernel
        )
        y[image, _fine(rows, factor)] = _pixels(cells, rows, factor)
    y = y if bias is None else y.add_(_summable(bias))
    return y.to(w.dtype).permute(0, 3, 1, 2)


def adaptive_conv_grad_x(grad: Tensor, w: Tensor, factor: int, padding: int) -> Tensor:
    """∂x of :func:`adaptive_conv` for ∂y = ``grad`` (B, C, H, W)."""
    grad, kernel = _channels_inside(grad, 0), w.shape[3]
    height, width = w.shape[1] // factor, w.shape[2] // factor
    x = grad.new_zeros(len(grad), height + kernel - 1, width + kernel - 1, grad.shape[3])
    for image, rows in _bands(w, factor, grad.shape[3]):
        fine = _fine(rows, factor)
        windows = _cells(w[image, fine].flatten(2), factor).mT @ _cells(
            grad[image, fine], factor
        )  # (r·w, T, C)
        for tap, values in enumerate(windows.unflatten(0, (-1, width)).unbind(2)):
            i, j = divmod(tap, kernel)
            x[image, rows.start + i : rows.stop + i, j : j + width] += values
    x = x[:, padding : x.shape[1] - padding, padding : x.shape[2] - padding]
    return x.to(w.dtype).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def adaptive_conv_grad_w(grad: Tensor, x: Tensor, factor: int, padding: int) -> Tensor:
    """∂w of :func:`adaptive_conv` for ∂y = ``grad`` (B, C, H, W)."""
    kernel, dtype = x.shape[2] + 2 * padding - grad.shape[2] // factor + 1, x.dtype
    grad, x = _channels_inside(grad, 0), _channels_inside(x, padding)
    w = grad.new_empty(*grad.shape[:3], kernel, kernel)
    for image, rows in _bands(w, factor, x.shape[3]):
        cells = (
            _cells(grad[image, _fine(rows, factor)], factor) @ _windows(x[image], rows, kernel).mT
        )
        w[image, _fine(rows, factor)] = _pixels(cells, rows, factor).unflatten(2, (kernel, kernel))
    return w.to(dtype)


def jbu_filters(
    keys: Tensor,
    temperature: Tensor,
    sigma: Tensor,
    guidance: Tensor | None,
    fixup: list[Tensor],
    keep: Tensor | None,
    rows: Tensor | None,
    cols: Tensor | None,
    radius: int,
) -> Tensor:
    """See :func:`heads.upsamplers.operators.jbu_filters`."""
    kernel = _softmax(keys, temperature, sigma, radius)[0]
    if guidance is not None:
        kernel = _fixup(kernel, guidance, fixup, keep)[0]
    kernel = kernel.permute(0, 2, 3, 1).unflatten(
        3, (2 * radius + 1, 2 * radius + 1)
    )  # (B, H, W, K, K)
    return kernel.contiguous() if rows is None else rows.mT[:, None] @ kernel @ cols


def jbu_filters_backward(
    grad: Tensor,
    keys: Tensor,
    temperature: Tensor,
    sigma: Tensor,
    guidance: Tensor | None,
    fixup: list[Tensor],
    keep: Tensor | None,
    rows: Tensor | None,
    cols: Tensor | None,
    radius: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, list[Tensor]]:
    """∂keys, ∂temperature, ∂sigma, ∂guidance and ∂fixup (empty without it) for ∂filters = ``grad``;
    recomputes all.
    """
    soft, dots = _softmax(keys, temperature, sigma, radius)
    if rows is not None:
        grad = rows[:, None] @ grad @ cols.mT
    d_soft = grad.flatten(3).permute(0, 3, 1, 2)  # (B, T, H, W)
    d_guidance, d_fixup = grad.new_empty(0), []
    if guidance is not None:
        d_soft, d_guidance, d_fixup = _fixup_backward(
            d_soft, soft, guidance=guidance, fixup=fixup, keep=keep
        )
    d_logits = soft * (d_soft - (d_soft * soft).sum(1, keepdim=True))
    d_temperature = (d_logits * dots).sum()
    d_sigma = (d_logits * _squared_offsets(radius, sigma)[:, None, None]).sum() / sigma**3
    size, height, width = 2 * radius + 1, *d_logits.shape[2:]
    centre = keys[:, :, radius : radius + height, radius : radius + width]
    d_keys, d_centre = torch.zeros_like(keys), torch.zeros_like(centre)
    for tap, along in enumerate((d_logits * temperature).unbind(1)):
        window = slice(tap // size, tap // size + height), slice(tap % size, tap % size + width)
        d_centre += along[:, None] * keys[:, :, window[0], window[1]]
        d_keys[:, :, window[0], window[1]] += along[:, None] * centre
    d_keys[:, :, radius : radius + height, radius : radius + width] += d_centre
    return d_keys, d_temperature, d_sigma, d_guidance, d_fixup


def _softmax(
    keys: Tensor, temperature: Tensor, sigma: Tensor, radius: int
) -> tuple[Tensor, Tensor]:
    """Softmax over taps (B, T, H, W) of range logits plus the logarithm of the spatial kernel, and
    the dot products.
    """
    size = 2 * radius + 1
    height, width = keys.shape[2] - 2 * radius, keys.shape[3] - 2 * radius
    centre = keys[:, :, radius : radius + height, radius : radius + width]
    dots = keys.new_empty(len(keys), size * size, height, width)
    for i in range(size):
        for j in range(size):
            dots[:, i * size + j] = (centre * keys[:, :, i : i + height, j : j + width]).sum(1)
    spatial = _squared_offsets(radius, sigma) / (-2 * sigma**2)
    return (temperature * dots + spatial[:, None, None]).softmax(1), dots


def _squared_offsets(radius: int, like: Tensor) -> Tensor:
    """‖u_q‖² (T,) of the taps, in units of the radius."""
    u = (
        torch.linspace(-1, 1, 2 * radius + 1, dtype=like.dtype, device=like.device)
        if radius
        else like.new_zeros(1)
    )
    return (u[:, None] ** 2 + u**2).flatten()


def _fixup(
    soft: Tensor, guidance: Tensor, fixup: list[Tensor], keep: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Corrected kernel (B, T, H, W), the hidden layer before and after GELU and dropout."""
    weight1, bias1, weight2, bias2 = fixup
    before = F.conv2d(torch.cat([soft, guidance], 1), weight1[..., None, None], bias1)
    hidden = F.gelu(before) if keep is None else F.gelu(before) * keep[..., None, None]
    return soft + 0.1 * F.conv2d(hidden, weight2[..., None, None], bias2), before, hidden


def _fixup_backward(
    grad: Tensor, soft: Tensor, *, guidance: Tensor, fixup: list[Tensor], keep: Tensor | None
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """∂soft (B, T, H, W), ∂guidance and the gradients of the four parameters, for ∂kernel =
    ``grad``.
    """
    weight1, _, weight2, _ = fixup
    _, before, hidden = _fixup(soft, guidance, fixup, keep)
    step = 0.1 * grad
    d_hidden = torch.einsum("oi,bohw->bihw", weight2, step)
    d_hidden = d_hidden if keep is None else d_hidden * keep[..., None, None]
    normal = (
        torch.exp(-before.square() / 2) * 0.3989422804014327
    )  # 1/√2π: density of the standard normal
    d_before = d_hidden * ((1 + torch.erf(before * 0.7071067811865476)) / 2 + before * normal)
    inputs = torch.cat([soft, guidance], 1)
    d_inputs = torch.einsum("oi,bohw->bihw", weight1, d_before)
    gradients = [
        torch.einsum("bohw,bihw->oi", d_before, inputs),
        d_before.sum((0, 2, 3)),
        torch.einsum("bohw,bihw->oi", step, hidden),
        step.sum((0, 2, 3)),
    ]
    d_soft, d_guidance = d_inputs.split([soft.shape[1], guidance.shape[1]], 1)
    # Contiguous down to the stride of a batch of one, as the operator's fake kernel says.
    return grad + d_soft, d_guidance.clone(memory_format=torch.contiguous_format), gradients


def _summable(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _channels_inside(x: Tensor, padding: int) -> Tensor:
    """(B, C, h, w) -> (B, h + 2p, w + 2p, C) in memory."""
    return F.pad(_summable(x), (padding,) * 4).permute(0, 2, 3, 1).contiguous()


def _bands(w: Tensor, factor: int, channels: int) -> Iterator[tuple[int, slice]]:
    """(image, rows of cells) so that the windows of a band are ``_BUDGET`` numbers, or one row."""
    height, width = w.shape[1] // factor, w.shape[2] // factor
    step = max(1, _BUDGET // max(1, width * w.shape[3] ** 2 * channels))
    for image in range(len(w)):
        for top in range(0, height, step):
            yield image, slice(top, min(top + step, height))


def _fine(rows: slice, factor: int) -> slice:
    """The high-resolution rows of rows of cells."""
    return slice(rows.start * factor, rows.stop * factor)


def _windows(x: Tensor, rows: slice, kernel: int) -> Tensor:
    """What the cells of a band see of (h + K − 1, w + K − 1, C): (r·w, T, C)."""
    count, width = rows.stop - rows.start, x.shape[1] - kernel + 1
    seen = [
        x[rows.start + i : rows.start + i + count, j : j + width]
        for i in range(kernel)
        for j in range(kernel)
    ]
    return torch.stack(seen, 2).flatten(0, 1)


def _cells(pixels: Tensor, factor: int) -> Tensor:
    """(r·f, w·f, K) -> (r·w, f², K): the pixels of a cell, which see the same window."""
    cells = (
        pixels.unflatten(1, (-1, factor)).unflatten(0, (-1, factor)).transpose(1, 2)
    )  # (r, w, f, f, K)
    return _summable(cells).flatten(2, 3).flatten(0, 1)


def _pixels(cells: Tensor, rows: slice, factor: int) -> Tensor:
    """(r·w, f², K) -> (r·f, w·f, K)."""
    grid = cells.unflatten(1, (factor, factor)).unflatten(
        0, (rows.stop - rows.start, -1)
    )  # (r, w, f, f, K)
    return grid.transpose(1, 2).flatten(2, 3).flatten(0, 1)
