"""Verdicts: the published number, ours, and what lies between."""

from __future__ import annotations

import pytest

from benchmarks.core.record import Metric, Record
from benchmarks.core.statistics import Interval
from benchmarks.evaluate.presets.compare import compare, judge
from benchmarks.evaluate.presets.preset import Published

ROW = dict(model="a", metric="mIoU", source="O", kind="authors")


@pytest.mark.parametrize(
    ("value", "ours", "half", "verdict"),
    [
        ("77.0", 76.65, 0.0, "agrees"),  # .05 for the last digit and .3 of tolerance
        ("77.0", 76.64, 0.0, "differs"),
        ("77.0", 77.36, 0.0, "differs"),
        ("77.0", 76.24, 0.4, "differs"),
        ("77.0", 76.26, 0.4, "agrees"),
        ("77", 76.25, 0.0, "agrees"),  # half a unit is .5 here
        ("77.0", 76.9, None, "agrees"),  # an interval could only widen it
        ("77.0", 70.0, None, "not compared"),
        ("77.0", float("nan"), None, "not compared"),
    ],
)
def test_the_rule(value: str, ours: float, half: float | None, verdict: str) -> None:
    row = Published(value=value, **ROW)
    found, reason = judge(row, Interval(ours, half, 3), tolerance=0.3, over="seeds")
    assert found == verdict and bool(reason) == (verdict == "not compared")


def test_a_row_that_cannot_be_compared_says_why() -> None:
    row = Published(value="77.0", comparable="its settings are not known", **ROW)
    ours = Interval(77.0, 0.1, 3)
    verdict = judge(row, ours, tolerance=0.3, over="images")
    assert verdict == ("not compared", "its settings are not known")


def _record(
    model: str | None, *, version: int = 1, value: float = 70.0, **subject: object
) -> Record:
    """Four images, half of whose pixels are right, so that draws of them give an interval."""
    preset = dict(
        name="hummingbird-voc",
        file="hummingbird-voc",
        label="hummingbird-voc",
        version=version,
        changed=[],
        limited="",
        model=model,
    )
    table = dict(image=[0, 1, 2, 3], mIoU=[value - 3, value + 3, value - 1, value + 1])
    network = dict(spec="x", backbone={}, fingerprint="f", preset=preset)
    metrics = {"mIoU": Metric(value, "%", "higher"), "pixel_accuracy": Metric(1, "%", "higher")}
    return Record("retrieval", metrics, {}, dict(per_image=table), subject=network | subject)


def test_intervals_over_images_come_from_draws_of_them() -> None:
    (line,) = compare([_record("vit_small_patch14_dinov2.lvd142m", value=76.0)])
    assert line.over == "images" and line.ours.n == 4 and 1.5 < line.ours.half < 2.5
    assert line.verdict == "agrees"
    assert line.numbers.startswith("published 77.0 (reproduction: O: README), ours 76.00 ± ")
    (line,) = compare([_record("vit_small_patch14_dinov2.lvd142m", value=60.0)])
    assert line.verdict == "differs"


def test_all_rows_of_a_network_are_shown() -> None:
    first, second = compare([_record("vit_base_patch16_224.dino")])
    assert first.verdict == "differs" and second.published.value == "55.9"
    assert second.verdict == "not compared" and "not public" in second.reason


def test_an_upsampler_is_the_published_one_by_its_kind() -> None:
    file = dict(spec="anyup:work_dirs/anyup.pth?repository=AnyUp")
    record = _record("vit_small_patch14_dinov2.lvd142m", upsampler=file)
    record.subject["preset"] |= dict(name="anyup-probe-voc", file="anyup-probe-voc")
    (line,) = compare([record])
    assert line.published.upsampler == "AnyUp" and line.published.value == "84.00"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (_record(None), "no row says it is this network"),
        (_record("resnet50.a1_in1k"), "nothing is published for resnet50.a1_in1k"),
        (
            _record("vit_base_patch16_224.dino", upsampler=dict(spec="bilinear")),
            "nothing is published for vit_base_patch16_224.dino behind bilinear",
        ),
        (_record("vit_base_patch16_224.dino", version=7), "made with version 7 of the preset"),
    ],
)
def test_why_there_is_nothing_to_compare(record: Record, reason: str) -> None:
    (line,) = compare([record])
    assert (line.published, line.verdict) == (None, "not compared") and reason in line.reason
    assert "published –, ours 70.00 ± " in str(line)


def test_counts_that_do_not_give_the_number_leave_the_interval_unknown() -> None:
    record = _record("vit_small_patch14_dinov2.lvd142m")
    record.counts.clear()
    (line,) = compare([record])
    assert line.numbers.endswith("ours 70.00 ± not known") and line.verdict == "not compared"
    assert line.reason == "an interval is needed, which takes what each image gave"


def test_other_records_are_passed_over() -> None:
    assert compare([Record("knn", {}, {}, subject=dict(spec="x", backbone={}))]) == []
