"""Benchmarks by name: what is declared is what the modules do, and mistakes are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.names import check_choice, suggestion
from benchmarks.suite import BENCHMARKS, find_benchmark, make_task


@pytest.mark.parametrize("name", BENCHMARKS)
def test_records_have_the_declared_metrics_only(name: str, toy_data: Any, image_folder: Path, colour_grid: Any) -> None:
    folders = dict(images="images/{split}", masks="masks/{split}", classes=3, ignore=255)
    dense = dict(data=dict(root=str(toy_data().root), layout="plain", **folders), size=(40, 48))
    task = make_task(name, dense if name == "retrieval" else dict(data=dict(root=image_folder), size=32))
    record = task.run(colour_grid())
    assert record.benchmark == name and type(task.data) is BENCHMARKS[name].data
    assert set(record.metrics) <= set(BENCHMARKS[name].metrics)
    assert BENCHMARKS[name].metrics[0] in record.metrics


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(type="retreival", data={}), "did you mean 'retrieval'"),
        (dict(type="benchmarks.nothing", data={}), "nor a module's dotted name"),
        (dict(type="json", data={}), "lacks a Settings dataclass"),
        (dict(), "has no data; add data="),
        (dict(data=dict(rot="x")), "ClassFolder has no argument 'rot' – did you mean 'root'?"),
        (dict(data=dict(type="SegmentationFolder", root="x", layout="voc")), "it reads a ClassFolder"),
        (dict(data=dict(root="x"), neighbors=3), "no setting 'neighbors' – did you mean 'neighbours'?"),
        (dict(data=dict(root="x"), neighbours=0), "benchmark 'knn': neighbours=0 must be greater than 0"),
    ],
)
def test_mistakes_are_named(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make_task("knn", config)
    assert message in str(caught.value)


def test_a_module_is_a_benchmark_too() -> None:
    assert find_benchmark("benchmarks.knn").run is BENCHMARKS["knn"].run


def test_choices_name_argument_value_and_what_is_legal() -> None:
    check_choice("backend", "torch", ("auto", "torch"))
    with pytest.raises(ValueError, match=r"backend='Torhc' is not one of auto, torch – did you mean 'torch'\?"):
        check_choice("backend", "Torhc", ("auto", "torch"))
    assert suggestion("xyz", ("auto", "torch")) == ""
