"""Makes start weights of a network's first filters, or draws others like them.

All other layers begin as they did before its training.
"""

from __future__ import annotations

from pathlib import Path

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext aligned-start work_dirs/random_labels_scenes64/final.pth --out drawn.pth
  pixelpretext aligned-start final.pth --filters trained --out trained.pth
  pixelpretext aligned-start final.pth --layers 3 --data data/scenes/crops --out drawn3.pth
  pixelpretext aligned-start final.pth --filters trained --layers 0 --unscaled --out whole.pth
  pixelpretext train CONFIG --cfg-options load_from=drawn.pth            # train from them

Filters of the first layer are drawn from N(0, S), S the covariance of the trained ones; those of
deeper layers spread along the directions of their new inputs as the trained ones did along theirs,
which are measured on images. The file holds no heads: every training draws its own."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("checkpoint", help="final.pth or iter_N.pth of a run, or any network")
    parser.add_argument("--out", required=True, help="file to write (weights only)")
    parser.add_argument(
        "--filters",
        default="drawn",
        choices=("drawn", "trained"),
        help="drawn from the trained ones' covariance, or these themselves (default: %(default)s)",
    )
    parser.add_argument(
        "--layers",
        type=int,
        default=1,
        metavar="N",
        help="convolutions and linear layers from the first on; 0 = all (default: %(default)s)",
    )
    parser.add_argument(
        "--unscaled", action="store_true", help="do not give filters back their initial norms"
    )
    parser.add_argument("--seed", type=int, default=0, help="of drawn filters")
    parser.add_argument("--data", metavar="ROOT", help="class folders, for layers behind the first")
    parser.add_argument(
        "--images", type=int, default=500, help="of the train part at most (default: %(default)s)"
    )
    parser.add_argument(
        "--size", type=int, default=96, help="their side in pixels (default: %(default)s)"
    )
    parser.add_argument(
        "--reference",
        default="start",
        metavar="NETWORK",
        help="the network before its training (default: rebuilt from the checkpoint's recipe)",
    )
    parser.add_weights()


def run(
    *,
    checkpoint: str,
    out: str,
    filters: str,
    layers: int,
    unscaled: bool,
    seed: int,
    data: str | None,
    images: int,
    size: int,
    reference: str,
    weights: str,
) -> None:
    """Writes the file, and prints what it took over."""
    from benchmarks.analysis.start_file import write_start
    from benchmarks.analysis.starts import StartPlan
    from pretrain.progress import Bars

    plan = StartPlan(filters, layers, rescaled=not unscaled, seed=seed)
    with Bars() as bars, bars.bar("aligned start") as progress:
        names = write_start(
            checkpoint,
            Path(out),
            plan,
            data=data,
            images=images,
            size=size,
            reference=reference,
            weights=weights,
            progress=progress,
        )
    norms = "as trained" if unscaled else "initial norms"
    shown = names if len(names) < 5 else [*names[:2], "…", names[-1]]
    print(f"{out}: filters {filters}, {norms}, {len(names)} of the layers: {', '.join(shown)}")


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
