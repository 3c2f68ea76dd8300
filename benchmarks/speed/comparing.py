"""What ``pixelpretext compare`` costs beyond the trainings and evaluations of its trials.

Runs a comparison, and then the same trainings and evaluations directly, each in a process of its
own as one would start them by hand. Both are measured in processor seconds (user and system) of all
their processes, so that others on the machine disturb them little. The overhead holds the checks
before the run, the watching, table, pictures and page. It hardly grows with the length of the
trainings.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare.trial_folder import TrialFolder
from pretrain.command_line import Command, CommandLine, execute
from pretrain.places import import_path

EXAMPLES = "example: python -m benchmarks.speed.comparing configs/comparisons/quickstart.py"
_COMPARE = "-m", "benchmarks.commands", "compare"
_EVALUATE = """
import sys
from pathlib import Path
from benchmarks.compare.evaluate import evaluate, make_untrained
from benchmarks.compare.trial_folder import TrialFolder
folder, checkpoint = TrialFolder(Path(sys.argv[1])), Path(sys.argv[2])
if not folder.spec().train:
    make_untrained(folder.config, checkpoint)
for benchmark in folder.spec().benchmarks:
    evaluate(checkpoint, benchmark).append(checkpoint.with_name("records.jsonl"))
"""
_BASELINE = "-m", "benchmarks.compare.baseline"


def processor_seconds(arguments: Sequence[str], environment: dict[str, str]) -> float:
    """Runs Python with these arguments; returns the user and system seconds of the process and its
    children.

    Raises:
        ValueError: it failed; holds the end of what it printed.
    """
    before = _children()
    child = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if child.returncode != 0:
        raise ValueError(f"{' '.join(arguments)[:200]} failed: {child.stdout[-2000:]}")
    return _children() - before


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(config: Path, folder: Path, *, threads: int) -> tuple[float, float, int]:
    """Returns the processor seconds of the comparison, those of its work done directly, and the
    number of trials.

    Args:
        config: of the comparison; data that it prepares should be there.
        folder: empty.
        threads: of each process.
    """
    environment = {**os.environ, **import_path(), "OMP_NUM_THREADS": str(threads)}
    work = folder / "compare"
    arguments = [*_COMPARE, str(config), "--work-dir", str(work), "--jobs", "1"]
    whole = processor_seconds(arguments, environment)
    direct = 0.0
    trials = sorted(path.parent for path in work.glob("*/seed_*/trial.json"))
    for index, path in enumerate(trials):
        trial, own = TrialFolder(path), folder / f"direct_{index}"
        checkpoint = own / "final.pth"
        own.mkdir()
        if trial.spec().train:
            command = [*trial.spec().trainer[1:], str(trial.config), "--work-dir", str(own)]
            direct += processor_seconds(command, environment)
        arguments = ["-c", _EVALUATE, str(path), str(checkpoint)]
        direct += processor_seconds(arguments, environment)
    for request in work.glob("baselines/*/*/request.json"):
        direct += processor_seconds([*_BASELINE, str(request.parent)], environment)
    return whole, direct, len(trials)


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("config", type=Path, help="comparison config")
    parser.add_argument("--threads", type=int, default=1, help="of each process (default: 1)")
    parser.add_argument("--repetitions", type=int, default=1)


def run(*, config: Path, threads: int, repetitions: int) -> None:
    """Prints a Markdown table with medians over repetitions."""
    from benchmarks.speed import measuring

    rows = []
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as folder:
            whole, direct, trials = measure(config, Path(folder), threads=threads)
        rows.append((whole, direct, whole - direct, 100 * (whole / direct - 1)))
    columns = ("trials", "compare, s", "directly, s", "overhead, s", "overhead, %")
    print(measuring.header(columns))
    medians = [f"{statistics.median(values):.1f}" for values in zip(*rows, strict=True)]
    print(measuring.row([str(trials), *medians]))


COMMAND = Command(
    description=__doc__,
    examples=EXAMPLES,
    add_arguments=add_arguments,
    run=run,
    program="python -m benchmarks.speed.comparing",
)

if __name__ == "__main__":
    sys.exit(execute(COMMAND, "comparing", sys.argv[1:]))
