"""The two operators of feature upsampling, as torch sees them: schema, shapes, gradients, autocast,
fallback.

    adaptive_conv   every output pixel has its own filter for its window of a low-resolution map
    jbu_filters     the filters of a joint bilateral upsampling level, resize included

``torch.ops.pixelpretext.*`` always exists and works, compiled or not, on any device, under
``torch.compile`` and ``torch.export``. Where a compiled library is present
(``heads.upsamplers.library``) it takes over for its device. Axes: B images, C channels, h × w
low-resolution grid, f factor, H = f·h, W = f·w, K filter side, T = K² taps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from heads.upsamplers import eager, library

#: Of ``jbu_filters``, so that every device takes the same: compiled kernels keep a pixel's taps in
# fixed arrays.
MOST_RADIUS, MOST_SIDE, MOST_GUIDES = 5, 11, 8

_SCHEMAS = {
    "adaptive_conv": "(Tensor x, Tensor w, int factor, int padding, Tensor? bias=None) -> Tensor",
    "adaptive_conv_grad_x": "(Tensor grad, Tensor w, int factor, int padding) -> Tensor",
    "adaptive_conv_grad_w": "(Tensor grad, Tensor x, int factor, int padding) -> Tensor",
    "jbu_filters": (
        "(Tensor keys, Tensor temperature, Tensor sigma, Tensor? guidance, Tensor[] fixup, "
        "Tensor? keep, Tensor? rows, Tensor? cols, int radius) -> Tensor"
    ),
    "jbu_filters_backward": (
        "(Tensor grad, Tensor keys, Tensor temperature, Tensor sigma, Tensor? guidance, "
        "Tensor[] fixup, Tensor? keep, Tensor? rows, Tensor? cols, int radius) -> (Tensor, "
        "Tensor, Tensor, Tensor, Tensor[])"
    ),
}


def adaptive_conv(
    x: Tensor, w: Tensor, *, factor: int = 1, padding: int = 0, bias: Tensor | None = None
) -> Tensor:
    """Filters a low-resolution map at every high-resolution pixel; all channels share a pixel's
    filter.

        y[b, c, Y, X] = bias[c] + Σ_ij w[b, Y, X, i, j] · x[b, c, ⌊Y/f⌋ + i − p, ⌊X/f⌋ + j − p]
        x = 0 outside

    Correlation, no flip. ``factor=1, padding=0`` is FeatUp's adaptive convolution (arXiv
    2403.10516).

    Args:
        x: (B, C, h + K − 1 − 2p, w + K − 1 − 2p) float.
        w: (B, H, W, K, K) float of the same device and, outside autocast, dtype; H = f·h, W = f·w.
        factor: f, high-resolution pixels per low-resolution cell and axis.
        padding: p, rows and columns of zeros around x.
        bias: (C,), as x; None for 0. Added here it costs nothing, afterwards another pass over the
            output.

    Returns:
        (B, C, H, W), dtype of x, channels last in memory; half precisions are summed in float32.
        Differentiable any number of times. Cost 2·B·C·K²·H·W flop; no memory beside the output but
        a channels-last copy of x where it is laid out otherwise.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit.
    """
    _check_adaptive_conv(x, w, factor, padding)
    if bias is not None and (bias.shape != x.shape[1:2] or not _alike(bias, x)):
        raise ValueError(
            f"adaptive_conv: bias must be ({x.shape[1]},) {x.dtype} on {x.device} like x, found "
            f"{tuple(bias.shape)} {bias.dtype} on {bias.device}"
        )
    if torch.onnx.is_in_onnx_export():
        return eager.adaptive_conv(x, w, factor, padding, bias)
    return torch.ops.pixelpretext.adaptive_conv(x, w, factor, padding, bias)


def jbu_filters(
    keys: Tensor,
    temperature: Tensor,
    sigma: Tensor,
    *,
    radius: int,
    guidance: Tensor | None = None,
    fixup: tuple[Tensor, Tensor, Tensor, Tensor] | None = None,
    keep: Tensor | None = None,
    bands: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Filters of one learned joint bilateral level: range and spatial kernel in one softmax,
    fix-up, resize.

        s_q = softmax_q(t·⟨k_p, k_{p+q}⟩ − ‖u_q‖² / 2σ²)   over the (2r+1)² offsets q, u_q = q / r
        W   = s + 0.1·(A₂·(keep ⊙ GELU(A₁·[s; g] + a₁)) + a₂)   (with ``fixup``; not renormalised)
        out[Y, X] = rows[Y]ᵀ · W[Y, X] · cols[X]                        (with ``bands``)

    arXiv 2403.10516, section 3 and its code; one softmax in place of two kernels and a division is
    exact.

    Args:
        keys: (B, D, H + 2r, W + 2r) float32 or float64, range features k, padded (by reflection).
        temperature: () t > 0; this and all that follows of the dtype (outside autocast) and device
            of ``keys``.
        sigma: () σ, in units of the radius.
        radius: r, at most ``MOST_RADIUS``.
        guidance: (B, G, H, W) g, the image seen by the fix-up; given with ``fixup`` and only then.
            G is at most ``MOST_GUIDES``.
        fixup: A₁ (T, T + G), a₁ (T,), A₂ (T, T), a₂ (T,) with T = (2r+1)².
        keep: (B, T) channel dropout behind the GELU, already divided by the share kept; None
            without.
        bands: rows (H, 2r+1, K) and cols (W, 2r+1, K): each row or column of the high-resolution
            source as a combination of K low-resolution ones, see
            :func:`heads.upsamplers.resizing.bands`. K is at most ``MOST_SIDE``.

    Returns:
        (B, H, W, K, K) filters for :func:`adaptive_conv`; K = 2r+1 without ``bands``. The backward
        pass recomputes and
        keeps nothing. Cost per pixel: 2·D·T + 4·T² + 2·K·(T + K·(2r+1)) flop.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit.
    """
    rows, cols = bands or (None, None)
    parameters = list(fixup or ())
    _check_jbu_filters(keys, radius, guidance=guidance, fixup=parameters, rows=rows, cols=cols)
    _check_beside(keys, radius, temperature=temperature, sigma=sigma, keep=keep)
    _check_alike(keys, temperature, sigma, guidance, *parameters, keep, rows, cols)
    # Gradients come back laid out as the inputs; the kernels know one layout.
    keys, guidance = keys.contiguous(), guidance if guidance is None else guidance.contiguous()
    parameters = [parameter.contiguous() for parameter in parameters]
    arguments = (keys, temperature, sigma, guidance, parameters, keep, rows, cols, radius)
    if torch.onnx.is_in_onnx_export():
        return eager.jbu_filters(*arguments)
    return torch.ops.pixelpretext.jbu_filters(*arguments)


def _check_adaptive_conv(x: Tensor, w: Tensor, factor: int, padding: int) -> None:
    if x.ndim != 4 or w.ndim != 5 or w.shape[3] != w.shape[4]:
        raise ValueError(
            "adaptive_conv: x must be (B, C, h, w) and w (B, H, W, K, K), found "
            f"{tuple(x.shape)} and {tuple(w.shape)}"
        )
    if not _alike(w, x):
        raise ValueError(
            f"adaptive_conv: x is {x.dtype} on {x.device}, w is {w.dtype} on {w.device}; give "
            "both the same"
        )
    if factor < 1 or padding < 0 or w.shape[1] % factor or w.shape[2] % factor:
        raise ValueError(
            f"adaptive_conv: factor={factor} must be at least 1 and divide the sides "
            f"{tuple(w.shape[1:3])} of w, padding={padding} must not be negative"
        )
    sides = tuple(side // factor + w.shape[3] - 1 - 2 * padding for side in w.shape[1:3])
    if x.shape[0] != w.shape[0] or tuple(x.shape[2:]) != sides:
        raise ValueError(
            f"adaptive_conv: w {tuple(w.shape)} with factor={factor}, padding={padding} needs x "
            f"(B={w.shape[0]}, C, {sides[0]}, {sides[1]}), found {tuple(x.shape)}"
        )


def _check_jbu_filters(
    keys: Tensor,
    radius: int,
    *,
    guidance: Tensor | None,
    fixup: list[Tensor],
    rows: Tensor | None,
    cols: Tensor | None,
) -> None:
    if not 0 <= radius <= MOST_RADIUS:
        raise ValueError(f"jbu_filters: radius={radius} must be from 0 to {MOST_RADIUS}")
    if keys.ndim != 4 or min(keys.shape[2:]) <= 2 * radius:
        raise ValueError(
            f"jbu_filters: keys must be (B, D, H + {2 * radius}, W + {2 * radius}) for "
            f"radius={radius}, found {tuple(keys.shape)}"
        )
    sides, taps = tuple(side - 2 * radius for side in keys.shape[2:]), (2 * radius + 1) ** 2
    if (guidance is None) != (not fixup):
        raise ValueError("jbu_filters: guidance and fixup belong together, give both or none")
    if guidance is not None:
        if (
            len(guidance) != len(keys)
            or tuple(guidance.shape[2:]) != sides
            or guidance.shape[1] > MOST_GUIDES
        ):
            raise ValueError(
                f"jbu_filters: guidance must be (B={len(keys)}, G ≤ {MOST_GUIDES}, {sides[0]}, "
                f"{sides[1]}), found {tuple(guidance.shape)}"
            )
        wanted = [(taps, taps + guidance.shape[1]), (taps,), (taps, taps), (taps,)]
        if [tuple(p.shape) for p in fixup] != wanted:
            raise ValueError(
                f"jbu_filters: fixup must have shapes {wanted}, found "
                f"{[tuple(p.shape) for p in fixup]}"
            )
    for name, band, side in (("rows", rows, sides[0]), ("cols", cols, sides[1])):
        if band is not None and (
            tuple(band.shape[:2]) != (side, 2 * radius + 1)
            or band.shape[2] != rows.shape[2]
            or band.shape[2] > MOST_SIDE
        ):
            raise ValueError(
                f"jbu_filters: {name} must be ({side}, {2 * radius + 1}, K), the same K ≤ "
                f"{MOST_SIDE} in both, found {tuple(band.shape)}"
            )


def _check_beside(
    keys: Tensor, radius: int, *, temperature: Tensor, sigma: Tensor, keep: Tensor | None
) -> None:
    for name, number in (("temperature", temperature), ("sigma", sigma)):
        if number.ndim:
            raise ValueError(
                f"jbu_filters: {name} must be a scalar tensor, found {tuple(number.shape)}"
            )
    if keep is not None and tuple(keep.shape) != (len(keys), (2 * radius + 1) ** 2):
        raise ValueError(
            f"jbu_filters: keep must be (B={len(keys)}, T={(2 * radius + 1) ** 2}), found "
            f"{tuple(keep.shape)}"
        )


def _check_alike(keys: Tensor, *others: Tensor | None) -> None:
    for other in others:
        if other is not None and not _alike(other, keys):
            raise ValueError(
                f"jbu_filters: keys is {keys.dtype} on {keys.device}, another argument "
                f"{other.dtype} on {other.device}; give all of them the same"
            )


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have one device and one dtype, or dtypes that autocast will make one."""
    if a.device != b.device or a.dtype == b.dtype:
        return a.device == b.device
    return torch.is_autocast_enabled(a.device.type) and torch.float64 not in (a.dtype, b.dtype)


def _fake_conv(x: Tensor, w: Tensor, *_: Any) -> Tensor:
    return _channels_last(x, (*x.shape[:2], *w.shape[1:3]))


def _fake_grad_x(grad: Tensor, w: Tensor, factor: int, padding: int) -> Tensor:
    margin = w.shape[3] - 1 - 2 * padding
    return _channels_last(
        grad, (*grad.shape[:2], w.shape[1] // factor + margin, w.shape[2] // factor + margin)
    )


def _fake_grad_w(grad: Tensor, x: Tensor, factor: int, padding: int) -> Tensor:
    kernel = x.shape[2] + 2 * padding - grad.shape[2] // factor + 1
    return grad.new_empty(grad.shape[0], *grad.shape[2:], kernel, kernel)


def _fake_filters(keys: Tensor, *arguments: Any) -> Tensor:
    rows, radius = arguments[5], arguments[7]
    side = 2 * radius + 1 if rows is None else rows.shape[2]
    return keys.new_empty(len(keys), *(s - 2 * radius for s in keys.shape[2:]), side, side)


def _fake_filters_backward(
    grad: Tensor, keys: Tensor, *arguments: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor, list[Tensor]]:
    temperature, sigma, guidance, fixup, *_ = arguments
    d_keys, d_temperature, d_sigma = map(torch.empty_like, (keys, temperature, sigma))
    d_guidance = keys.new_empty(0 if guidance is None else guidance.shape)
    return d_keys, d_temperature, d_sigma, d_guidance, list(map(torch.empty_like, fixup))


def _channels_last(like: Tensor, size: tuple[int, ...]) -> Tensor:
    return torch.empty(
        size, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )


def _keep_arguments(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Saves the tensors among the inputs, and where they stood."""
    ctx.others, ctx.places, ctx.lists = list(inputs), [], []
    tensors, listed = [], []
    for place, value in enumerate(inputs):
        if isinstance(value, Tensor):
            tensors.append(value)
            ctx.places.append(place)
            ctx.others[place] = None
        elif isinstance(value, list):
            listed += value
            ctx.lists.append((place, len(value)))
    ctx.save_for_backward(*tensors, *listed)


def _arguments(ctx: Any) -> list[Any]:
    """The inputs that :func:`_keep_arguments` saved."""
    values, saved = list(ctx.others), list(ctx.saved_tensors)
    for place in ctx.places:
        values[place] = saved.pop(0)
    for place, count in ctx.lists:
        values[place], saved = saved[:count], saved[count:]
    return values


def _conv_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    # An argument left at its default does not come here.
    x, w, factor, padding, *_ = _arguments(ctx)
    need_x, need_w, _, _, *need_bias = ctx.needs_input_grad
    ops = torch.ops.pixelpretext
    d_x = ops.adaptive_conv_grad_x(grad, w, factor, padding) if need_x else None
    d_w = ops.adaptive_conv_grad_w(grad, x, factor, padding) if need_w else None
    d_bias = [grad.sum((0, 2, 3)) if needed else None for needed in need_bias]
    return d_x, d_w, None, None, *d_bias


def _grad_x_backward(ctx: Any, upper: Tensor) -> tuple[Tensor | None, ...]:
    """grad_x is linear in grad and in w: its own gradients are the other two operators."""
    grad, w, *numbers = _arguments(ctx)
    need_grad, need_w = ctx.needs_input_grad[:2]
    ops = torch.ops.pixelpretext
    d_grad = ops.adaptive_conv(upper, w, *numbers) if need_grad else None
    return d_grad, ops.adaptive_conv_grad_w(grad, upper, *numbers) if need_w else None, None, None


def _grad_w_backward(ctx: Any, upper: Tensor) -> tuple[Tensor | None, ...]:
    """As :func:`_grad_x_backward`, for grad_w, which is linear in grad and in x."""
    grad, x, *numbers = _arguments(ctx)
    need_grad, need_x = ctx.needs_input_grad[:2]
    ops = torch.ops.pixelpretext
    d_grad = ops.adaptive_conv(x, upper, *numbers) if need_grad else None
    return d_grad, ops.adaptive_conv_grad_x(grad, upper, *numbers) if need_x else None, None, None


def _filters_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    arguments = _arguments(ctx)
    *d_three, d_guidance, d_fixup = torch.ops.pixelpretext.jbu_filters_backward(grad, *arguments)
    d_guidance = None if arguments[3] is None else d_guidance
    return *d_three, d_guidance, d_fixup, None, None, None, None


def _no_second_derivative(ctx: Any, *_: Any) -> None:
    raise NotImplementedError(
        "jbu_filters has first derivatives only; for second ones use "
        "heads.upsamplers.eager.jbu_filters"
    )


def _autocast_conv(x: Tensor, w: Tensor, *others: Any) -> Tensor:
    """On CUDA in autocast's precision, summed in float32 all the same; float64 stays, as autocast
    has it.
    """
    dtype = x.dtype if x.dtype == torch.float64 else torch.get_autocast_dtype("cuda")
    with torch.autocast("cuda", enabled=False):
        cast = [other.to(dtype) if isinstance(other, Tensor) else other for other in others]
        return torch.ops.pixelpretext.adaptive_conv(x.to(dtype), w.to(dtype), *cast)


def _register() -> None:
    """Defines the operators; the fallback serves devices without a compiled kernel of their own."""
    fakes = (_fake_conv, _fake_grad_x, _fake_grad_w, _fake_filters, _fake_filters_backward)
    for (name, schema), fake in zip(_SCHEMAS.items(), fakes, strict=True):
        qualified = f"pixelpretext::{name}"
        torch.library.define(qualified, schema)
        torch.library.impl(qualified, "default", library.announced(getattr(eager, name)))
        torch.library.register_fake(qualified, fake)
    gradients = dict(
        adaptive_conv=_conv_backward,
        adaptive_conv_grad_x=_grad_x_backward,
        adaptive_conv_grad_w=_grad_w_backward,
        jbu_filters=_filters_backward,
        jbu_filters_backward=_no_second_derivative,
    )
    for name, backward in gradients.items():
        torch.library.register_autograd(
            f"pixelpretext::{name}", backward, setup_context=_keep_arguments
        )
    torch.library.impl("pixelpretext::adaptive_conv", "AutocastCUDA", _autocast_conv)
    # The CPU kernels are float32 and float64 ones; a softmax and an exponential stay in float32
    # everywhere.
    torch.library.register_autocast("pixelpretext::adaptive_conv", "cpu", torch.float32)
    for device in ("cpu", "cuda"):
        torch.library.register_autocast("pixelpretext::jbu_filters", device, torch.float32)
    library.load()


_register()
