"""Time and memory of the supervised contrastive loss in pieces against the same loss at once,
forward and backward.

Each measurement is a process of its own, because a process's peak memory never falls. Pieces and
whole alternate; printed are medians over repetitions, the ratio is the median of the ratios within
a repetition. Time is that of the processor, on one thread, so that others on the machine disturb it
little.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pretrain.command_line import AddValues  # noqa: E402


def measure(entries: int, dim: int, classes: int, chunk: int | None) -> dict[str, float]:
    """Returns ``seconds`` of processor time and ``peak GB`` of this process, and the ``loss``, for
    n entries.

    Entries are two views each of random unit vectors of ``dim`` channels; memory is kept as the
    engine does.
    """
    import torch

    from pretrain.memory import keep_freed_memory, peak_resident
    from pretrain.objectives.parts.supcon_loss import ContrastOptions, supcon_loss

    torch.set_num_threads(1)
    keep_freed_memory()
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(entries // 2, 2, dim, generator=generator, requires_grad=True)
    labels = torch.randint(0, classes, (entries // 2,), generator=generator)
    start = time.process_time()
    loss = supcon_loss(z, labels, ContrastOptions(0.1, chunk=chunk)).loss
    loss.backward()
    seconds = time.process_time() - start
    return {"seconds": seconds, "peak GB": peak_resident() / 1e9, "loss": loss.item()}


def in_process(entries: int, dim: int, classes: int, chunk: int | None) -> dict[str, float]:
    """Returns :func:`measure` of a fresh process."""
    command = [sys.executable, __file__, "--one", json.dumps([entries, dim, classes, chunk])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(entries: int, dim: int, classes: int, chunk: int, repetitions: int) -> str:
    """Returns one Markdown row."""
    pairs = [
        (in_process(entries, dim, classes, None), in_process(entries, dim, classes, chunk))
        for _ in range(repetitions)
    ]
    cells = [f"{entries:,}", str(chunk)]
    for key, form in (("seconds", ".2f"), ("peak GB", ".2f")):
        for kind in (0, 1):
            cells.append(format(statistics.median(pair[kind][key] for pair in pairs), form))
        cells.append(
            format(statistics.median(pair[1][key] / pair[0][key] for pair in pairs), ".2f")
        )
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str] | None = None) -> None:
    """Prints a Markdown table, one row per number of entries."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python benchmarks/speed/supcon.py --entries 4096 16384 --repetitions 3",
    )
    parser.add_argument(
        "--entries",
        type=int,
        nargs="+",
        action=AddValues,
        default=[4096],
        help="views in the step, n",
    )
    parser.add_argument("--dim", type=int, default=128, help="width of the projection")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--chunk", type=int, default=512, help="anchors at a time")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure(*json.loads(options.one))))
        return
    names = [
        f"{what} {kind}" for what in ("seconds", "peak GB") for kind in ("whole", "pieces", "ratio")
    ]
    print(f"| n | chunk | {' | '.join(names)} |\n|{' --- |' * 8}", flush=True)
    for entries in options.entries:
        print(
            compare(entries, options.dim, options.classes, options.chunk, options.repetitions),
            flush=True,
        )


if __name__ == "__main__":
    main()
