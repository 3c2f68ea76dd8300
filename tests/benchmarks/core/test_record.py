"""Records: round trip, hash, torn files."""

from __future__ import annotations

import ast
import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.core.record import Metric, Record, read_all, require_defined


@pytest.fixture
def record() -> Record:
    return Record(
        "retrieval",
        {"mIoU": Metric(12.5, "%"), "absent": Metric(math.nan, "%")},
        {"data": {"layout": "camvid", "limit": [None, 3]}, "neighbours": 30, "temperature": 0.02},
        counts={"confusion": [[1, 2], [3, 4]], "class_iou": [0.5, math.nan]},
        cost={"seconds": 1.5},
        subject={"spec": "random:resnet18"},
        versions={"torch": "2"},
    )


def test_round_trip(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "records.jsonl"
    record.append(path)
    replace(record, benchmark="knn").append(path)
    first, second = read_all(path)
    assert first.metrics["mIoU"] == Metric(12.5, "%")
    assert math.isnan(first.metrics["absent"].value)
    assert first.counts["class_iou"] == [0.5, None]
    assert (first.protocol, first.cost, first.subject) == (
        record.protocol,
        record.cost,
        record.subject,
    )
    assert (first.protocol_hash, second.benchmark) == (record.protocol_hash, "knn")
    json.loads(path.read_text().splitlines()[0], parse_constant=pytest.fail)  # strict JSON: no NaN


def test_hash_covers_benchmark_and_protocol_only(record: Record) -> None:
    for same in (
        dict(subject={}),
        dict(versions={}),
        dict(cost={}),
        dict(metrics={}),
        dict(counts={}),
    ):
        assert replace(record, **same).protocol_hash == record.protocol_hash
    reordered = dict(reversed(list(record.protocol.items())))
    assert replace(record, protocol=reordered).protocol_hash == record.protocol_hash
    assert (
        replace(record, protocol=record.protocol | {"neighbours": 20}).protocol_hash
        != record.protocol_hash
    )
    assert replace(record, benchmark="knn").protocol_hash != record.protocol_hash
    # Written out: a change of the canonical form would make every older record incomparable.
    text = (
        '["retrieval",{"data":{"layout":"camvid","limit":[null,3]},'
        '"neighbours":30,"temperature":0.02}]'
    )
    assert record.protocol_hash == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_protocol_line(record: Record) -> None:
    line = "retrieval: data.layout=camvid data.limit=None,3 neighbours=30 temperature=0.02"
    assert record.protocol_line == line


def test_the_direction_is_stored_and_must_be_one_of_two(record: Record) -> None:
    lower = replace(
        record, metrics=dict(loss=Metric(1.0, "nat", "lower"), mIoU=Metric(2.0, "%", "higher"))
    )
    assert Record.from_json(lower.to_json()).metrics == lower.metrics
    with pytest.raises(
        ValueError, match="better='low' is not one of higher, lower; did you mean 'lower'"
    ):
        Metric(1.0, "%", "low")


@pytest.mark.parametrize(
    ("benchmark", "name", "better"),
    [
        ("depth", "RMSE", "lower"),
        ("depth_probe", "aligned_RMSE", "lower"),
        ("depth", "delta1", "higher"),
        ("cam", "average_drop", "lower"),
        ("cam", "average_gain", "higher"),
        ("cam", "complexity", "lower"),
        ("robustness", "mean_corruption_error", "lower"),
        ("robustness", "mCE", "lower"),
        ("robustness", "fog", "lower"),
        ("consistency", "uniform_mse", "lower"),
        ("mine", "top5_error", "lower"),
        ("retrieval", "mIoU", "higher"),
    ],
)
def test_records_from_before_metrics_had_a_direction(
    benchmark: str, name: str, better: str
) -> None:
    stored = json.loads(Record(benchmark, {name: Metric(1.0, "%")}, {}).to_json())
    del stored["metrics"][name]["better"]
    assert Record.from_json(json.dumps(stored)).metrics[name] == Metric(1.0, "%", better)


def test_every_benchmark_says_which_way_its_metrics_are_better() -> None:
    """Leaving it to the default would silently rank a new error or loss the wrong way round."""
    folder = Path(__file__).resolve().parents[3] / "benchmarks"
    calls = []
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Metric":
                calls.append((file.name, node.lineno, len(node.args) + len(node.keywords)))
    assert len(calls) > 15 and [call for call in calls if call[2] < 3] == []


def test_a_metric_that_is_not_a_number_is_refused_with_what_is_missing() -> None:
    fine = dict(mIoU=Metric(1.0, "%", "higher"))
    assert require_defined("probe", fine, "labels") is fine
    for value in (math.nan, math.inf):
        with pytest.raises(
            ValueError, match=f"^probe: RMSE is {value}, it is not defined: no label$"
        ):
            require_defined("probe", fine | dict(RMSE=Metric(value, "m", "lower")), "no label")


def test_a_torn_line_is_closed_off_and_passed_over(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    record.append(path)
    whole = path.read_text()
    path.write_text(whole + whole[: len(whole) // 2])
    record.append(path)
    with pytest.warns(UserWarning, match="records.jsonl:2: not whole JSON"):
        assert len(read_all(path)) == 2


def test_an_edited_protocol_is_found_out(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(record.to_json().replace('"neighbours": 30', '"neighbours": 31') + "\n")
    with pytest.raises(
        ValueError, match=r"records.jsonl:1: protocol_hash is .* run the benchmark again"
    ):
        read_all(path)
    path.write_text("[1]\n")
    with pytest.raises(ValueError, match="not a record"):
        read_all(path)
