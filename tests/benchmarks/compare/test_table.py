"""The table: ranking, intervals, and no column of unequal protocols."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.compare.fairness import compare_configs
from benchmarks.compare.names import PlanError
from benchmarks.compare.page import Report, write_report
from benchmarks.compare.table import (
    Row,
    TableError,
    build_table,
    frame,
    ranking,
    text_cells,
    to_json,
    to_markdown,
    to_screen,
    verdicts,
)
from benchmarks.core.record import Metric

NAN = float("nan")
FAIR = compare_configs({"A": {"lr": 1, "views": 2}, "B": {"lr": 3, "views": 2}})


def row(
    arm: str,
    seed: int | None,
    value: float,
    *,
    benchmark: str = "seg",
    protocol: str = "p",
    **more: float,
) -> Row:
    """One record with mIoU and whatever else, of which less is better."""
    metrics = {
        "mIoU": Metric(value, "%", "higher"),
        **{name: Metric(v, "m", "lower") for name, v in more.items()},
    }
    return Row(arm, seed, benchmark, metrics, {"data": {"size": protocol}}, f"hash-{protocol}")


ROWS = [
    row("none", 0, 20.0),
    row("none", 1, 21.0),
    row("none", 2, 22.0),
    row("A", 0, 30.0),
    row("A", 1, 31.0),
    row("A", 2, 32.0),
    row("B", 0, 20.0),
    row("B", 1, 26.0),
    row("B", 2, 32.0),
]


def test_ranks_by_the_mean_of_the_primary_metric() -> None:
    table = build_table(ROWS, ["none", "late", "B", "A"], primary="seg.mIoU", fairness=FAIR)
    assert list(table.cells) == ["A", "B", "none", "late"]
    headings, lines = text_cells(table)
    assert headings[:3] == ["rank", "arm", "seg.mIoU [%]"]
    assert [line[:2] for line in lines] == [["1", "A"], ["2", "B"], ["3", "none"], ["–", "late"]]
    assert lines[0][2] == "31.00 ± 2.48"  # t(0.975, 2) / √3 = 2.484
    assert lines[3][2:] == ["–", "0"]


def test_the_first_column_is_the_primary_one_and_columns_can_be_chosen() -> None:
    rows = [row("A", 0, 1.0, error=5.0, other=6.0), row("B", 0, 2.0, error=7.0, other=1.0)]
    table = build_table(rows, ["B", "A"], primary="seg.error", fairness=FAIR)
    assert list(table.columns) == ["seg.error", "seg.mIoU", "seg.other"] and list(table.cells) == [
        "A",
        "B",
    ]
    chosen = build_table(
        rows, ["A", "B"], primary="seg.error", fairness=FAIR, columns=("seg.other",)
    )
    assert list(chosen.columns) == ["seg.error", "seg.other"]
    with pytest.raises(PlanError, match="did you mean 'seg.other'"):
        build_table(rows, ["A", "B"], primary="seg.othr", fairness=FAIR)


def test_unequal_protocols_never_share_a_column() -> None:
    rows = [*ROWS, row("C", 0, 99.0, protocol="q")]
    with pytest.raises(TableError) as caught:
        build_table(rows, ["none", "A", "B", "C"], primary="seg.mIoU", fairness=FAIR)
    for word in (
        "none/seed_0",
        "C/seed_0",
        "hash-p",
        "hash-q",
        "data.size: p → q",
        "Delete records.jsonl",
    ):
        assert word in str(caught.value)
    two = [*ROWS, row("C", 0, 99.0, protocol="q", benchmark="other")]
    assert build_table(two, ["A"], primary="seg.mIoU", fairness=FAIR).hashes == {
        "seg": "hash-p",
        "other": "hash-q",
    }


def test_verdicts_tell_intervals_apart_from_means() -> None:
    table = build_table(
        ROWS, ["none", "A", "B"], primary="seg.mIoU", fairness=FAIR, untrained=["none"]
    )
    assert verdicts(table) == [
        "Against none – above it with intervals apart: A; above it by the mean only: B."
    ]


def test_where_lower_is_better_the_smallest_mean_ranks_first_and_words_turn_around() -> None:
    rows = [row(r.arm, r.seed, 0.0, RMSE=r.metrics["mIoU"].value) for r in ROWS]
    table = build_table(
        rows, ["A", "B", "none"], primary="seg.RMSE", fairness=FAIR, untrained=["A"]
    )
    assert list(table.cells) == ["none", "B", "A"] and table.better == {
        "seg.RMSE": "lower",
        "seg.mIoU": "higher",
    }
    assert text_cells(table)[0][2:4] == ["seg.RMSE [m] ↓", "seg.mIoU [%]"]
    assert verdicts(table) == [
        "Against A – below it with intervals apart: none; below it by the mean only: B."
    ]
    turned = build_table(
        rows, ["A", "B", "none"], primary="seg.RMSE", fairness=FAIR, untrained=["none"]
    )
    assert verdicts(turned) == ["Against none – not below it: B, A."]
    assert ranking(table)[0].startswith("Ranked by seg.RMSE (lower is better); ")
    assert json.loads(to_json(table))["better"]["seg.RMSE"] == "lower"
    assert list(frame(table)["rank"]) == [1, 2, 3]


@pytest.mark.parametrize("primary", ["seg.mIoU", "seg.RMSE"])
def test_an_arm_with_a_seed_that_is_not_a_number_has_no_mean_and_no_rank(
    primary: str, tmp_path: Path
) -> None:
    rows = [
        row("bad", 0, NAN, RMSE=NAN),
        row("bad", 1, 99.0, RMSE=0.0),
        row("good", 0, 5.0, RMSE=1.0),
    ]
    table = build_table(
        rows, ["bad", "good"], primary=primary, fairness=FAIR, untrained=["good"], title="Toys"
    )
    assert list(table.cells) == ["good", "bad"]
    lines = text_cells(table)[1]
    assert [line[:4] for line in lines] == [
        ["1", "good", *lines[0][2:4]],
        ["–", "bad", "not defined", "not defined"],
    ]
    assert verdicts(table) == [
        f"Against good – not {'below' if primary == 'seg.RMSE' else 'above'} it: bad."
    ]
    told = "seg.mIoU of bad, seed 0, is not a number in its record: the arm has no mean of it."
    assert told in ranking(table) and told in to_markdown(table)
    stored = json.loads(to_json(table), parse_constant=pytest.fail)
    assert stored["values"][0]["value"] is None and stored["rows"][1]["rank"] is None
    page = write_report(Report(table, "python tools/compare.py toys.py"), tmp_path).read_text()
    assert told in page and page.count('class="first"') == 1


def test_one_metric_has_one_direction() -> None:
    rows = [row("A", 0, 1.0), Row("B", 1, "seg", {"mIoU": Metric(1.0, "%", "lower")}, {}, "hash-p")]
    with pytest.raises(
        TableError,
        match="'seg.mIoU': higher is better in the record of A/seed_0, lower in that of B",
    ):
        build_table(rows, ["A", "B"], primary="seg.mIoU", fairness=FAIR)


def test_costs_are_means_over_seeds_and_missing_ones_stay_away() -> None:
    costs = [dict(arm="A", samples=100, minutes=m) for m in (1.0, 3.0)] + [
        dict(arm="B", samples=100)
    ]
    table = build_table(ROWS, ["none", "A", "B"], primary="seg.mIoU", fairness=FAIR, costs=costs)
    headings, lines = text_cells(table)
    assert headings[-2:] == ["samples", "minutes"]
    assert [line[-2:] for line in lines] == [["100", "2.0"], ["100", "–"], ["–", "–"]]


def test_every_form_holds_the_same_numbers(tmp_path) -> None:
    baseline = Row(
        "majority", None, "seg", {"mIoU": Metric(3.5, "%")}, {"data": {"size": "p"}}, "hash-p"
    )
    table = build_table(
        ROWS,
        ["none", "A", "B"],
        primary="seg.mIoU",
        fairness=FAIR,
        baselines=[baseline],
        title="Toys <1>",
    )
    numbers = frame(table)
    assert numbers["arm"].tolist() == ["A", "B", "none", "baseline majority"]
    assert numbers["seg.mIoU"].tolist() == [31.0, 26.0, 21.0, 3.5]
    assert numbers["seg.mIoU ±"].iloc[0] == pytest.approx(2.4841, abs=1e-4)
    markdown = to_markdown(table)
    assert (
        "| 1 | A | 31.00 ± 2.48 | 3 |" in markdown and "| – | (majority) | 3.50 | – |" in markdown
    )
    assert "`seg` hash-p: data.size=p" in markdown
    assert "Held equal in all arms: views." in markdown and "- `lr`: 1 (A) · 3 (B)" in markdown
    stored = json.loads(to_json(table))
    assert stored["rows"][0]["seg.mIoU"] == 31.0 and len(stored["values"]) == 9
    report = Report(
        table,
        "python tools/compare.py toys.py",
        ["a note"],
        [("pictures/x.png", "cap")],
        [("a.csv", "b")],
    )
    page = write_report(report, tmp_path).read_text()
    assert 'src="pictures/x.png"' in page and 'href="a.csv"' in page
    for words in ("Toys &lt;1&gt;", "31.00 ± 2.48", "(majority)", "a note", "hash-p"):
        assert words in page
    assert "![cap](pictures/x.png)" in (tmp_path / "report.md").read_text()


def test_nothing_finished_yet_is_an_empty_table() -> None:
    table = build_table([], ["A"], primary="seg.mIoU", fairness=compare_configs({}))
    assert text_cells(table)[1] == [["–", "A", "–", "0"]]
    assert "nothing as a whole" in to_markdown(table)


def test_tables_fit_a_terminal_of_80_characters() -> None:
    costs = [
        dict(
            arm="A",
            samples=40_000,
            images_per_s=99.0,
            minutes=12.5,
            peak_memory_gb=1.25,
            pflops=1.5,
        )
    ]
    more = [row(r.arm, r.seed, r.metrics["mIoU"].value, pixel_accuracy=99.99) for r in ROWS]
    table = build_table(
        more, ["none", "A", "B"], primary="seg.mIoU", fairness=FAIR, costs=costs, title="Toys"
    )
    out = io.StringIO()
    console = Console(file=out, width=80)
    for screen in to_screen(table):
        console.print(screen)
    text = out.getvalue()
    assert "31.00 ± 2.48" in text and "40,000" in text and "12.5" in text and "…" not in text
