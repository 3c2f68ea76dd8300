"""Time and memory of the supervised contrastive loss in pieces against the same loss at once,
forward and backward.

Each measurement is a process of its own, because a process's peak memory never falls. Pieces and
whole alternate; printed are medians over repetitions, the ratio is the median of the ratios within
a repetition. Time is that of the processor, on one thread, so that others on the machine disturb it
little.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from pretrain.command_line import Command, CommandLine, execute
from pretrain.places import import_path

EXAMPLES = "example: python -m benchmarks.speed.supcon --entries 4096 16384 --repetitions 3"
_CHILD = """
import json, sys
from benchmarks.speed.supcon import Case, measure
print(json.dumps(measure(Case(**json.loads(sys.argv[1])))))
"""


@dataclass(frozen=True)
class Case:
    """One loss.

    Attributes:
        entries: n, two views each of random unit vectors.
        dim: their channels.
        classes: number of labels.
        chunk: anchors at a time; None: all at once.
    """

    entries: int
    dim: int = 128
    classes: int = 100
    chunk: int | None = 512


def measure(case: Case) -> dict[str, float]:
    """Returns ``seconds`` of processor time and ``peak GB`` of this process, and the ``loss``.

    Memory is kept as the engine does.
    """
    import torch

    from pretrain.memory import keep_freed_memory, peak_resident
    from pretrain.objectives.parts.supcon_loss import ContrastOptions, supcon_loss

    torch.set_num_threads(1)
    keep_freed_memory()
    generator = torch.Generator().manual_seed(0)
    images = case.entries // 2
    z = torch.randn(images, 2, case.dim, generator=generator, requires_grad=True)
    labels = torch.randint(0, case.classes, (images,), generator=generator)
    start = time.process_time()
    loss = supcon_loss(z, labels, ContrastOptions(0.1, chunk=case.chunk)).loss
    loss.backward()
    seconds = time.process_time() - start
    return {"seconds": seconds, "peak GB": peak_resident() / 1e9, "loss": loss.item()}


def in_process(case: Case) -> dict[str, float]:
    """Returns :func:`measure` of a fresh process."""
    command = [sys.executable, "-c", _CHILD, json.dumps(asdict(case))]
    child = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | import_path()
    )
    return json.loads(child.stdout)


def compare(case: Case, repetitions: int) -> list[str]:
    """Returns the cells of one row."""
    whole, pieces = [], []
    for _ in range(repetitions):
        whole.append(in_process(replace(case, chunk=None)))
        pieces.append(in_process(case))
    cells = [f"{case.entries:,}", str(case.chunk)]
    for key in ("seconds", "peak GB"):
        ratios = [piece[key] / one[key] for one, piece in zip(whole, pieces, strict=True)]
        for values in ([one[key] for one in whole], [piece[key] for piece in pieces], ratios):
            cells.append(f"{statistics.median(values):.2f}")
    return cells


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    default = Case(4096)
    parser.add_argument(
        "--entries", type=int, nargs="+", default=[default.entries], help="views in the step, n"
    )
    parser.add_argument("--dim", type=int, default=default.dim, help="width of the projection")
    parser.add_argument("--classes", type=int, default=default.classes)
    parser.add_argument("--chunk", type=int, default=default.chunk, help="anchors at a time")
    parser.add_argument("--repetitions", type=int, default=5)


def run(*, entries: Sequence[int], dim: int, classes: int, chunk: int, repetitions: int) -> None:
    """Prints a Markdown table, one row per number of entries."""
    from benchmarks.speed import measuring

    columns = ["n", "chunk"]
    for figure in ("seconds", "peak GB"):
        columns += [f"{figure} whole", f"{figure} pieces", f"{figure} ratio"]
    print(measuring.header(columns), flush=True)
    for count in entries:
        cells = compare(Case(count, dim, classes, chunk), repetitions)
        print(measuring.row(cells), flush=True)


COMMAND = Command(
    description=__doc__,
    examples=EXAMPLES,
    add_arguments=add_arguments,
    run=run,
    program="python -m benchmarks.speed.supcon",
)

if __name__ == "__main__":
    sys.exit(execute(COMMAND, "supcon", sys.argv[1:]))
