"""What seeds can show: the printed table, the non-central t, simulation."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy import stats

from benchmarks.report.statistics.pairs import by_tukey
from benchmarks.report.statistics.power import (
    seeds_to_find,
    smallest_effect,
    smallest_of_all,
    smallest_of_pair,
    tukey_critical,
)

# Smallest true differences: one paired question in sd of the difference; Tukey's of 2, 4 and 15
# arms in residual sd.
TABLE = {
    2: (11.55, 16.33, 6.21, 5.02),
    3: (3.264, 4.616, 3.667, 3.765),
    5: (1.682, 2.379, 2.459, 2.794),
    10: (0.996, 1.409, 1.614, 1.929),
}


@pytest.mark.parametrize("seeds", TABLE)
def test_the_table(seeds: int) -> None:
    pair, *tukey = TABLE[seeds]
    assert smallest_of_pair(seeds) == pytest.approx(pair, abs=5e-3 if seeds == 2 else 5e-4)
    for arms, expected in zip((2, 4, 15), tukey, strict=True):
        exact = 5e-3 if seeds == 2 else 5e-4
        assert smallest_of_all(arms, seeds) == pytest.approx(expected, abs=exact)


def test_against_the_non_central_t_where_scipy_has_it() -> None:
    critical = stats.t.ppf(0.975, 9)
    effect = smallest_effect(critical, 9)
    found = stats.nct.sf(critical, 9, effect) + stats.nct.cdf(-critical, 9, effect)
    assert found == pytest.approx(0.8, abs=1e-7)


def test_four_of_five_simulated_tables_find_it() -> None:
    arms, seeds, random = 4, 3, np.random.default_rng(0)
    values = random.normal(size=(20_000, arms, seeds))
    values[:, 0] += smallest_of_all(arms, seeds)
    assert by_tukey(values).apart[:, 0, 1].mean() == pytest.approx(0.8, abs=0.012)


def need(difference: float, image_variance: float = 0.0) -> int | None:
    return seeds_to_find(
        difference,
        seed_variance=2 * 0.25,
        image_variance=image_variance,
        image_df=99,
        arms=4,
        critical=partial(tukey_critical, 4),
    )


def test_seeds_that_would_do_are_the_fewest() -> None:
    seeds = need(0.9)
    assert smallest_of_all(4, seeds) * 0.5 <= 0.9 < smallest_of_all(4, seeds - 1) * 0.5
    assert need(-0.9) == seeds and need(100.0) == 2
    assert need(0.9, image_variance=0.02) > seeds


def test_no_number_of_seeds_lessens_what_images_do() -> None:
    assert need(0.9, image_variance=0.2) is None
