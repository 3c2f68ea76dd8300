"""What evaluations of one network wait for, and what the second one saves.

Images are decoded on threads while the network encodes others; *waiting* is the share of the time
in which nothing was encoded because no image was there yet. Of several benchmarks in one command
the later ones find the maps that the first one encoded, where memory allows. Each benchmark is
measured alone, from files on, and behind the first one. Printed are medians; × is the median of the
ratios within a repetition.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.core.commands import choose_device
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.kept import KeptMaps
from benchmarks.evaluate.run import make_tasks
from benchmarks.evaluate.suite import Task
from benchmarks.speed.measuring import header, machine, prepare, row
from pretrain.command_line import Command, CommandLine, execute
from pretrain.progress import Bars, Progress

EXAMPLES = """example: python -m benchmarks.speed.evaluating "random:resnet50?output_stride=8" \\
    --benchmark retrieval probe --data camvid:data/real/camvid \\
    --set retrieval.size=192,256 retrieval.memory_size=51200 probe.size=192,256"""

COLUMNS = ("benchmark", "alone, s", "waiting, %", "behind the first, s", "×", "maps found, %")


@dataclass(frozen=True)
class Evaluation:
    """One benchmark, once.

    Attributes:
        seconds: in all. waiting: of these, for images.
        found: share of the maps asked for that were there; None where none were asked for.
    """

    seconds: float
    waiting: float
    found: float | None


def measure(
    network: str,
    names: Sequence[str],
    data: Sequence[str],
    settings: Sequence[str],
    *,
    device: str,
    progress: Progress | None = None,
) -> list[tuple[Evaluation, Evaluation]]:
    """Returns each benchmark alone, and in a command with all of them.

    Args:
        network: see :meth:`FeatureExtractor.load`.
        names: of benchmarks, the first one encodes for the others.
        data: ``LAYOUT:ROOT?options``.
        settings: ``BENCHMARK.KEY=VALUE``.
        device: where it runs.
        progress: called after each benchmark.
    """
    extractor = FeatureExtractor.load(network, device=device)
    evaluations = []
    for name in names:  # data of its own: nothing that was read before
        tasks = {task.name: task for task in make_tasks(names, data, settings, quick=False)}
        evaluations.append((tasks[name], KeptMaps()))
    kept = KeptMaps()
    evaluations += [(task, kept) for task in make_tasks(names, data, settings, quick=False)]
    measured = []
    for task, maps in evaluations:
        measured.append(_evaluate(task, extractor, maps))
        if progress:
            progress(task.name, len(measured), len(evaluations))
    return list(zip(measured[: len(names)], measured[len(names) :], strict=True))


def _evaluate(task: Task, extractor: FeatureExtractor, kept: KeptMaps) -> Evaluation:
    """Measures a benchmark on a network whose maps are kept."""
    asked, taken = kept.asked, kept.taken
    record = task.benchmark.measure(extractor.keeping(kept), task.data, task.settings)
    asked, taken = kept.asked - asked, kept.taken - taken
    waiting = record.cost.get("waiting_seconds", 0.0)
    return Evaluation(record.cost["seconds"], waiting, taken / asked if asked else None)


def cells(name: str, rounds: Sequence[tuple[Evaluation, Evaluation]]) -> list[str]:
    """``COLUMNS`` of a table row."""
    median = statistics.median
    waiting = median(alone.waiting / alone.seconds for alone, _ in rounds)
    ratio = median(behind.seconds / alone.seconds for alone, behind in rounds)
    found = rounds[0][1].found
    return [
        name,
        f"{median(alone.seconds for alone, _ in rounds):.1f}",
        f"{100 * waiting:.1f}",
        f"{median(behind.seconds for _, behind in rounds):.1f}",
        f"{ratio:.2f}",
        "–" if found is None else f"{100 * found:.0f}",
    ]


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("network", help="as of pixelpretext evaluate")
    parser.add_argument("--benchmark", nargs="+", required=True, metavar="NAME")
    parser.add_argument("--data", nargs="+", required=True, metavar="LAYOUT:ROOT")
    parser.add_argument("--set", nargs="+", default=[], dest="settings", metavar="NAME.KEY=VALUE")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--device", help="cuda, cpu, … (default: cuda if there is one)")
    parser.add_argument("--threads", type=int, help="CPU threads; torch's choice if left out")


def run(
    *,
    network: str,
    benchmark: Sequence[str],
    data: Sequence[str],
    settings: Sequence[str],
    repetitions: int,
    device: str | None,
    threads: int | None,
) -> None:
    """Prints a Markdown table, one row per benchmark."""
    device = choose_device(device)
    prepare(device=device, clock="wall", threads=threads)
    rounds = []
    with Bars() as bars:
        for number in range(repetitions):
            with bars.bar(f"repetition {number + 1} of {repetitions}") as progress:
                measured = measure(
                    network, benchmark, data, settings, device=device, progress=progress
                )
            rounds.append(measured)
    print(f"{machine(device)}, {network}")
    print(header(COLUMNS))
    for name, own in zip(benchmark, zip(*rounds, strict=True), strict=True):
        print(row(cells(name, own)), flush=True)


COMMAND = Command(
    description=__doc__,
    examples=EXAMPLES,
    add_arguments=add_arguments,
    run=run,
    program="python -m benchmarks.speed.evaluating",
)

if __name__ == "__main__":
    sys.exit(execute(COMMAND, "evaluating", sys.argv[1:]))
