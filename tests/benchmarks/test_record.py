"""Records: round trip, hash, torn files."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.record import Metric, Record, read_all


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
    assert (first.protocol, first.cost, first.subject) == (record.protocol, record.cost, record.subject)
    assert (first.protocol_hash, second.benchmark) == (record.protocol_hash, "knn")
    json.loads(path.read_text().splitlines()[0], parse_constant=pytest.fail)  # strict JSON: no NaN


def test_hash_covers_benchmark_and_protocol_only(record: Record) -> None:
    for same in (dict(subject={}), dict(versions={}), dict(cost={}), dict(metrics={}), dict(counts={})):
        assert replace(record, **same).protocol_hash == record.protocol_hash
    reordered = dict(reversed(list(record.protocol.items())))
    assert replace(record, protocol=reordered).protocol_hash == record.protocol_hash
    assert replace(record, protocol=record.protocol | {"neighbours": 20}).protocol_hash != record.protocol_hash
    assert replace(record, benchmark="knn").protocol_hash != record.protocol_hash
    # Written out: a change of the canonical form would make every older record incomparable.
    text = '["retrieval",{"data":{"layout":"camvid","limit":[null,3]},"neighbours":30,"temperature":0.02}]'
    assert record.protocol_hash == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_protocol_line(record: Record) -> None:
    line = "retrieval: data.layout=camvid data.limit=None,3 neighbours=30 temperature=0.02"
    assert record.protocol_line == line


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
    with pytest.raises(ValueError, match=r"records.jsonl:1: protocol_hash is .* run the benchmark again"):
        read_all(path)
    path.write_text("[1]\n")
    with pytest.raises(ValueError, match="not a record"):
        read_all(path)
