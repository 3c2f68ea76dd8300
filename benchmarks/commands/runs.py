"""Lists, shows, compares and exports what has run.

Trainings, comparisons, trials, baselines and evaluations. Everything is read from the
folders that the other commands wrote.
"""

from __future__ import annotations

from collections.abc import Sequence

from pretrain.command_line import Command, CommandLine

ACTIONS = {"ls": 0, "show": 1, "diff": 2, "best": 1, "export": 0}  # how many names each takes
TRACKERS = ("csv", "mlflow", "wandb")

EXAMPLES = """examples:
  pixelpretext runs ls                                 all runs below work_dirs
  pixelpretext runs ls --kind trial --root work_dirs/quickstart
  pixelpretext runs show quickstart/PixPro/seed_0      config, numbers, protocols, versions
  pixelpretext runs diff quickstart/PixPro/seed_0 quickstart/SimCLR/seed_0
  pixelpretext runs best retrieval.mIoU --top 5        the best single runs, apart by protocol
  pixelpretext runs export --to csv --out runs.csv     a row per run: config, numbers, hashes
  pixelpretext runs export --to mlflow --out mlruns    or --out http://server:5000
  pixelpretext runs export --to wandb --offline        then: wandb sync

Runs have the names that ls prints: a path below --root, FILE:N for the N-th record of a file. In
Python: benchmarks.runs.registry.runs("work_dirs") is a pandas frame of all of them."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("action", choices=[*ACTIONS], help="what to do")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="one run (show), two (diff), or a metric (best)"
    )
    parser.add_argument(
        "--root", default="work_dirs", help="folder below which runs are looked for (%(default)s)"
    )
    parser.add_argument(
        "--kind",
        choices=("comparison", "trial", "baseline", "training", "evaluation"),
        help="only runs of this kind",
    )
    parser.add_argument("--top", type=int, default=10, help="how many best shows (%(default)s)")
    parser.add_argument("--to", choices=TRACKERS, help="where export writes")
    parser.add_argument(
        "--out", help="file of csv, folder or address of mlflow, folder of wandb's own files"
    )
    parser.add_argument(
        "--project", default="pixelpretext", help="experiment or project (%(default)s)"
    )
    parser.add_argument(
        "--offline", action="store_true", help="wandb: write files alone, send nothing"
    )


def run(
    *,
    action: str,
    names: Sequence[str],
    root: str,
    kind: str | None,
    top: int,
    to: str | None,
    out: str | None,
    project: str,
    offline: bool,
) -> None:
    """Does one of ``ACTIONS``.

    Raises:
        ValueError, OSError: a wrong number of names, a run that is not there.
    """
    from rich.console import Console

    from benchmarks.runs import views
    from benchmarks.runs.registry import entries, find

    if len(names) != ACTIONS[action]:
        raise ValueError(
            f"{action} takes {ACTIONS[action]} names, not {len(names)}: "
            f"{' '.join(names) or 'none'}; --help has examples"
        )
    if top < 1:
        raise ValueError(f"--top {top}: must be at least 1")
    console = Console()
    if action == "show":
        views.print_run(find(root, names[0]), console)
        return
    if action == "diff":
        views.print_difference(find(root, names[0]), find(root, names[1]), console)
        return
    chosen = [entry for entry in entries(root) if kind in (None, entry.kind)]
    if action == "ls":
        views.print_list(chosen, console)
    elif action == "best":
        networks = [entry for entry in chosen if kind or entry.kind != "baseline"]
        views.print_best(networks, names[0], console, top=top)
    else:
        from benchmarks.runs.tracking import export

        export(chosen, to=to, out=out, project=project, offline=offline, console=console)


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
