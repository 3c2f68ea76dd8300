"""Operators and stack on a GPU against the eager functions in float64 on the CPU; skipped where
there is none.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from heads.upsamplers import eager, operators
from heads.upsamplers.jbu import JBULevel, JBUStack
from heads.upsamplers.resizing import bands

DEVICE = "cuda"
OPS = torch.ops.pixelpretext
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
TOLERANCES = [(torch.float32, 1e-5), (torch.float16, 2e-3), (torch.bfloat16, 1e-2)]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def relative_error(found: Tensor, exact: Tensor) -> float:
    return ((found.double().cpu() - exact).abs().max() / exact.abs().max()).item()


def test_vector() -> None:
    """The filter of the specification's first vector; numpy float64."""
    c, m, n = torch.meshgrid(torch.arange(2), torch.arange(4), torch.arange(5), indexing="ij")
    x = (((7 * c + 3 * m + 5 * n) % 11) - 5.0)[None].to(DEVICE)
    h, v, i, j = torch.meshgrid(*map(torch.arange, (2, 3, 3, 3)), indexing="ij")
    w = (((2 * h + 3 * v + 5 * i + 7 * j) % 13) - 6.0)[None].to(DEVICE)
    y = OPS.adaptive_conv(x, w, 1, 0)[0]
    assert y.tolist() == [[[39, 51, -9], [58, 10, -37]], [[-68, -19, 96], [-50, 11, 100]]]
    c, h, v = torch.meshgrid(torch.arange(2), torch.arange(2), torch.arange(3), indexing="ij")
    grad = (((c + 2 * h + 3 * v) % 5) - 2.0)[None].to(DEVICE)
    assert OPS.adaptive_conv_grad_x(grad, w, 1, 0).square().sum() == 3288
    assert OPS.adaptive_conv_grad_w(grad, x, 1, 0).square().sum() == 1445


@pytest.mark.parametrize("dtype, tolerance", TOLERANCES)
@pytest.mark.parametrize("channels", [1, 3, 64, 130])
@pytest.mark.parametrize(
    "factor, kernel, padding", [(1, 7, 0), (2, 7, 3), (7, 3, 1), (1, 1, 0), (16, 5, 2)]
)
def test_adaptive_conv(
    dtype: torch.dtype, tolerance: float, channels: int, factor: int, kernel: int, padding: int
) -> None:
    margin, grid = kernel - 1 - 2 * padding, (5, 9)
    x = torch.randn(2, channels, grid[0] + margin, grid[1] + margin).to(dtype)
    w = torch.randn(2, grid[0] * factor, grid[1] * factor, kernel, kernel).to(dtype)
    grad = torch.randn(2, channels, grid[0] * factor, grid[1] * factor).to(dtype)
    for name, tensors in (
        ("adaptive_conv", (x, w)),
        ("adaptive_conv_grad_x", (grad, w)),
        ("adaptive_conv_grad_w", (grad, x)),
    ):
        exact = getattr(eager, name)(*(t.double() for t in tensors), factor, padding)
        found = getattr(OPS, name)(*(t.to(DEVICE) for t in tensors), factor, padding)
        assert found.dtype == dtype and relative_error(found, exact) <= tolerance, name
        apart = [torch.stack([t, t], -1)[..., 0].to(DEVICE) for t in tensors]
        assert torch.equal(getattr(OPS, name)(*apart, factor, padding), found), (
            f"{name}: strided input"
        )


@pytest.mark.parametrize(
    "factor, radius, fixup", [(2, 3, True), (7, 3, True), (1, 3, False), (3, 1, True)]
)
def test_jbu_filters(factor: int, radius: int, fixup: bool) -> None:
    height, width, taps = 4 * factor, 5 * factor, (2 * radius + 1) ** 2
    keys = torch.randn(2, 32, height + 2 * radius, width + 2 * radius).double() / 3
    parameters = [
        torch.randn(*s).double() / 7 for s in ((taps, taps + 3), (taps,), (taps, taps), (taps,))
    ]
    arguments: list[Any] = [
        keys,
        torch.tensor(0.8).double(),
        torch.tensor(0.7).double(),
        torch.randn(2, 3, height, width).double() if fixup else None,
        parameters if fixup else [],
        None,
        *(bands((4, 5), keys, factor=factor, radius=radius) if factor > 1 else (None, None)),
        radius,
    ]
    exact = eager.jbu_filters(*arguments)
    upper = torch.randn_like(exact)
    flat = lambda out: [*out[:3], *([out[3], *out[4]] if fixup else [])]  # noqa: E731
    wanted = flat(eager.jbu_filters_backward(upper, *arguments))
    there = lambda v: v.float().to(DEVICE) if isinstance(v, Tensor) else v  # noqa: E731
    moved = [[there(v) for v in a] if isinstance(a, list) else there(a) for a in arguments]
    assert relative_error(OPS.jbu_filters(*moved), exact) <= 1e-5
    for found, expected in zip(
        flat(OPS.jbu_filters_backward(there(upper), *moved)), wanted, strict=True
    ):
        assert relative_error(found, expected) <= 1e-4


@pytest.mark.parametrize("factor", [1, 2])
def test_gradcheck(factor: int) -> None:
    level = JBULevel(factor, radius=1, key_dim=4).double().eval().to(DEVICE)
    names, values = zip(*level.named_parameters(), strict=True)
    maps = torch.randn(1, 2, 2, 3).double().to(DEVICE).requires_grad_()
    guidance = torch.randn(1, 3, 2 * factor, 3 * factor).double().to(DEVICE).requires_grad_()

    def run(maps: Tensor, guidance: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(
            level, dict(zip(names, parameters, strict=True)), (maps, guidance)
        )

    assert torch.autograd.gradcheck(run, (maps, guidance, *values))


def test_results_do_not_depend_on_the_stream() -> None:
    stack = JBUStack(64, 4).to(DEVICE).eval()
    image, features = (
        torch.randn(2, 3, 64, 96, device=DEVICE),
        torch.randn(2, 64, 16, 24, device=DEVICE),
    )
    expected = stack(image, features, (64, 96))
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(
            10_000_000
        )  # a launch on another stream would run before the inputs are changed
        found = stack(image + 0.0, features * 1.0, (64, 96))
    stream.synchronize()
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype, tolerance", TOLERANCES[1:])
def test_stack_under_autocast_and_in_half_precision(dtype: torch.dtype, tolerance: float) -> None:
    stack = JBUStack(32, 14).eval()
    nothing = torch.zeros_like(stack.fixup_proj[1].weight)
    stack.fixup_proj[1].weight.data.copy_(nothing)  # only the filtering is measured
    image, features = torch.randn(2, 3, 56, 70), torch.randn(2, 32, 4, 5).to(dtype).float()
    exact = stack.double()(image.double(), features.double(), (56, 70))
    stack = stack.float().to(DEVICE)
    with torch.autocast(DEVICE, dtype=dtype):
        inside = stack(image.to(DEVICE), features.to(DEVICE), (56, 70))
    half = stack.to(dtype)(image.to(DEVICE), features.to(DEVICE, dtype), (56, 70))
    assert inside.dtype == torch.float32 and half.dtype == dtype
    # Two levels: each rounds its filters and its result.
    assert relative_error(inside, exact) <= 2 * tolerance
    assert (
        relative_error(half, exact) <= 10 * tolerance
    )  # the parameters and the bias are rounded as well


def test_compile_in_one_graph() -> None:
    stack = JBUStack(8, 4).to(DEVICE).eval()
    image, features = (
        torch.randn(1, 3, 16, 24, device=DEVICE),
        torch.randn(1, 8, 4, 6, device=DEVICE),
    )
    compiled = torch.compile(stack, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        compiled(image, features, (16, 24)), stack(image, features, (16, 24))
    )


def test_memory_of_a_stack_at_full_size() -> None:
    """No tensor of channels × taps × pixels: 384 channels at 224² would take 3.8 GB."""
    stack = JBUStack(384).to(DEVICE).eval()
    image, features = (
        torch.randn(1, 3, 224, 224, device=DEVICE),
        torch.randn(1, 384, 14, 14, device=DEVICE),
    )
    weights = stack.filters(image, (14, 14), (224, 224))
    output = 4 * 384 * 224 * 224
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    with torch.no_grad():
        stack.finish(weights, features, (224, 224))
    assert torch.cuda.max_memory_allocated() - before <= 3 * output  # the output and twice as much


def test_a_second_gpu_is_not_confused_with_the_first() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    x, w = torch.randn(1, 8, 6, 6), torch.randn(1, 12, 12, 3, 3)
    found = operators.adaptive_conv(x.to("cuda:1"), w.to("cuda:1"), factor=2, padding=1)
    assert found.device.index == 1 and torch.cuda.current_device() == 0
    torch.testing.assert_close(found.cpu(), eager.adaptive_conv(x, w, 2, 1))
    assert F.mse_loss(found.cpu(), eager.adaptive_conv(x, w, 2, 1)) < 1e-8
