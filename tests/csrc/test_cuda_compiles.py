"""The CUDA library: compiles without a GPU, for the architectures it promises, and registers all
its operators.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heads.upsamplers import build

ROOT = Path(__file__).resolve().parents[2]
MAGIC = struct.pack(
    "<I", 0xBA55ED50
)  # starts a "fat binary", nvcc's container of code for several architectures
OWN_CODE = 100_000  # bytes; smaller containers hold CUDA's own startup code


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("cuda") / "cuda.so"
    try:
        command = build.cuda_command(target)
    except build.BuildError as error:
        pytest.skip(f"the CUDA kernels cannot be compiled here: {error}")
    # Without optimisation: the same sources for the same architectures in two fifths of the time.
    command[1:1] = ["-Xcicc=-O0", "-Xptxas=-O0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "warning" not in done.stderr, done.stderr[-4000:]
    return target


def contents(data: bytes) -> Iterator[set[tuple[str, int]]]:
    """(kind, architecture) of everything in each container that holds code of ours."""
    start = data.find(MAGIC)
    while start >= 0:
        header, size = struct.unpack_from("<HQ", data, start + 6)
        entry, end, found = start + header, start + header + size, set()
        while entry < end:
            kind, _, entry_header, entry_size = struct.unpack_from("<HHIQ", data, entry)
            (architecture,) = struct.unpack_from("<I", data, entry + 28)
            found.add(({1: "ptx", 2: "code"}[kind], architecture))
            entry += entry_header + entry_size
        if size > OWN_CODE:
            yield found
        start = data.find(MAGIC, end)


def test_holds_code_for_every_architecture_and_ptx_for_later_ones(library: Path) -> None:
    found = list(contents(library.read_bytes()))
    assert len(found) == len(list((build.SOURCES / "cuda").glob("*.cu")))
    for container in found:
        assert container == {("code", 80), ("code", 90), ("ptx", 90)}


def test_registers_every_operator_for_cuda(library: Path) -> None:
    """In a process of its own: a library cannot be unloaded."""
    code = f"""
import torch
from heads.upsamplers.operators import _SCHEMAS
torch.ops.load_library({str(library)!r})
for name in _SCHEMAS:
    assert torch._C._dispatch_has_kernel_for_dispatch_key("pixelpretext::" + name, "CUDA"), name
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
