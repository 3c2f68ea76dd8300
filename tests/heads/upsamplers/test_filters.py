"""The filters of a learned level, once as torch dispatches them (compiled where built) and once as
eager function.

Vectors were computed in numpy float64, independently of this code.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from heads.upsamplers import eager, operators
from heads.upsamplers.resizing import bands, low_radius

OPS = torch.ops.pixelpretext
PRINTED = dict(atol=1.5e-6, rtol=0)  # the digits of the vectors


@pytest.fixture(params=["dispatched", "eager"])
def ops(request: pytest.FixtureRequest) -> Any:
    return OPS if request.param == "dispatched" else eager


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def random_filters(
    *,
    radius: int = 1,
    factor: int = 1,
    fixup: bool = True,
    keep: bool = False,
    dim: int = 4,
    grid: tuple[int, int] = (2, 3),
    batch: int = 2,
) -> list[Any]:
    """Arguments of ``jbu_filters``, float64."""
    height, width, taps = grid[0] * factor, grid[1] * factor, (2 * radius + 1) ** 2
    keys = torch.randn(batch, dim, height + 2 * radius, width + 2 * radius).double()
    parameters = [
        torch.randn(*s).double() / 3 for s in ((taps, taps + 3), (taps,), (taps, taps), (taps,))
    ]
    return [
        keys,
        torch.tensor(0.8).double(),
        torch.tensor(0.7).double(),
        torch.randn(batch, 3, height, width).double() if fixup else None,
        parameters if fixup else [],
        (torch.rand(batch, taps) > 0.3).double() / 0.7 if keep else None,
        *(bands(grid, keys, factor=factor, radius=radius) if factor > 1 else (None, None)),
        radius,
    ]


CASES = [
    dict(fixup=False),
    dict(),
    dict(keep=True),
    dict(factor=2, keep=True),
    dict(factor=3, fixup=False),
]


def test_spatial_kernel_vector(ops: Any) -> None:
    """With keys of zero the filters are the spatial kernel, here scaled back from its sum."""
    zeros, one = torch.zeros(1, 2, 7, 8).double(), torch.ones(()).double()
    kernel = ops.jbu_filters(zeros, one, one, None, [], None, None, None, 3)[0, 0, 1] * 32.563629
    first = torch.tensor([0.367879, 0.485672, 0.573753, 0.606531]).double()
    middle = torch.tensor([0.606531, 0.800737, 0.945959, 1]).double()
    for row, expected in ((0, first), (6, first), (3, middle)):
        torch.testing.assert_close(
            kernel[row], torch.cat([expected, expected[:3].flip(0)]), **PRINTED
        )


def test_bicubic_vector() -> None:
    """The centre rows of the bands are the bicubic ×2 of [0, 1, 0, 0]."""
    rows, _ = bands((4, 4), torch.zeros((), dtype=torch.float64), factor=2, radius=3)
    reach = low_radius(2, 3)
    signal = F.pad(torch.tensor([0.0, 1, 0, 0]).double(), (reach, reach))
    found = [rows[y, 3] @ signal[y // 2 : y // 2 + 2 * reach + 1] for y in range(8)]
    expected = [-0.105469, 0.261719, 0.878906, 0.878906, 0.261719, -0.105469, -0.035156, 0]
    torch.testing.assert_close(torch.stack(found), torch.tensor(expected).double(), **PRINTED)


def test_level_vector(ops: Any) -> None:
    """A level without fix-up whose range features are the guidance itself; ρ = 0, σ = 1, r = 3."""
    maps = torch.tensor([[[1.0, 2], [3, 4]], [[0, 1], [0, -1]]], dtype=torch.float64)[None]
    c, i, j = torch.meshgrid(torch.arange(3), torch.arange(4), torch.arange(4), indexing="ij")
    guidance = ((((c + 1) * (2 * i + 3 * j)) % 7) / 7).double()[None]
    keys, one = F.pad(guidance, (3,) * 4, mode="reflect"), torch.ones(()).double()
    plain = ops.jbu_filters(keys, one, one, None, [], None, None, None, 3)
    row = torch.tensor(
        [0.011297, 0.014915, 0.017619, 0.018626, 0.017619, 0.014915, 0.011297]
    ).double()
    torch.testing.assert_close(plain[0, 0, 0, 0], row, **PRINTED)
    assert plain[0, 0, 0, 3, 3].item() == pytest.approx(0.030709, abs=1e-6)
    fused = ops.jbu_filters(
        keys, one, one, None, [], None, *bands((2, 2), maps, factor=2, radius=3), 3
    )
    source = F.interpolate(maps, scale_factor=2, mode="bicubic")
    row = torch.tensor([0.683594, 1.015625, 1.5625, 1.894531]).double()
    torch.testing.assert_close(source[0, 0, 0], row, **PRINTED)
    separate = ops.adaptive_conv(F.pad(source, (3,) * 4, mode="reflect"), plain, 1, 0)[0]
    first = [
        [2.526067, 2.529331, 2.524692, 2.514725],
        [2.531484, 2.525739, 2.508247, 2.510288],
        [2.522712, 2.49824, 2.507769, 2.526043],
        [2.523043, 2.485718, 2.485216, 2.482814],
    ]
    second = torch.tensor(
        [[-0.00884, 0.005973, 0.022649, 0.032414], [0.0412, 0.055779, 0.024753, 0.032411]]
    )
    for out in (separate, ops.adaptive_conv(maps, fused, 2, low_radius(2, 3))[0]):
        torch.testing.assert_close(out[0], torch.tensor(first).double(), **PRINTED)
        torch.testing.assert_close(out[1, ::3], second.double(), **PRINTED)


def slow_filters(
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
    """Pixel by pixel, with two kernels and a division."""
    size, units = 2 * radius + 1, max(radius, 1)
    height, width = keys.shape[2] - 2 * radius, keys.shape[3] - 2 * radius
    out = []
    for b in range(len(keys)):
        for y in range(height):
            for x in range(width):
                centre = keys[b, :, y + radius, x + radius, None, None]
                dots = (centre * keys[b, :, y : y + size, x : x + size]).sum(0)
                offset = (torch.arange(size) - radius).double() / units
                spatial = torch.exp(-(offset[:, None] ** 2 + offset**2) / (2 * sigma**2))
                kernel = (temperature * dots).flatten().softmax(0) * spatial.flatten()
                kernel = kernel / kernel.sum()
                if guidance is not None:
                    hidden = F.gelu(fixup[0] @ torch.cat([kernel, guidance[b, :, y, x]]) + fixup[1])
                    hidden = hidden if keep is None else hidden * keep[b]
                    kernel = kernel + 0.1 * (fixup[2] @ hidden + fixup[3])
                kernel = kernel.view(size, size)
                out.append(kernel if rows is None else rows[y].T @ kernel @ cols[x])
    return torch.stack(out).view(len(keys), height, width, *out[0].shape)


@pytest.mark.parametrize(
    "case", [*CASES, dict(radius=0), dict(radius=3, factor=2, grid=(3, 4), dim=32)]
)
def test_filters_and_their_gradients_equal_loops(ops: Any, case: dict[str, Any]) -> None:
    arguments = random_filters(**case)
    keys, temperature, sigma, guidance, fixup, *_ = arguments
    leaves = [keys, temperature, sigma, *([] if guidance is None else [guidance, *fixup])]
    for leaf in leaves:
        leaf.requires_grad_()
    expected = slow_filters(*arguments)
    grad = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, leaves, grad)
    with torch.no_grad():
        torch.testing.assert_close(ops.jbu_filters(*arguments), expected)
        *found, d_guidance, d_fixup = ops.jbu_filters_backward(grad, *arguments)
    torch.testing.assert_close(
        [*found, *([] if guidance is None else [d_guidance, *d_fixup])], list(wanted)
    )


@pytest.mark.parametrize("case", CASES)
def test_filters_gradcheck(case: dict[str, Any]) -> None:
    keys, temperature, sigma, guidance, fixup, *rest = random_filters(batch=1, **case)
    inputs = [keys, temperature, sigma, *([] if guidance is None else [guidance, *fixup])]

    def run(keys: Tensor, temperature: Tensor, sigma: Tensor, *others: Tensor) -> Tensor:
        guided = others[0] if others else None
        return OPS.jbu_filters(keys, temperature, sigma, guided, list(others[1:]), *rest)

    assert torch.autograd.gradcheck(run, [t.requires_grad_() for t in inputs])


def test_logits_far_apart_stay_finite(ops: Any) -> None:
    """Dot products in the thousands and a spatial kernel that underflows: a division would give
    0/0.
    """
    arguments = random_filters(fixup=False)
    arguments[0], arguments[2] = arguments[0].float() * 100, torch.tensor(1e-3)
    arguments[1] = torch.tensor(1.0)
    filters = ops.jbu_filters(*arguments)
    assert filters.isfinite().all()
    torch.testing.assert_close(filters.sum((3, 4)), torch.ones(filters.shape[:3]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_not_a_number_does_not_vanish(ops: Any, dtype: torch.dtype) -> None:
    """A range feature of NaN spoils every pixel that sees it, and no other."""
    keys, one = torch.randn(1, 4, 8, 9, dtype=dtype), torch.ones((), dtype=dtype)
    keys[0, 2, 4, 5] = float("nan")
    filters = ops.jbu_filters(keys, one, one, None, [], None, None, None, 1)
    spoilt = torch.zeros(1, 6, 7, dtype=torch.bool)
    spoilt[:, 2:5, 3:6] = True
    assert torch.equal(filters.isnan().all(4).all(3), spoilt) and torch.equal(
        filters.isnan().any(4).any(3), spoilt
    )


FIXUP = tuple(torch.zeros(*shape) for shape in ((9, 12), (9,), (9, 9), (9,)))


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(radius=-1), "radius=-1 must be from 0 to 5"),
        (dict(radius=6, keys=torch.zeros(1, 4, 20, 20)), "radius=6 must be from 0 to 5"),
        (dict(sigma=torch.ones(1)), r"sigma must be a scalar tensor, found \(1,\)"),
        (
            dict(temperature=torch.ones(()).double()),
            "float32 on cpu, another argument torch.float64",
        ),
        (dict(guidance=torch.zeros(1, 9, 2, 3), fixup=FIXUP), "G ≤ 8"),
        (
            dict(guidance=torch.zeros(1, 3, 2, 3), fixup=FIXUP, keep=torch.zeros(9)),
            r"keep must be \(B=1, T=9\)",
        ),
        (dict(bands=(torch.zeros(2, 3, 13), torch.zeros(3, 3, 13))), "rows must be .* K ≤ 11"),
        (dict(keys=torch.zeros(1, 4, 2, 5)), "keys must be"),
        (dict(guidance=torch.zeros(1, 3, 2, 3)), "give both or none"),
        (
            dict(guidance=torch.zeros(1, 3, 4, 3), fixup=(torch.zeros(9, 12),) * 4),
            "guidance must be",
        ),
        (
            dict(guidance=torch.zeros(1, 3, 2, 3), fixup=(torch.zeros(9, 12),) * 4),
            "fixup must have shapes",
        ),
        (dict(bands=(torch.zeros(2, 3, 5), torch.zeros(3, 3, 7))), "cols must be"),
    ],
)
def test_jbu_filters_errors(change: dict[str, Any], message: str) -> None:
    arguments = (
        dict(
            keys=torch.zeros(1, 4, 4, 5), temperature=torch.ones(()), sigma=torch.ones(()), radius=1
        )
        | change
    )
    with pytest.raises(ValueError, match=message):
        operators.jbu_filters(**arguments)


def test_second_derivatives_are_refused_not_wrong() -> None:
    keys = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    numbers = torch.ones(2, dtype=torch.float64)
    filters = operators.jbu_filters(keys, *numbers, radius=1)
    (grad,) = torch.autograd.grad(filters.square().sum(), keys, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        grad.sum().backward()
