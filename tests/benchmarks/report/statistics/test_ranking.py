"""Rankings: the example's rank sets and letters, images, what is missing, and the sentences."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmarks.core.record import Metric, Record
from benchmarks.report.runs import Run, Sample
from benchmarks.report.statistics.power import smallest_of_all
from benchmarks.report.statistics.ranking import Ranking, rank
from benchmarks.report.statistics.ranks import RANKS
from benchmarks.report.statistics.sentences import against

MakeSamples = Callable[..., list[Sample]]
Example = dict[str, tuple[float, ...]]


def places(ranking: Ranking) -> list[tuple[str, int, int, str]]:
    return [(arm.arm, arm.low, arm.high, arm.letters) for arm in ranking.arms]


def test_the_example(example: Example, samples: MakeSamples) -> None:
    ranking = rank(samples(example))
    assert places(ranking) == [
        ("b", 1, 2, "A"),
        ("a", 1, 2, "A"),
        ("c", 3, 3, "B"),
        ("d", 4, 4, "C"),
    ]
    assert (ranking.column, ranking.unit, ranking.better) == ("toy.x", "%", "higher")
    assert ranking.method == "tukey" and ranking.mse == pytest.approx(0.163056, abs=5e-7)
    assert (ranking.df, ranking.blocks, ranking.images, ranking.clusters) == (6.0, 3, 0, None)
    first = ranking.pairs[0]
    assert (first.first, first.second, first.above, first.seeds) == ("b", "a", None, 3)
    assert first.difference == pytest.approx(0.966667, abs=5e-7)
    assert first.half == pytest.approx(1.141335, abs=5e-7)
    assert first.p == pytest.approx(0.093336, abs=5e-7) and first.sign_flip == 0.25
    assert first.improvement == pytest.approx(7 / 9) and first.comparisons == 9
    assert [(p.first, p.second) for p in ranking.pairs] == list(itertools.combinations("bacd", 2))
    assert {arm.covers for arm in ranking.arms} == {"seeds"}
    assert ranking.detectable == pytest.approx(smallest_of_all(4, 3) * ranking.mse**0.5)
    assert ranking.seeds_to_separate == 6
    own = smallest_of_all(4, 6) * ranking.mse**0.5, smallest_of_all(4, 5) * ranking.mse**0.5
    assert own[0] <= first.difference < own[1]


def test_lower_is_better(example: Example, samples: MakeSamples) -> None:
    ranking, turned = (rank(samples(example, better=word)) for word in ("lower", "higher"))
    names = [arm.arm for arm in ranking.arms]
    assert names == ["d", "c", "a", "b"] and ranking.better == "lower"
    assert places(ranking)[2:] == [("a", 3, 4, "C"), ("b", 3, 4, "C")]
    for pair in ranking.pairs:
        other = next(p for p in turned.pairs if {p.first, p.second} == {pair.first, pair.second})
        assert pair.difference == -other.difference and pair.half == other.half
        assert (pair.first, pair.second) == (other.second, other.first)
        assert pair.improvement == other.improvement
        assert pair.above in (None, pair.first)
    assert against(ranking, "c") == ("Against c – below it (better): d; above it (worse): a, b.")


def test_two_arms_are_a_paired_t_test(example: Example, samples: MakeSamples) -> None:
    ranking = rank(samples({arm: example[arm] for arm in "ab"}))
    (pair,), plain = ranking.pairs, stats.ttest_rel(example["b"], example["a"])
    low, high = plain.confidence_interval()
    assert pair.p == pytest.approx(plain.pvalue) and pair.half == pytest.approx((high - low) / 2)
    assert places(ranking) == [("b", 1, 1, "A"), ("a", 2, 2, "B")] and ranking.levene_p is None
    assert ranking.seeds_to_separate is None and "are apart." in ranking.sentences[-1]


def test_without_two_arms_of_two_seeds_nothing_is_said(samples: MakeSamples) -> None:
    assert rank([]) is None
    assert rank(samples(dict(a=(1.0,), b=(2.0,)))) is None
    assert rank(samples(dict(a=(1.0, 2.0), b=(2.0, None)))) is None
    nan = float("nan")
    assert rank(samples(dict(a=(1.0, 2.0), b=(2.0, nan)))) is None
    ranking = rank(samples(dict(a=(1.0, 2.0), b=(2.0, nan), c=(4.0, 4.5), d=(), e=(9.0,))))
    assert [arm.arm for arm in ranking.arms] == ["c", "a"]


def test_baselines_are_no_arms(samples: MakeSamples, example: Example) -> None:
    record = Record("toy", {"x": Metric(99.0, "%")}, {})
    row = Sample("majority", "x", (Run(record, benchmark="toy"),))
    assert rank([row, *samples(example)]) == rank(samples(example))
    values = RANKS.columns([row, *samples(example)])["ranks"]
    assert values == [None, "1–2 A", "1–2 A", "3 B", "4 C"]


def test_a_failed_trial_is_marked(example: Example, samples: MakeSamples) -> None:
    more = {arm: (*values, values[0] + 0.1) for arm, values in example.items()}
    more["c"] = (28.0, None, 28.4, 28.2)
    ranking = rank(samples(more))
    arms = {arm.arm: arm for arm in ranking.arms}
    assert ranking.blocks == 3 and arms["c"].seeds_missing == (1,) and arms["c"].n == 3
    pairs = {(pair.first, pair.second): pair for pair in ranking.pairs}
    assert pairs["b", "c"].seeds == 3 and pairs["b", "a"].seeds == 4
    assert pairs["b", "c"].comparisons == 12
    assert pairs["b", "c"].half == pytest.approx(pairs["b", "a"].half * (4 / 3) ** 0.5)
    assert (
        "Seeds are missing from c (1): a pair is compared on the seeds that both have; the spread "
        "comes from the 3 seeds that all arms have."
    ) in ranking.sentences


def test_without_complete_seeds_pairs_are_tested_by_themselves(samples: MakeSamples) -> None:
    values = dict(a=(9.0, 9.3, None, 9.1), b=(5.0, 5.1, 5.4, None), c=(None, 4.0, 4.2, 4.1))
    ranking = rank(samples(values))
    assert (ranking.method, ranking.blocks, ranking.mse, ranking.levene_p) == (
        "holm",
        1,
        None,
        None,
    )
    assert ranking.sentences[1].endswith("because fewer than two seeds are complete.")
    assert all(pair.seeds == 2 and pair.half for pair in ranking.pairs)


def test_arms_without_a_common_seed_are_not_compared(samples: MakeSamples) -> None:
    ranking = rank(samples(dict(a=(9.0, 9.5, None, None), b=(None, None, 1.0, 2.0))))
    (pair,) = ranking.pairs
    assert (pair.difference, pair.half, pair.p, pair.above) == (7.75, None, None, None)
    assert pair.seeds == 0 and pair.sign_flip is None and pair.improvement == 1.0
    assert [arm.high for arm in ranking.arms] == [2, 2] and ranking.detectable is None


def test_unequal_spreads_are_tested_pair_by_pair(samples: MakeSamples) -> None:
    random = np.random.default_rng(0)
    values = {f"arm {n}": random.normal(0, 0.05, 5) for n in range(5)}
    values["wild"] = 10 * random.normal(size=5)
    ranking = rank(samples(values))
    assert ranking.method == "holm" and ranking.levene_p < 0.01 and ranking.mse > 0
    assert "the arms' spreads differ (Levene's test: p = " in ranking.sentences[1]


def test_no_spread_separates_nothing(samples: MakeSamples) -> None:
    ranking = rank(samples(dict(a=(1.0, 1.0, 1.0), b=(2.0, 2.0, 2.0))))
    assert places(ranking) == [("b", 1, 2, "A"), ("a", 1, 2, "A")]
    assert ranking.pairs[0].half is None and ranking.pairs[0].p is None
    assert ranking.detectable is None and ranking.seeds_to_separate is None
    assert ranking.sentences[-1].endswith("are not apart: nothing tells how much they vary.")


def accuracies(*shares: float, images: int = 120, seeds: int = 3) -> np.ndarray:
    """(arms, seeds, images) of 0 and 1; some images are easy for all."""
    random = np.random.default_rng(5)
    ease = 0.7 * random.normal(size=images)
    level = stats.norm.ppf(shares)[:, None, None]
    return (level + ease + random.normal(size=(len(shares), seeds, images)) > 0).astype(int)


def by_loops(right: np.ndarray, groups: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Variances of arms and of pairs, draw by draw."""
    arms, units = len(right), right.shape[2] if groups is None else groups.max() + 1
    random, drawn = np.random.default_rng(0), []
    for row in random.integers(units, size=(1000, units)):
        if groups is None:
            chosen = row
        else:
            chosen = np.concatenate([np.flatnonzero(groups == number) for number in row])
        drawn.append(100 * right[:, :, chosen].mean((1, 2)))
    drawn, pairs = np.array(drawn), np.zeros((arms, arms))
    for first, second in itertools.product(range(arms), repeat=2):
        pairs[first, second] = (drawn[:, first] - drawn[:, second]).var(ddof=1)
    return drawn.var(0, ddof=1) * units / (units - 1), pairs * units / (units - 1)


@pytest.mark.parametrize("size", [0, 8])
def test_images_and_groups_of_them(size: int, image_samples: Callable[..., list[Sample]]) -> None:
    """Against loops over draws and the formulas of the ranking."""
    right = accuracies(0.7, 0.55, 0.5)  # in the order of their means
    groups = np.arange(120) // size if size else None
    ranking = rank(image_samples(right, groups))
    arms, pairs = by_loops(right, groups)
    units = 15 if size else 120
    assert ranking.images == 120 and ranking.clusters == (15 if size else None)
    values = 100 * right.mean(2)
    for row, arm in enumerate(ranking.arms):
        seeds, images = values[row].var(ddof=1) / 3, arms[row]
        df = (seeds + images) ** 2 / (seeds**2 / 2 + images**2 / (units - 1))
        assert arm.half == pytest.approx(stats.t.ppf(0.975, df) * (seeds + images) ** 0.5)
        assert arm.image_share == pytest.approx(images / (seeds + images))
        assert arm.seed_share + arm.image_share == 1 and arm.covers == "seeds and images"
    for place, pair in zip(itertools.combinations(range(3), 2), ranking.pairs, strict=True):
        seeds, images = 2 * ranking.mse / 3, pairs[place]
        df = (seeds + images) ** 2 / (seeds**2 / 4 + images**2 / (units - 1))
        quantile = stats.studentized_range.ppf(0.95, 3, df)
        assert pair.half == pytest.approx(quantile * ((seeds + images) / 2) ** 0.5, rel=1e-7)
        size_ = abs(pair.difference) / ((seeds + images) / 2) ** 0.5
        assert pair.p == pytest.approx(stats.studentized_range.sf(size_, 3, df), rel=1e-5)
    words = "drawn in 15 groups of images that belong together"
    assert (words if size else "drawn one by one, as the records name no groups") in (
        ranking.sentences[2]
    )


def test_frames_that_are_alike_widen_the_interval(
    image_samples: Callable[..., list[Sample]],
) -> None:
    """Ten copies of 12 images tell no more than 12 images."""
    right = accuracies(0.6, 0.55, images=12).repeat(10, axis=2)
    single, grouped = (
        rank(image_samples(right, groups)) for groups in (None, np.arange(120) // 10)
    )
    few = rank(image_samples(right[:, :, ::10]))
    assert grouped.arms[0].half == pytest.approx(few.arms[0].half)
    assert grouped.pairs[0].half == pytest.approx(few.pairs[0].half) and few.images == 12
    assert grouped.arms[0].image_share > single.arms[0].image_share


def test_one_record_without_counts_leaves_seeds_only(
    image_samples: Callable[..., list[Sample]],
) -> None:
    arms = image_samples(accuracies(0.7, 0.5))
    bare = replace(arms[1].runs[2], record=replace(arms[1].runs[2].record, counts={}))
    ranking = rank([arms[0], replace(arms[1], runs=(*arms[1].runs[:2], bare))])
    assert ranking.images == 0 and "over seeds only" in ranking.sentences[2]
    grouped = image_samples(accuracies(0.7, 0.5), np.arange(120) // 10)
    mixed = rank([arms[0], grouped[1]])  # the older records name no groups, the images are the same
    assert mixed == rank(grouped)


def test_one_group_of_images_tells_nothing_of_others(
    image_samples: Callable[..., list[Sample]],
) -> None:
    ranking = rank(image_samples(accuracies(0.7, 0.5), np.zeros(120, int)))
    assert ranking.images == 0 and ranking.arms[0].covers == "seeds"


def test_classes_that_a_draw_lacks_are_counted() -> None:
    """mIoU of a class that one image of 30 shows: absent from (29/30)^30 = 36 % of the draws."""
    random, samples = np.random.default_rng(0), []
    for arm in "ab":
        runs = []
        for seed in range(2):
            inside = random.integers(3, 9, size=(30, 2))
            inside[:, 1] *= np.arange(30) == 7
            true = np.array([10, 10]) * (inside > 0)
            table = dict(image=[], intersection=[], predicted=[], true=[])
            table["class"] = []
            for image, label in np.argwhere(inside > 0):
                row = (image, inside[image, label], true[image, label], true[image, label], label)
                for name, value in zip(table, row, strict=True):
                    table[name].append(int(value))
            ratio = inside.sum(0) / (2 * true - inside).sum(0)
            counts = dict(confusion=[[0, 0]] * 2, per_image=table)
            record = Record("toy", {"mIoU": Metric(100 * ratio.mean(), "%")}, {}, counts)
            runs.append(Run(record, pair=seed, benchmark="toy"))
        samples.append(Sample(arm, "mIoU", tuple(runs)))
    ranking = rank(samples)
    assert ranking.absent == pytest.approx((29 / 30) ** 30, abs=0.05)
    assert any("% of the draws of images a class occurs nowhere" in s for s in ranking.sentences)


def test_no_number_of_seeds_outweighs_the_images(
    image_samples: Callable[..., list[Sample]],
) -> None:
    right = accuracies(0.53, 0.5, 0.3, images=40)
    ranking = rank(image_samples(right))
    assert ranking.seeds_to_separate is None and ranking.pairs[0].above is None
    assert "1,000 seeds would not do." in ranking.sentences[-1]


def test_fifteen_arms_are_ranked_at_once(image_samples: Callable[..., list[Sample]]) -> None:
    samples = image_samples(accuracies(*np.linspace(0.3, 0.7, 15), images=500))
    start = time.perf_counter()
    ranking = rank(samples)
    assert time.perf_counter() - start < 5 and len(ranking.pairs) == 105
