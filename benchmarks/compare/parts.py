"""What a comparison consists of: arms, benchmarks, baselines, trials and the plan that holds them.
Plain data.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.compare.configs import config_hash, inherited
from benchmarks.compare.executors.base import Resources
from benchmarks.compare.space import Axis


def inherited_text(path: str | Path) -> list[str]:
    """Returns the text of a config file and of all that it inherits from."""
    return [file.read_text(encoding="utf-8") for file in inherited(path)]


@dataclass(frozen=True)
class Membership:
    """Where a generated arm comes from, see :mod:`benchmarks.compare.sweep`.

    Attributes:
        name: of the arm in the config that it was made from.
        kind: ``grid``, ``vary`` or ``sample``.
        levels: label of each key -> the arm's value, as text.
        keys: label -> dotted key; labels of named choices are left out.
    """

    name: str
    kind: str
    levels: dict[str, str]
    keys: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Arm:
    """One competitor.

    Attributes:
        config: recipe file.
        overrides: merged into the recipe after the comparison's common overrides, dotted keys.
        train: False evaluates the backbone as a training with this recipe and seed starts it.
        sweep: what generated it; None for an arm written by hand.
        tuned: trials of the search that chose its settings; 0: none was made.
    """

    name: str
    config: Path
    overrides: dict[str, Any] = field(default_factory=dict)
    train: bool = True
    sweep: Membership | None = None
    tuned: int = 0


@dataclass(frozen=True)
class Evaluation:
    """A benchmark as a comparison runs it, under a name of its own.

    Attributes:
        type: the benchmark, by its name or that of its module.
        data: arguments of its data set.
        settings: fields of its ``Settings`` that are not left at their defaults.
    """

    name: str
    type: str
    data: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """Changes with anything that may change the number, the content of a recipe it names
        included.
        """
        content = []
        for value in self.settings.values():
            if isinstance(value, str) and value.endswith(".py") and Path(value).is_file():
                content += inherited_text(value)
        return config_hash([self.type, self.data, self.settings, *content])


@dataclass(frozen=True)
class Search:
    """What is searched for an arm, see :mod:`benchmarks.compare.search`.

    Attributes:
        arm: whose settings are searched.
        common: overrides of all arms of the comparison.
        space: keys and what they may be.
        trials: settings that are tried.
        benchmark: what scores them.
        metric: of its record.
        seeds: each setting is trained with; its score is their mean.
        batch: settings that are proposed at once.
        seed: of the searcher.
    """

    arm: Arm
    common: dict[str, Any]
    space: tuple[Axis, ...]
    trials: int
    benchmark: Evaluation
    metric: str
    seeds: tuple[int, ...]
    batch: int
    seed: int

    @property
    def name(self) -> str:
        """Of the arm that gets the best setting."""
        return f"{self.arm.name}+tuned"

    @property
    def hash(self) -> str:
        """Changes with anything that may change what is found."""
        arm = [inherited_text(self.arm.config), self.arm.overrides, self.common]
        how = [self.trials, self.metric, self.seeds, self.batch, self.seed]
        return config_hash([arm, [asdict(axis) for axis in self.space], self.benchmark.hash, how])


@dataclass(frozen=True)
class Baseline:
    """A trivial predictor: ``type`` names it, ``benchmark`` gives its data, sizes and the columns
    it stands in.
    """

    name: str
    type: str
    benchmark: Evaluation
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """``name/benchmark``, as on screen and on disk."""
        return f"{self.name}/{self.benchmark.name}"

    @property
    def hash(self) -> str:
        """Changes with anything that may change the number."""
        return config_hash([self.type, self.settings, self.benchmark.hash])


@dataclass(frozen=True)
class Trial:
    """One arm with one seed; everything it makes lies in ``directory``.

    Attributes:
        config: the arm's resolved recipe with ``seed`` set; the budget is not yet in it.
    """

    arm: Arm
    seed: int
    directory: Path
    config: dict[str, Any]

    @property
    def name(self) -> str:
        """``arm/seed_K``, as on screen and on disk."""
        return f"{self.arm.name}/seed_{self.seed}"


@dataclass(frozen=True)
class Stopping:
    """When trials end before their budget is spent, see :mod:`benchmarks.compare.stopping`.

    Attributes:
        type: ``median`` or ``halving``.
        metric: ``benchmark.metric`` that decides, of ``EvaluationHook``.
        after: samples before which no trial is stopped; of ``halving``, its first rung.
        trials: of ``median``: how many must have finished before any is stopped.
        factor: of ``halving``: one in so many goes on at each rung.
    """

    type: str
    metric: str
    after: int
    trials: int = 4
    factor: int = 3

    @property
    def hash(self) -> str:
        """Changes with anything that may change what is stopped."""
        return config_hash(asdict(self))

    def __str__(self) -> str:
        if self.type == "median":
            return (
                f"the median of {self.metric} of the finished trials at the same number of "
                f"samples, from {self.after:,} samples and {self.trials} finished trials on"
            )
        return (
            f"asynchronous successive halving by {self.metric}, one in {self.factor} at "
            f"{self.after:,} samples and at {self.factor} times as many each time"
        )


@dataclass(frozen=True)
class Plan:
    """A checked comparison; :mod:`benchmarks.compare.plan` explains the keys."""

    path: Path
    work_dir: Path
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    benchmarks: tuple[Evaluation, ...]
    budget_kind: str
    budget_amount: float
    primary: str
    trials: tuple[Trial, ...]
    prepare: dict[str, dict[str, Any]] = field(default_factory=dict)
    baselines: tuple[Baseline, ...] = ()
    pictures: dict[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ()
    planned: tuple[str, str] | None = None
    expected_sd: float | None = None
    title: str = ""
    next_step: str = ""
    resources: Resources = Resources()
    searches: tuple[Search, ...] = ()
    stopping: Stopping | None = None

    @property
    def name(self) -> str:
        """Name of the comparison: its config's file name."""
        return self.path.stem

    @property
    def recipes(self) -> dict[str, dict[str, Any]]:
        """Trained arm -> its resolved recipe with the first seed; the budget is not in it."""
        recipes = {}
        for trial in self.trials:
            if trial.arm.train:
                recipes.setdefault(trial.arm.name, trial.config)
        return recipes
