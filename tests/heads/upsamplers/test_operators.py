"""Adaptive convolution, once as torch dispatches it (compiled where built) and once as eager
function; memory; import.

The vector was computed in numpy float64, independently of this code.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from heads.upsamplers import eager, operators

ROOT = Path(__file__).resolve().parents[3]
OPS = torch.ops.pixelpretext


@pytest.fixture(params=["dispatched", "eager"])
def ops(request: pytest.FixtureRequest) -> Any:
    return OPS if request.param == "dispatched" else eager


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def random_conv(
    batch: int = 2,
    channels: int = 3,
    grid: tuple[int, int] = (3, 4),
    factor: int = 1,
    kernel: int = 3,
    padding: int = 0,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor, int, int]:
    margin = kernel - 1 - 2 * padding
    x = torch.randn(batch, channels, grid[0] + margin, grid[1] + margin, dtype=torch.float64)
    w = torch.randn(batch, grid[0] * factor, grid[1] * factor, kernel, kernel, dtype=torch.float64)
    return x.to(dtype), w.to(dtype), factor, padding


def slow_conv(x: Tensor, w: Tensor, factor: int, padding: int) -> Tensor:
    y = x.new_zeros(*x.shape[:2], *w.shape[1:3])
    for row in range(w.shape[1]):
        for col in range(w.shape[2]):
            for i in range(w.shape[3]):
                for j in range(w.shape[4]):
                    m, n = row // factor + i - padding, col // factor + j - padding
                    if 0 <= m < x.shape[2] and 0 <= n < x.shape[3]:
                        y[:, :, row, col] += w[:, row, col, i, j, None] * x[:, :, m, n]
    return y


def test_adaptive_conv_vector(ops: Any) -> None:
    """Forward and both gradients."""
    grid = lambda *sides: torch.meshgrid(*map(torch.arange, sides), indexing="ij")  # noqa: E731
    c, m, n = grid(2, 4, 5)
    x = (((7 * c + 3 * m + 5 * n) % 11) - 5.0).double()[None]
    h, v, i, j = grid(2, 3, 3, 3)
    w = (((2 * h + 3 * v + 5 * i + 7 * j) % 13) - 6.0).double()[None]
    c, h, v = grid(2, 2, 3)
    grad = (((c + 2 * h + 3 * v) % 5) - 2.0).double()[None]
    y = ops.adaptive_conv(x, w, 1, 0)[0]
    assert y.tolist() == [[[39, 51, -9], [58, 10, -37]], [[-68, -19, 96], [-50, 11, 100]]]
    d_x, d_w = ops.adaptive_conv_grad_x(grad, w, 1, 0), ops.adaptive_conv_grad_w(grad, x, 1, 0)
    expected = [[12, -5, 14, 4, -1], [2, -8, -19, 0, -3], [-8, -10, -8, -18, -3], [0, 8, -7, 12, 0]]
    assert d_x[0, 0].tolist() == expected and d_x.square().sum() == 3288
    assert d_w[0, 0, 0].tolist() == [[8, 4, -11], [-1, -5, 2], [1, 8, 4]]
    assert (
        d_w[0, 1, 2].tolist() == [[5, -2, 2], [-8, 7, -11], [1, 5, -2]]
        and d_w.square().sum() == 1445
    )


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("kernel, padding", [(1, 0), (3, 0), (3, 1), (2, 0), (7, 3), (5, 1)])
def test_adaptive_conv_equals_loops(ops: Any, factor: int, kernel: int, padding: int) -> None:
    arguments = random_conv(factor=factor, kernel=kernel, padding=padding)
    x, w = (t.requires_grad_() for t in arguments[:2])
    expected = slow_conv(x, w, factor, padding)
    grad = torch.randn_like(expected)
    torch.testing.assert_close(ops.adaptive_conv(*arguments), expected)
    d_x, d_w = torch.autograd.grad(expected, (x, w), grad)
    torch.testing.assert_close(ops.adaptive_conv_grad_x(grad, w, factor, padding), d_x)
    torch.testing.assert_close(ops.adaptive_conv_grad_w(grad, x, factor, padding), d_w)


@pytest.mark.parametrize("channels", [1, 5, 17, 40])
def test_any_number_of_channels(ops: Any, channels: int) -> None:
    """Vectorised loops have remainders."""
    x, w, factor, padding = random_conv(1, channels, (2, 3), 2, 3, 1)
    grad, expected = torch.randn(1, channels, 4, 6).double(), slow_conv(x, w, 2, 1)
    d_w = torch.func.vjp(lambda w: slow_conv(x, w, 2, 1), w)[1](grad)[0]
    d_x = torch.func.vjp(lambda x: slow_conv(x, w, 2, 1), x)[1](grad)[0]
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-4)):
        a, b, g = x.to(dtype), w.to(dtype), grad.to(dtype)
        close = dict(atol=tolerance, rtol=tolerance, check_dtype=False)
        torch.testing.assert_close(ops.adaptive_conv(a, b, 2, 1), expected, **close)
        torch.testing.assert_close(ops.adaptive_conv_grad_x(g, b, 2, 1), d_x, **close)
        torch.testing.assert_close(ops.adaptive_conv_grad_w(g, a, 2, 1), d_w, **close)


def test_a_filter_of_one_tap_multiplies(ops: Any) -> None:
    x, w, *_ = random_conv(kernel=1)
    torch.testing.assert_close(ops.adaptive_conv(x, w, 1, 0), x * w[:, None, :, :, 0, 0])


@pytest.mark.parametrize("size", [7, 9])
def test_every_tap_gets_a_gradient(ops: Any, size: int) -> None:
    x, w, *_ = random_conv(kernel=size, grid=(5, 6))
    d_w = ops.adaptive_conv_grad_w(torch.randn(2, 3, 5, 6).double(), x, 1, 0)
    assert d_w.shape == w.shape and (d_w.abs().sum((0, 1, 2)) > 0).all()


def test_memory_layout_does_not_matter(ops: Any) -> None:
    x, w, factor, padding = random_conv(channels=5, factor=2, kernel=5, padding=2)
    grad = torch.randn(2, 5, 6, 8).double()
    plain = [
        ops.adaptive_conv(x, w, 2, 2),
        ops.adaptive_conv_grad_x(grad, w, 2, 2),
        ops.adaptive_conv_grad_w(grad, x, 2, 2),
    ]
    strided = lambda t: torch.stack([t, t], -1)[..., 0]  # noqa: E731
    swapped = lambda t: t.transpose(-1, -2).contiguous().transpose(-1, -2)  # noqa: E731
    last = lambda t: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else swapped(t)  # noqa: E731
    shared = lambda t: t[:1].expand(2, *t.shape[1:])  # noqa: E731
    for layout in (strided, swapped, last):
        found = [
            ops.adaptive_conv(layout(x), layout(w), 2, 2),
            ops.adaptive_conv_grad_x(layout(grad), layout(w), 2, 2),
            ops.adaptive_conv_grad_w(layout(grad), layout(x), 2, 2),
        ]
        torch.testing.assert_close(found, plain)
    torch.testing.assert_close(
        ops.adaptive_conv(shared(x), shared(w), 2, 2), plain[0][:1].expand(2, -1, -1, -1)
    )


@pytest.mark.parametrize("dtype, tolerance", [(torch.float16, 2e-3), (torch.bfloat16, 1e-2)])
def test_half_precision(ops: Any, dtype: torch.dtype, tolerance: float) -> None:
    x, w, factor, padding = random_conv(channels=8, factor=2, kernel=7, padding=3, dtype=dtype)
    grad = torch.randn(2, 8, 6, 8).to(dtype)
    runs = [
        (ops.adaptive_conv, eager.adaptive_conv, (x, w)),
        (ops.adaptive_conv_grad_x, eager.adaptive_conv_grad_x, (grad, w)),
        (ops.adaptive_conv_grad_w, eager.adaptive_conv_grad_w, (grad, x)),
    ]
    for run, reference, tensors in runs:
        exact = reference(*(t.double() for t in tensors), 2, 3)
        found = run(*tensors, 2, 3)
        assert found.dtype == dtype
        assert (found.double() - exact).abs().max() <= tolerance * exact.abs().max()


@pytest.mark.parametrize("factor, kernel, padding", [(1, 3, 0), (2, 3, 1), (3, 1, 0)])
def test_adaptive_conv_gradcheck_twice(factor: int, kernel: int, padding: int) -> None:
    x, w, *_ = random_conv(1, 2, (2, 2), factor, kernel, padding)
    inputs = (x.requires_grad_(), w.requires_grad_())
    convolve = partial(operators.adaptive_conv, factor=factor, padding=padding)
    assert torch.autograd.gradcheck(convolve, inputs)
    assert torch.autograd.gradgradcheck(convolve, inputs)


def test_results_are_channels_last_and_repeatable(ops: Any) -> None:
    x, w, *numbers = random_conv(factor=2, padding=1, dtype=torch.float32)
    y = ops.adaptive_conv(x, w, *numbers)
    assert y.is_contiguous(memory_format=torch.channels_last)
    d_x = ops.adaptive_conv_grad_x(y, w, *numbers)
    assert d_x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(y, ops.adaptive_conv(x, w, *numbers))
    assert torch.equal(d_x, ops.adaptive_conv_grad_x(y, w, *numbers))


def test_autocast_on_the_cpu_keeps_single_precision() -> None:
    x, w, *numbers = random_conv(dtype=torch.bfloat16)
    convolve = partial(operators.adaptive_conv, factor=numbers[0], padding=numbers[1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert convolve(x, w).dtype == torch.float32
        mixed = convolve(x.float(), w, bias=torch.zeros(3).bfloat16())
        with pytest.raises(ValueError, match="give both the same"):
            convolve(x.double(), w)
    torch.testing.assert_close(mixed, eager.adaptive_conv(x.float(), w.float(), *numbers))


def test_autocast_on_a_gpu_leaves_double_precision_alone() -> None:
    """The rule that CUDA calls, called here without one."""
    x, w, *numbers = random_conv()
    with torch.autocast("cpu", enabled=False):
        assert operators._autocast_conv(x, w, *numbers).dtype == torch.float64
        assert operators._autocast_conv(
            x.float(), w.float(), *numbers
        ).dtype == torch.get_autocast_dtype("cuda")


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(x=torch.zeros(3, 4, 5)), r"x must be \(B, C, h, w\)"),
        (dict(w=torch.zeros(1, 2, 3, 3, 2)), r"w \(B, H, W, K, K\)"),
        (dict(x=torch.zeros(1, 2, 4, 5).half()), "float16 .*float32 .*give both the same"),
        (dict(factor=0), "factor=0 must be at least 1"),
        (dict(factor=2), r"factor=2 .* divide the sides \(2, 3\)"),
        (dict(padding=-1), "padding=-1 must not be negative"),
        (dict(padding=1), r"needs x \(B=1, C, 2, 3\), found \(1, 2, 4, 5\)"),
        (dict(x=torch.zeros(2, 2, 4, 5)), "needs x"),
    ],
)
def test_adaptive_conv_errors(change: dict[str, Any], message: str) -> None:
    arguments = (
        dict(x=torch.zeros(1, 2, 4, 5), w=torch.zeros(1, 2, 3, 3, 3), factor=1, padding=0) | change
    )
    with pytest.raises(ValueError, match=message):
        operators.adaptive_conv(**arguments)


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_leaves_random_numbers_alone() -> None:
    modules = [
        f"heads.upsamplers.{p.stem}"
        for p in sorted((ROOT / "heads/upsamplers").glob("*.py"))
        if p.stem[0] != "_"
    ]
    # mmengine draws from Python's generator while it is imported: not ours to mend, so it comes
    # first.
    code = f"""
import importlib, random, mmengine.registry, numpy, torch
random.seed(5); numpy.random.seed(6); torch.manual_seed(7)
before = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
for name in {modules!r}: importlib.import_module(name)
numpy_state, torch_state = numpy.random.get_state()[1], torch.get_rng_state()
print(before == (random.getstate(), numpy_state.tolist(), torch_state.tolist()))
"""
    assert run_python(code).strip() == "True"


MEMORY = """
import torch
from heads.upsamplers import operators
def status(key):
    return next(int(l.split()[1]) / 1024 for l in open("/proc/self/status") if l.startswith(key))
torch.set_num_threads(1)
def inputs(grid, channels):
    size = 16 * grid
    coarse, fine = torch.randn(1, channels, grid, grid), torch.randn(1, channels, size, size)
    return coarse, torch.rand(1, size, size, 3, 3), fine
ops = torch.ops.pixelpretext
runs = dict(conv=lambda x, w, g: ops.adaptive_conv(x, w, 16, 1), grad_x=lambda x, w, g:
ops.adaptive_conv_grad_x(g, w, 16, 1), grad_w=lambda x, w, g: ops.adaptive_conv_grad_w(g, x, 16, 1))
for run in runs.values(): run(*inputs(2, 8))
x, w, g = inputs(14, 192)
g = g.contiguous(memory_format=torch.channels_last)
for name in ("grad_w", "grad_x", "conv"):
    freed = (status("VmHWM") - status("VmRSS")) * 2**18
    ballast = torch.ones(max(1, int(freed)))  # fills what was freed before
    before = status("VmRSS")
    out = runs[name](x, w, g)
    print(name, status("VmHWM") - before, out.numel() / 2**18)
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(),
    reason="reads the peak of the process from /proc (Linux)",
)
def test_extra_memory_is_at_most_twice_the_output() -> None:
    """192 channels at 224², where an unfold of 9 taps takes 330 MB; gradients may take twice what
    ∂y takes.
    """
    map_size = 192 * 224 * 224 / 2**18  # MiB
    for line in run_python(MEMORY).splitlines():
        name, grown, own = line.split()
        assert float(grown) - float(own) <= 2 * map_size + 4, line  # 4 MiB for the allocator


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_bias_is_added(ops: Any, dtype: torch.dtype) -> None:
    x, w, factor, padding = random_conv(channels=70, factor=2, padding=1, dtype=dtype)
    bias = torch.randn(70).to(dtype)
    without = ops.adaptive_conv(x.double(), w.double(), factor, padding)
    found = ops.adaptive_conv(x, w, factor, padding, bias)
    assert found.dtype == dtype
    torch.testing.assert_close(
        found.double(), without + bias.double()[:, None, None], rtol=1e-2, atol=2e-2
    )
    if dtype == torch.float64:
        torch.testing.assert_close(found, without + bias[:, None, None])


def test_bias_gradient() -> None:
    x, w, factor, padding = random_conv(factor=2, padding=1)
    arguments = (
        x.requires_grad_(),
        w.requires_grad_(),
        torch.randn(3, dtype=torch.float64, requires_grad=True),
    )
    convolve = partial(operators.adaptive_conv, factor=factor, padding=padding)
    assert torch.autograd.gradcheck(lambda x, w, b: convolve(x, w, bias=b), arguments)
    with pytest.raises(ValueError, match="bias must be"):
        convolve(x, w, bias=arguments[2][:2])
