"""Trials that end before their budget is spent: ``stopping=dict(…)`` of a comparison.

    stopping = dict(
        type="median",  # or "halving"
        metric="retrieval.mIoU",  # that EvaluationHook measures in every trained arm
        after=4_000,  # samples, before which no trial is stopped; of "halving": at its first rung
        trials=4,  # of "median": so many must have finished before any is stopped
        factor=3,  # of "halving": one in so many goes on at each rung
    )

The rules are Optuna's ``MedianPruner`` and ``SuccessiveHalvingPruner`` (asynchronous successive
halving). :mod:`benchmarks.compare.stopper` applies them. Budgets are then unequal: the table marks
the arms that were stopped, and ranks them no more.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.compare.configs import config_hash
from benchmarks.compare.names import PlanError, check_names, plan_errors
from benchmarks.compare.parts import Plan, Stopping
from benchmarks.compare.search import scored_files
from benchmarks.compare.trial_folder import TrialFolder
from benchmarks.data.parts import shared_images
from benchmarks.evaluate.suite import Task, find_benchmark, make_task

TYPES = {"median": ("trials",), "halving": ("factor",)}
LEAST = {"after": 1, "trials": 1, "factor": 2}
EXAMPLE = "dict(type='median', metric='retrieval.mIoU', after=4_000)"


def read_stopping(raw: Any) -> Stopping | None:
    """Checks a comparison's ``stopping``.

    Raises:
        PlanError: a missing or misspelt key, or a value that is none.
    """
    if raw is None:
        return None
    if not isinstance(raw, dict) or not {"type", "metric", "after"} <= raw.keys():
        raise PlanError(f"stopping = {raw!r}: needs type, metric and after, such as {EXAMPLE}")
    check_names("stopping: type", [raw["type"]], TYPES)
    own = TYPES[raw["type"]]
    check_names(
        f"key of stopping with type={raw['type']!r}:", raw, ("type", "metric", "after", *own)
    )
    for key in ("after", *own):
        value, least = raw.get(key, LEAST[key]), LEAST[key]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise PlanError(f"stopping: {key} = {value!r}: a whole number, at least {least}")
    metric = raw["metric"]
    if not isinstance(metric, str) or metric.count(".") != 1:
        raise PlanError(f"stopping: metric = {metric!r}: write BENCHMARK.metric")
    return Stopping(**raw)


def check_stopping(stopping: Stopping | None, recipes: Mapping[str, dict[str, Any]]) -> None:
    """Checks that what decides is measured in every trained arm, at the same numbers of samples.

    Args:
        stopping: of the comparison.
        recipes: of its trained arms.

    Raises:
        PlanError: no ``EvaluationHook``, not this metric, other intervals; Optuna is missing.
    """
    if stopping is None:
        return
    if importlib.util.find_spec("optuna") is None:
        raise PlanError(
            "stopping=…: needs Optuna: pip install '.[tune]' in the repository, or pip install "
            "optuna"
        )
    if len(recipes) < 2:
        raise PlanError("stopping: needs two trained arms, of which one can be stopped")
    intervals = {}
    for arm, recipe in recipes.items():
        hook, _ = _measuring(stopping, arm, recipe)
        intervals[arm] = hook.get("every", 1000) * recipe["schedule"]["global_batch"]
    if len(set(intervals.values())) > 1:
        listed = ", ".join(f"{arm} every {count:,}" for arm, count in intervals.items())
        raise PlanError(
            f"stopping: the arms are measured after different numbers of samples ({listed}); set "
            "every= of EvaluationHook so that every × schedule.global_batch is equal"
        )


def _measuring(
    stopping: Stopping, arm: str, recipe: dict[str, Any]
) -> tuple[dict[str, Any], tuple[str, dict[str, Any]]]:
    """Returns the hook of an arm that measures the metric, and (name, config) of the benchmark."""
    kind, metric = stopping.metric.split(".")
    measured = []
    for hook in recipe.get("hooks") or ():
        if hook.get("type") == "EvaluationHook":
            for name, config in hook.get("benchmarks", {}).items():
                with plan_errors(f"arm {arm!r}: EvaluationHook: "):
                    declared = find_benchmark(config.get("type", name))
                if declared.name == kind:
                    check_names(f"stopping: metric of {kind!r}:", [metric], declared.metrics)
                    measured.append((hook, (name, config)))
    if len(measured) != 1:
        raise PlanError(
            f"stopping: metric = {stopping.metric!r}: arm {arm!r} needs one benchmark {kind!r} in "
            f"an EvaluationHook of its recipe, and has {len(measured)}; see docs/running.md"
        )
    return measured[0]


def check_stopping_apart(plan: Plan, tasks: Mapping[str, Task]) -> None:
    """Checks that what decides scores no image that the table scores.

    Args:
        plan: the comparison.
        tasks: benchmark -> the opened task.

    Raises:
        PlanError: it does; or its data are not there.
    """
    if plan.stopping is None:
        return
    configs = {}
    for arm, recipe in plan.recipes.items():
        _, (name, config) = _measuring(plan.stopping, arm, recipe)
        configs[config_hash(config)] = name, config
    for name, config in configs.values():
        quick = find_benchmark(config.get("type", name)).quick
        with plan_errors("stopping: "):
            own = scored_files(make_task(name, {**quick, **config}))
        for other, task in tasks.items():
            shared = shared_images(scored_files(task), own)
            if shared:
                raise PlanError(
                    f"stopping: {len(shared)} of the {len(own)} images that decide are scored by "
                    f"{other!r} of the table, too, the first: {shared[0][0]}; the arms that remain "
                    "would be picked by the table's own images: hold a part of the training images "
                    "back for EvaluationHook"
                )


def keep_decisions(folder: TrialFolder, stopping: Stopping | None) -> None:
    """Forgets what another rule has decided on a trial, which then goes on to its full budget."""
    if folder.decision and folder.decision.get("rule") != (stopping.hash if stopping else None):
        folder.forget_decision()


@dataclass(frozen=True)
class Short:
    """A trial that was stopped: samples that it got, and those of its budget."""

    samples: int
    budget: int


def collect_stopped(plan: Plan) -> dict[str, dict[int, Short]]:
    """Returns arm -> seed -> what it got, of the trials that were stopped."""
    stopped: dict[str, dict[int, Short]] = {}
    for trial in plan.trials:
        folder = TrialFolder(trial.directory)
        if folder.is_written and folder.stopped is not None:
            short = Short(folder.stopped.samples, folder.spec().samples)
            stopped.setdefault(trial.arm.name, {})[trial.seed] = short
    return stopped


def stopping_sentences(plan: Plan, stopped: Mapping[str, Mapping[int, Short]]) -> list[str]:
    """Returns what must be said below a table of which trials may have been stopped."""
    if plan.stopping is None:
        return []
    if not stopped:
        return [f"No trial was stopped by {plan.stopping}."]
    trials = []
    for arm, seeds in stopped.items():
        got = [
            f"seed {seed} after {one.samples:,} of {one.budget:,}" for seed, one in seeds.items()
        ]
        trials.append(f"{arm} ({', '.join(got)})")
    sentences = [
        f"Budgets are NOT equal: trials were stopped before they had all of their samples: "
        f"{', '.join(trials)}; the rule: {plan.stopping}.",
        "An arm with a stopped trial stands below the others, has no rank, and is part of no "
        "statistic that compares arms: its numbers are those of unfinished trainings, and its "
        "seeds that were not stopped are its better ones. What was stopped depended on which "
        "trials had come how far by then: another run may stop others.",
    ]
    lost = [arm for arm in plan.planned or () if arm in stopped]
    if lost:
        sentences.append(f"The planned pair was not tested: {', '.join(lost)} was stopped.")
    return sentences


def as_plain(plan: Plan, stopped: Mapping[str, Mapping[int, Short]]) -> dict[str, Any] | None:
    """Returns the rule and what it stopped, for JSON; None without a rule."""
    if plan.stopping is None:
        return None
    short = {}
    for arm, seeds in stopped.items():
        short[arm] = {str(seed): asdict(one) for seed, one in seeds.items()}
    return {"rule": asdict(plan.stopping), "stopped": short}


def without(stopped: Mapping[str, Any], arms: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what belongs to arms that were not stopped."""
    return {arm: value for arm, value in arms.items() if arm not in stopped}
