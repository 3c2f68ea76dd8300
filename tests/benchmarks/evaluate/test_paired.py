"""Means over networks and differences to bilinear."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.core.record import Metric, Record
from benchmarks.core.upsamplers import family
from benchmarks.evaluate.paired import paired_tables


def record(network: str, upsampler: str, value: float) -> Record:
    subject = dict(spec=network, backbone={}, upsampler=dict(spec=upsampler))
    return Record("probe", {"mIoU": Metric(value, "%")}, dict(size=8), subject=subject)


def test_values_and_paired_differences() -> None:
    """t at 95 % with two networks is 12.706: 1 ± 12.706 · √2/√2 · 1 for the differences 0 and 2."""
    records = [record("a", "bilinear", 10.0), record("b", "bilinear", 20.0)]
    records += [
        record("a", "jbu:runs/jbu_0/final.pth", 10.0),
        record("b", "jbu:runs/jbu_1/final.pth", 22.0),
    ]
    table = paired_tables(records).splitlines()
    assert table[2].split("|")[1:-1] == [
        " upsampler ",
        " mIoU [%] ",
        " ranks ",
        " minus bilinear ",
        " networks ",
    ]
    assert table[5].split("|")[1:-1] == [
        " jbu ",
        " 16.00 ± 76.24 ",
        " 1–2 A ",
        " 1.00 ± 12.71 ",
        " 2 ",
    ]
    assert table[4].split("|")[1:-1] == [" bilinear ", " 15.00 ± 63.53 ", " 1–2 A ", " – ", " 2 "]
    text = "\n".join(table[7:])
    assert "The two best, jbu and bilinear, are not apart" in text
    assert "Against bilinear – not apart from it: jbu." in text


def test_upsamplers_that_are_apart_have_other_ranks_and_intervals_cover_images() -> None:
    """Of ten images bilinear has 4, 5, 4 right on the networks a, b, c, guided 8, 10, 8."""
    records = []
    for upsampler, counts in {"bilinear": (4, 5, 4), "guided": (8, 10, 8)}.items():
        for network, right in zip("abc", counts, strict=True):
            hits = [1] * right + [0] * (10 - right)
            one = record(network, upsampler, 10.0 * right)
            records.append(replace(one, counts=dict(mIoU=hits)))
    text = paired_tables(records)
    table = text.splitlines()
    assert [line.split("|")[3] for line in table[4:6]] == [" 2 B ", " 1 A "]
    assert "over seeds and images (10 images" in text

    def cell(text: str) -> str:
        return text.splitlines()[5].split("|")[2]

    # Networks alone: t of two degrees times their standard error, 4.303 · 6.667.
    assert cell(paired_tables([replace(one, counts={}) for one in records])) == " 86.67 ± 28.68 "
    # Images add variance, and degrees of freedom as well.
    assert cell(text) == " 86.67 ± 25.20 "


def test_lower_is_better_stands_in_the_heading_and_a_missing_value_in_the_cell() -> None:
    records = [
        record(n, u, v)
        for u, v in (("bilinear", 10.0), ("guided", float("nan")))
        for n in ("a", "b")
    ]
    records = [
        replace(r, metrics=dict(RMSE=replace(r.metrics["mIoU"], better="lower"))) for r in records
    ]
    table = paired_tables(records).splitlines()
    assert table[2].split("|")[2:4] == [" RMSE [%] ↓ ", " minus bilinear "]
    assert table[5].split("|")[1:-1] == [" guided ", " not defined ", " not defined ", " 2 "]


def test_families() -> None:
    assert family("guided?radius=2") == "guided?radius=2"
    assert (
        family("neighbourhood:w/neighbourhood_regression_0/final.pth?window=7")
        == "neighbourhood_regression"
    )
    assert family("jbu:final.pth") == "jbu"


def test_what_cannot_be_compared_is_told() -> None:
    with pytest.raises(ValueError, match="two or more networks"):
        paired_tables([record("a", "bilinear", 1.0), record("a", "guided", 1.0)])
    with pytest.raises(ValueError, match="bilinear was not run on b"):
        paired_tables([record("a", "bilinear", 1.0), record("b", "guided", 1.0)])


def test_without_bilinear_there_are_no_differences() -> None:
    table = paired_tables([record("a", "none", 1.0), record("b", "none", 1.0)]).splitlines()
    assert table[2].split("|")[1:-1] == [" upsampler ", " mIoU [%] ", " networks "]
    assert table[4].split("|")[1:-1] == [" none ", " 1.00 ± 0.00 ", " 2 "]
