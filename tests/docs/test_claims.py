"""The ledger is what the registry and the published records say, and names what is there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from benchmarks.compare.parts import Plan
from benchmarks.compare.plan import load_plan
from benchmarks.evaluate.suite import find_benchmark
from benchmarks.runs.ledger.claim import Above, Halves, Larger, Narrower, Test
from benchmarks.runs.ledger.decide import NOT_RUN, OUT_OF_REACH, outcomes_of, verdict_of
from benchmarks.runs.ledger.page import rewritten
from benchmarks.runs.ledger.registry import PAPERS

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "docs" / "results" / "records"
#: Records that no comparison makes.
OTHERS = {"upsamplers", "gaussian_labels"}


def all_tests() -> Iterator[Test]:
    for paper in PAPERS:
        for claim in paper.claims:
            yield from claim.tests


def test_the_page_is_what_the_records_say() -> None:
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    assert page == rewritten(page, PAPERS, RECORDS), "run python -m benchmarks.runs.ledger"


def test_claims_that_published_records_can_decide_are_decided() -> None:
    published = {path.name.removesuffix(".jsonl.gz") for path in RECORDS.glob("*.jsonl.gz")}
    decided = 0
    for paper in PAPERS:
        for claim in paper.claims:
            verdict = verdict_of(outcomes_of(claim, RECORDS))
            decided += verdict not in (NOT_RUN, OUT_OF_REACH)
            if {test.records for test in claim.tests} <= published:
                assert (verdict == OUT_OF_REACH) == bool(claim.needs), claim.claim
    assert decided >= 3


@cache
def plan_of(name: str) -> Plan:
    return load_plan(ROOT / "configs" / "comparisons" / f"{name}.py")


@pytest.mark.parametrize("name", sorted({test.records for test in all_tests()} - OTHERS))
def test_arms_and_columns_are_those_of_the_comparison(name: str) -> None:
    """Also where nobody has run it yet: a misspelt arm would be "not yet run by us" for ever."""
    plan = plan_of(name)
    arms = {arm.name for arm in plan.arms}
    metrics = {}
    for benchmark in plan.benchmarks:
        metrics[benchmark.name] = find_benchmark(benchmark.type).metrics
    for test in all_tests():
        if test.records != name:
            continue
        assert arms_of(test) <= arms, test
        if isinstance(test, Halves):
            assert test.benchmark in metrics
        else:
            benchmark, _, metric = test.column.partition(".")
            assert metric in metrics[benchmark], test
        if isinstance(test, Larger) and isinstance(test.than, str):
            assert test.than in metrics[benchmark], test


def arms_of(test: Test) -> set[str]:
    """The arms that a test names."""
    if isinstance(test, Above):
        return {test.first, test.second}
    return {*test.first, *test.second} if isinstance(test, Narrower) else set(test.arms)
