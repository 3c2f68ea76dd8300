"""A comparison from its plan to its page: what ``pixelpretext compare`` calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.compare.arms import check_arms, check_columns, check_sizes
from benchmarks.compare.budget import ArmBudget, load_budgets, plan_budgets, with_samples
from benchmarks.compare.collect import started
from benchmarks.compare.costs import budget_sentence
from benchmarks.compare.evaluate import open_task
from benchmarks.compare.executors import Executor, Local
from benchmarks.compare.executors.attempts import ATTEMPTS
from benchmarks.compare.executors.base import Failure, Job
from benchmarks.compare.finish import finish
from benchmarks.compare.forecast import forecast
from benchmarks.compare.foresight import foresight
from benchmarks.compare.jobs import missing_jobs, unfinished
from benchmarks.compare.names import PlanError, check_names
from benchmarks.compare.parts import Plan
from benchmarks.compare.pilots import run_pilots
from benchmarks.compare.prepare import prepare
from benchmarks.compare.progress import run_watched
from benchmarks.compare.redo import discard
from benchmarks.compare.search import check_apart, tuning_notes, with_tuned
from benchmarks.compare.stopper import Stopper
from benchmarks.compare.stopping import check_stopping_apart, keep_decisions
from benchmarks.compare.trial_folder import TRAINER, TrialFolder, make_spec
from benchmarks.compare.tuning import run_searches
from benchmarks.evaluate.suite import Task
from pretrain.command_line import as_typed
from pretrain.files import require_writable
from pretrain.folder_lock import exclusive


@dataclass
class Options:
    """How to run, as opposed to what.

    Attributes:
        executor: runs trials, baselines and pilots.
        redo: arms whose results are thrown away first.
        only: arms to run; all when empty. The table always shows all.
        table_only: run nothing, rebuild table and page.
        attempts: how often a trial or baseline may fail until it is given up.
        retry: try those again that were given up.
        forecast: measure how long it will take, by short pilots and by an untrained arm's first
            trial, and say so before the rest.
        trainer: command that trains, see :class:`~benchmarks.compare.trial_folder.TrialSpec`.
    """

    executor: Executor = field(default_factory=Local)
    redo: Sequence[str] = ()
    only: Sequence[str] = ()
    table_only: bool = False
    attempts: int = ATTEMPTS
    retry: bool = False
    forecast: bool = False
    trainer: Sequence[str] = TRAINER
    console: Console = field(default_factory=Console)

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts={self.attempts}: must be at least 1")


def run_comparison(plan: Plan, options: Options) -> int:
    """Does what is missing of a comparison and writes table, pictures and page.

    Returns:
        Exit code: 0, or 1 if a job failed or was given up earlier (its log's end is printed; the
            others' results are in the table).

    Raises:
        ValueError: the executor cannot give a trial what it needs.
        PlanError: an unknown arm in ``redo`` or ``only``, one in ``redo`` that still runs or waits,
            a stale trial, data that is missing or wrong, a budget that buys nothing or less than
            the warm-up, nothing to make a table of.
        OSError: the folder cannot be written.
        Busy: another process runs this comparison.
        KeyboardInterrupt: interrupted; all jobs have ended, and running again goes on.
    """
    arms = list(dict.fromkeys(part.name for part in (*plan.arms, *plan.searches)))
    check_names("arm in --redo:", options.redo, arms)
    check_names("arm in --only:", options.only, arms)
    if options.table_only:
        return _show(plan, options.console)
    options.executor.require(plan.resources)
    require_writable(plan.work_dir, "--work-dir", folder=True)
    with exclusive(plan.work_dir, "comparison", wait_s=1):
        prepare(plan.prepare)
        tasks = _check(plan)
        discard(plan.work_dir, options.redo, options.executor)
        failures = _search(plan, options)
        plan = with_tuned(plan)
        budgets = _budgets(plan, options)
        _write_trials(plan, budgets, options)
        jobs, given_up = _jobs(plan, options)
        _announce(plan, jobs, options)
        if jobs:
            line = foresight(plan, tasks[plan.primary.split(".", 1)[0]])
            options.console.print(line, markup=False, highlight=False, soft_wrap=True)
            if options.forecast:
                jobs = _forecast(plan, budgets, jobs, options=options)
        failures += _run(plan, jobs, options)
        complete = finish(plan, budgets, console=options.console)
    _report(plan, [*given_up, *failures], complete=complete, console=options.console)
    return 1 if failures or given_up else 0


def _run(plan: Plan, jobs: Sequence[Job], options: Options) -> list[Failure]:
    """Runs jobs, and stops trials where the plan has a rule for that; returns the failures."""
    watching = {}
    if plan.stopping is not None:
        watching["look"] = Stopper(plan, options.console).look
    return run_watched(
        options.executor, jobs, console=options.console, attempts=options.attempts, **watching
    )


def _jobs(plan: Plan, options: Options) -> tuple[list[Job], list[Failure]]:
    """Returns what there is to run, and the failures of what is given up."""
    jobs, given_up = [], []
    for job in missing_jobs(plan, options.only):
        if options.retry:
            job.attempts.forget()
        times = job.attempts.failed
        if times >= options.attempts:
            given_up.append(Failure(job.name, f"given up, failed {times} times", job.log))
        else:
            jobs.append(job)
    return jobs, given_up


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
    _report(plan, [], complete=complete, console=console)
    return 0


def _check(plan: Plan) -> dict[str, Task]:
    """Refuses what would show hours later: data that are not there, columns that stay empty, sizes
    that a network does not take, arms that cannot be built. Returns the opened benchmarks.
    """
    tasks = {benchmark.name: open_task(benchmark) for benchmark in plan.benchmarks}
    check_columns(plan, tasks)
    known = plan.budget_kind == "samples"
    samples = {arm.name: int(plan.budget_amount) for arm in plan.arms} if known else {}
    check_arms(plan, samples)
    check_sizes(plan, tasks)
    check_stopping_apart(plan, tasks)
    for search in plan.searches[:1]:  # all have one benchmark
        tuning = open_task(search.benchmark)
        if tuning.metrics is not None:
            where = f"metric of arm {search.arm.name!r}: tune:"
            check_names(where, [search.metric], tuning.metrics)
        check_apart(search, tuning, tasks)
        check_sizes(plan, {"tuning": tuning})
    return tasks


def _search(plan: Plan, options: Options) -> list[Failure]:
    """Runs what is missing of the searches of ``only``; returns the failures."""
    chosen = [part for part in plan.searches if not options.only or part.name in options.only]
    failures = run_searches(
        plan,
        chosen,
        trainer=options.trainer,
        budgets=partial(_measure, plan, options),
        run=partial(
            run_watched, options.executor, console=options.console, attempts=options.attempts
        ),
    )
    for note in tuning_notes(plan):
        options.console.print(note, markup=False, highlight=False, soft_wrap=True)
    return failures


def _budgets(plan: Plan, options: Options) -> dict[str, ArmBudget]:
    """Returns the budgets of all trained arms, measured where they are not on record."""
    budgets = _measure(plan, options, plan.recipes, plan.work_dir / "budget.json")
    for arm, budget in budgets.items():
        options.console.print(f"budget of {arm}: {budget}", markup=False)
    kind = plan.budget_kind
    if budgets:
        spends = {arm: budget.spends(kind) for arm, budget in budgets.items()}
        line = budget_sentence(kind, spends)
        options.console.print(line, markup=False, highlight=False, soft_wrap=True)
    if kind != "samples":
        check_arms(plan, {arm: budget.samples for arm, budget in budgets.items()})
    return budgets


def _measure(
    plan: Plan, options: Options, recipes: dict[str, dict[str, Any]], record: Path
) -> dict[str, ArmBudget]:
    """Returns the budgets of recipes by name, as far as possible from their ``record``."""

    def pilot(names: Sequence[str]) -> dict[str, float]:
        chosen = {name: recipes[name] for name in names}
        return _pilots(plan, options, chosen, record.parent / "pilots")

    kind, amount = plan.budget_kind, plan.budget_amount
    return plan_budgets(recipes, record, kind=kind, amount=amount, pilot=pilot)


def _pilots(
    plan: Plan, options: Options, recipes: dict[str, dict[str, Any]], folder: Path
) -> dict[str, float]:
    """Returns seconds per image of recipes by name."""
    return run_pilots(
        recipes,
        folder,
        executor=options.executor,
        resources=plan.resources,
        trainer=options.trainer,
        console=options.console,
    )


def _forecast(
    plan: Plan, budgets: dict[str, ArmBudget], jobs: Sequence[Job], *, options: Options
) -> list[Job]:
    """Says how long the missing trials will take; returns the jobs that are left.

    The first trial without training is done for it, and pilots run of arms whose speed is unknown.
    """
    trials = {trial.name: trial for trial in plan.trials}
    untrained = [job for job in jobs if job.name in trials and not trials[job.name].arm.train]
    run_watched(options.executor, untrained[:1], console=options.console)
    evaluation = None
    for job in untrained[:1]:
        folder = TrialFolder(job.directory)
        if not folder.missing():
            evaluation = folder.state().get("evaluation_seconds")
            jobs = [other for other in jobs if other is not job]
    missing = [trials[job.name] for job in jobs if job.name in trials]
    seconds, unknown = {}, {}
    for arm in dict.fromkeys(trial.arm.name for trial in missing if trial.arm.train):
        if budgets[arm].seconds_per_sample is None:
            unknown[arm] = plan.recipes[arm]
        else:
            seconds[arm] = budgets[arm].seconds_per_sample
    if unknown:
        seconds |= _pilots(plan, options, unknown, plan.work_dir / "pilots")
    if missing:
        line = forecast(
            missing,
            samples={arm: budget.samples for arm, budget in budgets.items()},
            seconds=seconds,
            evaluation=evaluation,
            at_once=options.executor.at_once,
        )
        options.console.print(line, markup=False, highlight=False, soft_wrap=True)
    return list(jobs)


def _write_trials(plan: Plan, budgets: dict[str, ArmBudget], options: Options) -> None:
    """Writes every trial's folder; a stale one stops the comparison before any has run."""
    for trial in plan.trials:
        config = trial.config
        if trial.arm.train:
            config = with_samples(config, budgets[trial.arm.name].samples)
        spec = make_spec(trial, config, benchmarks=plan.benchmarks, trainer=options.trainer)
        folder = TrialFolder(trial.directory)
        folder.write(spec, config)
        keep_decisions(folder, plan.stopping)


def _announce(plan: Plan, jobs: Sequence[Job], options: Options) -> None:
    """Prints how much there is to do, and how it is run."""
    finished = len(plan.trials) - len(unfinished(plan.trials))
    trials = {trial.name for trial in plan.trials}
    to_run = sum(job.name in trials for job in jobs)
    options.console.print(
        f"{plan.name}: {len(plan.trials)} trials, {finished} finished before, {to_run} to run, "
        f"{options.executor.describe()} · {plan.work_dir}",
        markup=False,
        soft_wrap=True,
    )


def _report(plan: Plan, failures: Sequence[Failure], *, complete: bool, console: Console) -> None:
    """Prints failures and, last, one line on what to run next."""
    for failure in failures:
        console.print(
            f"\n[bold red]FAILED[/] {failure.name} ({failure.reason}), end of {failure.log}:"
        )
        console.print(failure.tail(), markup=False, highlight=False)
    page = plan.work_dir / "index.html"
    again = f"pixelpretext compare {plan.path} --work-dir {plan.work_dir}"
    if failures:
        line = (
            f"Next: fix what failed, then {again} --retry (it does only what is missing; without "
            "--retry nothing that was given up)."
        )
    elif not complete:
        line = f"Next: {again} (does what is missing)."
    else:
        line = f"Next: open {page}" + (f"; {plan.next_step}" if plan.next_step else "")
    console.print(as_typed(line), markup=False, highlight=False, soft_wrap=True)
