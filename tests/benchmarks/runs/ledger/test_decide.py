"""Verdicts of the ledger: what records say of a claim, on values known on paper."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from benchmarks.core.record import Metric, Record
from benchmarks.runs.ledger.claim import Above, Claim, Halves, Larger, Narrower, Test
from benchmarks.runs.ledger.decide import (
    MIXED,
    NOT_RUN,
    NOT_SEEN,
    OPPOSITE,
    OUT_OF_REACH,
    SEEN,
    outcomes_of,
    verdict_of,
)

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Returns ``write(arm, values)``: a record per seed in ``toy.jsonl.gz``."""

    def append(
        arm: str, values: Sequence[float], *, better: str = "higher", size: int = 1, **counts: Any
    ) -> None:
        with gzip.open(tmp_path / "toy.jsonl.gz", "at", encoding="utf-8") as file:
            for seed, value in enumerate(values):
                metrics = dict(score=Metric(value, "%", better), floor=Metric(10.0, "%", better))
                trial = dict(arm=arm, seed=seed, benchmark="task")
                subject = dict(spec=f"{arm}.pth", backbone={}, trial=trial)
                record = Record("toy", metrics, dict(size=size), counts=counts, subject=subject)
                file.write(record.to_json() + "\n")

    return append


def above(first: str, second: str, margin: float = 0.0) -> Above:
    return Above(records="toy", column="task.score", first=first, second=second, margin=margin)


def decide(folder: Path, *tests: Test) -> list[tuple[str, str]]:
    claim = Claim(claim="c", place="p", confirms="c", commands=("c",), scale="s", tests=tests)
    return [(outcome.verdict, outcome.text) for outcome in outcomes_of(claim, folder)]


def test_a_difference_is_paired_and_its_sign_decides(write: Write, tmp_path: Path) -> None:
    """Differences 1, 2, 3 over three seeds: 2 ± t_{.975, 2} / √3, which holds 0; 5 more do not."""
    write("low", [10.0, 20.0, 30.0])
    write("middle", [11.0, 22.0, 33.0])
    write("high", [16.0, 27.0, 38.0])
    half = stats.t.ppf(0.975, 2) / 3**0.5
    ((verdict, text),) = decide(tmp_path, above("middle", "low"))
    assert verdict == NOT_SEEN
    assert text == f"toy: task.score, middle better than low by 2.00 ± {half:.2f} % (3 seeds)"
    (seen, text), (opposite, other) = decide(tmp_path, above("high", "low"), above("low", "high"))
    assert (seen, opposite) == (SEEN, OPPOSITE)
    assert f"by 7.00 ± {half:.2f} %" in text and f"by -7.00 ± {half:.2f} %" in other


def test_where_lower_is_better_the_gain_turns_round(write: Write, tmp_path: Path) -> None:
    write("small", [10.0, 20.0, 30.0], better="lower")
    write("large", [16.0, 27.0, 38.0], better="lower")
    (first, text), (second, _) = decide(tmp_path, above("small", "large"), above("large", "small"))
    assert (first, second) == (SEEN, OPPOSITE) and "by 7.00" in text


def test_a_margin_moves_the_line(write: Write, tmp_path: Path) -> None:
    """2 ± 2.48: above −1 as a whole, neither above nor below 1."""
    write("one", [10.0, 20.0, 30.0])
    write("other", [11.0, 22.0, 33.0])
    (inside, _), (wide, text), (far, _) = decide(
        tmp_path, above("other", "one", 1.0), above("other", "one", -1.0), above("other", "one", 9)
    )
    assert (inside, wide, far) == (NOT_SEEN, SEEN, OPPOSITE)
    assert text.endswith("(3 seeds, asked for more than -1)")


def test_what_was_not_run_and_what_cannot_be(write: Write, tmp_path: Path) -> None:
    ((verdict, text),) = decide(tmp_path, above("a", "b"))
    assert (verdict, text) == (NOT_RUN, "no records toy.jsonl.gz")
    write("a", [1.0, 2.0])
    ((verdict, text),) = decide(tmp_path, above("a", "b"))
    assert verdict == NOT_RUN and "toy.jsonl.gz has nothing on task.score, a better than b" in text
    words = dict(claim="c", place="p", confirms="c", commands=("c",), scale="s")
    (outcome,) = outcomes_of(Claim(**words, needs="a telescope"), tmp_path)
    assert (outcome.verdict, outcome.text) == (OUT_OF_REACH, "a telescope")
    with pytest.raises(ValueError, match="give either tests= or needs="):
        Claim(**words)


def test_one_network_decides_nothing(write: Write, tmp_path: Path) -> None:
    write("a", [90.0])
    write("b", [1.0])
    larger = Larger(records="toy", arms=("a",), column="task.score", than="floor")
    (two, text), (one, other) = decide(tmp_path, above("a", "b"), larger)
    assert two == one == NOT_SEEN and "by 89.00 % (one network each)" in text
    assert "by 80.00 % (1 networks)" in other


def test_records_of_unequal_protocols_are_not_compared(write: Write, tmp_path: Path) -> None:
    write("a", [1.0, 2.0])
    write("b", [1.0, 2.0], size=2)
    with pytest.raises(ValueError, match="task.score of a, b: records of 2 protocols"):
        decide(tmp_path, above("a", "b"))


def test_a_metric_against_another_and_against_a_number(write: Write, tmp_path: Path) -> None:
    write("a", [12.0, 13.0, 14.0])
    write("b", [13.0, 14.0, 15.0])
    test = dict(records="toy", arms=("a", "b"), column="task.score")
    (floor, text), (number, _), (smaller, _) = decide(
        tmp_path,
        Larger(**test, than="floor"),
        Larger(**test, than=13.0),
        Larger(**test, than="floor", smaller=True),
    )
    assert (floor, number, smaller) == (SEEN, NOT_SEEN, OPPOSITE)
    assert "task.score larger than floor in a, b by 3.50 ±" in text and "(6 networks)" in text


def test_the_spread_over_settings(write: Write, tmp_path: Path) -> None:
    """Per seed the first method varies by 1, the other by 5, 6 and 7."""
    write("a1", [1.0, 2.0, 3.0])
    write("a2", [2.0, 3.0, 4.0])
    write("b1", [1.0, 2.0, 3.0])
    write("b2", [6.0, 8.0, 10.0])
    test = dict(records="toy", column="task.score")
    (seen, text), (opposite, _) = decide(
        tmp_path,
        Narrower(**test, first=("a1", "a2"), second=("b1", "b2")),
        Narrower(**test, first=("b1", "b2"), second=("a1", "a2")),
    )
    assert (seen, opposite) == (SEEN, OPPOSITE)
    assert "a1 varies less than b1 by 5.00 ± 2.48 % (3 seeds)" in text


def test_the_halves_of_a_table_in_the_counts(write: Write, tmp_path: Path) -> None:
    """Lower half 1 and 2, upper half 8 and 9; the middle and the head do not count."""
    values = dict(a=1.0, b=2.0, c=50.0, d=8.0, e=9.0, head=-99.0)
    rows = [dict(module=module, direct=value) for module, value in values.items()]
    write("a", [1.0, 1.0], per_module=rows)
    test = dict(records="toy", arms=("a",), benchmark="task", table="per_module", key="direct")
    ((verdict, text),) = decide(tmp_path, Halves(**test, without=("head",)))
    assert verdict == SEEN and "by 7.00 ± 0.00 (2 networks)" in text


def test_a_claim_is_seen_if_all_its_tests_are() -> None:
    from benchmarks.runs.ledger.decide import Outcome

    def together(*verdicts: str) -> str:
        return verdict_of([Outcome(verdict, "") for verdict in verdicts])

    assert together(SEEN, SEEN) == SEEN and together(OPPOSITE) == OPPOSITE
    assert together(SEEN, NOT_SEEN) == together(SEEN, OPPOSITE) == MIXED
    assert together(SEEN, NOT_RUN) == SEEN and together(NOT_RUN, NOT_RUN) == NOT_RUN


def test_networks_behind_upsamplers_are_paired(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "toy.jsonl.gz", "wt", encoding="utf-8") as file:
        for network, value in enumerate([10.0, 20.0, 30.0]):
            for spec, gain in (
                ("bilinear", 0.0),
                (f"jbu:up/jbu_{network}/final.pth", 7.0 + network),
            ):
                subject = dict(spec=f"{network}.pth", backbone={}, upsampler=dict(spec=spec))
                metrics = dict(score=Metric(value + gain, "%"))
                file.write(Record("task", metrics, {}, subject=subject).to_json() + "\n")
        subject = dict(spec="majority")
        file.write(Record("task", dict(score=Metric(1.0, "%")), {}, subject=subject).to_json())
    ((verdict, text),) = decide(tmp_path, above("jbu", "bilinear"))
    assert verdict == SEEN and "by 8.00 ± 2.48" in text
