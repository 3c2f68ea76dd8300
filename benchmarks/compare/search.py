"""Settings that are searched for before an arm is compared: ``tune=dict(…)`` of an arm.

    PixPro=dict(
        tune=dict(
            space={"schedule.lr": dict(low=1e-4, high=1e-2, log=True)},  # see the module space
            trials=8,  # settings to try, the same for every arm that is tuned
            benchmark=dict(type="retrieval", data=dict(…)),  # on images that no column is scored on
            metric="mIoU",  # of that benchmark; the primary one's if left out
            seeds=(10_000,),  # that no row uses; a setting's score is the mean over them
            batch=4,  # settings proposed at once, from the results of all before them
            seed=0,  # of the searcher
        )
    )

The arm keeps its row. The best setting gets a row of its own, ``PixPro+tuned``, and runs on the
table's seeds. All of a search lies in ``PixPro+tuned/search``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from benchmarks.compare.configs import config_hash, load_config, refuse_set_later
from benchmarks.compare.evaluate import check_benchmark
from benchmarks.compare.names import PlanError, check_names, check_seeds
from benchmarks.compare.parts import Arm, Evaluation, Plan, Search, Trial
from benchmarks.compare.space import Axis, Level, read_space
from benchmarks.compare.sweep import settings_of
from benchmarks.compare.trial_folder import TrialFolder
from benchmarks.data.parts import shared_images
from benchmarks.evaluate.suite import Task, find_benchmark
from pretrain.engine.check import check_config
from pretrain.engine.settings import ConfigError
from pretrain.files import atomic_write, read_dict

KEYS = ("space", "trials", "benchmark", "metric", "seeds", "batch", "seed")
SEEDS, BATCH = (10_000,), 4


def read_search(raw: Any, arm: Arm, common: dict[str, Any], *, primary: str) -> Search:
    """Checks an arm's ``tune``.

    Args:
        raw: as in the config.
        arm: that it belongs to.
        common: overrides of all arms.
        primary: ``benchmark.metric`` that ranks.

    Raises:
        PlanError: a missing or misspelt key, a value that is none, a setting that the recipe does
            not take.
    """
    where = f"arm {arm.name!r}: tune"
    if not isinstance(raw, dict):
        raise PlanError(
            f"{where} = {raw!r}: must be dict(space={{…}}, trials=8, benchmark=dict(…))"
        )
    if not arm.train:
        raise PlanError(f"{where}: an arm with train=False has nothing to tune; remove one of them")
    check_names(f"key of {where}:", raw, KEYS)
    benchmark = raw.get("benchmark")
    if not isinstance(benchmark, dict) or not isinstance(benchmark.get("data"), dict):
        raise PlanError(f"{where}: benchmark = {benchmark!r}: needs type='…' and data=dict(…)")
    settings = {key: value for key, value in benchmark.items() if key not in ("type", "data")}
    evaluation = Evaluation("tuning", benchmark.get("type"), benchmark["data"], settings)
    check_benchmark(evaluation)
    metric = raw.get("metric", primary.split(".", 1)[1])
    known = find_benchmark(evaluation.type).metrics
    check_names(f"metric of {where} (metric='…'):", [metric], known)
    search = Search(
        arm=arm,
        common=common,
        space=read_space(raw.get("space"), f"{where}: space"),
        trials=_count(raw.get("trials"), f"{where}: trials"),
        benchmark=evaluation,
        metric=metric,
        seeds=check_seeds(f"{where}: seeds", raw.get("seeds", SEEDS)),
        batch=_count(raw.get("batch", BATCH), f"{where}: batch"),
        seed=_count(raw.get("seed", 0), f"{where}: seed", least=0),
    )
    for axis in search.space:
        for level in axis.levels or (axis.at(0.0), axis.at(1 - 1e-9)):
            refuse_set_later(level.overrides, where)
            recipe_with(search, [level])
    return search


def _count(value: Any, where: str, *, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PlanError(f"{where} = {value!r}: a whole number, at least {least}")
    return value


def check_searches(
    searches: Sequence[Search],
    *,
    arms: Sequence[Arm],
    seeds: Sequence[int],
    benchmarks: Sequence[Evaluation],
) -> None:
    """Checks what the searches of a comparison owe to one another and to its table.

    Raises:
        PlanError: unequal numbers of trials, seeds or benchmarks, seeds of the table, data of the
            table, an arm with the name of a tuned one.
    """
    for search in searches:
        name, first = search.arm.name, searches[0]
        for key in ("trials", "seeds", "benchmark", "metric"):
            own, other = getattr(search, key), getattr(first, key)
            if own != other:
                raise PlanError(
                    f"arm {name!r}: tune: {key} = {_short(own)}, but {_short(other)} of arm "
                    f"{first.arm.name!r}: tuning is fair only with the same for every arm"
                )
        common = sorted(set(search.seeds) & set(seeds))
        if common:
            raise PlanError(
                f"arm {name!r}: tune: seeds {common} are seeds of the table, whose numbers would "
                "be those that it was chosen by; take others"
            )
        for benchmark in benchmarks:
            if config_hash(benchmark.data) == config_hash(search.benchmark.data):
                raise PlanError(
                    f"arm {name!r}: tune: its benchmark scores the data of {benchmark.name!r}, "
                    "which the table shows; hold a part of the training images back for it"
                )
        if search.name in [arm.name for arm in arms]:
            raise PlanError(f"arm {search.name!r}: the tuned {name!r} is called that; rename it")


def _short(value: Any) -> Any:
    return f"{value.type} on {value.data}" if isinstance(value, Evaluation) else value


def check_apart(search: Search, tuning: Task, tasks: Mapping[str, Task]) -> None:
    """Checks on the images themselves that a search scores none that the table scores.

    Args:
        search: any of the comparison: all have one benchmark.
        tuning: its opened benchmark.
        tasks: the table's.

    Raises:
        PlanError: they share images; says how many and the first one.
    """
    own = scored_files(tuning)
    for name, task in tasks.items():
        shared = shared_images(scored_files(task), own)
        if shared:
            raise PlanError(
                f"arm {search.arm.name!r}: tune: {len(shared)} of the {len(own)} images that its "
                f"benchmark scores are scored by {name!r} of the table, too, the first: "
                f"{shared[0][0]}; hold a part of the training images back for it"
            )


def scored_files(task: Task) -> list[Path]:
    """Files of the images that a benchmark scores; none where its data set does not tell."""
    return list(getattr(getattr(task.data, "val", None), "files", ()))


def recipe_with(search: Search, levels: Sequence[Level]) -> dict[str, Any]:
    """Returns the arm's recipe with these values.

    Raises:
        PlanError: the recipe does not take one of them.
    """
    where = f"arm {search.arm.name!r}: tune"
    changes = [level.overrides for level in levels]
    arm = search.arm
    recipe = load_config(arm.config, search.common, arm.overrides, *changes, where=where)
    recipe.pop("work_dir", None)
    try:
        check_config(Config(recipe))
    except ConfigError as error:
        raise PlanError(f"{where}: {', '.join(level.text for level in levels)}: {error}") from error
    return recipe


def trials_of(search: Search, number: int, levels: Sequence[Level], folder: Path) -> list[Trial]:
    """Returns the trials of one setting, one per seed of the search.

    Args:
        number: of the setting, from 0.
        levels: its values, one per axis.
        folder: of the search.
    """
    recipe = recipe_with(search, levels)
    arm = replace(search.arm, name=f"{search.name}.{number}", sweep=None)
    place = folder / f"trial_{number:03d}"
    trials = []
    for seed in search.seeds:
        trials.append(Trial(arm, seed, place / f"seed_{seed}", {**recipe, "seed": seed}))
    return trials


@dataclass(frozen=True)
class Result:
    """What a search ended with; ``best.json`` in its folder.

    Attributes:
        search: fingerprint of what was asked for.
        number: of the best setting.
        values: dotted key or name of choices -> value, as text.
        overrides: what it changes in the recipe.
        score: mean of the metric over the search's seeds.
        trials: how many settings were tried.
        failed: how many of them gave no number.
        minutes: what all of them took, training and evaluation.
    """

    search: str
    number: int
    values: dict[str, str]
    overrides: dict[str, Any]
    score: float
    trials: int
    failed: int
    minutes: float

    def __str__(self) -> str:
        values = ", ".join(f"{key} = {value}" for key, value in self.values.items())
        failed = f" ({self.failed} failed)" if self.failed else ""
        return f"{values}: the best of {self.trials} trials{failed}, {self.minutes:.1f} min"


def search_folder(search: Search, work_dir: Path) -> Path:
    """Returns where a search keeps its study, its trials and its result."""
    return work_dir / search.name / "search"


def known_result(search: Search, work_dir: Path) -> Result | None:
    """Returns what a search has ended with; None while it has not, or was another one."""
    content = read_dict(search_folder(search, work_dir) / "best.json")
    return Result(**content) if content.get("search") == search.hash else None


def keep_result(result: Result, folder: Path) -> None:
    """Writes it."""
    atomic_write(folder / "best.json", json.dumps(result.__dict__, indent=1))


def tuned_arm(search: Search, result: Result) -> Arm:
    """Returns the arm of a search's best setting."""
    arm = search.arm
    overrides = {**arm.overrides, **result.overrides}
    return replace(arm, name=search.name, overrides=overrides, sweep=None, tuned=result.trials)


def with_tuned(plan: Plan) -> Plan:
    """Returns the plan with the arm of every search that has ended, behind the arm it was made
    from, and without those of searches that have not.
    """
    results = {search.arm.name: known_result(search, plan.work_dir) for search in plan.searches}
    arms, recipes = [], {}
    for arm in plan.arms:
        if not arm.tuned:
            arms.append(arm)
    for search in plan.searches:
        result = results[search.arm.name]
        if result is not None:
            tuned = tuned_arm(search, result)
            arms.insert(arms.index(search.arm) + 1, tuned)
            recipes[tuned.name] = recipe_with(search, [Level("", result.overrides)])
    known = {(trial.arm.name, trial.seed): trial for trial in plan.trials}
    trials = []
    for seed in plan.seeds:
        for arm in arms:
            if arm.tuned:
                place = plan.work_dir / arm.name / f"seed_{seed}"
                trials.append(Trial(arm, seed, place, {**recipes[arm.name], "seed": seed}))
            else:
                trials.append(known[arm.name, seed])
    return replace(plan, arms=tuple(arms), trials=tuple(trials))


def arm_settings(plan: Plan) -> dict[str, dict[str, str]]:
    """Returns arm -> what stands in its columns of settings: ``setting`` where the comparison tunes
    an arm, and the keys of its sweeps.
    """
    settings = settings_of(plan.arms, plan.recipes)
    searched = [search.arm.name for search in plan.searches]
    for arm in plan.arms:
        own = {}
        if arm.tuned:
            own["setting"] = f"tuned ({arm.tuned} trials)"
        elif arm.name in searched:
            own["setting"] = "default"
        if plan.searches:
            settings[arm.name] = own | settings.get(arm.name, {})
    return settings


def tuning_notes(plan: Plan) -> list[str]:
    """Returns a sentence per search that has ended: what it chose, by what, from how many."""
    notes = []
    for search in plan.searches:
        result = known_result(search, plan.work_dir)
        if result is not None:
            seeds = ", ".join(map(str, search.seeds))
            notes.append(
                f"{search.name}: {result}; chosen by {search.metric} of {search.benchmark.type} = "
                f"{result.score:.2f} on images and seeds ({seeds}) that no row uses."
            )
    return notes


def spent_minutes(folder: TrialFolder) -> float:
    """Returns the minutes that a trial has taken, training and evaluation, over all attempts."""
    state = folder.state()
    seconds = state.get("pretrain_seconds", 0.0) + state.get("evaluation_seconds", 0.0)
    return seconds / 60


def levels_text(space: Sequence[Axis], levels: Sequence[Level]) -> dict[str, str]:
    """Returns key -> value, as text."""
    return {axis.key: level.text for axis, level in zip(space, levels, strict=True)}
