"""Checkpoints that dense structure advises beside the last ones, on the toy comparison."""

from __future__ import annotations

import copy
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.compare import chosen
from benchmarks.compare.executors import Local
from benchmarks.compare.parts import Evaluation
from benchmarks.compare.plan import load_plan
from benchmarks.compare.run import Options, run_comparison
from benchmarks.core.record import Metric, Record
from pretrain.hooks.structure_course import Look, write_course

Toy = Callable[..., Path]


def course(folder: Path, best: int) -> None:
    """Writes a course of steps 0, 5 and 10 whose dense structure is best at one of them."""
    looks = []
    for step in (0, 5, 10):
        inter, rank = (1.0, 9.0) if step == best else (0.5, 4.0 + step / 10)
        place = dict(step=step, samples=8 * step, cosine=1.0, drift=0.0, loss=None)
        looks.append(Look(inter=inter, intra=0.1, dimension=rank, **place))
    write_course(folder, dict(start="start.pth"), looks)


def test_the_advised_checkpoints_are_measured_once(
    toy: Toy, trainer: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The untrained arm scores 0, ``weak`` 2, ``strong`` 30, its middle checkpoint 20."""
    plan = load_plan(toy("seeds = (0,)"), "out")
    console = Console(file=io.StringIO())
    options = Options(executor=Local(jobs=2, gpus=0), trainer=trainer, console=console)
    assert run_comparison(plan, options) == 0
    assert chosen.chosen_checkpoints(plan) == []  # nothing followed dense structure
    measured = []

    def evaluate(checkpoint: Path, benchmark: Evaluation) -> Record:
        measured.append(checkpoint.name)
        return Record("toy", {"score": Metric(json.loads(checkpoint.read_text()), "%")}, {})

    monkeypatch.setattr(chosen, "evaluate", evaluate)
    strong, weak = (Path("out", arm, "seed_0", "pretrain") for arm in ("strong", "weak"))
    (strong / "iter_5.pth").write_text("20.0")
    course(strong, 5)
    course(weak, 0)
    for _ in range(2):
        rows = {row.arm: row for row in chosen.chosen_checkpoints(plan)}
        own = rows["strong"]
        assert (own.step, own.last, own.value, own.last_value) == (5, 10, 20.0, 30.0)
    assert measured == ["iter_5.pth"]
    untouched = json.loads(Path("out/untrained/seed_0/records.jsonl").read_text())
    assert rows["weak"].step == 0
    assert rows["weak"].value == untouched["metrics"]["score"]["value"]
    other = Path("out/other/seed_0")  # an untrained arm of another network, after this one
    shutil.copytree("out/untrained/seed_0", other)
    text = (other / "records.jsonl").read_text()
    assert '"value": 0' in text
    (other / "records.jsonl").write_text(text.replace('"value": 0', '"value": 7'))
    (trial,) = [trial for trial in plan.trials if trial.arm.name == "untrained"]
    for change in (dict(load_from="start.pth"), dict(model=dict(backbone=dict(name="other")))):
        config = copy.deepcopy(trial.config) | change
        both = (*plan.trials, replace(trial, directory=other, config=config))
        rows = {row.arm: row for row in chosen.chosen_checkpoints(replace(plan, trials=both))}
        assert rows["weak"].value == untouched["metrics"]["score"]["value"]
    monkeypatch.setattr(chosen, "make_untrained", lambda config, path: path.write_text("3.5"))
    lonely = tuple(trial for trial in plan.trials if trial.arm.name != "untrained")
    for _ in range(2):  # without such an arm the start is made and measured, once
        rows = {row.arm: row for row in chosen.chosen_checkpoints(replace(plan, trials=lonely))}
        assert rows["weak"].value == 3.5
    assert measured == ["iter_5.pth", "start.pth"] and not list(weak.parent.glob(".start*"))
    sentences = chosen.chosen_sentences([own], "toy.score")
    assert "strong: dense structure advises step 5 of 10" in sentences[0]
    assert sentences[0].endswith("mean toy.score 20.00 there, 30.00 at the end.")
    (strong / "iter_5.pth").unlink()  # what is gone cannot be advised
    assert {row.arm: row.step for row in chosen.chosen_checkpoints(plan)}["strong"] == 10
