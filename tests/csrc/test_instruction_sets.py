"""Every instruction set's kernels, and any number of threads, give what the standard operations
give.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from heads.upsamplers import library, operators  # noqa: F401  operators: loads the library

ROOT = Path(__file__).resolve().parents[2]

# Shapes that end inside vectors, tiles and blocks; 448 channels at 112² are stored past the caches.
SCRIPT = """
import hashlib, torch
from heads.upsamplers import eager, operators
from heads.upsamplers.resizing import bands, low_radius

torch.manual_seed(0)
ops, digest = torch.ops.pixelpretext, hashlib.sha256()

def same(found, wanted, tolerance):
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    if wanted.numel():  # gradients of a softmax over one tap are 0
        error = (found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-3)
        assert error <= tolerance, (error, found.shape)
    digest.update(found.contiguous().numpy().tobytes())

for dtype, tolerance in ((torch.float32, 5e-6), (torch.float64, 1e-13)):
    cases = (1, 1, 0, 1), (1, 7, 0, 11), (2, 7, 3, 70), (3, 5, 1, 4), (2, 9, 4, 135)
    for factor, kernel, padding, channels in cases:
        side = 5 + kernel - 1 - 2 * padding
        x = torch.randn(2, channels, side - 1, side, dtype=dtype)
        w = torch.randn(2, 4 * factor, 5 * factor, kernel, kernel, dtype=dtype)
        grad = torch.randn(2, channels, 4 * factor, 5 * factor, dtype=dtype)
        for name, arguments in (("adaptive_conv", (x, w)), ("adaptive_conv_grad_x", (grad, w)),
                                ("adaptive_conv_grad_w", (grad, x))):
            arguments += (factor, padding)
            same(getattr(ops, name)(*arguments), getattr(eager, name)(*arguments), tolerance)
    for radius, factor, width in ((0, 2, 3), (1, 7, 5), (3, 2, 9), (5, 2, 21)):
        taps, height = (2 * radius + 1) ** 2, 3 * factor
        keys = torch.randn(2, 5, height + 2 * radius, width * factor + 2 * radius, dtype=dtype) / 3
        guidance = torch.randn(2, 3, height, width * factor, dtype=dtype)
        shapes = ((taps, taps + 3), (taps,), (taps, taps), (taps,))
        fixup = [torch.randn(shape, dtype=dtype) / taps**0.5 for shape in shapes]
        numbers = torch.tensor(0.7, dtype=dtype), torch.tensor(0.8, dtype=dtype)
        arguments = (keys, *numbers, guidance, fixup, torch.rand(2, taps, dtype=dtype),
                     *bands((3, width), keys, factor=factor, radius=radius), radius)
        wanted = eager.jbu_filters(*arguments)
        same(ops.jbu_filters(*arguments), wanted, tolerance)
        grad = torch.randn_like(wanted)
        found = ops.jbu_filters_backward(grad, *arguments)
        wanted = eager.jbu_filters_backward(grad, *arguments)
        # Sums over all pixels cancel in part.
        for one, other in zip((*found[:4], *found[4]), (*wanted[:4], *wanted[4])):
            same(one, other, 1e3 * tolerance)
x, w = torch.randn(1, 448, 56, 56), torch.randn(1, 112, 112, 3, 3)
same(ops.adaptive_conv(x, w, 2, 1), eager.adaptive_conv(x, w, 2, 1), 5e-6)
print(digest.hexdigest())
"""


def run(instructions: str, threads: int) -> str:
    """Returns a digest of all results; the script compares them with the standard operations."""
    environment = os.environ | {"PIXELPRETEXT_CPU": instructions, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(
    bool(library.status()["cpu"]), reason=f"no compiled operators: {library.status()['cpu']}"
)
@pytest.mark.parametrize("instructions", ["best", "avx2", "baseline"])
def test_same_as_the_standard_operations_whatever_the_threads(instructions: str) -> None:
    assert run(instructions, 1) == run(instructions, 3)
