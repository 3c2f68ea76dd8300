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
        kept = [
            line
            for line in (ROOT / path).read_text(encoding="utf-8").splitlines()
            if line.startswith("|")
        ]
        assert shown.splitlines() == kept, f"{page}: copy the table of {path} anew"


def test_what_is_said_of_the_scenes_table_follows_from_it() -> None:
    """Every trained arm's interval is above the untrained network's, as docs/results.md says."""
    with open(ROOT / "docs" / "results" / "scenes.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if int(row["seeds"]) == 3]
    low = {
        row["arm"]: float(row["retrieval.mIoU"]) - float(row["retrieval.mIoU ±"]) for row in rows
    }
    (untrained,) = (row for row in rows if row["arm"] == "untrained")
    ceiling = float(untrained["retrieval.mIoU"]) + float(untrained["retrieval.mIoU ±"])
    assert {arm for arm, value in low.items() if value > ceiling} == {
        "supervised",
        "SimCLR",
        "BYOL",
        "PixContrast",
        "PixPro",
    }


def test_what_is_said_of_fine_tuning_on_scenes_follows_from_the_table() -> None:
    """Both pretrained arms above the untrained network with intervals apart in every column, the
    two not apart.
    """
    with open(
        ROOT / "docs" / "results" / "transfer_scenes.csv", newline="", encoding="utf-8"
    ) as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}
    for column in (
        "segmentation.mIoU",
        "segmentation.pixel_accuracy",
        "detection.box_AP",
        "detection.mask_AP",
    ):
        span = {arm: (float(row[column]), float(row[f"{column} ±"])) for arm, row in rows.items()}
        low, high = ({arm: v + sign * h for arm, (v, h) in span.items()} for sign in (-1, 1))
        assert min(low["SimCLR"], low["PixContrast"]) > high["untrained"]
        assert low["SimCLR"] < high["PixContrast"] and low["PixContrast"] < high["SimCLR"]


def test_what_is_said_of_fine_tuning_on_photos_follows_from_the_table() -> None:
    """SimCLR alone above random in mIoU, apart from PixContrast in pixel accuracy; nothing apart in
    box AP.
    """
    with open(
        ROOT / "docs" / "results" / "transfer_real.csv", newline="", encoding="utf-8"
    ) as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}

    def above(first: str, second: str, column: str) -> bool:
        mean, half = (
            ([float(rows[arm][name]) for arm in (first, second)])
            for name in (column, f"{column} ±")
        )
        return mean[0] - half[0] > mean[1] + half[1]

    assert above("SimCLR", "random", "segmentation.mIoU") and not above(
        "PixContrast", "random", "segmentation.mIoU"
    )
    assert above("SimCLR", "PixContrast", "segmentation.pixel_accuracy")
    assert not above("SimCLR", "PixContrast", "segmentation.mIoU")
    assert not any(above(a, b, "detection.box_AP") for a in rows for b in rows if a != b)


def test_what_is_said_of_two_protocols_on_camvid_follows_from_the_table() -> None:
    """Apart with neighbours of the scored drive in memory, not without; colour and place above
    every arm there.
    """
    with open(ROOT / "docs" / "results" / "real.csv", newline="", encoding="utf-8") as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}
    trained = ("SimCLR", "PixContrast", "PixPro")

    def span(arm: str, column: str) -> tuple[float, float]:
        mean, half = float(rows[arm][column]), float(rows[arm][f"{column} ±"])
        return mean - half, mean + half

    for column in ("retrieval.mIoU", "knn.top1"):
        assert all(span(arm, column)[0] > span("random", column)[1] for arm in trained)
    assert not any(
        span(a, "other_drives.mIoU")[0] > span("random", "other_drives.mIoU")[1] for a in trained
    )
    assert span("PixPro", "retrieval.mIoU")[0] > span("SimCLR", "retrieval.mIoU")[1]
    assert span("PixPro", "other_drives.mIoU")[0] < span("SimCLR", "other_drives.mIoU")[1]
    guess = float(rows["baseline colour_position"]["other_drives.mIoU"])
    assert all(float(rows[arm]["other_drives.mIoU"]) < guess for arm in trained)
    assert (
        span("PixPro", "other_drives.mIoU")[1] < guess < span("PixContrast", "other_drives.mIoU")[1]
    )
    pixels = float(rows["baseline pixels"]["knn.top1"])
    assert all(span(arm, "knn.top1")[0] < pixels < span(arm, "knn.top1")[1] for arm in trained)
