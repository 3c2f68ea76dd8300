"""Ranks, intervals, letters and pairs of a comparison, from its plain records.

For :mod:`benchmarks.runs.audit`; like it, this module shares no code with the rest of the project.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from scipy import stats

_RESAMPLES, _LEVENE_TABLES = 1000, 9999
_SPREADLESS = 1e-9  # standard errors below this share of the values are none
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
Cells = dict[str, dict[Any, dict[str, Any]]]  # arm -> seed -> record


def with_metric(cells: Cells, metric: str) -> Cells:
    """The runs that have the metric."""
    chosen: Cells = {}
    for arm, seeds in cells.items():
        for seed, record in seeds.items():
            if metric in record["metrics"]:
                chosen.setdefault(arm, {})[seed] = record
    return chosen


def _value(record: dict[str, Any], metric: str) -> float:
    value = record["metrics"][metric]["value"]
    return math.nan if value is None else value


def rank(column: str, metric: str, cells: Cells, table: dict[str, Any]) -> dict[str, Any] | None:
    """The ranking of a column, shaped as in the table; None for fewer than two arms of two seeds
    with a number in each. Arms with a trial that was stopped early are not ranked.
    """
    complete: Cells = {}
    for arm, runs in cells.items():
        if any("stopped" in run["subject"]["trial"] for run in runs.values()):
            continue
        if len(runs) > 1 and all(math.isfinite(_value(run, metric)) for run in runs.values()):
            complete[arm] = runs
    if len(complete) < 2:
        return None
    seeds = list(dict.fromkeys(itertools.chain.from_iterable(complete.values())))
    sign = -1 if table["better"][column] == "lower" else 1
    means = {}
    for arm, runs in complete.items():
        means[arm] = sum(_value(run, metric) for run in runs.values()) / len(runs)
    order = sorted(complete, key=lambda arm: -sign * means[arm])
    values = np.full((len(order), len(seeds)), np.nan)
    for row, place in itertools.product(range(len(order)), range(len(seeds))):
        if seeds[place] in complete[order[row]]:
            values[row, place] = _value(complete[order[row]][seeds[place]], metric)
    noise = _image_noise([complete[arm] for arm in order], seeds, metric)
    pairs, facts = _pairs(values, order, noise=noise, sign=sign)
    arms = _arms(values, order, pairs=pairs, noise=noise)
    for arm, row in zip(arms, values, strict=True):
        arm["seeds_missing"] = list(itertools.compress(seeds, np.isnan(row)))
    facts |= dict(images=noise["images"], clusters=noise["clusters"], absent=noise["absent"])
    names = dict(column=column, better=table["better"][column], unit=table["units"][column])
    return names | dict(arms=arms, pairs=pairs) | facts


def counts_of(counts: dict[str, Any], metric: str) -> dict[str, Any] | None:
    """Per image numerators and denominators (n, k), the images' numbers (n,), and whether the
    metric is the root of their ratio.
    """
    table = counts.get("per_image", {})
    images = np.array(table.get("image", []), int)
    depth = {"RMSE": "squared_error", "pooled_RMSE": "squared_error", "delta1": "within"}
    squared = False
    aligned = "aligned_" if metric.startswith("aligned_") else ""
    part = aligned + depth.get(metric.removeprefix("aligned_"), "")
    keeps_shares = "Y" in table and "average_drop" not in table  # CAM of older versions
    if metric in counts:
        above, images = np.array(counts[metric], float), np.arange(len(counts[metric]))
        below = np.ones_like(above)
    elif metric in table and len(images) and not keeps_shares:
        each = np.array(table[metric], float)  # NaN: an image that has no part in the metric
        above, below = np.nan_to_num(each) / 100, np.isfinite(each).astype(float)
    elif metric in ("mIoU", "pixel_accuracy") and "intersection" in table:
        ids, rows = np.unique(images, return_inverse=True)
        intersection, predicted, true = np.zeros((3, len(ids), 1 + max(table["class"])))
        places = rows, np.array(table["class"], int)
        intersection[places], predicted[places] = table["intersection"], table["predicted"]
        true[places] = table["true"]
        above, below, images = intersection, predicted + true - intersection, ids
        if metric == "pixel_accuracy":
            above, below = intersection.sum(1), true.sum(1)
    elif part in table and metric.removeprefix("aligned_") in depth:
        above, below = np.array(table[part], float), np.array(table["known"], float)
        squared = part.endswith("squared_error")
    else:
        return None
    size = len(images)
    above, below = above.reshape(size, -1), below.reshape(size, -1)
    return dict(above=above, below=below, images=images, squared=squared)


def metric_of(counts: dict[str, Any], draws: np.ndarray | None = None) -> Any:
    """The metric on all images, or on each draw of them.

    Args:
        counts: of :func:`counts_of`.
        draws: (R, n) how often each image is drawn.
    """
    weights = np.ones((1, len(counts["images"]))) if draws is None else draws
    with np.errstate(invalid="ignore"):
        ratios = (weights @ counts["above"]) / (weights @ counts["below"])
    present = np.isfinite(ratios)
    with np.errstate(invalid="ignore"):
        mean = np.where(present, ratios, 0).sum(1) / present.sum(1)
    result = np.sqrt(mean) if counts["squared"] else 100 * mean
    return float(result[0]) if draws is None else result


def _image_noise(runs: Sequence[dict[Any, Any]], seeds: list[Any], metric: str) -> dict[str, Any]:
    """Variances of arms' means and of their differences over draws of the images; zeros where the
    runs do not keep counts of the same images.
    """
    size = len(runs)
    nothing = dict(arms=np.zeros(size), pairs=np.zeros((size, size)), df=math.inf)
    nothing |= dict(images=0, clusters=None, absent=None)
    cells = _cell_counts(runs, seeds, metric)
    if cells is None:
        return nothing
    images = next(iter(cells.values()))["images"]
    groups = next(filter(_is_there, map(_groups, itertools.chain(*map(dict.values, runs)))), None)
    numbers = np.arange(len(images))
    if groups is not None:
        numbers = np.unique(np.array(groups)[images], return_inverse=True)[1]
    units = int(numbers.max()) + 1
    if units < 2:
        return nothing
    drawn = np.random.default_rng(0).integers(units, size=(_RESAMPLES, units))
    times = np.array([np.bincount(draw, minlength=units) for draw in drawn], float)
    weights, lacking = times[:, numbers], np.zeros(_RESAMPLES, bool)
    metrics = np.full((_RESAMPLES, size, len(seeds)), np.nan)
    for (row, place), counts in cells.items():
        metrics[:, row, place] = metric_of(counts, weights)
        occurs = counts["below"].sum(0) > 0
        lacking |= ((weights @ counts["below"] == 0) & occurs).any(1)
    usable = np.all([np.isfinite(metrics[:, row, place]) for row, place in cells], axis=0)
    arms, pairs = _variances(metrics[usable])
    factor, clusters = units / (units - 1), None if groups is None else units
    noise = dict(arms=factor * arms, pairs=factor * pairs, df=units - 1)
    return noise | dict(images=len(images), clusters=clusters, absent=float(lacking.mean()))


def _groups(record: dict[str, Any]) -> list[int] | None:
    return record["counts"].get("groups")


def _is_there(value: Any) -> bool:
    return value is not None


def _cell_counts(
    runs: Sequence[dict[Any, Any]], seeds: list[Any], metric: str
) -> dict[tuple[int, int], dict[str, np.ndarray]] | None:
    """Row and column -> counts; None where one run has none, or none of the same images."""
    cells: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for row, own in enumerate(runs):
        for seed, record in own.items():
            counts = counts_of(record["counts"], metric)
            if counts is None:
                return None
            again = metric_of(counts)
            same = next(iter(cells.values()), counts)["images"]
            if not np.isclose(again, _value(record, metric), rtol=1e-6):
                return None
            if not np.array_equal(counts["images"], same):
                return None
            cells[row, seeds.index(seed)] = counts
    return cells


def _variances(metrics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Over draws (R, A, S): of the arms' means (A,) and of differences (A, A), first < second."""
    size = metrics.shape[1]
    pairs = np.zeros((size, size))
    for first, second in itertools.combinations(range(size), 2):
        difference = metrics[:, first] - metrics[:, second]
        difference = difference[:, np.isfinite(difference).all(0)]
        if difference.size:
            pairs[first, second] = difference.mean(1).var(ddof=1)
    return np.nanmean(metrics, axis=2).var(axis=0, ddof=1), pairs


def _degrees(first: float, first_df: float, second: float, second_df: float) -> float:
    """Satterthwaite's, of the sum of two variances."""
    parts = first**2 / first_df + second**2 / second_df
    return (first + second) ** 2 / parts if parts > 0 else first_df


def _arms(
    values: np.ndarray, order: Sequence[str], *, pairs: Sequence[dict], noise: dict[str, Any]
) -> list[dict[str, Any]]:
    letters, arms = _letters(order, pairs), []
    least = (_SPREADLESS * float(np.nanmax(np.abs(values)))) ** 2  # of a variance that is one
    for row, arm in enumerate(order):
        own = values[row][np.isfinite(values[row])]
        seeds, images = float(own.var(ddof=1) / len(own)), float(noise["arms"][row])
        df = _degrees(seeds, len(own) - 1, images, noise["df"])
        winners = [pair["above"] for pair in pairs if arm in (pair["first"], pair["second"])]
        share = seeds / (seeds + images) if noise["images"] and seeds + images > least else None
        arms.append(
            dict(
                arm=arm,
                mean=float(own.mean()),
                half=float(stats.t.ppf(0.975, df)) * math.sqrt(seeds + images),
                n=len(own),
                low=1 + sum(winner not in (None, arm) for winner in winners),
                high=len(order) - winners.count(arm),
                letters=letters[arm],
                covers="seeds and images" if noise["images"] else "seeds",
                seed_share=share,
                image_share=None if share is None else 1 - share,
            )
        )
    return arms


def _pairs(
    values: np.ndarray, order: Sequence[str], *, noise: dict[str, Any], sign: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All pairs, and which test judged them."""
    blocks = values[:, np.isfinite(values).all(0)]
    arms, seeds = blocks.shape
    mse = df = levene = None
    if seeds > 1:
        df = (arms - 1) * (seeds - 1)
        mse, levene = float((_residual(blocks) ** 2).sum() / df), _levene(blocks)
    pooled = mse is not None and not (levene is not None and levene < 0.01)
    pairs, largest = [], float(np.nanmax(np.abs(values)))
    for first, second in itertools.combinations(range(arms), 2):
        each = values[first] - values[second]
        each = each[np.isfinite(each)]
        pair = _pair(values[first], values[second], sign=sign)
        pair |= dict(first=order[first], second=order[second], half=None, p=None, above=None)
        variance, own_df = (2 * mse / len(each), df) if pooled and len(each) else (math.nan, 1)
        if not pooled and len(each) > 1:
            variance, own_df = float(each.var(ddof=1) / len(each)), len(each) - 1
        images = float(noise["pairs"][first, second])
        pair["df"] = _degrees(variance, own_df, images, noise["df"])
        error = math.sqrt(variance + images)
        pair["error"] = error if error > _SPREADLESS * largest else None
        pairs.append(pair)
    judge = _tukey if pooled else _holm
    judge([pair for pair in pairs if pair["error"] is not None], arms)
    for pair in pairs:
        if pair.pop("apart", False):
            is_first = sign * pair["difference"] > 0
            pair["above"] = pair["first"] if is_first else pair["second"]
        del pair["error"], pair["df"]
    method = "tukey" if pooled else "holm"
    number = None if df is None else float(df)
    return pairs, dict(method=method, levene_p=levene, mse=mse, df=number, blocks=seeds)


def _pair(first: np.ndarray, second: np.ndarray, *, sign: int) -> dict[str, Any]:
    """What is said of two arms without any test of all pairs."""
    each = first - second
    each = each[np.isfinite(each)]
    own, other = first[np.isfinite(first)], second[np.isfinite(second)]
    wins = 0.0
    for one, rival in itertools.product(sign * own, sign * other):
        wins += 1.0 if one > rival else 0.5 if one == rival else 0.0
    return dict(
        difference=float(each.mean() if len(each) else own.mean() - other.mean()),
        improvement=wins / (len(own) * len(other)),
        comparisons=len(own) * len(other),
        seeds=len(each),
        sign_flip=_sign_flip(each) if 0 < len(each) <= 16 else None,
    )


def _tukey(pairs: Sequence[dict[str, Any]], arms: int) -> None:
    for pair in pairs:
        size = math.sqrt(2) * abs(pair["difference"]) / pair["error"]
        pair["p"] = float(stats.studentized_range.sf(size, arms, pair["df"]))
        pair["half"] = _quantile(arms, pair["df"]) / math.sqrt(2) * pair["error"]
        pair["apart"] = abs(pair["difference"]) > pair["half"]


@cache
def _quantile(arms: int, df: float) -> float:
    return float(stats.studentized_range.ppf(0.95, arms, df))


def _holm(pairs: Sequence[dict[str, Any]], arms: int) -> None:
    """Holm's p, and Bonferroni's intervals."""
    count, largest = len(pairs), 0.0
    for pair in pairs:
        pair["half"] = pair["error"] * float(stats.t.ppf(1 - 0.025 / count, pair["df"]))
        pair["p"] = 2 * float(stats.t.sf(abs(pair["difference"]) / pair["error"], pair["df"]))
    for place, pair in enumerate(sorted(pairs, key=lambda pair: pair["p"])):
        largest = max(largest, min(1.0, pair["p"] * (count - place)))
        pair["p"], pair["apart"] = largest, largest < 0.05


def _residual(values: np.ndarray) -> np.ndarray:
    without_arms = values - values.mean(-1, keepdims=True)
    return without_arms - without_arms.mean(-2, keepdims=True)


def _levene(values: np.ndarray) -> float | None:
    """Levene's test of the residuals (A, S) against tables of normal numbers."""
    residual = _residual(values)
    if min(values.shape) < 3 or residual.std() <= _SPREADLESS * np.abs(values).max():
        return None
    drawn = _levene_of_chance(*values.shape)
    beyond = drawn >= _levene_statistic(residual) * (1 - 1e-12)
    return (1 + int(beyond.sum())) / (_LEVENE_TABLES + 1)


def _levene_statistic(residual: np.ndarray) -> np.ndarray:
    arms, seeds = residual.shape[-2:]
    groups = np.abs(residual)
    between = seeds * groups.mean(-1).var(-1, ddof=1)
    within = groups.var(-1).sum(-1) * seeds / (arms * (seeds - 1))
    alike = np.where(between > 0, math.inf, 0.0)  # each arm's residuals are of one size
    return np.divide(between, within, out=alike, where=within > 0)


@cache
def _levene_of_chance(arms: int, seeds: int) -> np.ndarray:
    normal = np.random.default_rng(0).normal(size=(_LEVENE_TABLES, arms, seeds))
    return _levene_statistic(_residual(normal))


def _sign_flip(each: np.ndarray) -> float:
    """Share of all patterns of signs with a sum at least as far from 0."""
    own, slack, beyond = abs(each.sum()), _SPREADLESS * np.abs(each).sum(), 0
    for signs in itertools.product((1, -1), repeat=len(each)):
        beyond += abs(np.dot(signs, each)) >= own - slack
    return beyond / 2 ** len(each)


def _letters(order: Sequence[str], pairs: Sequence[dict[str, Any]]) -> dict[str, str]:
    """A letter for each largest set of arms of which no two are apart."""
    ties: dict[str, set[str]] = {arm: set() for arm in order}
    for pair in pairs:
        if pair["above"] is None:
            ties[pair["first"]].add(pair["second"])
            ties[pair["second"]].add(pair["first"])
    groups = sorted(sorted(map(order.index, group)) for group in _cliques(set(), set(order), ties))
    names = itertools.chain(_LETTERS, map(chr, itertools.count(0x3B1)))  # then Greek
    letters = dict.fromkeys(order, "")
    for name, group in zip(names, groups, strict=False):
        for row in group:
            letters[order[row]] += name
    return letters


def _cliques(
    chosen: set[str],
    open_: set[str],
    ties: dict[str, set[str]],
    closed: frozenset[str] = frozenset(),
) -> Iterator[set[str]]:
    if not open_ and not closed:
        yield chosen
    for arm in sorted(open_):
        yield from _cliques(chosen | {arm}, open_ & ties[arm], ties, closed & ties[arm])
        open_, closed = open_ - {arm}, closed | {arm}


def planned(printed: dict[str, Any], cells: Cells, metric: str) -> dict[str, Any]:
    """The paired t-test of the planned pair."""
    first, second = (cells.get(printed[name], {}) for name in ("first", "second"))
    pairs = []
    for seed, record in first.items():
        if seed in second and metric in record["metrics"] and metric in second[seed]["metrics"]:
            pairs.append((_value(record, metric), _value(second[seed], metric)))
    values = np.array(pairs).reshape(-1, 2)
    each = values[:, 0] - values[:, 1]
    own = dict(seeds=len(each), difference=float(each.mean()), sign_flip=_sign_flip(each))
    own |= dict(half=None, p=None, above=None)
    if len(each) > 1 and each.std() > _SPREADLESS * np.abs(values).max():
        error, df = each.std(ddof=1) / math.sqrt(len(each)), len(each) - 1
        own["half"] = float(stats.t.ppf(0.975, df) * error)
        own["p"] = float(2 * stats.t.sf(abs(each.mean()) / error, df))
        lower = next(iter(first.values()))["metrics"][metric].get("better") == "lower"
        if own["p"] < 0.05:
            own["above"] = printed["first" if (each.mean() > 0) != lower else "second"]
    return own
