"""Runs the searches of a comparison: Optuna proposes settings, the executor trains them.

Settings are proposed in batches, each from the results of all earlier batches and a seed of its
own, and told in order. So what is proposed does not depend on what ended first, and a search killed
anywhere proposes the same again: folders hold the results, the study (``study.log``, Optuna's
journal) is written anew from them wherever the two disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.compare.budget import ArmBudget, with_samples
from benchmarks.compare.executors.base import Failure, Job
from benchmarks.compare.jobs import missing_jobs
from benchmarks.compare.names import PlanError
from benchmarks.compare.parts import Plan, Search, Trial
from benchmarks.compare.search import (
    Result,
    keep_result,
    known_result,
    levels_text,
    search_folder,
    spent_minutes,
    trials_of,
)
from benchmarks.compare.space import Axis, Level
from benchmarks.compare.trial_folder import StaleTrial, TrialFolder, make_spec

Budgets = Callable[[dict[str, dict[str, Any]], Path], dict[str, ArmBudget]]
Run = Callable[[Sequence[Job]], Sequence[Failure]]


@dataclass(frozen=True)
class Setting:
    """A proposal.

    Attributes:
        number: from 0.
        levels: one per axis.
        trials: one per seed.
    """

    number: int
    levels: tuple[Level, ...]
    trials: tuple[Trial, ...]

    def scores(self, search: Search) -> list[float]:
        """What its finished trials scored, higher is better; in the order of their seeds."""
        scores = []
        for trial in self.trials:
            folder = TrialFolder(trial.directory)
            record = folder.measured().get(search.benchmark.name) if folder.is_written else None
            if record is not None:
                metric = record.metrics[search.metric]
                scores.append(-metric.value if metric.better == "lower" else metric.value)
        return scores

    def score(self, search: Search) -> float | None:
        """Their mean; None if a trial lacks a number."""
        scores = self.scores(search)
        if len(scores) < len(self.trials) or not all(map(math.isfinite, scores)):
            return None
        return sum(scores) / len(scores)


def require_optuna() -> Any:
    """Returns the package.

    Raises:
        PlanError: it is not installed; says how to install it.
    """
    try:
        import optuna
    except ImportError:
        raise PlanError(
            "tune=…: needs Optuna: pip install '.[tune]' in the repository, or pip install optuna"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def run_searches(
    plan: Plan,
    searches: Sequence[Search],
    *,
    trainer: Sequence[str],
    budgets: Budgets,
    run: Run,
) -> list[Failure]:
    """Runs what is missing of searches, all of them at the same time; their results are kept.

    Args:
        plan: the comparison.
        searches: some of its.
        trainer: command that trains.
        budgets: (name -> recipe, file that keeps them) -> name -> budget.
        run: runs jobs and returns the failures.

    Returns:
        Failures. A setting that fails counts as tried and is not chosen.

    Raises:
        PlanError: Optuna is missing, a folder holds another search, no setting gave a number.
    """
    todo = [search for search in searches if known_result(search, plan.work_dir) is None]
    studies = [_Study(search, search_folder(search, plan.work_dir)) for search in todo]
    failures: list[Failure] = []
    while True:
        batches = {study: study.batch() for study in studies}
        if not any(batches.values()):
            break
        trials: list[Trial] = []
        for study, batch in batches.items():
            study.write(batch, trainer=trainer, budgets=budgets)
            for setting in study.open(batch):
                trials += setting.trials
        jobs = missing_jobs(replace(plan, trials=tuple(trials), baselines=()))
        failures += run(jobs)
        for study, batch in batches.items():
            study.tell(batch)
    for study in studies:
        keep_result(study.result(), study.folder)
    return failures


class _Study:
    """A search and how far it is."""

    def __init__(self, search: Search, folder: Path) -> None:
        self.optuna = require_optuna()
        self.search, self.folder = search, folder
        self.file = folder / "study.log"
        self.settings: list[Setting] = []  # told ones, in order
        folder.mkdir(parents=True, exist_ok=True)
        self.study = self._open()
        if not self._agrees():
            self.file.unlink()
            self.study = self._open()

    def _open(self) -> Any:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        storage = JournalStorage(JournalFileBackend(str(self.file)))
        return self.optuna.create_study(
            storage=storage, study_name="search", direction="maximize", load_if_exists=True
        )

    def _agrees(self) -> bool:
        """Whether the study holds what the folders hold: complete proposals, their scores."""
        for trial in self.study.get_trials(deepcopy=False):
            if set(trial.params) != {axis.key for axis in self.search.space}:
                return False
            setting = self._setting(trial.number, trial.params)
            score = setting.score(self.search)
            if trial.state.is_finished() and trial.value != score:
                return False
        return True

    def batch(self) -> list[Setting]:
        """Returns the next proposals, fewer or none at the end; those of a batch that was
        interrupted are the same again.
        """
        start = len(self.settings)
        end = min(start + self.search.batch, self.search.trials)
        known = self.study.get_trials(deepcopy=False)
        proposed = []
        for number in range(start, end):
            if number < len(known):
                params = known[number].params
            else:
                params = self._ask(number)
            proposed.append(self._setting(number, params))
        return proposed

    def _ask(self, number: int) -> dict[str, Any]:
        # A sampler of its own: its draws depend on the number and on what has been told, not on
        # how many draws this process has made. The first batch is random.
        seed = (self.search.seed * 100_003 + number) % 2**32
        samplers = self.optuna.samplers
        self.study.sampler = samplers.TPESampler(seed=seed, n_startup_trials=self.search.batch)
        return self.study.ask({axis.key: self._range(axis) for axis in self.search.space}).params

    def _range(self, axis: Axis) -> Any:
        distributions = self.optuna.distributions
        if axis.levels:
            return distributions.CategoricalDistribution(range(len(axis.levels)))
        kind = distributions.IntDistribution if axis.whole else distributions.FloatDistribution
        return kind(axis.low, axis.high, log=axis.log)

    def _setting(self, number: int, params: dict[str, Any]) -> Setting:
        levels = []
        for axis in self.search.space:
            value = params[axis.key]
            levels.append(axis.levels[value] if axis.levels else axis.level(value))
        trials = trials_of(self.search, number, levels, self.folder)
        return Setting(number, tuple(levels), tuple(trials))

    def write(self, batch: Sequence[Setting], *, trainer: Sequence[str], budgets: Budgets) -> None:
        """Writes the folders of proposals.

        Raises:
            PlanError: one holds work of another search.
        """
        settings = [*self.settings, *batch]
        recipes = {str(setting.number): setting.trials[0].config for setting in settings}
        known = budgets(recipes, self.folder / "budget.json")
        for setting in batch:
            samples = known[str(setting.number)].samples
            for trial in setting.trials:
                config = with_samples(trial.config, samples)
                spec = make_spec(
                    trial, config, benchmarks=(self.search.benchmark,), trainer=trainer
                )
                try:
                    TrialFolder(trial.directory).write(spec, config)
                except StaleTrial as error:
                    changes = str(error).rpartition("\n")[0]
                    raise PlanError(
                        f"{changes}\nThis search was begun with another space or recipe. Discard "
                        f"it with --redo {self.search.name}, or choose another --work-dir."
                    ) from error

    def open(self, batch: Sequence[Setting]) -> list[Setting]:
        """Returns the proposals whose end is not known: a failure that has been told stays one."""
        known = self.study.get_trials(deepcopy=False)
        return [item for item in batch if not known[item.number].state.is_finished()]

    def tell(self, batch: Sequence[Setting]) -> None:
        """Keeps what has become of proposals, in their order."""
        states, known = self.optuna.trial.TrialState, self.study.get_trials(deepcopy=False)
        for setting in batch:
            self.settings.append(setting)
            if known[setting.number].state.is_finished():
                continue
            score = setting.score(self.search)
            state = states.FAIL if score is None else None
            self.study.tell(setting.number, score, state=state)

    def result(self) -> Result:
        """Returns the best setting, the first of equally good ones.

        Raises:
            PlanError: none gave a number.
        """
        search = self.search
        scored = []
        for setting in self.settings:
            score = setting.score(search)
            if score is not None:
                scored.append((score, -setting.number))
        if not scored:
            raise PlanError(
                f"arm {search.arm.name!r}: tune: none of {search.trials} settings gave a number; "
                f"see the logs in {self.folder}, then discard the search with --redo {search.name}"
            )
        _, number = max(scored)
        best = self.settings[-number]
        overrides: dict[str, Any] = {}
        for level in best.levels:
            overrides |= level.overrides
        folders = [trial.directory for setting in self.settings for trial in setting.trials]
        values = []
        for trial in best.trials:
            record = TrialFolder(trial.directory).measured()[search.benchmark.name]
            values.append(record.metrics[search.metric].value)
        return Result(
            search=search.hash,
            number=best.number,
            values=levels_text(search.space, best.levels),
            overrides=overrides,
            score=sum(values) / len(values),
            trials=search.trials,
            failed=len(self.settings) - len(scored),
            minutes=sum(spent_minutes(TrialFolder(folder)) for folder in folders),
        )
