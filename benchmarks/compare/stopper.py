"""Decides which trials of a comparison are stopped, while they run.

What decides are the files that ``EvaluationHook`` writes in the trials' folders, so it does not
matter what runs the trials, or where. In each trial's ``stopping.json`` stands what has been taken
account of, with its time, and the decision; the trial's process reads it and ends at its next
checkpoint. A comparison that was killed goes on from these files.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.compare.parts import Plan, Stopping
from benchmarks.compare.trial_folder import TrialFolder

LOOK_SECONDS = 2.0


@dataclass(frozen=True, order=True)
class Reading:
    """A value of the metric.

    Attributes:
        time: when it was taken account of, seconds since 1970.
        samples: seen by then.
        better: ``higher`` or ``lower``.
    """

    time: float
    samples: int
    value: float
    better: str = field(compare=False, default="higher")


def read_course(path: Path, metric: str, *, batch: int, now: float) -> list[Reading]:
    """Returns what an ``evaluations.jsonl`` holds of a metric, each number of samples once.

    Args:
        path: of the file, which may be missing, and hold a part of a line.
        metric: ``benchmark.metric``.
        batch: samples per step.
        now: time of the readings.
    """
    kind, name = metric.split(".")
    course: dict[int, Reading] = {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    for line in lines:
        try:
            record = json.loads(line) if line.endswith("\n") else {}
        except ValueError:  # a process was killed while it wrote it
            continue
        if record.get("benchmark") == kind and name in record["metrics"]:
            samples = batch * int(record["subject"]["spec"].removeprefix("step "))
            measured = record["metrics"][name]
            value = math.nan if measured["value"] is None else measured["value"]
            course[samples] = Reading(now, samples, value, measured.get("better", "higher"))
    return [course[samples] for samples in sorted(course)]


@dataclass
class _Watched:
    """A trial that may be stopped.

    Attributes:
        folder: of the trial.
        batch: samples per step.
        budget: samples that it may have.
        course: what has been taken account of.
        seen: modification time and size of its file when it was last read.
        handle: of Optuna; None once it has finished or was stopped, or before its first reading.
    """

    name: str
    folder: TrialFolder
    batch: int
    budget: int
    course: list[Reading] = field(default_factory=list)
    seen: tuple[float, int] = (0.0, 0)
    handle: Any = None
    is_over: bool = False


class Stopper:
    """Applies the rule of a comparison.

    Args:
        plan: a comparison that has one; its trials' folders have been written.
        console: where a decision is printed.
    """

    def __init__(self, plan: Plan, console: Console) -> None:
        assert plan.stopping is not None
        self.rule, self.console = plan.stopping, console
        self._study: Any = None
        self._looked = -math.inf
        self._trials = _watched(plan)
        self._replay()

    def look(self) -> None:
        """Reads what is new and decides on it; at most every two seconds."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        for trial in self._trials:
            if not trial.is_over and self._has_changed(trial):
                self._take(trial)

    def _has_changed(self, trial: _Watched) -> bool:
        try:
            status = trial.folder.evaluations.stat()
        except OSError:
            return False
        before, trial.seen = trial.seen, (status.st_mtime, status.st_size)
        return trial.seen != before

    def _take(self, trial: _Watched) -> None:
        """Takes account of what a trial has measured since."""
        known = {reading.samples for reading in trial.course}
        course = read_course(
            trial.folder.evaluations, self.rule.metric, batch=trial.batch, now=time.time()
        )
        new = [reading for reading in course if reading.samples not in known]
        for reading in new:
            stop = self._report(trial, reading)
            trial.course.append(reading)
            if stop:
                self._end(trial)
                self.console.print(
                    f"{trial.name} is stopped after {reading.samples:,} of {trial.budget:,} "
                    f"samples, {self.rule.metric} = {reading.value:.4g}",
                    markup=False,
                    highlight=False,
                    soft_wrap=True,
                )
                break
        if new:
            last = trial.course[-1].samples
            _write(trial, self.rule, stop=last if trial.is_over and last < trial.budget else None)

    def _report(self, trial: _Watched, reading: Reading) -> bool:
        """Tells Optuna a value; returns whether the rule stops the trial there."""
        study = self._open(reading.better)
        if trial.handle is None:
            trial.handle = study.ask()
        trial.handle.report(reading.value, reading.samples)
        if reading.samples < trial.budget:
            return trial.handle.should_prune()
        states = _optuna().trial.TrialState
        if math.isfinite(reading.value):
            study.tell(trial.handle, reading.value)
        else:
            study.tell(trial.handle, state=states.FAIL)
        trial.is_over = True
        return False

    def _end(self, trial: _Watched) -> None:
        self._study.tell(trial.handle, state=_optuna().trial.TrialState.PRUNED)
        trial.is_over = True

    def _open(self, better: str) -> Any:
        """Returns the study, which is made when it is known which way the metric is better."""
        if self._study is None:
            optuna = _optuna()
            direction = "minimize" if better == "lower" else "maximize"
            self._study = optuna.create_study(direction=direction, pruner=make_pruner(self.rule))
        return self._study

    def _replay(self) -> None:
        """Tells Optuna what earlier runs have taken account of, in the order of those times."""
        past: list[tuple[Reading, int]] = []
        stops = {}
        for number, trial in enumerate(self._trials):
            decision = trial.folder.decision
            stops[number] = decision.get("stop")
            for moment, samples, value, better in decision.get("course", ()):
                value = math.nan if value is None else value
                past.append((Reading(moment, samples, value, better), number))
        for reading, number in sorted(past):
            trial = self._trials[number]
            trial.course.append(reading)
            self._report(trial, reading)
            if stops[number] == reading.samples:
                self._end(trial)


def make_pruner(rule: Stopping) -> Any:
    """Returns Optuna's pruner of a rule; its steps are samples."""
    pruners = _optuna().pruners
    if rule.type == "median":
        return pruners.MedianPruner(n_startup_trials=rule.trials, n_warmup_steps=rule.after)
    return pruners.SuccessiveHalvingPruner(min_resource=rule.after, reduction_factor=rule.factor)


def _optuna() -> Any:
    from benchmarks.compare.tuning import require_optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its remarks on experimental parts
        return require_optuna()


def _watched(plan: Plan) -> list[_Watched]:
    trials = []
    for trial in plan.trials:
        if trial.arm.train:
            folder = TrialFolder(trial.directory)
            batch = int(trial.config["schedule"]["global_batch"])
            trials.append(_Watched(trial.name, folder, batch, folder.spec().samples))
    return trials


def _write(trial: _Watched, rule: Stopping, *, stop: int | None) -> None:
    course: Sequence[Any] = [
        (one.time, one.samples, one.value if math.isfinite(one.value) else None, one.better)
        for one in trial.course
    ]
    trial.folder.decide({"rule": rule.hash, "course": course, "stop": stop})
