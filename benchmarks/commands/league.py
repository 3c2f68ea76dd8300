"""Trains and compares feature upsamplers on networks, all by one probe.

Always the same eight, bilinear and a blur beside, and what each costs; one table per network. The
last line says whether a trained stack beats bilinear and a blur.
"""

from __future__ import annotations

from typing import Any

from pretrain.command_line import Command, CommandLine, own_command

EXAMPLES = """examples:
  pixelpretext league work_dirs/pixpro/final.pth --data camvid:data/camvid --photos data/photos \\
      --set probe.size=192,256
  pixelpretext league "r50.pth?backbone=resnet50" "r50.pth?backbone=resnet50&map_stride=16" \\
      --benchmarks probe retrieval --data voc:data/VOCdevkit/VOC2012 --photos data/photos \\
      --samples 800 8000 --work-dir work_dirs/league_r50
  pixelpretext league timm:vit_small_patch14_dinov2 --data voc:data/VOCdevkit/VOC2012 \\
      --photos data/photos --also anyup:clones/anyup/anyup_multi_backbone.pth "blur?sigma=1.5"

networks: as of pixelpretext evaluate; ?map_stride=16 takes another stage of a network
upsamplers: none, bilinear, bicubic, blur, guided and bilateral as they are; jbu, trained --seeds
  times on each network, and neighbourhood, trained once, both on --photos; --also adds more
photos: any folder of images, at any depth; images that a benchmark trains on or scores are counted
  by their content, and the tables say so
data, benchmarks, --set: as of pixelpretext evaluate; only benchmarks of maps
WORK_DIR/league.md holds the tables, league.json the same, records.jsonl the records. The same
command again does only what is missing; more networks, lengths or --also add to what is there."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("networks", nargs="+", metavar="NETWORK", help="see below")
    parser.add_argument("--data", nargs="+", required=True, metavar="LAYOUT:ROOT", help="see below")
    parser.add_argument(
        "--photos", required=True, metavar="FOLDER", help="what upsamplers are trained on"
    )
    parser.add_argument(
        "--benchmarks",
        nargs="+",
        default=["probe"],
        metavar="NAME",
        help="what judges (default: probe)",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        nargs="+",
        default=[],
        metavar="BENCHMARK.KEY=VALUE",
        help="settings of a benchmark",
    )
    parser.add_argument(
        "--also", nargs="+", default=[], metavar="UPSAMPLER", help="further upsamplers"
    )
    parser.add_argument(
        "--upsampled-stride",
        type=int,
        metavar="N",
        help="pixels per upsampled feature (default: the benchmark's own)",
    )
    _add_training(parser)
    parser.add_device()
    parser.add_argument(
        "--work-dir",
        default="work_dirs/league",
        help="folder for everything it writes (default: work_dirs/league)",
    )


def _add_training(parser: CommandLine) -> None:
    parser.add_argument(
        "--seeds", type=int, default=3, help="trainings of jbu on each network (default: 3)"
    )
    parser.add_argument(
        "--samples",
        nargs="+",
        type=int,
        default=[8_000],
        metavar="N",
        help="photos shown in a training; several lengths give several tables (default: 8000)",
    )
    parser.add_argument(
        "--size", type=int, default=224, help="side of the training crops in pixels (default: 224)"
    )
    parser.add_cfg_options(example="model.objective.shared=True schedule.lr=2e-3")


def run(**arguments: Any) -> None:
    """Runs the league."""
    from benchmarks.upsampling.league.plan import Options
    from benchmarks.upsampling.league.run import run_league

    run_league(Options(**arguments), own_command())


COMMAND = Command(
    description=__doc__,
    examples=EXAMPLES,
    add_arguments=add_arguments,
    run=run,
    continues=True,
)
