"""The table of backbones: made of its records alone, one line per network, protocol and number."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.core.record import Metric, Record
from benchmarks.evaluate import backbones
from benchmarks.evaluate.backbones import CSV, HTML, MARKDOWN, RECORDS, add_records, table_of

DOCS = Path(__file__).resolve().parents[3] / "docs"
PRESET = dict(
    name="hummingbird-voc",
    file="hummingbird-voc",
    label="hummingbird-voc",
    version=1,
    changed=[],
    limited="",
    model="vit_small_patch14_dinov2.lvd142m",
)


def record(value: float, network: str = "a", **subject: object) -> Record:
    """A record of a network with what its four images gave."""
    described = dict(spec=network, backbone={}, fingerprint=network, request=dict(root="/home"))
    table = dict(image=[0, 1, 2, 3], mIoU=[value - 3, value + 3, value - 1, value + 1])
    metrics = {"mIoU": Metric(value, "%", "higher")}
    return Record(
        "retrieval", metrics, {"k": 1}, dict(per_image=table), subject=described | subject
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Documentation with the page alone."""
    text = (DOCS / MARKDOWN).read_text(encoding="utf-8")
    before, after = text.split("<!-- table: ")[0], text.split("<!-- end of table -->")[1]
    empty = f"{before}<!-- table: docs/results/backbones.csv -->\n<!-- end of table -->{after}"
    (tmp_path / MARKDOWN).write_text(empty, encoding="utf-8")
    return tmp_path


def test_records_become_lines_beside_what_is_published(folder: Path) -> None:
    page = add_records([record(76.0, preset=PRESET), record(50.0, "b")], folder)
    assert page == folder / HTML
    rows = list(csv.DictReader((folder / CSV).read_text(encoding="utf-8").splitlines()))
    by_network = {row["network"]: row for row in rows}
    assert by_network["a"]["published"] == "77.0" and by_network["a"]["verdict"] == "agrees"
    assert float(by_network["a"]["ours"]) == 76 and float(by_network["a"]["ours ±"]) > 1
    assert by_network["b"]["published"] == "" and by_network["b"]["protocol"] == "retrieval"
    text = (folder / MARKDOWN).read_text(encoding="utf-8")
    assert (
        "| a | hummingbird-voc | none | mIoU | 77.0 | reproduction: O: README | 76.000 ± " in text
    )
    assert text.count("\n| b |") == 1 and text.startswith("# Backbones measured")


def test_a_record_takes_the_place_of_the_old_one_and_the_rest_stays(folder: Path) -> None:
    add_records([record(40.0), record(50.0, "b")], folder)
    first = (folder / RECORDS).read_bytes()
    add_records([record(41.0)], folder)
    rows = list(csv.DictReader((folder / CSV).read_text(encoding="utf-8").splitlines()))
    assert [(row["network"], float(row["ours"])) for row in rows] == [("a", 41.0), ("b", 50.0)]
    add_records([record(40.0)], folder)
    assert (folder / RECORDS).read_bytes() == first
    assert b"/home" not in gzip.decompress(first)


def test_what_cannot_be_added_is_a_sentence(folder: Path) -> None:
    baseline = Record("retrieval", {}, {}, subject=dict(spec="majority"))
    with pytest.raises(ValueError, match="no record of a network"):
        add_records([baseline], folder)
    (folder / MARKDOWN).write_text("# Mine\n")
    with pytest.raises(ValueError, match="the table belongs between the lines"):
        add_records([record(1.0)], folder)


def test_the_page_sorts_and_filters(folder: Path) -> None:
    text = add_records([record(76.0, preset=PRESET)], folder).read_text(encoding="utf-8")
    assert '<input type="search" name="filter" data-table="Backbones"' in text
    assert 'data-column="ours"' in text and "function filterRows" in text
    assert not re.search(r"(src|href)=\"(https?:)?//", text)  # one file, nothing is fetched


def test_the_command_adds_files(
    run_tool: Callable[..., int], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(30.0).append(folder / "mine.jsonl")
    assert run_tool("backbones", folder / "mine.jsonl", "--into", folder) == 0
    assert capsys.readouterr().out == f"page: {folder / HTML}\n"
    assert run_tool("backbones", folder / "none.jsonl", "--into", folder) == 2


def test_what_is_shipped_is_made_of_its_records() -> None:
    table = table_of(backbones.read_packed(DOCS / RECORDS))
    assert (DOCS / CSV).read_text(encoding="utf-8") == backbones.csv_of(table)
    shown = (DOCS / MARKDOWN).read_text(encoding="utf-8")
    assert "\n".join(backbones.to_markdown(table)) in shown
    assert (DOCS / HTML).read_text(encoding="utf-8") == backbones.page_of(table)
