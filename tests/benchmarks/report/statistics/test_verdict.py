"""Verdicts are those of the ranking, signed from the arm's side."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.report.runs import Sample
from benchmarks.report.statistics.ranking import rank
from benchmarks.report.statistics.ranks import with_rankings
from benchmarks.report.statistics.verdict import VERDICT, separated, verdict

MakeSamples = Callable[..., list[Sample]]
Example = dict[str, tuple[float, ...]]


def test_differences_and_verdicts_are_those_of_the_ranking(
    example: Example, samples: MakeSamples
) -> None:
    """test_ranking.py has the numbers of this example: b − a = .966667 ± 1.141335, not apart."""
    arms = samples(example)
    (known,) = with_rankings([VERDICT], {"toy.x": rank(arms)})
    cells = dict(zip(example, known.columns(arms, ["a"])["against a"], strict=True))
    assert cells["a"] is None and cells["b"] == "+0.97 ± 1.14, not separable"
    assert cells["c"].endswith(" ± 1.14, worse") and cells["c"].startswith("-")
    own = dict(zip(example, known.columns(arms, ["d"])["against d"], strict=True))
    assert own["c"].startswith("+") and own["c"].endswith("better")
    pairs = rank(arms).pairs
    assert separated(pairs, "a") == {"better": [], "worse": ["c", "d"], "not separable": ["b"]}


def test_two_arms_alone_are_ranked_by_themselves(example: Example, samples: MakeSamples) -> None:
    own, other = samples({name: example[name] for name in ("d", "a")})
    assert verdict(own, other).endswith("worse") and verdict(other, own).endswith("better")


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_better_follows_the_metric(better: str, example: Example, samples: MakeSamples) -> None:
    own, other = samples({name: example[name] for name in ("d", "a")}, better=better)
    assert verdict(own, other).startswith("-")
    assert verdict(own, other).endswith("better" if better == "lower" else "worse")


def test_a_single_seed_has_no_verdict(example: Example, samples: MakeSamples) -> None:
    short = {name: values[:1] for name, values in example.items()}
    own, other, *_ = samples(short)
    assert verdict(own, other) is None
