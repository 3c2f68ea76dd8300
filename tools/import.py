"""Turns a checkpoint of others into one of ours: finds the layout, infers the network, accounts for every tensor."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

EPILOG = """examples:
  python tools/import.py moco_v2_800ep_pretrain.pth.tar --from moco
  python tools/import.py dino_deitsmall16_pretrain_full_checkpoint.pth --weights target --out work_dirs/dino.pth
  python tools/import.py mae_pretrain_vit_base.pth --from mae
  python tools/import.py featup_dino16_jbu.ckpt --from featup            an upsampler: use it as jbu:FILE
  python tools/import.py mine.pth --backbone "vit_small_patch16_224?num_heads=12&img_size=(192,256)"
  python tools/import.py --layouts                                       lists the layouts and how sure they are

Every tool then takes the written file as it takes a checkpoint of ours. Exit code 2: the file does not fit; the
sentence says what was found."""


def parse_args() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", help="checkpoint on disk (torch.save or safetensors); nothing is downloaded")
    parser.add_argument(
        "--from", dest="layout", default="auto", metavar="LAYOUT", help="see --layouts (default: recognise it)"
    )
    parser.add_argument("--backbone", metavar="NAME[?OPTIONS]", help="timm name (default: inferred from shapes)")
    parser.add_argument(
        "--weights", choices=("online", "target"), help="take this network alone (default: all the file holds)"
    )
    parser.add_argument("--out", help="where to (default: work_dirs/imported/<name of the file>.pth)")
    parser.add_argument("--layouts", action="store_true", help="list the layouts")
    return parser.parse_args()


def main() -> None:
    """Imports; a mistake is one sentence, not a traceback."""
    args = parse_args()
    from benchmarks.exchange.import_cli import run

    sys.exit(run(args))


if __name__ == "__main__":
    main()
