"""Depth scores: the printed digits of published implementations, and what scaling changes.

Case A and B, their scores and those after alignment were computed with the authors' own functions.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from benchmarks.frozen.surfaces.depth_scores import (
    METRICS,
    DepthImages,
    depth_scores,
    least_squares,
    median_scaled,
)

Case = tuple[Tensor, Tensor]


def case_a() -> Case:
    """Prediction and truth (4, 6), the truth 0 where it is not valid."""
    i, j = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    true = 1 + 0.5 * ((3 * i + 5 * j) % 7).double()
    predicted = true * (1 + 0.1 * (((2 * i + j) % 3) - 1)) + 0.2
    return predicted, torch.where((i + j) % 5 != 0, true, 0)


def case_b() -> Case:
    i, j = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    true = 2 + ((i + 2 * j) % 5).double()
    return true - 0.5, true


def valid(case: Case) -> Case:
    predicted, true = case
    return predicted[true > 0], true[true > 0]


NAMES = ("delta1", "AbsRel", "RMSE", "log10", "RMSElog", "SILog", "SqRel")


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (case_a(), (100, 0.097243, 0.312671, 0.039379, 0.112037, 7.130270, 0.034659)),
        (case_b(), (79.1667, 0.147569, 0.5, 0.070438, 0.177359, 7.177207, 0.073785)),
    ],
)
def test_scores_to_the_printed_digits(case: Case, expected: tuple[float, ...]) -> None:
    scores = depth_scores(*valid(case))
    for name, value in zip(NAMES, expected, strict=True):
        digits = 1e-4 if name == "delta1" else 1e-6  # the source computes in float32
        assert scores[name] == pytest.approx(value, rel=1e-6, abs=digits), name


def test_scores_are_those_of_loops() -> None:
    predicted, true = valid(case_b())
    pairs = list(zip(predicted.tolist(), true.tolist(), strict=True))
    scores, count = depth_scores(predicted, true), len(pairs)
    for power in (1, 2, 3):
        near = sum(max(p / d, d / p) < 1.25**power for p, d in pairs)
        assert scores[f"delta{power}"] == pytest.approx(100 * near / count)
    assert scores["log10"] == pytest.approx(
        sum(abs(math.log10(p) - math.log10(d)) for p, d in pairs) / count
    )


def test_alignment_to_the_printed_digits() -> None:
    predicted, true = valid(case_a())
    aligned = least_squares(predicted, true)
    slope = (aligned[1] - aligned[0]) / (predicted[1] - predicted[0])
    assert float(slope) == pytest.approx(0.893606, abs=1e-6)
    assert float(aligned[0] - slope * predicted[0]) == pytest.approx(0.067892, abs=1e-6)
    scores = depth_scores(aligned, true)
    expected = dict(AbsRel=0.068528, RMSE=0.170080, SILog=7.390099)
    assert {name: scores[name] for name in expected} == pytest.approx(expected, rel=1e-6, abs=1e-6)
    scores = depth_scores(median_scaled(predicted, true), true)
    expected = dict(AbsRel=0.077269, RMSE=0.266703, SILog=7.130270)
    assert {name: scores[name] for name in expected} == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert float((median_scaled(predicted, true) / predicted)[0]) == pytest.approx(
        0.847458, abs=1e-6
    )


def test_the_median_of_an_even_number_is_between_the_middle_two() -> None:
    p, d = torch.tensor([1.0, 2, 3, 10]), torch.tensor([2.0, 4, 8, 9])
    assert median_scaled(p, d).tolist() == pytest.approx((p * 6 / 2.5).tolist())


def test_a_constant_prediction_cannot_be_aligned_by_least_squares() -> None:
    p = torch.full((5,), 0.1, dtype=torch.float64)
    assert least_squares(p, torch.arange(1, 6).double()).tolist() == p.tolist()


@pytest.mark.parametrize("factor", [0.25, 3.0])
def test_what_scaling_both_or_the_prediction_changes(factor: float) -> None:
    predicted, true = valid(case_a())
    before, after = depth_scores(predicted, true), depth_scores(factor * predicted, factor * true)
    for name in before:
        scale = factor if name in ("RMSE", "SqRel") else 1
        assert after[name] == pytest.approx(scale * before[name]), name
    other = factor * predicted
    assert torch.allclose(median_scaled(other, true), median_scaled(predicted, true))
    assert torch.allclose(least_squares(other + 2, true), least_squares(predicted, true))
    assert depth_scores(other, true)["SILog"] == pytest.approx(before["SILog"])


def tally_of(*cases: Case, scored: tuple[int, ...] = ()) -> DepthImages:
    tally = DepthImages(1e-3, 10.0, scored)
    for image, (predicted, true) in enumerate(cases):
        tally.add(predicted, true, image)
    return tally


def test_images_are_averaged_beside_the_pooled_error() -> None:
    tally = tally_of(case_a(), case_b())
    metrics = {name: metric.value for name, metric in tally.metrics().items()}
    assert set(metrics) == set(METRICS)
    assert metrics["RMSE"] == pytest.approx(0.406336, abs=1e-6)
    assert metrics["pooled_RMSE"] == pytest.approx(0.427472, abs=1e-6)
    table = tally.per_image()
    assert table["known"] == [19, 24]
    for name in set(METRICS) - {"pooled_RMSE"}:
        assert sum(table[name]) / 2 == pytest.approx(metrics[name])


def test_an_image_without_a_valid_pixel_is_left_out() -> None:
    empty = torch.ones(4, 6), torch.zeros(4, 6)
    both, one = tally_of(case_a(), empty), tally_of(case_a())
    assert both.metrics() == one.metrics()
    assert math.isnan(both.per_image()["RMSE"][1])
    with pytest.raises(ValueError, match="depth_bins: RMSE is nan"):
        tally_of(empty).metrics()


def test_range_and_rectangle_choose_the_pixels() -> None:
    predicted, true = case_b()
    inside = tally_of((predicted, true), scored=(1, 2, 3, 5))
    expected = depth_scores(predicted[1:3, 2:5].flatten(), true[1:3, 2:5].flatten())
    assert inside.per_image()["AbsRel"] == pytest.approx([expected["AbsRel"]])
    true[0, 0], true[0, 1] = 10.0, 1e-3  # the ends of the range are outside
    assert tally_of((predicted, true)).per_image()["known"] == [22]


def test_predictions_are_clamped_after_aligning() -> None:
    """Least squares passes below 0 here, of which there is no logarithm."""
    true = torch.tensor([[1.0, 1.0, 1.0, 9.0]])
    predicted = torch.tensor([[-20.0, 0.5, 12.0, 9.0]])
    row = tally_of((predicted, true)).per_image()
    scores = depth_scores(torch.tensor([1e-3, 0.5, 10, 9]), true[0])
    assert row["RMSE"] == [pytest.approx(scores["RMSE"])]
    assert all(math.isfinite(row[name][0]) for name in set(METRICS) - {"pooled_RMSE"})
