"""Asks whether a published backbone gets better by post-training on your images.

Writes a comparison of the untouched backbone with post-trained ones and one from scratch, and runs
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pretrain.command_line import Command, CommandLine, as_typed, read_pairs

EXAMPLES = """examples:
  pixelpretext post-train timm:vit_small_patch16_224.dino --images data/photos \\
      --masks voc:data/VOCdevkit/VOC2012
  pixelpretext post-train "resnet50.pth?backbone=resnet50&licence=MIT" --images data/photos \\
      data/more --masks "plain:data/mine?images=img/{split}&masks=lab/{split}&classes=7" \\
      --classes classes:data/flowers --arms DenseCL PixPro scratch --budget samples=100_000
  pixelpretext post-train work_dirs/vit/final.pth --images data/real/caltech101/train \\
      --masks camvid:data/real/camvid --template post_train_small    on a laptop
  pixelpretext post-train … --dry-run                                only write the comparison

backbone: timm:NAME.TAG, one of our checkpoints, or FILE?backbone=NAME of others, with
  ?output_stride=16 and other options of the network, ?mean=R,G,B&std=R,G,B of its images in
  [0, 1] if it does not know them, ?weights=target, ?licence=TEXT
masks: LAYOUT:ROOT?options as of pixelpretext evaluate (--layouts lists the layouts); 1, 5 and 50 %
  of the train part are learned from, the val part is scored
WORK_DIR/post_train.py holds all of it: change it and run pixelpretext compare for what has no
  option here. The same command again goes on where it was interrupted.

exit codes: 0 done, 1 a trial failed, 2 a mistake in the arguments, the config or the data,
130 interrupted"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("backbone", help="published weights, see below")
    _add_data(parser)
    _add_training(parser)
    parser.add_argument(
        "--work-dir",
        default="work_dirs/post_train",
        help="folder for everything it writes (default: work_dirs/post_train)",
    )
    parser.add_argument("--jobs", type=int, help="trials at once (default: one per GPU or core)")
    parser.add_argument(
        "--dry-run", action="store_true", help="write the comparison and stop before it runs"
    )


def _add_data(parser: CommandLine) -> None:
    """What is learned from and what judges."""
    parser.add_argument(
        "--images", nargs="+", required=True, metavar="FOLDER", help="photos; labels are not read"
    )
    parser.add_argument("--masks", required=True, metavar="LAYOUT:ROOT", help="what judges")
    parser.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="classes:ROOT",
        help="class folders that judge whole images, by nearest neighbours",
    )
    parser.add_argument("--size", metavar="H,W", help="of the images that are judged, in pixels")


def _add_training(parser: CommandLine) -> None:
    """What is compared, and for how long."""
    parser.add_argument(
        "--template",
        default="post_train",
        metavar="COMPARISON",
        help="comparison that holds arms, schedule and benchmarks (default: post_train; "
        "post_train_small is for a few CPU cores)",
    )
    parser.add_argument(
        "--arms",
        nargs="+",
        default=[],
        metavar="ARM",
        help="which of the template's, beside untouched (default: all that suit the backbone)",
    )
    parser.add_argument(
        "--budget",
        nargs="+",
        default=[],
        metavar="KIND=AMOUNT",
        help="of each training: samples, flops or seconds (default: the template's)",
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[], metavar="SEED", help="(default: 0 1 2)"
    )
    parser.add_argument("--batch", type=int, help="images per step")
    parser.add_argument("--lr", type=float, help="peak of the backbone's learning rate")
    parser.add_argument("--view-size", type=int, help="side of the large views in pixels")


def run(
    *,
    budget: Sequence[str],
    size: str | None,
    work_dir: str,
    jobs: int | None,
    dry_run: bool,
    **arguments: Any,
) -> int:
    """Writes the comparison and runs it; returns 1 if a trial failed."""
    from rich.console import Console

    from benchmarks.compare.chosen import chosen_checkpoints, chosen_sentences
    from benchmarks.compare.executors import Local
    from benchmarks.compare.plan import load_plan
    from benchmarks.compare.post_train import Request, conclusion, write_comparison
    from benchmarks.compare.run import Options, run_comparison
    from pretrain.files import require_writable
    from pretrain.specs import literal

    folder, console = Path(work_dir), Console()
    require_writable(folder, "--work-dir", folder=True)
    request = Request(
        budget=read_pairs(budget, option="--budget", example="samples=100_000", parse=literal),
        size=_height_width(size),
        **arguments,
    )
    written = write_comparison(request, folder)
    console.print(str(written), markup=False, highlight=False, soft_wrap=True)
    plan = load_plan(written.path, folder)
    if dry_run:
        return 0
    code = run_comparison(plan, Options(executor=Local(jobs=jobs), forecast=True, console=console))
    chosen = chosen_sentences(chosen_checkpoints(plan), plan.primary)
    for line in [*chosen, as_typed(conclusion(folder, plan.seeds[0]))]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return code


def _height_width(text: str | None) -> tuple[int, int] | None:
    """Returns what ``--size H,W`` says.

    Raises:
        ValueError: something else.
    """
    if text is None:
        return None
    try:
        height, width = map(int, text.split(","))
    except ValueError as error:
        raise ValueError(f"--size {text!r}: must be two whole numbers, such as 192,256") from error
    return height, width


COMMAND = Command(
    description=__doc__,
    examples=EXAMPLES,
    add_arguments=add_arguments,
    run=run,
    continues=True,
)
