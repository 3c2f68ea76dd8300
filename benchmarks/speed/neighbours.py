"""Search for nearest neighbours against the machine's own matrix product.

The product of Q queries with M keys is 2·Q·M·D operations, and no exact search can do without it;
what a search does beside it is choosing the k largest. Printed is the rate of each back-end, and
its share of the rate at which torch multiplies matrices of 2,048 x 2,048 x D, the best that this
machine gives. Searches and products alternate; printed are medians, the share is the median of the
shares within a repetition.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch

from benchmarks.core.neighbours import build_index
from benchmarks.speed.matrix_product import COLUMNS, against_product, cells, unit_vectors
from benchmarks.speed.measuring import add_machine, header, machine, prepare, row
from pretrain.command_line import Command, CommandLine, execute
from pretrain.progress import Bars, Progress

EXAMPLES = "example: python -m benchmarks.speed.neighbours --keys 1_048_576 --clock cpu"


@dataclass(frozen=True)
class Case:
    """One search.

    Attributes:
        backend: of :mod:`benchmarks.core.neighbours`.
        dtype: of the keys in memory.
        keys: M. queries: Q. dim: D, channels. neighbours: k.
    """

    backend: str
    dtype: str = "float32"
    keys: int = 1 << 20
    queries: int = 2048
    dim: int = 384
    neighbours: int = 30


def measure(
    case: Case, repetitions: int, *, device: str, clock: str, progress: Progress | None = None
) -> list[tuple[float, float]]:
    """Returns the operations per second of the search and of the product, once per repetition."""
    memory = unit_vectors(case.keys, case.dim, device=device, seed=0)
    index = build_index(memory.to(getattr(torch, case.dtype)), case.backend)
    queries = unit_vectors(case.queries, case.dim, device=device, seed=1)
    return against_product(
        lambda: index.search(queries, case.neighbours),
        2 * case.queries * case.keys * case.dim,
        dim=case.dim,
        repetitions=repetitions,
        device=device,
        clock=clock,
        progress=progress,
    )


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    default = Case("torch")
    parser.add_argument("--keys", type=int, default=default.keys, help="M, entries of the memory")
    parser.add_argument("--queries", type=int, default=default.queries, help="Q, of one search")
    parser.add_argument("--dim", type=int, default=default.dim, help="D, channels")
    parser.add_argument("--neighbours", type=int, default=default.neighbours, help="k")
    parser.add_argument(
        "--backends", nargs="+", default=["torch", "faiss-cpu"], help="of benchmarks.core"
    )
    parser.add_argument(
        "--dtypes", nargs="+", default=["float32", "float16"], help="of the keys in memory"
    )
    parser.add_argument("--repetitions", type=int, default=3)
    add_machine(parser)


def run(
    *,
    keys: int,
    queries: int,
    dim: int,
    neighbours: int,
    backends: Sequence[str],
    dtypes: Sequence[str],
    repetitions: int,
    device: str,
    clock: str,
    threads: int | None,
) -> None:
    """Prints a Markdown table, one row per back-end and dtype of the keys."""
    prepare(device=device, clock=clock, threads=threads)
    print(f"{machine(device)}, {keys:,} keys x {dim}, {queries:,} queries, k = {neighbours}")
    columns = ["back-end", "keys", *COLUMNS]
    print(header(columns), flush=True)
    with Bars() as bars:
        for backend, dtype in product(backends, dtypes):
            case = Case(backend, dtype, keys, queries, dim, neighbours)
            with bars.bar(f"{backend} {dtype}") as progress:
                rates = measure(case, repetitions, device=device, clock=clock, progress=progress)
            print(row([backend, dtype, *cells(rates)]), flush=True)


COMMAND = Command(
    description=__doc__,
    examples=EXAMPLES,
    add_arguments=add_arguments,
    run=run,
    program="python -m benchmarks.speed.neighbours",
)

if __name__ == "__main__":
    sys.exit(execute(COMMAND, "neighbours", sys.argv[1:]))
