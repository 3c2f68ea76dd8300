"""A comparison from its plan to its page: what ``tools/compare.py`` calls."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.compare.arms import check_arms, check_columns, check_sizes
from benchmarks.compare.baseline import baseline_record, write_request
from benchmarks.compare.budget import (
    ArmBudget,
    load_budgets,
    pilot_config,
    pilot_seconds_per_sample,
    plan_budgets,
    recipe_hash,
    with_samples,
)
from benchmarks.compare.collect import started
from benchmarks.compare.configs import write_config
from benchmarks.compare.evaluate import open_task
from benchmarks.compare.finish import finish
from benchmarks.compare.local import Failure, Task, default_jobs, run_tasks
from benchmarks.compare.names import PlanError, check_names
from benchmarks.compare.parts import Plan, Trial
from benchmarks.compare.prepare import prepare
from benchmarks.compare.progress import Monitor, display
from benchmarks.compare.trial import TRAINER, make_spec, missing, read_spec, write_trial
from pretrain.files import require_writable
from pretrain.folder_lock import exclusive
from pretrain.places import import_path
from pretrain.threads import thread_limits

EVALUATION_SHARE = (
    0.1  # expected work of a trial's benchmarks, as a share of the longest pretraining
)


@dataclass
class Options:
    """How to run, as opposed to what.

    Attributes:
        jobs: trials at once; None = one per GPU, or one per core.
        redo: arms whose results are thrown away first.
        only: arms to run; all when empty. The table always shows all.
        table_only: run nothing, rebuild table and page.
        trainer: command that trains, see :class:`~benchmarks.compare.trial.TrialSpec`.
    """

    jobs: int | None = None
    redo: Sequence[str] = ()
    only: Sequence[str] = ()
    table_only: bool = False
    trainer: Sequence[str] = TRAINER
    console: Console = field(default_factory=Console)


def run_comparison(plan: Plan, options: Options) -> int:
    """Does what is missing of a comparison and writes table, pictures and page.

    Returns:
        Exit code: 0, or 1 if a trial failed (its log's end is printed; the others' results are in
            the table).

    Raises:
        PlanError: an unknown arm in ``redo`` or ``only``, a stale trial, data that is missing or
            wrong, a budget that buys nothing or less than the warm-up, nothing to make a table of.
        OSError: the folder cannot be written.
        Busy: another process runs this comparison.
        KeyboardInterrupt: interrupted; all children have ended, and running again goes on.
    """
    arms = [arm.name for arm in plan.arms]
    check_names("arm in --redo:", options.redo, arms)
    check_names("arm in --only:", options.only, arms)
    if options.jobs is not None and options.jobs < 1:
        raise PlanError(f"--jobs {options.jobs}: must be at least 1")
    if options.table_only:
        return _show(plan, options.console)
    require_writable(plan.work_dir, "--work-dir", folder=True)
    with exclusive(plan.work_dir, "comparison", wait_s=1):
        budgets, failures = _do_what_is_missing(plan, options)
        complete = finish(plan, budgets, console=options.console)
    _report(plan, failures, complete, options.console)
    return 1 if failures else 0


def _show(plan: Plan, console: Console) -> int:
    """Writes table and page of what is there, without a lock: the comparison may be running.

    Raises:
        PlanError: nothing is there.
        OSError: the folder cannot be written.
    """
    if not started(plan.trials):
        raise PlanError(
            f"--table-only: nothing there: {plan.work_dir} holds no trial of {plan.path}; check "
            "--work-dir, or run it without --table-only"
        )
    require_writable(plan.work_dir, "--work-dir", folder=True)
    complete = finish(plan, load_budgets(plan.work_dir / "budget.json"), console=console)
    _report(plan, [], complete, console)
    return 0


def _do_what_is_missing(plan: Plan, options: Options) -> tuple[dict[str, ArmBudget], list[Failure]]:
    """Checks all that can be checked, then throws away what ``redo`` names, then works."""
    prepare(plan.prepare)
    # Data that are not there, columns that stay empty and sizes that a network refuses must show
    # before hours of training, not after.
    tasks = {benchmark.name: open_task(benchmark) for benchmark in plan.benchmarks}
    check_columns(plan, tasks)
    known = (
        {arm.name: int(plan.budget_amount) for arm in plan.arms}
        if plan.budget_kind == "samples"
        else {}
    )
    check_arms(plan, known)
    check_sizes(plan, tasks)
    budgets = _budgets(plan, options)
    if not known:
        check_arms(plan, {arm: budget.samples for arm, budget in budgets.items()})
    for arm in options.redo:
        shutil.rmtree(plan.work_dir / arm, ignore_errors=True)
    _write_trials(plan, budgets, options)
    return budgets, _run(plan, options)


def _gpus() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _budgets(plan: Plan, options: Options) -> dict[str, ArmBudget]:
    """Returns the budgets of all trained arms, measured where they are not on record."""
    configs = {trial.arm.name: trial.config for trial in reversed(plan.trials) if trial.arm.train}
    configs = {arm.name: configs[arm.name] for arm in plan.arms if arm.train}
    budgets = plan_budgets(
        configs,
        plan.work_dir / "budget.json",
        kind=plan.budget_kind,
        amount=plan.budget_amount,
        pilot=lambda arms: _pilots(plan, {arm: configs[arm] for arm in arms}, options),
    )
    for arm, budget in budgets.items():
        gflops = (
            ""
            if budget.flops_per_sample is None
            else f", {budget.flops_per_sample / 1e9:.3g} GFLOPs each"
        )
        speed = (
            ""
            if budget.seconds_per_sample is None
            else f", {1 / budget.seconds_per_sample:.1f} images/s in the pilot"
        )
        options.console.print(
            f"budget of {arm}: {budget.samples:,} samples{gflops}{speed} {budget.note}",
            markup=False,
        )
    return budgets


def _pilots(plan: Plan, configs: dict[str, dict[str, Any]], options: Options) -> dict[str, float]:
    """Runs a short training of every arm, as many at once as the comparison will, and returns
    seconds per sample.
    """
    folders = {
        arm: plan.work_dir / "pilots" / f"{arm}_{recipe_hash(config)}"
        for arm, config in configs.items()
    }
    tasks = []
    for arm, config in configs.items():
        shutil.rmtree(folders[arm], ignore_errors=True)
        write_config(pilot_config(config), folders[arm] / "config.py", header=f"pilot of {arm}")
        command = [
            *options.trainer,
            str(folders[arm] / "config.py"),
            "--work-dir",
            str(folders[arm]),
        ]
        tasks.append(Task(f"pilot of {arm}", command, folders[arm] / "log.txt"))
    monitor = Monitor({}, {}, options.jobs or default_jobs(_gpus()))
    with display(monitor, options.console) as watch:
        failures = run_tasks(
            tasks, options.jobs or default_jobs(_gpus()), gpus=_gpus(), watch=watch
        )
    if failures:
        raise PlanError(
            "\n".join(f"{f.task.name} failed ({f.task.log}):\n{f.tail}" for f in failures)
        )
    return {arm: pilot_seconds_per_sample(folder) for arm, folder in folders.items()}


def _write_trials(plan: Plan, budgets: dict[str, ArmBudget], options: Options) -> None:
    """Writes every trial's directory; a stale one stops the comparison before anything has run."""
    for trial in plan.trials:
        config = trial.config
        if trial.arm.train:
            config = with_samples(config, budgets[trial.arm.name].samples)
        write_trial(
            trial.directory, make_spec(trial, config, plan.benchmarks, options.trainer), config
        )


def unfinished(plan: Plan, only: Sequence[str] = ()) -> list[Trial]:
    """Returns the trials (of the arms in ``only``, or all) that lack a record."""
    chosen = [t for t in plan.trials if not only or t.arm.name in only]
    return [
        t
        for t in chosen
        if not (t.directory / "trial.json").is_file()
        or missing(t.directory, read_spec(t.directory))
    ]


def _run(plan: Plan, options: Options) -> list[Failure]:
    """Runs the unfinished trials and the missing baselines."""
    trials = unfinished(plan, options.only)
    jobs = options.jobs or default_jobs(_gpus())
    threads = thread_limits(jobs)["OMP_NUM_THREADS"]
    options.console.print(
        f"{plan.name}: {len(plan.trials)} trials, {len(plan.trials) - len(unfinished(plan))} "
        f"finished before, {len(trials)} to run, {jobs} at once, threads each: {threads} · "
        f"{plan.work_dir}",
        markup=False,
        soft_wrap=True,
    )
    tasks = [_task("trial", t.name, t.directory) for t in trials]
    directories = {t.name: t.directory for t in trials}
    weights = {t.name: float(read_spec(t.directory).samples) for t in trials}
    evaluation = EVALUATION_SHARE * max(weights.values(), default=0.0) or 1.0
    weights = {name: samples + evaluation for name, samples in weights.items()}
    for name, folder in _missing_baselines(plan).items():
        tasks.append(_task("baseline", f"baseline {name}", folder))
        weights[f"baseline {name}"] = evaluation
    with display(Monitor(directories, weights, jobs), options.console) as watch:
        return run_tasks(tasks, jobs, gpus=_gpus(), watch=watch)


def _missing_baselines(plan: Plan) -> dict[str, Path]:
    """Writes the baselines' requests; returns name/benchmark -> folder of those without a record."""
    folders = {}
    for baseline in plan.baselines:
        folder = plan.work_dir / "baselines" / baseline.path
        if baseline_record(folder, baseline) is None:
            write_request(folder, baseline)
            folders[baseline.path] = folder
    return folders


def _task(module: str, name: str, directory: Path) -> Task:
    """Returns the process that does the work of one directory."""
    command = [sys.executable, "-m", f"benchmarks.compare.{module}", str(directory)]
    return Task(name, command, directory / "log.txt", env=import_path())


def _report(plan: Plan, failures: Sequence[Failure], complete: bool, console: Console) -> None:
    """Prints failures and, last, one line on what to run next."""
    for failure in failures:
        console.print(
            f"\n[bold red]FAILED[/] {failure.task.name} (exit code {failure.code}), end of "
            f"{failure.task.log}:"
        )
        console.print(failure.tail, markup=False, highlight=False)
    page = plan.work_dir / "index.html"
    again = f"python tools/compare.py {plan.path} --work-dir {plan.work_dir}"
    if failures:
        line = f"Next: mend what failed, then {again} (does only what is missing)."
    elif not complete:
        line = f"Next: {again} (does what is missing)."
    else:
        line = f"Next: open {page}" + (f"; {plan.next_step}" if plan.next_step else "")
    console.print(line, markup=False, highlight=False, soft_wrap=True)
