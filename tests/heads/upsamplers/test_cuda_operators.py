"""The operators on a GPU, compiled if the library is built there: against float64 on the CPU, and
what CUDA adds.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from heads.upsamplers import eager, operators
from heads.upsamplers.resizing import bands, low_radius

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
OPS = torch.ops.pixelpretext
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """The fallback computes the same on CUDA; these tests are about the kernels."""
    if not torch._C._dispatch_has_kernel_for_dispatch_key("pixelpretext::adaptive_conv", "CUDA"):
        pytest.skip("the CUDA library is not built: python tools/build_operators.py")


def draw(*size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*size, dtype=torch.float64).to(dtype).cuda()


def conv_inputs(
    batch: int,
    channels: int,
    grid: tuple[int, int],
    factor: int,
    kernel: int,
    padding: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """x, w and a gradient of y."""
    margin, (height, width) = kernel - 1 - 2 * padding, (factor * side for side in grid)
    x = draw(batch, channels, grid[0] + margin, grid[1] + margin, dtype=dtype)
    return (
        x,
        draw(batch, height, width, kernel, kernel, dtype=dtype),
        draw(batch, channels, height, width, dtype=dtype),
    )


def filter_inputs(
    batch: int = 2,
    depth: int = 32,
    sides: tuple[int, int] = (12, 20),
    radius: int = 3,
    factor: int | None = 2,
    fixup: bool = True,
    dtype: torch.dtype = torch.float64,
) -> tuple:
    """Arguments of ``jbu_filters`` in the operator's order."""
    taps, (height, width) = (2 * radius + 1) ** 2, sides
    keys = draw(batch, depth, height + 2 * radius, width + 2 * radius, dtype=dtype) / depth**0.5
    scalars = [torch.tensor(value, dtype=dtype, device="cuda") for value in (0.7, 0.9)]
    guidance, parameters, keep, rows, cols = None, [], None, None, None
    if fixup:
        guidance = draw(batch, 3, height, width, dtype=dtype)
        sizes = (taps, taps + 3), (taps,), (taps, taps), (taps,)
        parameters = [draw(*size, dtype=dtype) / taps**0.5 for size in sizes]
        keep = torch.rand(batch, taps, device="cuda").gt(0.1).to(dtype) / 0.9
    if factor:
        grid = height // factor, width // factor
        rows, cols = bands(grid, keys, factor=factor, radius=radius)
    return keys, *scalars, guidance, parameters, keep, rows, cols, radius


def wide(value: object) -> object:
    """The same on the CPU in float64."""
    if isinstance(value, (list, tuple)):
        return [wide(item) for item in value]
    return value.detach().cpu().double() if isinstance(value, Tensor) else value


def assert_near(found: Tensor, wanted: Tensor, tolerance: float) -> None:
    assert found.shape == wanted.shape
    largest = (
        wanted.abs().max().clamp(min=1 if wanted.ndim == 0 else 1e-6)
    )  # scalars are sums that cancel
    assert (found.detach().cpu().double() - wanted).abs().max() <= tolerance * largest


def test_vector() -> None:
    """The first test vector of the specification, computed in numpy."""
    grid = lambda *sides: torch.meshgrid(*map(torch.arange, sides), indexing="ij")  # noqa: E731
    c, m, n = grid(2, 4, 5)
    x = (((7 * c + 3 * m + 5 * n) % 11) - 5.0)[None].cuda()
    h, v, i, j = grid(2, 3, 3, 3)
    w = (((2 * h + 3 * v + 5 * i + 7 * j) % 13) - 6.0)[None].cuda()
    c, h, v = grid(2, 2, 3)
    grad = (((c + 2 * h + 3 * v) % 5) - 2.0)[None].cuda()
    for dtype in TOLERANCES:
        y = OPS.adaptive_conv(x.to(dtype), w.to(dtype), 1, 0)[0]
        assert y.tolist() == [[[39, 51, -9], [58, 10, -37]], [[-68, -19, 96], [-50, 11, 100]]]
    d_x, d_w = OPS.adaptive_conv_grad_x(grad, w, 1, 0), OPS.adaptive_conv_grad_w(grad, x, 1, 0)
    assert d_x[0, 0].tolist() == [
        [12, -5, 14, 4, -1],
        [2, -8, -19, 0, -3],
        [-8, -10, -8, -18, -3],
        [0, 8, -7, 12, 0],
    ]
    assert (
        d_w[0, 0, 0].tolist() == [[8, 4, -11], [-1, -5, 2], [1, 8, 4]]
        and d_w.square().sum() == 1445
    )


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize(
    "batch, channels, grid, factor, kernel, padding",
    [
        (2, 3, (5, 9), 1, 3, 0),
        (1, 384, (6, 7), 1, 7, 0),
        (2, 70, (9, 4), 2, 5, 2),
        (1, 384, (14, 14), 2, 7, 3),
        (3, 64, (28, 20), 2, 7, 3),
        (1, 27, (8, 6), 3, 7, 3),
        (2, 40, (3, 5), 7, 5, 2),
        (1, 1, (4, 4), 1, 1, 0),
        (1, 16, (6, 5), 2, 13, 6),
    ],
)
def test_convolution_equals_float64(
    batch: int,
    channels: int,
    grid: tuple[int, int],
    factor: int,
    kernel: int,
    padding: int,
    dtype: torch.dtype,
) -> None:
    x, w, grad = conv_inputs(batch, channels, grid, factor, kernel, padding, dtype)
    numbers, tolerance = (factor, padding), TOLERANCES[dtype]
    assert_near(
        OPS.adaptive_conv(x, w, *numbers),
        eager.adaptive_conv(wide(x), wide(w), *numbers),
        tolerance,
    )
    wanted = eager.adaptive_conv_grad_x(wide(grad), wide(w), *numbers)
    assert_near(OPS.adaptive_conv_grad_x(grad, w, *numbers), wanted, tolerance)
    wanted = eager.adaptive_conv_grad_w(wide(grad), wide(x), *numbers)
    assert_near(OPS.adaptive_conv_grad_w(grad, x, *numbers), wanted, tolerance)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(fixup=False),
        dict(factor=None, sides=(9, 7)),
        dict(depth=40, sides=(21, 14), factor=7),
        dict(radius=1, sides=(5, 6), factor=None),
        dict(radius=0, sides=(6, 9), factor=3),
        dict(radius=5, sides=(12, 14)),
    ],
    ids=str,
)
def test_filters_equal_float64(options: dict, dtype: torch.dtype) -> None:
    arguments = filter_inputs(**options, dtype=dtype)
    tolerance = 10 * TOLERANCES[dtype]
    found, wanted = (
        OPS.jbu_filters(*arguments),
        eager.jbu_filters(*wide(arguments[:-1]), arguments[-1]),
    )
    assert_near(found, wanted, tolerance)
    grad = draw(*wanted.shape, dtype=dtype)
    *found, found_fixup = OPS.jbu_filters_backward(grad, *arguments)
    *wanted, wanted_fixup = eager.jbu_filters_backward(
        wide(grad), *wide(arguments[:-1]), arguments[-1]
    )
    for one, other in zip([*found, *found_fixup], [*wanted, *wanted_fixup], strict=True):
        if other.numel():
            assert_near(one, other, tolerance)


def test_a_level_has_the_right_gradients() -> None:
    """Both operators as one level uses them; numerically, in float64, with respect to everything
    that is trained.
    """
    radius, factor, (h, w) = 1, 2, (2, 3)
    keys, temperature, sigma, guidance, fixup, keep, rows, cols, _ = filter_inputs(
        1, 3, (4, 6), radius, factor
    )
    x = draw(1, 2, h, w)

    def level(
        x: Tensor,
        keys: Tensor,
        temperature: Tensor,
        sigma: Tensor,
        guidance: Tensor,
        *fixup: Tensor,
    ) -> Tensor:
        options = dict(radius=radius, guidance=guidance, fixup=fixup, keep=keep, bands=(rows, cols))
        filters = operators.jbu_filters(keys, temperature, sigma, **options)
        return operators.adaptive_conv(
            x, filters, factor=factor, padding=low_radius(factor, radius)
        )

    inputs = [t.requires_grad_() for t in (x, keys, temperature, sigma, guidance, *fixup)]
    assert torch.autograd.gradcheck(level, inputs, nondet_tol=0.0)


def test_memory_layout_does_not_matter() -> None:
    x, w, grad = conv_inputs(2, 24, (6, 5), 2, 5, 2, torch.float32)
    wanted = OPS.adaptive_conv(x, w, 2, 2)
    assert wanted.is_contiguous(memory_format=torch.channels_last)
    strided = torch.stack([x, x], -1)[..., 0]
    shifted = torch.cat([x[:, :1], x], 1)[:, 1:]  # its first channel does not lie on a 16-byte word
    for other in (x.contiguous(memory_format=torch.channels_last), strided, shifted):
        assert torch.equal(OPS.adaptive_conv(other, w, 2, 2), wanted)
        assert torch.equal(
            OPS.adaptive_conv_grad_w(grad, other, 2, 2), OPS.adaptive_conv_grad_w(grad, x, 2, 2)
        )
    assert torch.equal(OPS.adaptive_conv(x, w.mT.contiguous().mT, 2, 2), wanted)
    expanded = grad[:, :, :1, :1].expand_as(grad)
    assert torch.equal(
        OPS.adaptive_conv_grad_x(expanded, w, 2, 2),
        OPS.adaptive_conv_grad_x(expanded.clone(), w, 2, 2),
    )


def test_maps_that_start_beside_a_word() -> None:
    """Channels last and contiguous, but from an odd address: no 16-byte loads then."""
    x, w, _ = conv_inputs(1, 16, (4, 4), 2, 3, 1, torch.float16)
    flat = torch.zeros(x.numel() + 1, dtype=x.dtype, device="cuda")
    odd = flat[1:].view(1, 4, 4, 16).permute(0, 3, 1, 2).copy_(x)
    assert torch.equal(OPS.adaptive_conv(odd, w, 2, 1), OPS.adaptive_conv(x, w, 2, 1))


def test_other_streams() -> None:
    """What another stream computes there is waited for by nobody but that stream."""
    x, w, _ = conv_inputs(1, 64, (32, 32), 2, 7, 3, torch.float32)
    wanted = OPS.adaptive_conv(x * 3, w, 2, 3)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10_000_000)  # cycles: an operator on the wrong stream would overtake this
        found = OPS.adaptive_conv(x * 3, w, 2, 3)
    stream.synchronize()
    assert torch.equal(found, wanted)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_another_device_than_the_current_one() -> None:
    x, w, _ = conv_inputs(1, 8, (4, 4), 2, 3, 1, torch.float32)
    found = OPS.adaptive_conv(x.to("cuda:1"), w.to("cuda:1"), 2, 1)
    assert found.device.index == 1 and torch.cuda.current_device() == 0
    assert torch.equal(found.to("cuda:0"), OPS.adaptive_conv(x, w, 2, 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_autocast(dtype: torch.dtype) -> None:
    """The convolution follows autocast, the softmax stays in float32."""
    x, w, _ = conv_inputs(1, 16, (4, 4), 2, 3, 1, torch.float32)
    arguments = filter_inputs(dtype=torch.float32)
    with torch.autocast("cuda", dtype):
        y = operators.adaptive_conv(x, w, factor=2, padding=1)
        filters = operators.jbu_filters(*arguments[:3], radius=3, bands=arguments[6:8])
    assert y.dtype == dtype and filters.dtype == torch.float32
    assert_near(y, eager.adaptive_conv(wide(x), wide(w), 2, 1), 2 * TOLERANCES[dtype])


def test_results_repeat_bit_for_bit() -> None:
    x, w, grad = conv_inputs(2, 96, (28, 28), 2, 7, 3, torch.float16)
    arguments = filter_inputs(sides=(112, 96), dtype=torch.float32)
    above = draw(2, 112, 96, 7, 7, dtype=torch.float32)

    def everything() -> list[Tensor]:
        *gradients, fixup = OPS.jbu_filters_backward(above, *arguments)
        convolutions = (
            OPS.adaptive_conv_grad_x(grad, w, 2, 3),
            OPS.adaptive_conv_grad_w(grad, x, 2, 3),
        )
        return [
            OPS.adaptive_conv(x, w, 2, 3),
            *convolutions,
            OPS.jbu_filters(*arguments),
            *gradients,
            *fixup,
        ]

    for one, other in zip(everything(), everything(), strict=True):
        assert torch.equal(one, other)


def test_extra_memory_is_at_most_twice_the_output() -> None:
    x, w, _ = conv_inputs(1, 384, (56, 56), 2, 7, 3, torch.float16)
    x = x.contiguous(memory_format=torch.channels_last)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    y = OPS.adaptive_conv(x, w, 2, 3)
    assert torch.cuda.max_memory_allocated() - before <= 2 * y.numel() * y.element_size()


def test_empty_batches() -> None:
    x, w, grad = conv_inputs(0, 8, (4, 4), 2, 3, 1, torch.float32)
    assert OPS.adaptive_conv(x, w, 2, 1).shape == grad.shape
    assert OPS.adaptive_conv_grad_x(grad, w, 2, 1).shape == x.shape
    assert OPS.adaptive_conv_grad_w(grad, x, 2, 1).shape == w.shape
    arguments = filter_inputs(batch=0, dtype=torch.float32)
    assert OPS.jbu_filters(*arguments).shape == (0, 12, 20, 7, 7)
    *_, fixup = OPS.jbu_filters_backward(draw(0, 12, 20, 7, 7, dtype=torch.float32), *arguments)
    assert all(not p.any() for p in fixup)


def test_opcheck() -> None:
    """Schema, fake kernels and autograd registration fit what the CUDA kernels return."""
    x, w, grad = conv_inputs(1, 8, (3, 4), 2, 3, 1, torch.float32)
    torch.library.opcheck(OPS.adaptive_conv.default, (x.requires_grad_(), w.requires_grad_(), 2, 1))
    torch.library.opcheck(OPS.adaptive_conv_grad_x.default, (grad, w.detach(), 2, 1))
    torch.library.opcheck(OPS.adaptive_conv_grad_w.default, (grad, x.detach(), 2, 1))
    arguments = filter_inputs(dtype=torch.float32, sides=(4, 6))
    torch.library.opcheck(OPS.jbu_filters.default, arguments)
    torch.library.opcheck(
        OPS.jbu_filters_backward.default, (draw(2, 4, 6, 7, 7, dtype=torch.float32), *arguments)
    )
