"""Writes the ledger: docs/claims.md from the registry and the published records."""

from __future__ import annotations

import sys
from pathlib import Path

from pretrain.command_line import Command, CommandLine, execute
from pretrain.places import checkout

EXAMPLES = "example: python -m benchmarks.runs.ledger"


def add_arguments(parser: CommandLine) -> None:
    """Declares that the command takes nothing."""


def run() -> None:
    """Writes the page.

    Raises:
        ValueError: an installed package has no docs; records that cannot be compared.
    """
    from benchmarks.runs.ledger.page import rewritten
    from benchmarks.runs.ledger.registry import PAPERS
    from pretrain.files import atomic_write

    root = checkout()
    if root is None:
        raise ValueError("the ledger is written in a checkout: its records and page are there")
    page = root / "docs" / "claims.md"
    text = page.read_text(encoding="utf-8")
    atomic_write(page, rewritten(text, PAPERS, root / "docs" / "results" / "records"))
    print(f"ledger: {Path(page).relative_to(root)}")


COMMAND = Command(
    description=__doc__,
    examples=EXAMPLES,
    add_arguments=add_arguments,
    run=run,
    program="python -m benchmarks.runs.ledger",
)

if __name__ == "__main__":
    sys.exit(execute(COMMAND, "ledger", sys.argv[1:]))
