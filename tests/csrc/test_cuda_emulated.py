"""The CUDA kernels, run thread by thread on the CPU, against the operators in standard torch
operations.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from heads.upsamplers import eager
from heads.upsamplers.resizing import bands, low_radius

_spec = importlib.util.spec_from_file_location(
    "csrc_emulated", Path(__file__).with_name("emulated.py")
)
emulated = importlib.util.module_from_spec(_spec)
sys.modules["csrc_emulated"] = emulated
_spec.loader.exec_module(emulated)

ERRORS = {torch.float64: 1e-12, torch.float32: 2e-5, torch.float16: 2e-3}


@pytest.fixture(scope="module")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> emulated.Emulated:
    if emulated.compiler() is None:
        pytest.skip("no g++: the CUDA kernels cannot be compiled for the CPU")
    return emulated.Emulated(emulated.compile_to(tmp_path_factory.mktemp("emulated")))


def random(generator: torch.Generator, *size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype)


def assert_close(found: Tensor, wanted: Tensor, what: str) -> None:
    assert found.shape == wanted.shape, what
    if not wanted.numel():
        return
    largest = (
        wanted.double().abs().max().clamp(min=1 if wanted.ndim == 0 else 1e-6)
    )  # scalars are sums that cancel
    error = (found.double() - wanted.double()).abs().max() / largest
    assert error < ERRORS[found.dtype], (
        f"{what}: off by {error:.1e} of the largest value"
    )  # NaN fails too


# batch, channels, cells, factor, kernel, padding, shared memory: every way through the kernels with
# few blocks.
CONVOLUTIONS = [
    (2, 3, (3, 4), 1, 3, 0, None),  # FeatUp's own form
    (1, 70, (2, 5), 1, 1, 0, None),
    (1, 24, (2, 9), 1, 7, 3, None),
    (2, 5, (3, 2), 2, 3, 1, None),
    (1, 8, (4, 9), 2, 7, 3, None),
    (1, 64, (2, 3), 2, 7, 3, None),
    (1, 72, (1, 2), 2, 3, 1, None),  # a part of the lanes idle
    (1, 4, (2, 3), 3, 3, 1, None),
    (1, 16, (3, 2), 3, 5, 2, None),
    (1, 2, (2, 1), 7, 5, 2, None),
    (1, 8, (1, 2), 7, 3, 1, None),
    (1, 3, (2, 3), 2, 9, 4, None),
    (1, 3, (2, 3), 2, 9, 0, None),
    (1, 1, (3, 3), 2, 4, 1, None),  # even filters
    (1, 1, (3, 2), 2, 4, 2, None),  # more padding than the window reaches into x
    (1, 1, (3, 4), 2, 3, 2, None),
    (1, 2, (1, 1), 13, 1, 0, None),  # more pixels in a cell than a block holds items
    (1, 8, (2, 3), 2, 7, 3, 6 << 10),  # filters in slabs of rows
    (1, 3, (2, 5), 1, 5, 2, 1 << 10),  # in parts of rows
    (1, 3, (2, 2), 3, 3, 1, 2 << 10),
]


@pytest.mark.parametrize(
    ("case", "dtype"),
    [(case, torch.float32) for case in CONVOLUTIONS]
    + [(case, dtype) for case in CONVOLUTIONS[1::3] for dtype in (torch.float64, torch.float16)],
    ids=str,
)
def test_convolution_and_its_gradients(
    cuda: emulated.Emulated, case: tuple, dtype: torch.dtype
) -> None:
    batch, channels, (h, w), factor, kernel, padding, shared = case
    generator = torch.Generator().manual_seed(channels)
    margin = kernel - 1 - 2 * padding
    x = random(generator, batch, channels, h + margin, w + margin, dtype=dtype)
    filters = random(generator, batch, factor * h, factor * w, kernel, kernel, dtype=dtype)
    grad = random(generator, batch, channels, factor * h, factor * w, dtype=dtype)
    options = {} if shared is None else dict(shared=shared)
    wide = [t.double() for t in (x, filters, grad)]
    for bias in (None, random(generator, channels, dtype=dtype)):
        found = cuda.conv(x, filters, factor, padding, bias, **options)
        constant = None if bias is None else bias.double()
        assert_close(found, eager.adaptive_conv(wide[0], wide[1], factor, padding, constant), "y")
    found = cuda.grad_x(grad, filters, factor, padding, **options)
    assert_close(found, eager.adaptive_conv_grad_x(wide[2], wide[1], factor, padding), "∂x")
    found = cuda.grad_w(grad, x, factor, padding)
    assert_close(found, eager.adaptive_conv_grad_w(wide[2], wide[0], factor, padding), "∂w")


@pytest.mark.parametrize(
    "fault, message",
    [(1, "schedule"), (2, "wrote beyond"), (3, "odd address"), (4, "wait at different places")],
    ids=["race", "overrun", "alignment", "divergence"],
)
def test_the_emulation_finds_faults(cuda: emulated.Emulated, fault: int, message: str) -> None:
    assert cuda.rehearse(0) == "" and message in cuda.rehearse(fault)


# batch, depth, sides, radius, fix-up colours (None without), keep, factor of the bands (None
# without)
FILTERS = [
    (1, 3, (4, 5), 1, None, False, None),
    (2, 5, (3, 9), 1, 3, True, None),
    (1, 40, (2, 10), 2, 1, False, None),  # more channels than are held at once
    (1, 32, (10, 4), 3, None, False, 2),
    (2, 4, (8, 6), 3, 3, True, 2),
    (1, 7, (9, 6), 3, 3, False, 3),
    (1, 2, (7, 14), 3, 2, True, 7),
    (2, 4, (3, 5), 0, 3, True, None),
    (1, 4, (6, 3), 0, None, False, 3),  # K = 5 from a single tap
    (1, 3, (12, 10), 5, 3, True, 2),
]


def filter_arguments(case: tuple, dtype: torch.dtype) -> tuple:
    batch, depth, (height, width), radius, colours, with_keep, factor = case
    generator = torch.Generator().manual_seed(depth)
    taps, margin = (2 * radius + 1) ** 2, 2 * radius
    keys = (
        random(generator, batch, depth, height + margin, width + margin, dtype=dtype) / depth**0.5
    )
    temperature, sigma = torch.tensor(0.4, dtype=dtype), torch.tensor(0.8, dtype=dtype)
    guidance, fixup, keep, rows, cols = None, [], None, None, None
    if colours is not None:
        guidance = random(generator, batch, colours, height, width, dtype=dtype)
        sizes = [(taps, taps + colours), (taps,), (taps, taps), (taps,)]
        fixup = [random(generator, *size, dtype=dtype) / 2 for size in sizes]
        keep = (
            torch.rand(batch, taps, generator=generator).gt(0.2).to(dtype) / 0.8
            if with_keep
            else None
        )
    if factor is not None:
        grid = height // factor, width // factor
        rows, cols = bands(grid, keys, factor=factor, radius=radius)
        assert rows.shape[2] == 2 * low_radius(factor, radius) + 1
    return keys, temperature, sigma, guidance, fixup, keep, rows, cols, radius


@pytest.mark.parametrize("shared", [96 << 10, 1 << 18, 0], ids=["common", "much", "little"])
@pytest.mark.parametrize("case", FILTERS, ids=str)
def test_filters_and_their_gradients(cuda: emulated.Emulated, case: tuple, shared: int) -> None:
    """Without shared memory to spare a block takes 8 pixels and reads the matrices from memory."""
    if shared and case[3] < 2 and shared > 96 << 10:
        pytest.skip("the same as with less")
    dtype = torch.float32 if shared == 96 << 10 else torch.float64
    arguments = filter_arguments(case, dtype)
    wide = [[p.double() for p in a] if isinstance(a, list) else a for a in arguments]
    wide = [a.double() if isinstance(a, Tensor) else a for a in wide]
    found = cuda.filters(*arguments, shared=shared)
    wanted = eager.jbu_filters(*wide)
    assert_close(found, wanted, "filters")
    grad = random(torch.Generator().manual_seed(1), *wanted.shape, dtype=dtype)
    found = cuda.filters_backward(grad, *arguments, shared=shared)
    *wanted, fixup = eager.jbu_filters_backward(grad.double(), *wide)
    names = ("∂keys", "∂temperature", "∂sigma", "∂guidance", "∂A₁", "∂a₁", "∂A₂", "∂a₂")
    for name, one, other in zip(names, found, [*wanted[: 4 if fixup else 3], *fixup], strict=False):
        assert_close(one, other, name)


def test_more_tiles_than_parts(cuda: emulated.Emulated) -> None:
    """The blocks of the backward pass take several tiles each; 8 pixels per tile keep it cheap."""
    case = (1, 1, (68, 64), 0, 1, False, None)  # 34 × 16 tiles of 2 × 4 pixels
    arguments = filter_arguments(case, torch.float64)
    grad = random(torch.Generator().manual_seed(1), 1, 68, 64, 1, 1)
    found = cuda.filters_backward(grad, *arguments, shared=0)
    *wanted, fixup = eager.jbu_filters_backward(grad, *arguments)
    for one, other in zip(found, [*wanted, *fixup], strict=True):
        assert_close(one, other, "a gradient")
