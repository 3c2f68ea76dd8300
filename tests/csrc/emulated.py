"""Compiles the CUDA kernels for the CPU (emulation.h) and calls them on tensors, as the operators
would.
"""

from __future__ import annotations

import ctypes
import itertools
import shutil
import subprocess
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
TYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2}
SCHEDULES = (0, 1, 2)  # threads run forwards, backwards, at random
SMALL, LARGE = (
    48 << 10,
    96 << 10,
)  # bytes of shared memory: what every card has, what most give when asked
_HERE = Path(__file__).resolve().parent


def compiler() -> str | None:
    """The C++ compiler, or None. GNU's: the emulation's fibres are not tested with others."""
    return shutil.which("g++")


def compile_to(folder: Path) -> ctypes.CDLL:
    """Compiles emulated.cpp into ``folder`` and loads it."""
    target = folder / "emulated.so"
    headers = Path(torch.__file__).parent / "include"
    command = [
        compiler(),
        "-std=c++20",
        "-O1",
        "-shared",
        "-fPIC",
        "-Wno-unknown-pragmas",
        f"-I{ROOT / 'csrc'}",
        f"-I{_HERE}",
        "-isystem",
        str(headers),
        str(_HERE / "emulated.cpp"),
        "-o",
        str(target),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    library = ctypes.CDLL(str(target))
    library.last_fault.restype = ctypes.c_char_p
    number, size, pointer = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
    library.emulated_conv.argtypes = [
        number,
        number,
        pointer,
        size,
        pointer,
        pointer,
        pointer,
        pointer,
    ]
    library.emulated_filters.argtypes = [number, pointer, size, pointer, pointer, pointer]
    library.emulated_fault.argtypes = [number, pointer]
    return library


class Emulated:
    """The five operators, computed by the CUDA kernels on the CPU, once per schedule; all schedules
    must agree.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library

    def conv(
        self,
        x: Tensor,
        w: Tensor,
        factor: int,
        padding: int,
        bias: Tensor | None = None,
        shared: int = SMALL,
    ) -> Tensor:
        """``adaptive_conv``."""
        size = (*x.shape[:2], *w.shape[1:3])
        return self._conv(
            0, _shape(x, w, factor, padding), x, w, _channels_last(x, size), shared, bias
        )

    def grad_x(
        self, grad: Tensor, w: Tensor, factor: int, padding: int, shared: int = LARGE
    ) -> Tensor:
        """``adaptive_conv_grad_x``."""
        margin = w.shape[3] - 1 - 2 * padding
        x = _channels_last(
            grad, (*grad.shape[:2], *(side // factor + margin for side in w.shape[1:3]))
        )
        return self._conv(1, _shape(x, w, factor, padding), grad, w, x, shared)

    def grad_w(self, grad: Tensor, x: Tensor, factor: int, padding: int) -> Tensor:
        """``adaptive_conv_grad_w``."""
        kernel = x.shape[2] + 2 * padding - grad.shape[2] // factor + 1
        w = grad.new_full((len(grad), *grad.shape[2:], kernel, kernel), torch.nan)
        return self._conv(2, _shape(x, w, factor, padding), grad, x, w, SMALL)

    def filters(
        self,
        keys: Tensor,
        temperature: Tensor,
        sigma: Tensor,
        guidance: Tensor | None,
        fixup: list[Tensor],
        keep: Tensor | None,
        rows: Tensor | None,
        cols: Tensor | None,
        radius: int,
        shared: int = LARGE,
    ) -> Tensor:
        """``jbu_filters``."""
        inputs = [keys, temperature, sigma, guidance, *(fixup or [None] * 4), keep, rows, cols]
        numbers = _filter_shape(keys, guidance, rows, radius)
        result = keys.new_full((numbers[0], *numbers[3:5], numbers[6], numbers[6]), torch.nan)
        return self._filters(numbers, shared, None, inputs, [result])[0]

    def filters_backward(
        self,
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
        shared: int = LARGE,
    ) -> list[Tensor]:
        """``jbu_filters_backward``; ∂keys, ∂temperature, ∂sigma, then ∂guidance and ∂fixup where
        there are any.
        """
        inputs = [keys, temperature, sigma, guidance, *(fixup or [None] * 4), keep, rows, cols]
        results = [
            torch.full_like(tensor, torch.nan) for tensor in inputs[:8] if tensor is not None
        ]
        return self._filters(
            _filter_shape(keys, guidance, rows, radius), shared, grad, inputs, results
        )

    def rehearse(self, fault: int) -> str:
        """Runs a small kernel with a fault of some kind (0: none); returns what was found."""
        found = []
        for schedule in SCHEDULES:
            self.library.set_schedule(schedule)
            result = torch.zeros(64)
            if self.library.emulated_fault(fault, _address(result)):
                return self.library.last_fault().decode()
            found.append(result)
        return (
            ""
            if all(torch.equal(result, found[0]) for result in found)
            else "results differ by schedule"
        )

    def _conv(
        self,
        which: int,
        numbers: list[int],
        a: Tensor,
        b: Tensor,
        result: Tensor,
        shared: int,
        bias: Tensor | None = None,
    ) -> Tensor:
        a, b = (
            t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t.contiguous()
            for t in (a, b)
        )
        shape = (ctypes.c_int * len(numbers))(*numbers)

        def run() -> int:
            return self.library.emulated_conv(
                which,
                TYPES[a.dtype],
                shape,
                shared,
                _address(a),
                _address(b),
                _address(bias),
                _address(result),
            )

        return self._on_all_schedules(run, [result])[0]

    def _filters(
        self,
        numbers: list[int],
        shared: int,
        grad: Tensor | None,
        inputs: list[Tensor | None],
        results: list[Tensor],
    ) -> list[Tensor]:
        inputs = [None if t is None else t.contiguous() for t in inputs]
        grad = None if grad is None else grad.contiguous()
        shape = (ctypes.c_int * len(numbers))(*numbers)
        pointers = (ctypes.c_void_p * len(inputs))(*map(_address, inputs))
        to = (ctypes.c_void_p * len(results))(*map(_address, results))

        def run() -> int:
            type_ = TYPES[inputs[0].dtype]
            return self.library.emulated_filters(type_, shape, shared, _address(grad), pointers, to)

        return self._on_all_schedules(run, results)

    def _on_all_schedules(self, run: callable, results: list[Tensor]) -> list[Tensor]:
        """The results, having checked that no order of threads changes a bit of them."""
        seen = []
        for schedule in SCHEDULES:
            self.library.set_schedule(schedule)
            for result in results:
                result.fill_(torch.nan)
            assert run() == 0, self.library.last_fault().decode()
            seen.append([result.clone() for result in results])
        for one, other in itertools.pairwise(seen):
            for a, b in zip(one, other, strict=True):
                assert torch.equal(a.nan_to_num(9e9), b.nan_to_num(9e9)), (
                    "the order of threads changes the result"
                )
        return seen[0]


def _shape(x: Tensor, w: Tensor, factor: int, padding: int) -> list[int]:
    cells = [side // factor for side in w.shape[1:3]]
    return [len(x), x.shape[1], *cells, *x.shape[2:], factor, w.shape[3], padding]


def _filter_shape(
    keys: Tensor, guidance: Tensor | None, rows: Tensor | None, radius: int
) -> list[int]:
    colours, sides = (
        0 if guidance is None else guidance.shape[1],
        [side - 2 * radius for side in keys.shape[2:]],
    )
    low = 2 * radius + 1 if rows is None else rows.shape[2]
    return [
        *keys.shape[:2],
        colours,
        *sides,
        radius,
        low,
        int(guidance is not None),
        int(rows is not None),
    ]


def _channels_last(like: Tensor, size: tuple[int, ...]) -> Tensor:
    return torch.empty(size, dtype=like.dtype).contiguous(memory_format=torch.channels_last)


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
