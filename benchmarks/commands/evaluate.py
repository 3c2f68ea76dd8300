"""Measures frozen features: retrieval, depth, kNN, linear probes and more.

Features may be upsampled first. One table per protocol.
"""

from __future__ import annotations

from typing import Any

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext evaluate work_dirs/pixpro/final.pth "random:resnet18?output_stride=8" \\
      --benchmark retrieval knn --data scenes:data/scenes --set retrieval.size=96,96 knn.size=64
  pixelpretext evaluate final.pth --benchmark depth --data scenes:data/scenes \\
      --set depth.size=96,96
  pixelpretext evaluate "timm:resnet50?output_stride=8" --benchmark retrieval \\
      --data voc:data/VOCdevkit/VOC2012 --set retrieval.size=512,512 retrieval.memory_size=1024000
  pixelpretext evaluate final.pth --benchmark probe retrieval --data camvid:data/camvid \\
      --upsampler jbu:work_dirs/upsamplers/jbu_0/final.pth \\
      --set probe.size=192,256 retrieval.size=192,256
  pixelpretext evaluate final.pth --benchmark correspondence cam \\
      --data pfwillow:data/willow classes:data/flowers \\
      --upsampler guided --baselines --report work_dirs/page
  pixelpretext evaluate "resnet50.pth?backbone=resnet50" --benchmark knn linear \\
      --data classes:data/flowers
  pixelpretext evaluate final.pth --benchmark retrieval --baselines \\
      --data "plain:data/mine?images=img/{split}&masks=lab/{split}&classes=7&ignore=255"
  pixelpretext evaluate timm:vit_small_patch14_dinov2 --preset hummingbird-voc \\
      --data voc:data/VOCdevkit/VOC2012
  pixelpretext evaluate --preset hummingbird-voc --explain

networks: PATH.pth (one of our checkpoints, or any state dict with ?backbone=NAME), timm:NAME,
  random:NAME, each with ?output_stride=8&map_stride=16&weights=target&seed=1 and options of the
  network; ?mean=.5,.5,.5&std=.5,.5,.5 for a file that does not say how images were normalised;
  quote them, because shells interpret ? and &
data: LAYOUT:ROOT[?option=value&…]; --layouts lists the layouts; scenes without options also serves
  benchmarks of class folders, with ROOT/crops; a --data that no benchmark reads is refused;
  ?train=NAME&val=NAME choose the parts, ?train_exclude=PATTERN leaves images out, ?every=N,M
  ?limit=N,M ?names=FILE,FILE take fewer; docs/data.md explains options, folders and mask values
upsamplers: KIND, KIND:FILE or none, from the table in docs/upsamplers.md; several run one after the
  other, and bilinear always runs too
presets: a published protocol with all its settings, held against the published numbers; a changed
  setting renames it; docs/presets.md
benchmarks: --benchmarks lists them with what they read and measure, their settings and trivial
  predictors; name your own module by its dotted name, see docs/adding_a_benchmark.md
torchrun --nproc-per-node N -m benchmarks.commands evaluate … shares the images of some benchmarks
  among N processes; the list says which"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "networks", nargs="*", help="CHECKPOINT, timm:NAME or random:NAME, see below"
    )
    parser.add_argument(
        "--benchmark",
        nargs="+",
        default=[],
        metavar="NAME",
        help="what to measure; dense: every dense benchmark that reads one of the --data",
    )
    parser.add_listing(
        "--benchmarks", _benchmarks, help="list the benchmarks and their settings, and exit"
    )
    _add_presets(parser)
    parser.add_argument("--data", nargs="+", default=[], metavar="LAYOUT:ROOT", help="see below")
    parser.add_listing("--layouts", _layouts, help="list the layouts of --data, and exit")
    parser.add_argument(
        "--set",
        dest="settings",
        nargs="+",
        default=[],
        metavar="NAME.KEY=VALUE",
        help="settings of a benchmark, or changes of a preset",
    )
    parser.add_weights()
    parser.add_argument(
        "--upsampler",
        nargs="+",
        default=[],
        metavar="NAME[:PATH]",
        help="what upsamples the maps, see below",
    )
    parser.add_argument(
        "--upsampled-stride",
        type=int,
        metavar="N",
        help="pixels per upsampled feature (default: 1, 2 or 4)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="the reduced settings of evaluation during training"
    )
    parser.add_argument(
        "--baselines",
        action="store_true",
        help="also measure trivial predictors under the same protocol",
    )
    _add_outputs(parser)


def _add_presets(parser: CommandLine) -> None:
    parser.add_argument(
        "--preset", nargs="+", default=[], metavar="NAME", help="published protocols to measure by"
    )
    parser.add_listing("--presets", _presets, help="list the presets, and exit")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="print every setting of the presets with its source and what changing it does",
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[], metavar="SEED", help="of presets that train"
    )
    parser.add_argument(
        "--published-as",
        metavar="MODEL",
        help="row of the presets' published numbers that the network is (default: timm's name)",
    )


def _add_outputs(parser: CommandLine) -> None:
    parser.add_argument(
        "--report",
        metavar="FOLDER",
        help="also write a page with pictures of the features: FOLDER/index.html",
    )
    parser.add_argument(
        "--add-to",
        metavar="FOLDER",
        help="also add the records to the table of backbones in FOLDER, such as docs",
    )
    parser.add_device()
    parser.add_argument(
        "--out",
        default="work_dirs/evaluations.jsonl",
        help="file to which records are appended (default: %(default)s)",
    )


def _benchmarks() -> str:
    from benchmarks.evaluate.benchmark_list import as_text

    return as_text()


def _presets() -> str:
    from benchmarks.evaluate.presets.explain import as_text

    return as_text()


def _layouts() -> str:
    from benchmarks.data.layout_list import as_text

    return as_text()


def run(*, explain: bool, **arguments: Any) -> None:
    """Evaluates, or explains presets.

    Raises:
        ValueError: no network or no data to evaluate, no preset to explain; else as
            :func:`benchmarks.evaluate.run.evaluate`.
    """
    from benchmarks.evaluate.presets.explain import print_explained
    from benchmarks.evaluate.run import Options, evaluate

    if explain:
        print_explained(arguments["preset"])
        return
    for name, what in (("networks", "a network"), ("data", "--data LAYOUT:ROOT")):
        if not arguments[name]:
            raise ValueError(f"nothing to evaluate: name {what} (--help lists what is legal)")
    evaluate(Options(**arguments))


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
