"""What all measurements of speed share: options, clocks, the machine's name, Markdown tables.

On a machine that others use at the same time wall clock says little; the clock ``cpu`` counts the
processor seconds of this process, on one thread.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from pretrain.command_line import CommandLine
from pretrain.memory import keep_freed_memory

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def add_machine(parser: CommandLine) -> None:
    """``--device``, ``--clock``, ``--threads``."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument(
        "--clock", default="wall", choices=tuple(CLOCKS), help="cpu: one thread, for a busy machine"
    )
    parser.add_argument("--threads", type=int, help="CPU threads; torch's choice if left out")


def require_clock(clock: str, device: str) -> None:
    """Raises ValueError where a clock says nothing about a device."""
    if clock == "cpu" and device != "cpu":
        raise ValueError(
            f"--clock cpu: counts processor seconds, which say nothing about --device {device}"
        )


def prepare(*, device: str, clock: str, threads: int | None = None) -> None:
    """Sets this process up as training and evaluation are.

    Raises:
        ValueError: as :func:`require_clock`.
    """
    require_clock(clock, device)
    if clock == "cpu":
        threads = 1  # waiting threads spin and would be counted
    if threads:
        torch.set_num_threads(threads)
    if device == "cpu":
        keep_freed_memory()


def machine(device: str) -> str:
    """The processor's or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else processor()


def processor() -> str:
    """The processor's name as the system has it."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor() or platform.machine()


def header(columns: Sequence[str]) -> str:
    """The first two lines of a Markdown table."""
    return f"{row(columns)}\n|{' --- |' * len(columns)}"


def row(cells: Iterable[str]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(cells)} |"
