"""Asks why a network transfers: one analysis, on any checkpoints.

Checkpoints of one training stand in the order of the images they have seen.
"""

from __future__ import annotations

from typing import Any

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext analyse --list
  pixelpretext analyse cka work_dirs/pixpro/final.pth --data classes:data/scenes/crops --set size=64
  pixelpretext analyse cka work_dirs/pixpro/iter_*.pth --data classes:data/scenes/crops \\
      --set size=64 --report work_dirs/page
  pixelpretext analyse cka work_dirs/pixpro/final.pth --reference work_dirs/simclr/final.pth \\
      --data classes:data/scenes/crops --set size=64

checkpoints and data: written as for pixelpretext evaluate, whose help explains them
reference: start (default: the network itself before its pretraining, rebuilt from the recipe in its
  checkpoint), PATH.pth, timm:NAME or random:NAME; only for analyses with the setting "reference"
analyses: docs/analyses.md says what each number means, what it does not, and what it costs; every
  analysis is also a benchmark of pixelpretext evaluate and of comparisons"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("analysis", metavar="NAME", help="which analysis, see --list")
    parser.add_argument(
        "networks", nargs="+", metavar="CHECKPOINT", help="FILE.pth, timm:NAME or random:NAME"
    )
    parser.add_listing("--list", _analyses, help="list the analyses and their settings, and exit")
    parser.add_argument(
        "--data", nargs="+", required=True, metavar="LAYOUT:ROOT", help="what the analysis reads"
    )
    parser.add_argument(
        "--set",
        dest="settings",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="settings of the analysis",
    )
    parser.add_argument(
        "--reference", metavar="SPEC", help="the second network (default: start, see below)"
    )
    parser.add_weights()
    parser.add_argument("--quick", action="store_true", help="the analysis' reduced settings")
    parser.add_argument(
        "--baselines", action="store_true", help="also measure trivial predictors, where it has any"
    )
    parser.add_argument(
        "--report", metavar="FOLDER", help="also write a page with its figure: FOLDER/index.html"
    )
    parser.add_device()
    parser.add_argument(
        "--out",
        default="work_dirs/analyses.jsonl",
        help="file to which records are appended (default: %(default)s)",
    )


def _analyses() -> str:
    from benchmarks.evaluate.benchmark_list import as_text
    from benchmarks.evaluate.suite import analyses

    return as_text(analyses().values())


def run(**arguments: Any) -> None:
    """Analyses, then says what to do next."""
    from benchmarks.evaluate.analyse import AnalysisOptions, analyse

    for step in analyse(AnalysisOptions(**arguments)):
        print(f"next: {step}")


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
