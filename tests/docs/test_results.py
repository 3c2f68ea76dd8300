"""Numbers in the README are those of the kept tables, nowhere typed by hand."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "docs/results.md"]


def embedded(page: str) -> list[tuple[str, str]]:
    """Returns (path of the kept table, table as it stands in the page)."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"<!-- table: (\S+) -->\n(.*?)\n?<!-- end of table -->", text, re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_tables_equal_the_kept_ones(page: str) -> None:
    tables = embedded(page)
    assert tables
    for path, shown in tables:
        kept = [line for line in (ROOT / path).read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        assert shown.splitlines() == kept, f"{page}: copy the table of {path} anew"


def test_what_is_said_of_the_scenes_table_follows_from_it() -> None:
    """Every trained arm above the untrained network with intervals apart, as docs/results.md says."""
    with open(ROOT / "docs" / "results" / "scenes.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if int(row["seeds"]) == 3]
    low = {row["arm"]: float(row["retrieval.mIoU"]) - float(row["retrieval.mIoU ±"]) for row in rows}
    (untrained,) = (row for row in rows if row["arm"] == "untrained")
    ceiling = float(untrained["retrieval.mIoU"]) + float(untrained["retrieval.mIoU ±"])
    assert {arm for arm, value in low.items() if value > ceiling} == {
        "supervised", "SimCLR", "BYOL", "PixContrast", "PixPro",
    }  # fmt: skip
