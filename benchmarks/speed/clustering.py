"""Rounds of k-means against the machine's own matrix product.

In a round of N points and K centres the distances are 2·N·K·D operations, and no exact round can do
without them; beside them it takes the least of each row and the means. Printed is the rate of both
kinds of ``overcluster``, and its share of the rate of torch's matrix product
(:mod:`benchmarks.speed.matrix_product`). Printed are medians; the share is the median of the shares
within a repetition.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from benchmarks.speed.matrix_product import COLUMNS, against_product, cells, unit_vectors
from benchmarks.speed.measuring import add_machine, header, machine, prepare, row
from pretrain.clustering import lloyd
from pretrain.command_line import Command, CommandLine, execute
from pretrain.progress import Bars, Progress

EXAMPLES = "example: python -m benchmarks.speed.clustering --points 1_048_576 --clock cpu"


@dataclass(frozen=True)
class Case:
    """One clustering.

    Attributes:
        kind: of ``benchmarks.frozen.clusters.k_means``: ``spread`` (ours) or ``faiss``.
        points: N. clusters: K. dim: D, channels. rounds: of Lloyd.
    """

    kind: str
    points: int = 1 << 20
    clusters: int = 500
    dim: int = 384
    rounds: int = 2


def measure(
    case: Case, repetitions: int, *, device: str, clock: str, progress: Progress | None = None
) -> list[tuple[float, float]]:
    """Returns the operations per second of the rounds and of the product, once per repetition."""
    points = unit_vectors(case.points, case.dim, device=device, seed=0)
    cluster, searches = _KINDS[case.kind](points, points[: case.clusters].clone(), case.rounds)
    return against_product(
        cluster,
        searches * 2 * case.points * case.clusters * case.dim,
        dim=case.dim,
        repetitions=repetitions,
        device=device,
        clock=clock,
        progress=progress,
    )


def _ours(points: Tensor, starts: Tensor, rounds: int) -> tuple[Callable[[], object], int]:
    """The rounds, and how often they look for nearest centres: once more for the last labels."""
    return lambda: lloyd(points, starts, rounds=rounds, tolerance=0.0), rounds + 1


def _faiss(points: Tensor, starts: Tensor, rounds: int) -> tuple[Callable[[], object], int]:
    import faiss

    fitted = faiss.Kmeans(
        points.shape[1],
        len(starts),
        niter=rounds,
        max_points_per_centroid=len(points),
        min_points_per_centroid=1,
    )
    content, centres = points.numpy(), starts.numpy()
    return lambda: fitted.train(content, init_centroids=centres), rounds


_KINDS = {"spread": _ours, "faiss": _faiss}


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    default = Case("spread")
    parser.add_argument("--points", type=int, default=default.points, help="N")
    parser.add_argument("--clusters", type=int, default=default.clusters, help="K")
    parser.add_argument("--dim", type=int, default=default.dim, help="D, channels")
    parser.add_argument("--rounds", type=int, default=default.rounds, help="of Lloyd")
    parser.add_argument(
        "--kinds", nargs="+", default=list(_KINDS), choices=list(_KINDS), help="of k-means"
    )
    parser.add_argument("--repetitions", type=int, default=3)
    add_machine(parser)


def run(
    *,
    points: int,
    clusters: int,
    dim: int,
    rounds: int,
    kinds: Sequence[str],
    repetitions: int,
    device: str,
    clock: str,
    threads: int | None,
) -> None:
    """Prints a Markdown table, one row per kind."""
    prepare(device=device, clock=clock, threads=threads)
    if device != "cpu" and "faiss" in kinds:
        raise ValueError(f"--kinds faiss: it clusters on the CPU; leave it out for {device}")
    print(f"{machine(device)}, {points:,} points x {dim}, {clusters:,} clusters, {rounds} rounds")
    print(header(["k-means", *COLUMNS]), flush=True)
    with Bars() as bars:
        for kind in kinds:
            case = Case(kind, points, clusters, dim, rounds)
            with bars.bar(kind) as progress:
                rates = measure(case, repetitions, device=device, clock=clock, progress=progress)
            print(row([kind, *cells(rates)]), flush=True)


COMMAND = Command(
    description=__doc__,
    examples=EXAMPLES,
    add_arguments=add_arguments,
    run=run,
    program="python -m benchmarks.speed.clustering",
)

if __name__ == "__main__":
    sys.exit(execute(COMMAND, "clustering", sys.argv[1:]))
