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

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.speed.peak_memory import available, extra  # noqa: E402
from benchmarks.speed.roofline import Ceiling, Probe  # noqa: E402
from benchmarks.speed.step import CLOCKS, processor  # noqa: E402
from benchmarks.speed.upsampling_rows import Case, Row, Rows  # noqa: E402
from heads.upsamplers import library  # noqa: E402
from pretrain.command_line import AddValues  # noqa: E402
from pretrain.engine.efficiency import seconds  # noqa: E402
from pretrain.files import atomic_write  # noqa: E402
from pretrain.memory import keep_freed_memory  # noqa: E402
from pretrain.progress import Bars  # noqa: E402

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
_CALLS = {
    "cpu": 1,
    "cuda": 20,
}  # of one repetition: what starts a kernel on a GPU takes as long as a small one


class Timer:
    """Times rows in turns.

    Args:
        device: where. repetitions: at most, of each row. budget: seconds of each row and direction.
            clock: seconds now.
    """

    def __init__(
        self,
        device: torch.device,
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
        with row.around():
            taken = (
                seconds(lambda: [action() for _ in range(calls)][:0], self.device, self.clock)
                / calls
            )
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
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + " --- |" * len(COLUMNS)]
    for row in rows:
        same = next((other for other in rows if other.least == row.least), row)
        cells = [row.name]
        for kind in ("forward", "both"):
            mine, first = getattr(row, kind), getattr(same, kind)
            cells += [
                _short(1e3 * statistics.median(mine)),
                "" if same is row else _short(_ratio(mine, first)),
            ]
        cells += [
            _short(sum(w.bytes for w in row.work) / 1e6),
            _short(sum(w.flops for w in row.work) / 1e9),
        ]
        cells += [f"{100 * statistics.median(row.shares):.3g} %"]
        cells += [_short(max(0.0, row.memory[kind]) / 1e6) for kind in ("forward", "both")]
        lines.append(f"| {' | '.join([*cells, f'{len(row.forward)}, {len(row.both)}'])} |")
    for row in skipped:
        blank = ["–"] * (len(COLUMNS) - 2)
        lines.append(
            f"| {row.name} | skipped, its buffer alone is {row.buffer / 1e9:.3g} GB | "
            f"{' | '.join(blank)} |"
        )
    return "\n".join(lines)


def _ratio(mine: list[float], first: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(mine, first, strict=False))


def _short(value: float) -> str:
    """Three digits, never an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def describe(device: torch.device, dtype: str, clock: str) -> str:
    """One line: the machine and what runs on it."""
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    why = library.status().get(device.type, "none for this device")
    load = (
        f", load average {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    )
    return (
        f"{machine}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, features "
        f"{dtype}, one image, {clock} clock; compiled operators: {why or 'in use'}{load}"
    )


def pages(case: Case, options: argparse.Namespace, tick: Callable[[str], None]) -> Iterator[str]:
    """The heading of one case, then its tables one by one."""
    device, dtype, clock = (
        torch.device(options.device),
        DTYPES[options.dtype],
        CLOCKS[options.clock],
    )
    rows, probe = Rows(case, device, dtype), Probe(device, dtype, clock)
    yield f"### {case}"
    for title in options.tables:
        made = {"whole": rows.whole, "level": rows.last_level, "operators": rows.operators}[title]()
        made = [row for row in made if not any(word in row.name for word in options.without)]
        fits = [
            row for row in made if 3.3 * row.buffer < 0.8 * available(device)
        ]  # with copies and gradients
        timer = Timer(device, options.repetitions, options.seconds, clock)
        ceilings = timer.run(
            fits, probe.measure, lambda name, title=title: tick(f"{case}: {title}: {name}")
        )
        flops, moved = (
            statistics.median(getattr(c, name) for c in ceilings) for name in ("flops", "bytes")
        )
        ceiling = f"ceiling {flops / 1e9:,.0f} GFLOP/s, {moved / 1e9:,.1f} GB/s"
        yield (
            f"{TABLES[title]}; "
            f"{ceiling}:\n\n{table(fits, [row for row in made if row not in fits])}"
        )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the options; ``cases`` as :class:`Case`."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(
            "example: python -m benchmarks.speed.upsamplers --cases 384:14:224 --out upsamplers.md"
        ),
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        action=AddValues,
        default=list(CASES),
        metavar="C:GRID:OUTPUT",
        help="default: %(default)s",
    )
    parser.add_argument(
        "--tables",
        nargs="+",
        action=AddValues,
        default=list(TABLES),
        choices=tuple(TABLES),
        help="default: all",
    )
    parser.add_argument(
        "--without",
        nargs="+",
        action=AddValues,
        default=[],
        metavar="WORD",
        help="leave out rows whose names hold it (unfold, tap)",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dtype", default="fp32", choices=tuple(DTYPES), help="of the features")
    parser.add_argument("--repetitions", type=int, default=9, help="at most, of each row")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each row and direction")
    parser.add_argument(
        "--quick", action="store_true", help="the first case only, three repetitions"
    )
    parser.add_argument(
        "--clock", default="wall", choices=tuple(CLOCKS), help="cpu: one thread, for a busy machine"
    )
    parser.add_argument("--threads", type=int, help="CPU threads; torch's choice if left out")
    parser.add_argument("--out", type=Path, help="write the page here as well")
    options = parser.parse_args(arguments)
    if options.quick:
        options.cases, options.repetitions = options.cases[:1], min(3, options.repetitions)
    try:
        options.cases = [Case.parse(text) for text in options.cases]
    except ValueError as error:
        parser.error(str(error))
    if options.clock == "cpu" and options.device != "cpu":
        parser.error(
            "--clock cpu: counts processor seconds, which say nothing about --device "
            f"{options.device}"
        )
    if options.clock == "cpu":
        options.threads = 1  # waiting threads spin and would be counted
    if options.repetitions < 1:
        parser.error(f"--repetitions {options.repetitions}: at least 1")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Prints the page, table by table."""
    options = parse(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.device == "cpu":
        keep_freed_memory()  # as training and evaluation do
    parts = [describe(torch.device(options.device), options.dtype, options.clock)]
    print(parts[0], flush=True)
    with Bars(Console(stderr=True)) as bars:
        task = bars.add_task("", total=None)
        tick = partial(bars.update, task)
        for part in (
            p
            for case in options.cases
            for p in pages(case, options, lambda text: tick(description=text))
        ):
            parts.append(part)
            print(f"\n{part}", flush=True)
            if options.out:
                atomic_write(options.out, "\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
