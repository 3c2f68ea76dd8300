"""docs/upsamplers.md: its table lists the kinds that classes declare, with their classes."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.core.upsamplers import kinds
from pretrain.weights.layouts import UPSAMPLERS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "upsamplers.md").read_text(encoding="utf-8")


def test_the_table_lists_all_kinds_with_their_classes() -> None:
    table = PAGE[PAGE.index("| name | class |") :].split("\n\n", 1)[0]
    listed = {}
    for row in table.splitlines()[2:]:
        names, classes = (re.findall(r"`(\w+)`", cell) for cell in row.split("|")[1:3])
        if len(classes) == 1:
            classes *= len(names)
        listed |= zip(names, classes, strict=True)
    declared = {kind: cls.__name__ for kind, cls in kinds().items()}
    assert listed == declared | dict.fromkeys(UPSAMPLERS, "JBUStack")
