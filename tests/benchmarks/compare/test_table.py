"""The table: ranking, intervals, and no column of unequal protocols."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from benchmarks.compare.fairness import compare_configs
from benchmarks.compare.names import PlanError
from benchmarks.compare.page import Report, write_report
from benchmarks.compare.screens import screens
from benchmarks.compare.table import (
    Comparison,
    as_json,
    as_markdown,
    build_table,
    frame,
    ranking,
    verdicts,
)
from benchmarks.core.record import Metric, Record
from benchmarks.report.figures import Figure, Picture
from benchmarks.report.runs import Run
from benchmarks.report.statistics import DIFFERENCE, RANKS, VERDICT
from benchmarks.report.table import TableError

NAN = float("nan")
FAIR = compare_configs({"A": {"lr": 1, "views": 2}, "B": {"lr": 3, "views": 2}})


def run(
    arm: str,
    seed: int,
    value: float,
    *,
    benchmark: str = "seg",
    protocol: str = "p",
    **more: float,
) -> Run:
    """One record with mIoU and whatever else, of which less is better."""
    metrics = {"mIoU": Metric(value, "%", "higher")}
    metrics |= {name: Metric(v, "m", "lower") for name, v in more.items()}
    record = Record(benchmark, metrics, {"data": {"size": protocol}})
    return Run(record, f"{arm}/seed_{seed}", seed, benchmark)


def arms_of(runs: list[Run], *names: str) -> dict[str, list[Run]]:
    """Arm -> its runs, arms in this order."""
    return {name: [one for one in runs if one.name.startswith(f"{name}/")] for name in names}


def headings(comparison: Comparison) -> list[str]:
    return [column.heading for column in comparison.table.columns]


RUNS = [
    run("none", 0, 20.0),
    run("none", 1, 21.0),
    run("none", 2, 22.0),
    run("A", 0, 30.0),
    run("A", 1, 31.0),
    run("A", 2, 32.0),
    run("B", 0, 20.0),
    run("B", 1, 26.0),
    run("B", 2, 32.0),
]
ARMS = arms_of(RUNS, "none", "A", "B")


def test_ranks_by_the_mean_of_the_primary_metric() -> None:
    arms = arms_of(RUNS, "none", "late", "B", "A")
    comparison = build_table(arms, primary="seg.mIoU", fairness=FAIR)
    assert list(comparison.means) == ["A", "B", "none", "late"]
    lines = comparison.table.lines()
    assert headings(comparison)[:4] == ["rank", "arm", "letters", "seg.mIoU [%]"]
    # MSE = 100 / 12 with 4 degrees of freedom, q = 5.04: ± 8.40 separates A from none alone.
    places = [["1–2", "A", "A"], ["1–3", "B", "AB"], ["2–3", "none", "B"], ["–", "late", "–"]]
    assert [line[:3] for line in lines] == places
    assert lines[0][3] == "31.00 ± 2.48"  # t(0.975, 2) / √3 = 2.484
    assert lines[3][3:] == ["–", "0"]
    assert "Not ranked: late; a rank needs two seeds, with a number in each." in ranking(comparison)
    assert not [row for row in comparison.table.rows if row.kind == "first"]


def test_ranks_beside_metrics_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    arms = arms_of(RUNS, "none", "late", "B", "A")
    alone = build_table(arms, primary="seg.mIoU", fairness=FAIR)
    monkeypatch.setattr("benchmarks.report.statistics.ranks.rank", None)
    chance = {"chance": [Run(run("chance", 0, 5.0).record, benchmark="seg")]}
    comparison = build_table(
        arms, primary="seg.mIoU", fairness=FAIR, statistics=(RANKS,), baselines=chance
    )
    assert comparison.rankings == alone.rankings
    place = headings(comparison).index("ranks")
    texts = [line[place] for line in comparison.table.lines()]
    assert texts == ["1–2 A", "1–3 AB", "2–3 B", "–", "–"]


def test_the_first_column_is_the_primary_one_and_columns_can_be_chosen() -> None:
    runs = [run("A", 0, 1.0, error=5.0, other=6.0), run("B", 0, 2.0, error=7.0, other=1.0)]
    arms = arms_of(runs, "B", "A")
    comparison = build_table(arms, primary="seg.error", fairness=FAIR)
    assert [c.name for c in comparison.metrics] == ["seg.error", "seg.mIoU", "seg.other"]
    assert list(comparison.means) == ["A", "B"]
    chosen = build_table(arms, primary="seg.error", fairness=FAIR, columns=("seg.other",))
    assert [c.name for c in chosen.metrics] == ["seg.error", "seg.other"]
    with pytest.raises(PlanError, match="did you mean 'seg.other'"):
        build_table(arms, primary="seg.othr", fairness=FAIR)


def test_unequal_protocols_never_share_a_column() -> None:
    runs = [*RUNS, run("C", 0, 99.0, protocol="q")]
    with pytest.raises(TableError) as caught:
        build_table(arms_of(runs, "none", "A", "B", "C"), primary="seg.mIoU", fairness=FAIR)
    hashes = (runs[0].record.protocol_hash, runs[-1].record.protocol_hash)
    for word in ("none/seed_0", "C/seed_0", *hashes, "data.size: p → q", "Delete records.jsonl"):
        assert word in str(caught.value)
    two = [*RUNS, run("C", 0, 99.0, protocol="q", benchmark="other")]
    comparison = build_table(arms_of(two, "A", "C"), primary="seg.mIoU", fairness=FAIR)
    assert list(comparison.records) == ["seg", "other"]


def test_verdicts_say_no_more_than_the_ranking() -> None:
    comparison = build_table(ARMS, primary="seg.mIoU", fairness=FAIR, untrained=["none", "B"])
    pairs = {(pair.first, pair.second): pair for pair in comparison.rankings["seg.mIoU"].pairs}
    assert pairs["A", "none"].above == "A" and pairs["A", "none"].half == pytest.approx(
        8.3997, 1e-4
    )
    assert pairs["B", "none"].above is None and pairs["A", "B"].above is None
    assert verdicts(comparison) == [
        "Against none – above it (better): A; not apart from it: B.",
        "Against B – not apart from it: A, none.",
    ]


def test_one_seed_ranks_nothing() -> None:
    arms = arms_of([run("A", 0, 90.0), run("B", 0, 1.0)], "B", "A")
    comparison = build_table(arms, primary="seg.mIoU", fairness=FAIR, untrained=["B"])
    assert [line[:4] for line in comparison.table.lines()] == [
        ["–", "A", "–", "90.00"],
        ["–", "B", "–", "1.00"],
    ]
    assert comparison.rankings == {} and verdicts(comparison) == []
    assert any(sentence.startswith("Nothing is ranked") for sentence in ranking(comparison))
    assert json.loads(as_json(comparison))["rankings"] == {}


def test_the_planned_pair_is_one_sentence() -> None:
    comparison = build_table(ARMS, primary="seg.mIoU", fairness=FAIR, planned=("B", "none"))
    assert verdicts(comparison) == [
        "Planned before the run: B − none in seg.mIoU is 5.00 ± 12.42 % over 3 seeds (paired "
        "t-test: p = 0.23; sign-flip: p = 0.5): they are not apart."
    ]
    assert json.loads(as_json(comparison))["planned"]["half"] == pytest.approx(12.42, abs=5e-3)


def test_other_columns_are_ranked_too() -> None:
    runs = []
    for arm, own in ARMS.items():
        runs += [run(arm, r.pair, r.record.metrics["mIoU"].value, RMSE=r.pair) for r in own]
    comparison = build_table(arms_of(runs, *ARMS), primary="seg.mIoU", fairness=FAIR)
    assert (
        "seg.RMSE (lower is better): ranks and letters: none 1–3 A, A 1–3 A, B 1–3 A; ± over "
        "seeds only."
    ) in ranking(comparison)
    stored = json.loads(as_json(comparison))["rankings"]
    assert list(stored) == ["seg.mIoU", "seg.RMSE"] and stored["seg.RMSE"]["better"] == "lower"
    assert stored["seg.RMSE"]["pairs"][0]["half"] is None  # no arm differs: no spread to speak of


def test_where_lower_is_better_the_smallest_mean_ranks_first_and_words_turn_around() -> None:
    runs = []
    for arm, own in ARMS.items():
        runs += [run(arm, r.pair, 0.0, RMSE=r.record.metrics["mIoU"].value) for r in own]
    arms = arms_of(runs, "A", "B", "none")
    comparison = build_table(arms, primary="seg.RMSE", fairness=FAIR, untrained=["A"])
    assert list(comparison.means) == ["none", "B", "A"]
    assert [c.better for c in comparison.metrics] == ["lower", "higher"]
    assert headings(comparison)[3:5] == ["seg.RMSE [m] ↓", "seg.mIoU [%]"]
    assert verdicts(comparison) == ["Against A – below it (better): none; not apart from it: B."]
    turned = build_table(arms, primary="seg.RMSE", fairness=FAIR, untrained=["none"])
    assert verdicts(turned) == ["Against none – above it (worse): A; not apart from it: B."]
    assert ranking(comparison)[0] == "Ordered by seg.RMSE (lower is better), the best mean first."
    assert json.loads(as_json(comparison))["better"]["seg.RMSE"] == "lower"
    assert list(frame(comparison)["rank"]) == ["1–2", "1–3", "2–3"]


@pytest.mark.parametrize("primary", ["seg.mIoU", "seg.RMSE"])
def test_an_arm_with_a_seed_that_is_not_a_number_has_no_mean_and_no_rank(
    primary: str, tmp_path: Path
) -> None:
    runs = [
        run("bad", 0, NAN, RMSE=NAN),
        run("bad", 1, 99.0, RMSE=0.0),
        *(run("good", seed, 5.0 + seed, RMSE=1.0 - seed / 9) for seed in range(2)),
        *(run("fair", seed, 2.0 + seed, RMSE=3.0 - seed / 9 + seed / 99) for seed in range(2)),
    ]
    arms = arms_of(runs, "bad", "fair", "good")
    comparison = build_table(arms, primary=primary, fairness=FAIR, untrained=["bad"], title="Toys")
    assert list(comparison.means) == ["good", "fair", "bad"]
    lines = comparison.table.lines()
    # mIoU differs by 3 at both seeds, which tells no spread; RMSE by 2.00 and 2.01.
    places = ["1–2", "1–2"] if primary == "seg.mIoU" else ["1", "2"]
    assert [line[0] for line in lines[:2]] == places
    assert lines[2][:5] == ["–", "bad", "–", "not defined", "not defined"]
    assert verdicts(comparison) == []
    reason = "seg.mIoU of bad, seed 0, is not a number in its record: the arm has no mean of it."
    assert reason in ranking(comparison) and reason in as_markdown(comparison)
    stored = json.loads(as_json(comparison), parse_constant=pytest.fail)
    assert stored["values"][0]["value"] is None and stored["rows"][2]["rank"] is None
    page = write_report(Report(comparison, "python tools/compare.py toys.py"), tmp_path)
    text = page.read_text()
    assert reason in text and text.count('<tr class="first"') == (places[0] == "1")


def test_one_metric_has_one_direction() -> None:
    other = Record("seg", {"mIoU": Metric(1.0, "%", "lower")}, {"data": {"size": "p"}})
    arms = {"A": [run("A", 0, 1.0)], "B": [Run(other, "B/seed_1", 1, "seg")]}
    with pytest.raises(
        TableError,
        match="'seg.mIoU': higher is better in the record of A/seed_0, lower in that of B",
    ):
        build_table(arms, primary="seg.mIoU", fairness=FAIR)


def test_costs_are_means_over_seeds_and_missing_ones_stay_away() -> None:
    costs = [dict(arm="A", samples=100, minutes=m) for m in (1.0, 3.0)]
    costs.append(dict(arm="B", samples=100))
    comparison = build_table(ARMS, primary="seg.mIoU", fairness=FAIR, costs=costs)
    assert headings(comparison)[-2:] == ["samples", "minutes"]
    lines = comparison.table.lines()
    assert [line[-2:] for line in lines] == [["100", "2.0"], ["100", "–"], ["–", "–"]]


def test_every_form_holds_the_same_numbers(tmp_path: Path) -> None:
    majority = Record("seg", {"mIoU": Metric(3.5, "%")}, {"data": {"size": "p"}})
    baselines = {"majority": [Run(majority, "majority", benchmark="seg")]}
    comparison = build_table(
        ARMS, primary="seg.mIoU", fairness=FAIR, baselines=baselines, title="Toys <1>"
    )
    numbers = frame(comparison)
    names = ["rank", "arm", "seeds", "letters", "seg.mIoU", "seg.mIoU ±"]
    assert list(numbers) == names
    assert numbers["arm"].tolist() == ["A", "B", "none", "baseline majority"]
    assert numbers["seeds"].tolist() == [3, 3, 3, 0]
    assert numbers["seg.mIoU"].tolist() == [31.0, 26.0, 21.0, 3.5]
    assert numbers["seg.mIoU ±"].iloc[0] == pytest.approx(2.4841, abs=1e-4)
    markdown = as_markdown(comparison)
    assert (
        "| 1–2 | A | A | 31.00 ± 2.48 | 3 |" in markdown
        and "| – | (majority) | – | 3.50 | – |" in markdown
    )
    assert f"`seg` {majority.protocol_hash}: data.size=p" in markdown
    assert "Held equal in all arms: views." in markdown and "- `lr`: 1 (A) · 3 (B)" in markdown
    stored = json.loads(as_json(comparison))
    assert stored["rows"][0]["seg.mIoU"] == 31.0 and len(stored["values"]) == 9
    report = Report(
        comparison,
        "python tools/compare.py toys.py",
        ["a note"],
        [Picture("pictures/x.png", Figure("x", "cap", lambda sources: {}, lambda *_: None))],
        [("a.csv", "b")],
    )
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "pictures/x.png")
    page = write_report(report, tmp_path).read_text()
    assert 'src="data:image/webp;base64,' in page and 'href="a.csv"' in page
    for words in ("Toys &lt;1&gt;", "31.00 ± 2.48", "(majority)", "a note", majority.protocol_hash):
        assert words in page
    assert "![cap](pictures/x.png)" in (tmp_path / "report.md").read_text()


def test_further_statistics_compare_with_the_untrained_arm_or_the_first() -> None:
    options = dict(primary="seg.mIoU", fairness=FAIR, statistics=[DIFFERENCE])
    comparison = build_table(ARMS, untrained=["none"], **options)
    assert headings(comparison)[3:5] == ["seg.mIoU [%]", "minus none"]
    assert [line[4] for line in comparison.table.lines()] == ["10.00 ± 0.00", "5.00 ± 12.42", "–"]
    assert DIFFERENCE.explanation in as_markdown(comparison)
    assert frame(comparison)["seg.mIoU minus none"].tolist()[:2] == [10.0, 5.0]
    first = build_table(ARMS, **options)
    assert headings(first)[4] == "minus A" and first.table.lines()[0][4] == "–"


def test_nothing_finished_yet_is_an_empty_table() -> None:
    comparison = build_table({"A": []}, primary="seg.mIoU", fairness=compare_configs({}))
    assert comparison.table.lines() == [["–", "A", "–", "–", "0"]]
    names = ["rank", "arm", "seeds", "letters", "seg.mIoU", "seg.mIoU ±"]
    assert list(frame(comparison)) == names
    assert "nothing as a whole" in as_markdown(comparison)


def test_verdicts_have_a_line_for_each_arm_and_metric() -> None:
    comparison = build_table(
        ARMS, primary="seg.mIoU", fairness=FAIR, statistics=[VERDICT], untrained=["none"]
    )
    out = io.StringIO()
    console = Console(file=out, width=80)
    for screen in screens(comparison):
        console.print(screen)
    # As above: ± 8.40 separates A from none alone.
    lines = [line for line in out.getvalue().splitlines() if "8.40" in line]
    assert [line.split("│")[2].strip() for line in lines] == ["A", "B"]
    assert "seg.mIoU" in lines[0] and "+10.00 ± 8.40, better" in lines[0]
    assert "+5.00 ± 8.40, not separable" in lines[1]


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
    runs = []
    for arm, own in ARMS.items():
        for one in own:
            value = one.record.metrics["mIoU"].value
            runs.append(run(arm, one.pair, value, pixel_accuracy=99.99, other=12.5))
    arms = arms_of(runs, *ARMS)
    comparison = build_table(
        arms,
        primary="seg.mIoU",
        fairness=FAIR,
        costs=costs,
        statistics=[DIFFERENCE],
        untrained=["none"],
        title="Toys",
    )
    out = io.StringIO()
    console = Console(file=out, width=80)
    for screen in screens(comparison):
        console.print(screen)
    text = out.getvalue()
    assert "31.00 ± 2.48" in text and "40,000" in text and "12.5" in text and "…" not in text
    parts = text.split("Further statistics")
    assert "minus none" not in parts[0] and parts[1].count("10.00 ± 0.00") == 1
