"""One difference that was planned before the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scipy import stats

from benchmarks.report.runs import Sample
from benchmarks.report.statistics.planned import planned_pair

MakeSamples = Callable[..., list[Sample]]
Example = dict[str, tuple[float, ...]]


def test_it_is_the_paired_t_test(example: Example, samples: MakeSamples) -> None:
    own = {sample.name: sample for sample in samples(example)}
    expected = {"ab": 0.015108, "ac": 0.016769, "bc": 0.004456}
    for (first, second), p in expected.items():
        pair = planned_pair(own[first], own[second])
        plain = stats.ttest_rel(example[first], example[second])
        low, high = plain.confidence_interval()
        assert pair.p == pytest.approx(p, abs=5e-7)
        assert pair.half == pytest.approx((high - low) / 2)
        assert pair.difference == pytest.approx((high + low) / 2) and pair.sign_flip == 0.25
    assert planned_pair(own["a"], own["b"]).above == "b"
    assert planned_pair(own["b"], own["a"]).sentence == (
        "Planned before the run: b − a in toy.x is 0.97 ± 0.52 % over 3 seeds (paired t-test: "
        "p = 0.015; sign-flip: p = 0.25): b is better."
    )


def test_lower_may_be_better(example: Example, samples: MakeSamples) -> None:
    own = {sample.name: sample for sample in samples(example, better="lower")}
    assert planned_pair(own["a"], own["b"]).above == "a"


def test_what_cannot_be_tested(samples: MakeSamples) -> None:
    values = dict(a=(1.0, 2.0, None), b=(None, 3.0, 4.0), c=(2.0, 3.0, 4.0), d=(1.0, 2.0, 9.0))
    a, b, c, d = samples(values)
    assert planned_pair(a, b) is None  # one seed in common
    pair = planned_pair(a, c)
    assert pair.seeds == 2 and pair.p is None and pair.half is None and pair.above is None
    assert pair.sentence.endswith(
        "(nothing tells its spread; sign-flip: p = 0.5): they are not apart."
    )
    assert planned_pair(c, d).above is None
