"""A declaration and a result become a record, in one way for networks and trivial predictors."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.core.benchmark import Benchmark, Result, added, in_subject, shown_as, speed_only
from benchmarks.core.record import Metric, is_baseline


@dataclass(frozen=True)
class Settings:
    """One setting of each role."""

    sizes: tuple[int, int] = (4, 8)
    backend: str = "auto"
    fraction: float = shown_as("labels", default=0.5)
    name: str = in_subject("a")
    batch_size: int = speed_only(2)
    window: int = added(0)


def run(network: Any, data: Any, settings: Settings, *, progress: Any = None) -> Result:
    """Says what it was given."""
    facts = dict(backend="torch", stride=4, labels=settings.fraction * 10)
    subject = dict(name=settings.name)
    return Result({"share": Metric(1.0, "%")}, {}, {"bytes": 3}, facts, subject)


def trivial(data: Any, settings: Settings, *, stride: int, progress: Any = None) -> Result:
    """Says which stride and back-end it was given."""
    facts = dict(backend=settings.backend, labels=stride)
    return Result({"share": Metric(0.0, "%")}, cost={"seconds": 7.0}, facts=facts)


DECLARED = dict(name="toy", about="toys", settings=Settings, run=run, data=object)
TOY = Benchmark(
    **DECLARED,
    metrics=("share",),
    baselines=dict(nothing=trivial),
    baseline_needs=("stride", "backend"),
)
DATA = SimpleNamespace(protocol=dict(images=2))
NETWORK = SimpleNamespace(device=torch.device("cpu"), describe=lambda: dict(backbone={}, spec="n"))


def test_the_protocol_is_data_settings_and_facts() -> None:
    record = TOY.measure(NETWORK, DATA, Settings())
    facts = dict(backend="torch", stride=4, labels=5.0)
    assert record.protocol == dict(data=dict(images=2), sizes=[4, 8], **facts)
    assert record.benchmark == "toy" and record.subject == dict(backbone={}, spec="n", name="a")
    assert (
        record.cost.keys() == {"seconds", "bytes", "waiting_seconds"}
        and record.versions["device"] == "cpu"
    )


def test_a_setting_that_came_later_leaves_older_protocols_as_they_were() -> None:
    """It is an entry where, and only where, the run differs from what was done before."""
    before, changed = (
        TOY.measure(NETWORK, DATA, settings) for settings in (Settings(), Settings(window=3))
    )
    assert "window" not in before.protocol and changed.protocol["window"] == 3
    assert before.protocol_hash != changed.protocol_hash


def test_a_trivial_predictor_gets_what_it_needs_and_stands_for_itself() -> None:
    """A need that is a setting takes the setting's place; seconds of its own stay."""
    record = TOY.measure_baseline("nothing", DATA, Settings(), stride=8, backend="faiss-cpu")
    assert record.protocol["backend"] == "faiss-cpu" and record.protocol["labels"] == 8
    assert record.subject == dict(spec="nothing") and is_baseline(record)
    assert record.cost == dict(seconds=7.0)


def test_a_run_states_what_its_trivial_predictors_need() -> None:
    forgetful = Benchmark(**DECLARED, metrics=("share",), baseline_needs=("stride", "window"))
    with pytest.raises(ValueError, match=r"'toy': baseline_needs='window'.*facts=dict\(window=…\)"):
        forgetful.measure(NETWORK, DATA, Settings())


def test_data_that_only_the_run_knows_is_a_fact() -> None:
    protocol = TOY.protocol(SimpleNamespace(), Settings(), dict(data="known later"))
    assert protocol["data"] == "known later"


def test_processes_share_only_what_can_be_shared() -> None:
    def shared(*arguments: Any, distributed: bool = False, **options: Any) -> Result:
        return Result({"share": Metric(float(distributed), "%")}, facts=dict(backend="", labels=0))

    both = [TOY, Benchmark(**(DECLARED | dict(run=shared)), metrics=("share",), distributed=True)]
    alone, together = (
        benchmark.measure(NETWORK, DATA, Settings(), distributed=True) for benchmark in both
    )
    assert (alone.metrics["share"].value, together.metrics["share"].value) == (1.0, 1.0)
    assert both[1].measure(NETWORK, DATA, Settings()).metrics["share"].value == 0.0


def test_mistakes_in_a_declaration_are_named() -> None:
    with pytest.raises(ValueError, match="benchmark 'toy': quick sets sizs, which Settings does"):
        Benchmark(**DECLARED, metrics=("share",), quick=dict(sizs=(2, 2)))
    with pytest.raises(ValueError, match="settings=<class 'dict'> is not a dataclass"):
        Benchmark(**(DECLARED | dict(settings=dict)), metrics=("share",))


def test_what_will_be_measured_is_all_unless_declared() -> None:
    assert TOY.expected_metrics(DATA, Settings()) == ("share",)
    some = Benchmark(**DECLARED, metrics=("a", "b"), expected=lambda data, settings: ("b",))
    assert some.expected_metrics(DATA, Settings()) == ("b",)
