"""From records to verdicts, by the statistics of the tables.

A test gives a gain with its 95 % interval: how far the claim's side lies above the other. It is
**seen** if the whole interval lies above the margin that the claim names, **opposite** if the whole
interval lies below it, else **not seen**. A claim of several tests has the verdict that all of them
share; where they differ it is **mixed**, and each is listed.

The interval of a difference of two arms is that of the tables for these two
(:mod:`benchmarks.report.statistics.ranking`): paired by seed, over seeds and, where records keep
counts, over images. That of one arm is Student's over its networks. A single network has no
interval and decides nothing.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.core.record import Record, is_baseline, upsampler_of
from benchmarks.core.statistics import Interval, interval_of_runs
from benchmarks.core.upsamplers import family
from benchmarks.report.runs import Run, Sample, sample_of
from benchmarks.report.statistics.ranking import rank
from benchmarks.runs.ledger.claim import Above, Claim, Halves, Larger, Narrower, Test

SEEN, NOT_SEEN, OPPOSITE, MIXED = "seen", "not seen", "opposite", "mixed"
NOT_RUN, OUT_OF_REACH = "not yet run by us", "needs data or hardware not at hand"
VERDICTS = (SEEN, NOT_SEEN, OPPOSITE, MIXED, NOT_RUN, OUT_OF_REACH)


@dataclass(frozen=True)
class Outcome:
    """What the records say of one test.

    Attributes:
        verdict: one of ``VERDICTS``.
        text: what was measured, with interval; what is missing where nothing was.
    """

    verdict: str
    text: str


@dataclass(frozen=True)
class Gain:
    """How far the claim's side lies above the other.

    Attributes:
        interval: of the gain; positive is the claim's side.
        unit: of the metric.
        over: what the interval covers, in words.
    """

    interval: Interval
    unit: str
    over: str


def verdict_of(outcomes: Sequence[Outcome]) -> str:
    """The verdict of a claim from those of its tests; tests that were not run count only where
    none was.
    """
    verdicts = {outcome.verdict for outcome in outcomes}
    if len(verdicts) > 1:
        verdicts.discard(NOT_RUN)
    return verdicts.pop() if len(verdicts) == 1 else MIXED


def outcomes_of(claim: Claim, records: Path) -> list[Outcome]:
    """Decides each test of a claim.

    Args:
        claim: of the ledger.
        records: folder of the records, files ``NAME.jsonl.gz``.

    Raises:
        ValueError: a file whose records of one column have unequal protocols.
    """
    if claim.needs:
        return [Outcome(OUT_OF_REACH, claim.needs)]
    return [_decide(test, records) for test in claim.tests]


def _decide(test: Test, records: Path) -> Outcome:
    file = records / f"{test.records}.jsonl.gz"
    if not file.is_file():
        return Outcome(NOT_RUN, f"no records {file.name}")
    measure, what = _MEASURES[type(test)], _words(test)
    gain = measure(test, read_runs(file))
    if gain is None:
        return Outcome(NOT_RUN, f"{file.name} has nothing on {what}")
    margin = getattr(test, "margin", 0.0)
    asked = f", asked for more than {margin:g}" if margin else ""
    amount = f"{_text(gain.interval)}{'' if gain.unit in ('', '1') else f' {gain.unit}'}"
    verdict = _verdict(gain.interval, margin)
    return Outcome(verdict, f"{test.records}: {what} by {amount} ({gain.over}{asked})")


def _words(test: Test) -> str:
    """What a test looks at; the amount follows."""
    if isinstance(test, Above):
        return f"{test.column}, {test.first} better than {test.second}"
    if isinstance(test, Narrower):
        return f"{test.column}, {test.first[0]} varies less than {test.second[0]}"
    arms = ", ".join(test.arms)
    if isinstance(test, Halves):
        return f"{test.benchmark}, {test.key} larger in the upper half of {arms}"
    return f"{test.column} {'smaller' if test.smaller else 'larger'} than {test.than} in {arms}"


def _text(interval: Interval) -> str:
    """Two digits behind the point, more where the half-width would vanish."""
    half = abs(interval.half or interval.mean)
    needed = 1 - math.floor(math.log10(half)) if 0 < half < 1 else 2
    return interval.text(max(2, needed))


def _verdict(interval: Interval, margin: float) -> str:
    if interval.half is None or not interval.defined:
        return NOT_SEEN
    if interval.mean - interval.half > margin:
        return SEEN
    return OPPOSITE if interval.mean + interval.half < margin else NOT_SEEN


def _gain_above(test: Above, runs: dict[str, list[Run]]) -> Gain | None:
    """How much better the first arm is; None where one of them has no runs in the column."""
    samples = [sample_of(arm, runs.get(arm, []), test.column) for arm in (test.first, test.second)]
    if not all(sample.runs for sample in samples):
        return None
    _require_one_protocol(samples, test.column)
    unit = samples[0].runs[0].record.metrics[samples[0].metric].unit
    ranking = rank(samples)
    if ranking is None:
        values = [float(sample.values.mean()) for sample in samples]
        sign = 1.0 if samples[0].better == "higher" else -1.0
        return Gain(Interval(sign * (values[0] - values[1]), None, 1), unit, "one network each")
    (pair,) = ranking.pairs
    sign = 1.0 if (pair.first == test.first) == (ranking.better == "higher") else -1.0
    over = f"{pair.seeds} seeds" + (f", {ranking.images} images" if ranking.images else "")
    return Gain(Interval(sign * pair.difference, pair.half, pair.seeds), unit, over)


def _gain_larger(test: Larger, runs: dict[str, list[Run]]) -> Gain | None:
    """How much larger the metric is than the other, over all networks of the arms."""
    own = [run for arm in test.arms for run in runs.get(arm, [])]
    sample = sample_of(", ".join(test.arms), own, test.column)
    if not sample.runs:
        return None
    _require_one_protocol([sample], test.column)
    gains = []
    for run in sample.runs:
        metrics = run.record.metrics
        other = metrics[test.than].value if isinstance(test.than, str) else test.than
        gains.append((metrics[sample.metric].value - other) * (-1.0 if test.smaller else 1.0))
    unit = sample.runs[0].record.metrics[sample.metric].unit
    return Gain(interval_of_runs(gains), unit, f"{len(gains)} networks")


def _gain_narrower(test: Narrower, runs: dict[str, list[Run]]) -> Gain | None:
    """How much less the first method varies, over the seeds that all its settings and all of the
    other's have.
    """
    samples = [sample_of(arm, runs.get(arm, []), test.column) for arm in test.first + test.second]
    if not all(sample.runs for sample in samples):
        return None
    _require_one_protocol(samples, test.column)
    values = [{run.pair: run.record.metrics[s.metric].value for run in s.runs} for s in samples]
    seeds = set.intersection(*map(set, values))
    if not seeds:
        return None
    table = np.array([[own[seed] for own in values] for seed in sorted(seeds)])  # (S, settings)
    first, second = table[:, : len(test.first)], table[:, len(test.first) :]
    unit = samples[0].runs[0].record.metrics[samples[0].metric].unit
    gains = np.ptp(second, axis=1) - np.ptp(first, axis=1)
    return Gain(interval_of_runs(gains.tolist()), unit, f"{len(seeds)} seeds")


def _gain_halves(test: Halves, runs: dict[str, list[Run]]) -> Gain | None:
    """How much larger the value is in the upper half of the rows; an odd middle row counts in
    neither half.
    """
    gains = []
    for run in [run for arm in test.arms for run in runs.get(arm, [])]:
        if run.benchmark == test.benchmark:
            rows = [row for row in run.record.counts[test.table] if _counts(row, test.without)]
            values, half = [float(row[test.key]) for row in rows], len(rows) // 2
            gains.append(float(np.mean(values[len(rows) - half :]) - np.mean(values[:half])))
    return Gain(interval_of_runs(gains), "", f"{len(gains)} networks") if gains else None


def _counts(row: dict[str, Any], without: tuple[str, ...]) -> bool:
    return next(iter(row.values())) not in without


_MEASURES: dict[type, Callable[..., Gain | None]] = {
    Above: _gain_above,
    Larger: _gain_larger,
    Narrower: _gain_narrower,
    Halves: _gain_halves,
}


def _require_one_protocol(samples: list[Sample], column: str) -> None:
    hashes = {run.record.protocol_hash for sample in samples for run in sample.runs}
    if len(hashes) > 1:
        raise ValueError(
            f"{column} of {', '.join(sample.name for sample in samples)}: records of "
            f"{len(hashes)} protocols ({', '.join(sorted(hashes))}); they cannot be compared"
        )


@cache
def read_runs(file: Path) -> dict[str, list[Run]]:
    """Reads published records: arm -> its runs.

    Records of a comparison name their arm, seed and benchmark. Others, of ``pixelpretext evaluate``
    and ``analyse``, have the upsampler (without the number of its file's folder) as their arm where
    they name one, paired by network, else the network's spec. Trivial predictors are no arms.

    Args:
        file: JSON lines, packed.
    """
    runs: dict[str, list[Run]] = {}
    for record in _read(file):
        if is_baseline(record):
            continue
        trial = record.subject.get("trial")
        if trial is not None:
            arm, pair, benchmark = trial["arm"], trial["seed"], trial["benchmark"]
        else:
            request = record.subject.get("request", {})
            benchmark = request.get("benchmark", record.benchmark)
            spec, upsampler = str(record.subject["spec"]), family(upsampler_of(record.subject))
            arm, pair = (spec, 0) if upsampler == "none" else (upsampler, spec)
        runs.setdefault(arm, []).append(Run(record, f"{arm}/{pair}", pair, benchmark))
    return runs


def _read(file: Path) -> Iterator[Record]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield Record.from_json(line)
