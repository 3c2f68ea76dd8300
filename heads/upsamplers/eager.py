"""What the compiled operators compute, in standard torch operations: any device, any dtype, no compiler.

Loops run over the K² taps of a filter, never over pixels, and nothing of size C·K²·H·W is ever made (an unfold needs
3.8 GB at 384 channels and 224²). Half precisions are summed in float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def adaptive_conv(x: Tensor, w: Tensor, factor: int, padding: int, bias: Tensor | None = None) -> Tensor:
    """See :func:`heads.upsamplers.operators.adaptive_conv`."""
    height, width, kernel = w.shape[1] // factor, w.shape[2] // factor, w.shape[3]
    x, taps = _pad(_summable(x), padding), _phases(_summable(w), factor)
    y = x.new_zeros(*x.shape[:2], height, factor, width, factor)
    if bias is not None:
        y += _summable(bias)[:, None, None, None, None]
    for i in range(kernel):
        for j in range(kernel):
            y.addcmul_(x[:, :, i : i + height, None, j : j + width, None], taps[..., i, j])
    return y.flatten(4).flatten(2, 3).to(w.dtype).contiguous(memory_format=torch.channels_last)


def adaptive_conv_grad_x(grad: Tensor, w: Tensor, factor: int, padding: int) -> Tensor:
    """∂x of :func:`adaptive_conv` for ∂y = ``grad`` (B, C, H, W)."""
    height, width, kernel = w.shape[1] // factor, w.shape[2] // factor, w.shape[3]
    grad, taps = _cells(_summable(grad), factor), _phases(_summable(w), factor)
    size = (height + kernel - 1, width + kernel - 1)
    x = grad.new_zeros(*grad.shape[:2], *size)
    for i in range(kernel):
        for j in range(kernel):
            x[:, :, i : i + height, j : j + width] += (grad * taps[..., i, j]).sum((3, 5))
    x = x[:, :, padding : size[0] - padding, padding : size[1] - padding]
    return x.to(w.dtype).contiguous(memory_format=torch.channels_last)


def adaptive_conv_grad_w(grad: Tensor, x: Tensor, factor: int, padding: int) -> Tensor:
    """∂w of :func:`adaptive_conv` for ∂y = ``grad`` (B, C, H, W)."""
    height, width = grad.shape[2] // factor, grad.shape[3] // factor
    kernel, dtype = x.shape[2] + 2 * padding - height + 1, x.dtype
    cells, x = _cells(_summable(grad), factor), _pad(_summable(x), padding)
    w = cells.new_empty(grad.shape[0], height, factor, width, factor, kernel, kernel)
    for i in range(kernel):
        for j in range(kernel):
            w[..., i, j] = (cells * x[:, :, i : i + height, None, j : j + width, None]).sum(1)
    return w.flatten(3, 4).flatten(1, 2).to(dtype)


def jbu_filters(
    keys: Tensor, temperature: Tensor, sigma: Tensor, guidance: Tensor | None, fixup: list[Tensor], keep: Tensor | None,
    rows: Tensor | None, cols: Tensor | None, radius: int,
) -> Tensor:  # fmt: skip
    """See :func:`heads.upsamplers.operators.jbu_filters`."""
    kernel = _softmax(keys, temperature, sigma, radius)[0]
    if guidance is not None:
        kernel = _fixup(kernel, guidance, fixup, keep)[0]
    kernel = kernel.permute(0, 2, 3, 1).unflatten(3, (2 * radius + 1, 2 * radius + 1))  # (B, H, W, K, K)
    return kernel.contiguous() if rows is None else rows.mT[:, None] @ kernel @ cols


def jbu_filters_backward(
    grad: Tensor, keys: Tensor, temperature: Tensor, sigma: Tensor, guidance: Tensor | None, fixup: list[Tensor],
    keep: Tensor | None, rows: Tensor | None, cols: Tensor | None, radius: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, list[Tensor]]:  # fmt: skip
    """∂keys, ∂temperature, ∂sigma, ∂guidance and ∂fixup (empty without it) for ∂filters = ``grad``; recomputes all."""
    soft, dots = _softmax(keys, temperature, sigma, radius)
    if rows is not None:
        grad = rows[:, None] @ grad @ cols.mT
    d_soft = grad.flatten(3).permute(0, 3, 1, 2)  # (B, T, H, W)
    d_guidance, d_fixup = grad.new_empty(0), []
    if guidance is not None:
        d_soft, d_guidance, d_fixup = _fixup_backward(d_soft, soft, guidance, fixup, keep)
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


def _softmax(keys: Tensor, temperature: Tensor, sigma: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Softmax over taps (B, T, H, W) of range logits plus the logarithm of the spatial kernel, and the dot products."""
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
    u = torch.linspace(-1, 1, 2 * radius + 1, dtype=like.dtype, device=like.device) if radius else like.new_zeros(1)
    return (u[:, None] ** 2 + u**2).flatten()


def _fixup(soft: Tensor, guidance: Tensor, fixup: list[Tensor], keep: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Corrected kernel (B, T, H, W), the hidden layer before and after GELU and dropout."""
    weight1, bias1, weight2, bias2 = fixup
    before = F.conv2d(torch.cat([soft, guidance], 1), weight1[..., None, None], bias1)
    hidden = F.gelu(before) if keep is None else F.gelu(before) * keep[..., None, None]
    return soft + 0.1 * F.conv2d(hidden, weight2[..., None, None], bias2), before, hidden


def _fixup_backward(
    grad: Tensor, soft: Tensor, guidance: Tensor, fixup: list[Tensor], keep: Tensor | None
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """∂soft (B, T, H, W), ∂guidance and the gradients of the four parameters, for ∂kernel = ``grad``."""
    weight1, _, weight2, _ = fixup
    _, before, hidden = _fixup(soft, guidance, fixup, keep)
    step = 0.1 * grad
    d_hidden = torch.einsum("oi,bohw->bihw", weight2, step)
    d_hidden = d_hidden if keep is None else d_hidden * keep[..., None, None]
    normal = torch.exp(-before.square() / 2) * 0.3989422804014327  # 1/√2π: density of the standard normal
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


def _pad(x: Tensor, padding: int) -> Tensor:
    return F.pad(x, (padding,) * 4) if padding else x


def _cells(y: Tensor, factor: int) -> Tensor:
    """(B, C, H, W) -> (B, C, h, f, w, f)."""
    return y.unflatten(3, (-1, factor)).unflatten(2, (-1, factor))


def _phases(w: Tensor, factor: int) -> Tensor:
    """(B, H, W, K, K) -> (B, 1, h, f, w, f, K, K)."""
    return w.unflatten(2, (-1, factor)).unflatten(1, (-1, factor))[:, None]
