"""Firing scores: values known on paper, an obvious re-implementation, and what they do to features
that are fixed, noisy or pure noise.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.analysis import firing
from benchmarks.analysis.firing import Firing, Sets, Thresholds, bootstrap_over_classes, fire

RULES = ("official", "strict")


def of_sizes(sizes: list[int], label: list[int]) -> Sets:
    return Sets(
        torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)), torch.tensor(label)
    )


def measure(features: Tensor, sets: Sets, rule: str = "official") -> Firing:
    return fire(features, sets, Thresholds.of(features, sets.rate), rule=rule)


def units() -> Tensor:
    """(12, 4) features of four sets of three images; each set is a class of its own."""
    rows = [
        [9, 8, 7, 1, 2, 3, 1.5, 2.5, 3.5, 0.5, 0.6, 0.7],
        [5, 0.1, 0.2, 6, 0.3, 0.4, 7, 0.5, 0.6, 0.7, 0.8, 0.9],
        [0] * 12,
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, -5, -6, -7],
    ]
    return torch.tensor(rows, dtype=torch.float64).T.contiguous()


FOUR = of_sizes([3, 3, 3, 3], [0, 1, 2, 3])


def slow(features: np.ndarray, sets: Sets, k: int, *, rule: str) -> np.ndarray:
    """(C,) scores by loops over units, sets and classes."""
    of_image, label = sets.of_image.numpy(), sets.label.numpy()
    classes, count = label.max() + 1, len(features)
    rate = max(1 / classes, 0.05)
    place = int(count * (1 - rate) + 1e-9)
    table: list[list[float]] = []
    for unit in features.T:
        up, down = sorted(unit)[place], sorted(unit, reverse=True)[place]
        if rule == "official":
            signs = [(np.mean(unit >= up), [unit > up, unit < down])]
        else:
            signs = [(np.mean(unit >= up), [unit >= up]), (np.mean(unit <= down), [unit <= down])]
            signs = [sign for sign in signs if abs(sign[0] - rate) <= rate / 2]
        rows = []
        for overall, fires in signs:
            row = []
            for c in range(classes):
                rates, valid = [], 0
                for number in np.flatnonzero(label == c):
                    members = of_image == number
                    if members.sum() >= 3:
                        valid += 1
                        rates.append(max(np.mean(fire[members]) for fire in fires))
                rates = [r for r in rates if r > 0]
                mean = np.mean(rates) if rates else 0.0
                if not valid:
                    mean = 0.0 if rule == "official" else np.nan
                row.append(mean / overall)
            rows.append(row)
        if rows:
            table.append(max(rows, key=np.nanmean))
    scores = np.array(table).T  # (C, units)
    return 100 * rate * np.sort(scores, axis=1)[:, ::-1][:, :k].mean(1)


def test_the_four_units() -> None:
    at = Thresholds.of(units(), FOUR.rate)
    assert at.rate == 0.25
    assert at.high.tolist() == [7, 5, 0, 0.7] and at.low.tolist() == [0.7, 0.3, 0, -5]
    measured = fire(units(), FOUR, at)
    assert measured.rates.tolist() == [0.25, 0.25, 1, 0.25]
    third = 1 / 3
    expected = [
        [2 * third, 2 * third, 0, 0],
        [0, third, 0, 0],
        [0, third, 0, 2 * third],
        [2 * third, 0, 0, 2 * third],
    ]
    assert measured.local.numpy() == pytest.approx(np.array(expected))
    assert measured.class_scores(1).mean().item() == pytest.approx(58.333333, abs=1e-6)
    assert measured.class_scores(2).mean().item() == pytest.approx(50.0, abs=1e-9)


def test_the_four_units_strictly() -> None:
    """With ≥ a threshold's own image fires: unit A is invariant on set 0, unit D on set 2 (its
    other sign would be, on set 3); the dead unit is left out.
    """
    measured = measure(units(), FOUR, "strict")
    assert measured.rates.tolist() == [0.25, 0.25, 0.25]
    assert measured.local[0].tolist() == pytest.approx([1, 1 / 3, 0])
    assert measured.local[2].tolist() == pytest.approx([0, 1 / 3, 1])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["noise", "relu", "sets"])
def test_against_loops(rule: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing, "_BLOCK", 4)  # several blocks of units
    random = np.random.default_rng(0)
    sizes = random.integers(1, 7, 30).tolist()
    sets = of_sizes(sizes, random.integers(0, 5, 30).tolist())
    features = random.normal(size=(len(sets.of_image), 17)).astype(np.float32)
    if kind == "relu":
        features[:, :3] = np.maximum(features[:, :3] - 1, 0)  # silent on most images
    if kind == "sets":
        features += 2 * random.normal(size=(30, 17)).astype(np.float32)[sets.of_image]
    measured = measure(torch.from_numpy(features), sets, rule)
    for k in (1, 5):
        scores = measured.class_scores(k).numpy()
        assert scores == pytest.approx(slow(features, sets, k, rule=rule), nan_ok=True)
        assert np.nanmin(scores) > 0


@pytest.mark.parametrize("rule", RULES)
def test_a_class_of_small_sets(rule: str) -> None:
    sets = of_sizes([3, 2, 2, 3], [0, 1, 1, 2])
    scores = measure(torch.arange(10.0)[:, None], sets, rule).class_scores(1)
    expected = 0 if rule == "official" else torch.nan
    assert scores[1].item() == pytest.approx(expected, nan_ok=True) and scores[2] > 0


def many(noise: float, *, signal: bool = True) -> tuple[Tensor, Sets]:
    """512 units on 1000 sets of 12 images, each a class of its own."""
    generator = torch.Generator().manual_seed(0)
    sets = of_sizes([12] * 1000, list(range(1000)))
    own = torch.randn(1000, 512, generator=generator)[sets.of_image] if signal else 0
    return own + noise * torch.randn(12_000, 512, generator=generator), sets


def scores_of(features: Tensor, sets: Sets, *, rule: str = "official") -> list[float]:
    measured = measure(features, sets, rule)
    return [float(measured.class_scores(k).mean()) for k in (10, 25)]


@pytest.mark.parametrize(
    ("noise", "expected"), [(0.0, (100.0, 100.0)), (0.3, (99.9, 94.7)), (1.0, (68.3, 55.6))]
)
def test_noise_takes_invariance_away(noise: float, expected: tuple[float, float]) -> None:
    """The specification's values, from other draws: 0.3 is their spread."""
    assert scores_of(*many(noise)) == pytest.approx(expected, abs=0.3)


def test_pure_noise_is_the_floor_of_permuted_sets() -> None:
    features, sets = many(1.0, signal=False)
    assert scores_of(features, sets) == pytest.approx((27.0, 24.0), abs=0.3)
    generator = torch.Generator().manual_seed(1)
    fixed, sets = many(0.0)
    floor = scores_of(fixed, sets.permuted(generator))
    # A little lower: the images that share a threshold with their set do not fire (> for firing).
    assert floor == pytest.approx((27.0, 24.0), abs=0.5)


def test_strict_rule_gives_100_for_fixed_and_a_lower_floor() -> None:
    """With one sign a unit fires on a twentieth of the sets, so a set has 25.6 of 512 units on
    average: enough for the top 10, not in all sets for the top 25.
    """
    top10, top25 = scores_of(*many(0.0), rule="strict")
    assert top10 == pytest.approx(100) and 90 < top25 < 97
    features, sets = many(1.0, signal=False)
    strict, official = (scores_of(features, sets, rule=rule) for rule in ("strict", "official"))
    assert strict[0] < official[0] and strict[1] < official[1]


def test_neither_scale_nor_shift_nor_order_of_units_matters() -> None:
    features, sets = units(), FOUR
    other = (3 * features + 5)[:, [2, 0, 3, 1]]
    expected = measure(features, sets).class_scores(2)
    assert torch.equal(measure(other, sets).class_scores(2), expected)


def test_a_permutation_keeps_sizes_and_classes() -> None:
    sets = of_sizes([3, 5, 4], [0, 1, 1])
    other = sets.permuted(torch.Generator().manual_seed(0))
    assert other.sizes.tolist() == [3, 5, 4] and not torch.equal(other.of_image, sets.of_image)


@pytest.mark.parametrize(("count", "classes"), [(9, 3), (12, 4), (1000, 1000), (7, 2), (30, 1)])
def test_thresholds_are_places_of_the_sorted_features(count: int, classes: int) -> None:
    features = torch.randn(count, 5, generator=torch.Generator().manual_seed(0))
    rate = max(1 / classes, 0.05)
    place = min(count * (classes - 1) // classes if rate > 0.05 else count * 19 // 20, count - 1)
    at = Thresholds.of(features, rate)
    ordered = features.sort(dim=0).values
    assert torch.equal(at.high, ordered[place]) and torch.equal(at.low, ordered.flip(0)[place])


def test_the_bootstrap_is_that_of_the_mean_over_classes() -> None:
    scores = np.random.default_rng(0).normal(50, 10, 400)
    low, high = bootstrap_over_classes(scores)
    half = 1.96 * scores.std() / 20
    assert (low, high) == pytest.approx((scores.mean() - half, scores.mean() + half), abs=0.2)
    assert bootstrap_over_classes(np.append(scores, np.nan)) == (low, high)
    assert bootstrap_over_classes(np.array([7.0])) == (7, 7)


def test_what_cannot_be_scored_is_named() -> None:
    features, sets = units(), FOUR
    with pytest.raises(ValueError, match="k=10: .* but only 4 count"):
        measure(features, sets).class_scores(10)
    with pytest.raises(ValueError, match="k=4: .* but only 3 count; .* or rule='official'"):
        measure(features, sets, "strict").class_scores(4)
    with pytest.raises(ValueError, match="rule='loose' is not one of official, strict"):
        measure(features, sets, "loose")
    with pytest.raises(ValueError, match="largest of 2 sets has 2 images"):
        of_sizes([2, 2], [0, 1])
