"""Lets the scripts beside it run from a checkout, installed or not."""

import sys
from pathlib import Path


def run(command: str) -> None:
    """Runs one command of ``pixelpretext`` on the checkout's own code, and ends with its code."""
    # In front of tools/, whose files have the names of others' modules; processes that this one
    # spawns import its script again, and with it this file.
    sys.path.append(sys.path[0])
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.commands.main import main

    sys.exit(main([command, *sys.argv[1:]]))
