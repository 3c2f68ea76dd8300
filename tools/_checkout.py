"""Lets the scripts beside it run from a checkout, installed or not."""

import sys
from pathlib import Path


def run(command: str) -> None:
    """Runs one command of ``pixelpretext`` on the checkout's own code, and ends with its code."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # in place of tools/
    from benchmarks.commands.main import main

    sys.exit(main([command, *sys.argv[1:]]))
