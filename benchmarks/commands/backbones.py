"""Adds records to the table of backbones, with its CSV and its page.

Records of a network and protocol that are in the table already take the place of the old ones.
"""

from __future__ import annotations

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext backbones work_dirs/evaluations.jsonl --into docs
  pixelpretext evaluate timm:vit_small_patch14_dinov2 --preset hummingbird-voc \\
      --data voc:data/VOCdevkit/VOC2012 --add-to docs             # measures and adds, in one go

The folder holds backbones.md, with the table between two comments, and gets results/backbones.csv,
results/backbones.html (sorts and filters in a browser) and results/records/backbones.jsonl.gz,
from which the others are made."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("records", nargs="+", help="files of pixelpretext evaluate")
    parser.add_argument(
        "--into", default="docs", metavar="FOLDER", help="folder of the table (default: docs)"
    )


def run(*, records: list[str], into: str) -> None:
    """Adds them, and says where the page is."""
    from benchmarks.evaluate.backbones import add_records, read_records

    print(f"page: {add_records(read_records(records), into)}")


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
