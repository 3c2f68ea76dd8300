"""The list that ``evaluate --benchmarks`` prints."""

from __future__ import annotations

from benchmarks.evaluate.benchmark_list import as_text, describe
from benchmarks.evaluate.suite import BENCHMARKS


def test_a_benchmark_says_what_it_reads_measures_and_can_be_set_to() -> None:
    assert describe(BENCHMARKS["knn"]).splitlines() == [
        "knn: classes of images by nearest neighbours",
        "  data: folder 'classes:ROOT' (or scenes:ROOT without options; with them write "
        "classes:ROOT/crops?…)",
        "  metrics: top1, top5",
        "  settings: size=224 crop_fraction=0.875 neighbours=20 temperature=0.07 backend='auto' "
        "batch_size=64",
        "  quick: size=96",
        "  trivial predictors: majority, pixels",
    ]


def test_all_are_listed_in_lines_that_fit() -> None:
    text = as_text()
    assert all(f"{name}: {known.about}" in text for name, known in BENCHMARKS.items())
    assert "options={}" in text and "share its work" in text
    assert max(map(len, text.splitlines())) <= 100
