"""What fine-tunings share: one table over seeds, what would tell more."""

from __future__ import annotations

import pytest

from benchmarks.core.record import Metric, Record
from benchmarks.core.subject import identity
from benchmarks.finetune.tuning import next_step, read_options, tuning_tables, untrained_spec


def record(
    spec: str, seed: int, value: float, *, network: str = "f", size: int = 1, **more: float
) -> Record:
    metrics = {"top1": Metric(value, "%")}
    metrics |= {name: Metric(v, "nat", "lower") for name, v in more.items()}
    subject = dict(spec=spec, tuning_seed=seed, backbone={"name": "toy"}, fingerprint=network)
    subject |= dict(mean=[0.0] * 3, std=[1.0] * 3)
    return Record(
        "finetune", metrics, {"size": size}, cost={"seconds": 10.0 + seed}, subject=subject
    )


def test_a_row_is_a_network_with_all_its_seeds() -> None:
    records = [
        record("a.pth", 0, 50.0, loss=1.0),
        record("b.pth", 0, 70.0, network="g", loss=2.0),
        record("a.pth", 1, 54.0, loss=1.5),
        record("copy_of_a.pth", 2, 52.0, loss=1.25),
    ]
    assert identity(records[0].subject) == identity(records[3].subject)
    (table,) = tuning_tables(records)
    assert table.headings == ["network", "seeds", "top1 [%]", "loss [nat] ↓", "s per seed"]
    assert table.lines() == [
        ["a.pth", "0 1 2", "52.00 ± 4.97", "1.25 ± 0.62", "11"],
        ["b.pth", "0", "70.00", "2.00", "10"],
    ]
    assert table.caption == records[0].protocol_line


def test_each_protocol_has_a_table() -> None:
    tables = tuning_tables([record("a.pth", 0, 1.0), record("a.pth", 0, 2.0, size=2)])
    assert [len(table.rows) for table in tables] == [1, 1]
    assert tables[0].title != tables[1].title


def test_more_seeds_come_before_the_untrained_network() -> None:
    records = [record("a.pth", 0, 1.0)]
    assert "--seeds 0 1 2" in next_step(["a.pth"], [0], records)
    assert "'random:toy' next to" in next_step(["a.pth"], [0, 1], records)
    assert next_step(["a.pth", "random:toy"], [0, 1], records) is None


def test_the_untrained_spec_keeps_the_shape_of_the_network() -> None:
    config = dict(type="TimmBackbone", name="test_vit", pretrained=True, img_size=(32, 48))
    assert untrained_spec(config) == "random:test_vit?img_size=(32,48)"


def test_options_need_values_and_stand_once() -> None:
    example = "train_cfg.max_iters=1000"
    assert read_options(["a.b=1e-3", "c=(1, 2)", "d=x"], example=example) == {
        "a.b": 1e-3,
        "c": (1, 2),
        "d": "x",
    }
    for wrong in (["a"], ["a=1", "a=2"]):
        with pytest.raises(ValueError, match="--cfg-options"):
            read_options(wrong, example=example)
