"""Sets of the generated scenes, in which one factor varies by construction."""

from __future__ import annotations

import csv
from pathlib import Path

from benchmarks.data.sets.image_set import FACTORS, ImageSet, Shown
from pretrain.data.scenes.factors import COLUMNS, FACTOR_TABLE


def read_scene_sets(root: Path) -> list[ImageSet]:
    """Reads what ``pixelpretext make-scenes OUT --factors N`` wrote; the class is the object's.

    Raises:
        FileNotFoundError: there are no sets.
        ValueError: their table is damaged.
    """
    table = root / FACTOR_TABLE
    if not table.is_file():
        raise FileNotFoundError(
            f"{table} is missing: these scenes have no sets; draw some into another folder with "
            "make_scenes.py OUT --factors 10"
        )
    members: dict[tuple[str, str, str], list[Shown]] = {}
    with open(table, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{table} is damaged: its columns are not {', '.join(COLUMNS)}")
        for number, row in enumerate(reader, start=2):
            if None in row.values() or row["factor"] not in FACTORS:
                raise ValueError(f"{table}:{number} is damaged: {list(row.values())}")
            key = row["factor"], row["class"], row["set"]
            members.setdefault(key, []).append(Shown(table.parent / row["image"]))
    return [ImageSet(factor, label, tuple(shown)) for (factor, label, _), shown in members.items()]
