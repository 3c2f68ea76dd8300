"""Reads what finished trials left: runs for the table, cost, curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare.baseline import baseline_record
from benchmarks.compare.budget import ArmBudget
from benchmarks.compare.fairness import Fairness, compare_configs
from benchmarks.compare.jobs import baseline_folder, unfinished
from benchmarks.compare.parts import Plan, Trial
from benchmarks.compare.search import known_result
from benchmarks.compare.trial_folder import TrialFolder
from benchmarks.report.runs import Run
from pretrain.hooks.structure_advice import scores
from pretrain.hooks.structure_course import read_course


def started(trials: Sequence[Trial]) -> list[Trial]:
    """Returns the trials that have a directory with a specification."""
    return [trial for trial in trials if TrialFolder(trial.directory).is_written]


def collect_runs(plan: Plan) -> dict[str, list[Run]]:
    """Returns arm -> what its trials have measured of the plan's benchmarks; nothing for some."""
    runs: dict[str, list[Run]] = {arm.name: [] for arm in plan.arms}
    benchmarks = {benchmark.name for benchmark in plan.benchmarks}
    for trial in started(plan.trials):
        for name, record in TrialFolder(trial.directory).measured().items():
            if name in benchmarks:
                run = Run(record, trial.name, pair=trial.seed, benchmark=name)
                runs[trial.arm.name].append(run)
    return runs


def collect_costs(plan: Plan, budgets: dict[str, ArmBudget]) -> list[dict[str, Any]]:
    """Returns one dict per trained trial: samples, images/s while training, minutes, peak memory,
    PFLOPs, device-seconds (a trial without GPUs has one device: its cores), of a tuned arm the
    minutes of its search, and what ``DenseStructureHook`` measured, if there is one.
    """
    costs, tuning = [], {}
    for search in plan.searches:
        result = known_result(search, plan.work_dir)
        tuning |= {search.name: {"tuning_minutes": result.minutes}} if result else {}
    for trial in started(plan.trials):
        folder = TrialFolder(trial.directory)
        spec, state = folder.spec(), folder.state()
        if not spec.train or not folder.checkpoint(train=True).is_file():
            continue
        samples = folder.stopped.samples if folder.stopped else spec.samples
        seconds = folder.progress().get("seconds") or state.get("pretrain_seconds")
        cost: dict[str, Any] = {"arm": trial.arm.name, "seed": trial.seed, "samples": samples}
        cost |= tuning.get(trial.arm.name, {})
        if seconds:
            cost |= {"minutes": seconds / 60, "images_per_s": samples / seconds}
            cost["device_seconds"] = seconds * max(1, plan.resources.gpus)
        if state.get("peak_memory_bytes"):
            cost["peak_memory_gb"] = state["peak_memory_bytes"] / 1e9
        budget = budgets.get(trial.arm.name)
        if budget and budget.flops_per_sample:
            cost["pflops"] = budget.flops_per_sample * samples / 1e15
        costs.append(cost | _dense_structure(folder))
    return costs


def _dense_structure(folder: TrialFolder) -> dict[str, float]:
    """Samples at which DSE of a training was highest, and how like its start its last cells are;
    empty without ``DenseStructureHook``.
    """
    _, looks = read_course(folder.training)
    if not looks:
        return {}
    highest = looks[int(scores(looks).argmax())]
    values: dict[str, float] = {"dse_samples": highest.samples}
    if looks[-1].cosine is not None:
        values["cosine_to_start"] = looks[-1].cosine
    return values


def collect_curves(plan: Plan) -> dict[str, list[Path]]:
    """Returns arm -> files of its seeds' training curves, unfinished ones included."""
    return _files(plan, "curve.csv")


def collect_evaluations(plan: Plan) -> dict[str, list[Path]]:
    """Returns arm -> files of what ``EvaluationHook`` measured while its seeds trained."""
    return _files(plan, "evaluations.jsonl")


def _files(plan: Plan, name: str) -> dict[str, list[Path]]:
    """Arm -> files of that name in its trainings' folders."""
    files: dict[str, list[Path]] = {}
    for trial in plan.trials:
        path = TrialFolder(trial.directory).curve.with_name(name)
        if path.is_file():
            files.setdefault(trial.arm.name, []).append(path)
    return files


def collect_checkpoints(plan: Plan) -> dict[str, str]:
    """Returns arm -> the network of its first seed, where it is there."""
    checkpoints = {}
    for trial in plan.trials:
        path = TrialFolder(trial.directory).checkpoint(train=trial.arm.train)
        if trial.seed == plan.seeds[0] and path.is_file():
            checkpoints[trial.arm.name] = str(path)
    return checkpoints


def collect_fairness(plan: Plan) -> Fairness:
    """Compares the recipes of the trained arms, budget included, as the trials were given them."""
    configs = {}
    for trial in started(plan.trials):
        if trial.arm.train:
            configs.setdefault(trial.arm.name, TrialFolder(trial.directory).spec().config)
    return compare_configs(configs)


def collect_failures(plan: Plan) -> dict[str, dict[int, int]]:
    """Returns arm -> seed -> how often it failed, of the unfinished trials that have."""
    failures: dict[str, dict[int, int]] = {}
    for trial in unfinished(started(plan.trials)):
        failed = TrialFolder(trial.directory).attempts.failed
        if failed:
            failures.setdefault(trial.arm.name, {})[trial.seed] = failed
    return failures


def collect_baselines(plan: Plan) -> dict[str, list[Run]]:
    """Returns name -> records of the trivial baselines that have been measured."""
    runs: dict[str, list[Run]] = {}
    for baseline in plan.baselines:
        record = baseline_record(baseline_folder(plan, baseline), baseline)
        if record is not None:
            run = Run(record, baseline.name, benchmark=baseline.benchmark.name)
            runs.setdefault(baseline.name, []).append(run)
    return runs
