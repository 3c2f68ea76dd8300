"""Times every feature upsampler, the levels and the operators of the learned stack, and what others
would do instead.

For each case (C channels, grid -> output; one image) three tables: whole upsamplings, the last
level of the stack, operators alone. Repetitions of all rows are interleaved and values are medians;
"×" is the median of the ratios to the table's first compiled row within a repetition. A row stops
when it has used its ``--seconds``, but not before three repetitions. The machine's ceiling (a large
matrix product, a triad) is measured in every round; "of the ceiling" is the least time in which the
task's operations and compulsory bytes can be done, over the measured time. Memory is what a call
takes at its peak beyond its inputs and its output. Rows that do not fit into memory say so. On a
machine that others use at the same time ``--clock cpu`` counts the processor seconds of this
process, on one thread.

Baselines: see benchmarks/speed/upsampling_baselines.py; formulas:
benchmarks/speed/upsampling_work.py.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.speed import measuring
from benchmarks.speed.measuring import CLOCKS
from benchmarks.speed.peak_memory import available, extra
from benchmarks.speed.roofline import Ceiling, Probe
from benchmarks.speed.upsampling_rows import Case, Row, Rows
from heads.upsamplers import library
from pretrain.command_line import Command, CommandLine, execute
from pretrain.engine.efficiency import seconds
from pretrain.files import atomic_write
from pretrain.progress import Bars

CASES = ("384:14:224", "384:28:448", "768:32:512", "2048:7:224")
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
COLUMNS = (
    "what",
    "forward ms",
    "×",
    "forward + backward ms",
    "×",
    "MB moved",
    "GFLOP",
    "of the ceiling",
    "extra MB, forward",
    "extra MB, both",
    "repetitions",
)
TABLES = {
    "whole": "Whole upsamplings",
    "level": "Last level of the stack",
    "operators": "Operators alone",
}
# Of one repetition: what starts a kernel on a GPU takes as long as a small one.
_CALLS = {"cpu": 1, "cuda": 20}


@dataclass(frozen=True)
class Options:
    """What is measured and how.

    Attributes:
        cases: channels, grid and output of each.
        tables: of ``TABLES``.
        without: rows whose names hold one of these are left out.
        device: cpu, cuda or cuda:N.
        dtype: of the features, of ``DTYPES``.
        repetitions: at most, of each row.
        seconds: of each row and direction.
        clock: of ``CLOCKS``.
        threads: of the CPU; None: torch's choice.
        out: a file that gets the page as well.

    Raises:
        ValueError: no repetition, or a clock that says nothing about the device.
    """

    cases: Sequence[Case]
    tables: Sequence[str] = tuple(TABLES)
    without: Sequence[str] = ()
    device: str = "cpu"
    dtype: str = "fp32"
    repetitions: int = 9
    seconds: float = 15.0
    clock: str = "wall"
    threads: int | None = None
    out: Path | None = None

    def __post_init__(self) -> None:
        measuring.require_clock(self.clock, self.device)
        if self.repetitions < 1:
            raise ValueError(f"--repetitions {self.repetitions}: at least 1")


class Timer:
    """Times rows in turns.

    Args:
        device: where.
        repetitions: at most, of each row.
        budget: seconds of each row and direction.
        clock: seconds now.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        repetitions: int,
        budget: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.device, self.repetitions, self.budget, self.clock = device, repetitions, budget, clock
        self._gradients: dict[tuple, Tensor] = {}

    def run(
        self, rows: list[Row], measure: Callable[[], Ceiling], tick: Callable[[str], None]
    ) -> list[Ceiling]:
        """Fills the rows; returns the ceiling of every round."""
        for row in rows:
            tick(row.name)
            for kind in ("forward", "both"):
                self._first(row, kind)
        ceilings = []
        for _ in range(self.repetitions):
            ceilings.append(measure())
            for row in rows:
                tick(row.name)
                for kind in ("forward", "both"):
                    if not self._spent(getattr(row, kind)):
                        self._repeat(row, kind, ceilings[-1])
        return ceilings

    def _spent(self, times: list[float]) -> bool:
        return len(times) >= 3 and sum(times) * _CALLS[self.device.type] >= self.budget

    def _first(self, row: Row, kind: str) -> None:
        """A warm-up, which also tells how much memory is needed."""
        with row.around():
            result, peak = extra(self._action(row, kind), self.device)
        outputs = result if kind == "both" else (result,)
        row.memory[kind] = peak - sum(t.nbytes for t in outputs if t is not None)

    def _repeat(self, row: Row, kind: str, ceiling: Ceiling) -> None:
        action, calls = self._action(row, kind), _CALLS[self.device.type]

        def several() -> None:
            for _ in range(calls):
                action()

        with row.around():
            taken = seconds(several, self.device, self.clock) / calls
        getattr(row, kind).append(taken)
        if kind == "forward":
            row.shares.append(ceiling.seconds(row.least) / taken)

    def _action(self, row: Row, kind: str) -> Callable[[], object]:
        def forward() -> Tensor:
            with torch.no_grad():
                return row.run()

        def both() -> tuple[Tensor | None, ...]:
            out = row.run()
            return torch.autograd.grad(out, row.leaves, self._gradient(out), allow_unused=True)

        if kind == "forward":
            return forward
        self._gradient(forward())  # made outside of what is timed
        return both

    def _gradient(self, out: Tensor) -> Tensor:
        """A gradient in the layout of ``out``, the same for all rows."""
        key = (out.shape, out.stride())
        if key not in self._gradients:
            self._gradients[key] = torch.rand_like(out)
        return self._gradients[key]


def table(rows: list[Row], skipped: list[Row]) -> str:
    """One Markdown table; ratios are to the first row whose task the others have as well."""
    lines = [measuring.header(COLUMNS)]
    for row in rows:
        same = next((other for other in rows if other.least == row.least), row)
        lines.append(measuring.row(_cells(row, same)))
    for row in skipped:
        size = f"skipped, its buffer alone is {row.buffer / 1e9:.3g} GB"
        lines.append(measuring.row([row.name, size, *["–"] * (len(COLUMNS) - 2)]))
    return "\n".join(lines)


def _cells(row: Row, first: Row) -> list[str]:
    """The cells of a row; ratios are to ``first``."""
    cells = [row.name]
    for kind in ("forward", "both"):
        own = getattr(row, kind)
        ratio = "" if first is row else _short(_ratio(own, getattr(first, kind)))
        cells += [_short(1e3 * statistics.median(own)), ratio]
    for figure, unit in (("bytes", 1e6), ("flops", 1e9)):
        cells.append(_short(sum(getattr(work, figure) for work in row.work) / unit))
    cells.append(f"{100 * statistics.median(row.shares):.3g} %")
    cells += [_short(max(0.0, row.memory[kind]) / 1e6) for kind in ("forward", "both")]
    return [*cells, f"{len(row.forward)}, {len(row.both)}"]


def _ratio(own: list[float], first: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(own, first, strict=False))


def _short(value: float) -> str:
    """Three digits, never an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def describe(options: Options) -> str:
    """One line: the machine and what runs on it."""
    why = library.status().get(torch.device(options.device).type, "none for this device")
    load = ""
    if hasattr(os, "getloadavg"):
        load = f", load average {os.getloadavg()[0]:.1f} at the start"
    return (
        f"{measuring.machine(options.device)}, {torch.get_num_threads()} thread(s), torch "
        f"{torch.__version__}, features {options.dtype}, one image, {options.clock} clock; "
        f"compiled operators: {why or 'in use'}{load}"
    )


def pages(case: Case, options: Options, tick: Callable[[str], None]) -> Iterator[str]:
    """The heading of one case, then its tables one by one."""
    device, dtype = torch.device(options.device), DTYPES[options.dtype]
    clock = CLOCKS[options.clock]
    rows, probe = Rows(case, device, dtype), Probe(device, dtype, clock)
    yield f"### {case}"
    builders = {"whole": rows.whole, "level": rows.last_level, "operators": rows.operators}
    for title in options.tables:
        fits, skipped = [], []
        for row in builders[title]():
            if any(part in row.name for part in options.without):
                continue
            small = 3.3 * row.buffer < 0.8 * available(device)  # with copies and gradients
            (fits if small else skipped).append(row)
        timer = Timer(device, repetitions=options.repetitions, budget=options.seconds, clock=clock)

        def tick_row(name: str, title: str = title) -> None:
            tick(f"{case}: {title}: {name}")

        ceilings = timer.run(fits, probe.measure, tick_row)
        flops = statistics.median(ceiling.flops for ceiling in ceilings)
        moved = statistics.median(ceiling.bytes for ceiling in ceilings)
        ceiling = f"ceiling {flops / 1e9:,.0f} GFLOP/s, {moved / 1e9:,.1f} GB/s"
        yield f"{TABLES[title]}; {ceiling}:\n\n{table(fits, skipped)}"


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "--cases",
        nargs="+",
        default=list(CASES),
        metavar="C:GRID:OUTPUT",
        help="default: %(default)s",
    )
    parser.add_argument(
        "--tables",
        nargs="+",
        default=list(TABLES),
        choices=tuple(TABLES),
        help="default: all",
    )
    parser.add_argument(
        "--without",
        nargs="+",
        default=[],
        metavar="WORD",
        help="leave out rows whose names hold it (unfold, tap)",
    )
    parser.add_argument("--dtype", default="fp32", choices=tuple(DTYPES), help="of the features")
    parser.add_argument("--repetitions", type=int, default=9, help="at most, of each row")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each row and direction")
    parser.add_argument(
        "--quick", action="store_true", help="the first case only, three repetitions"
    )
    parser.add_argument("--out", type=Path, help="write the page here as well")
    measuring.add_machine(parser)


def read_options(
    *, cases: Sequence[str], quick: bool = False, repetitions: int = 9, **others: Any
) -> Options:
    """What the command line means.

    Raises:
        ValueError: as :class:`Case` and :class:`Options`.
    """
    if quick:
        cases, repetitions = cases[:1], min(3, repetitions)
    return Options(list(map(Case.parse, cases)), repetitions=repetitions, **others)


def run(**arguments: Any) -> None:
    """Prints the page, table by table."""
    options = read_options(**arguments)
    measuring.prepare(device=options.device, clock=options.clock, threads=options.threads)
    parts = [describe(options)]
    print(parts[0], flush=True)
    with Bars(Console(stderr=True)) as bars:
        update = partial(bars.update, bars.add_task("", total=None))

        def tick(text: str) -> None:
            update(description=text)

        for case in options.cases:
            for part in pages(case, options, tick):
                parts.append(part)
                print(f"\n{part}", flush=True)
                if options.out:
                    atomic_write(options.out, "\n\n".join(parts) + "\n")


COMMAND = Command(
    description=__doc__,
    examples="example: python -m benchmarks.speed.upsamplers --cases 384:14:224 --out page.md",
    add_arguments=add_arguments,
    run=run,
    program="python -m benchmarks.speed.upsamplers",
)

if __name__ == "__main__":
    sys.exit(execute(COMMAND, "upsamplers", sys.argv[1:]))
