"""What a comparison shall do: its config read, checked and expanded into trials before any work
starts.

A comparison config is a Python file with these keys (``KEYS`` below is the list that is checked):

    base = "quick/scenes64"             # recipe of every arm that names none of its own
    overrides = {"source.root": "data/…"}                       # merged into every arm, dotted keys
    budget = dict(samples=30_000)       # or flops=…, or seconds=… per trial
    seeds = (0, 1, 2)
    # A grid=, vary= or sample= makes several arms of one: benchmarks/compare/sweep.py
    # tune=dict(…) adds an arm with the best setting of a search: benchmarks/compare/search.py
    arms = dict(NAME=dict(config=None, overrides={}, train=True))
    benchmarks = dict(NAME=dict(type="retrieval", data=dict(…), …settings))
    primary = "retrieval.mIoU"          # NAME.metric that ranks the arms, the best first
    prepare = dict(scenes=dict(out=…, images=…, size=…, seed=…))  # data that is written if missing
    # Trivial predictors below the arms. type= may be left out if the name is one, benchmark= may be
    # several names.
    baselines = dict(NAME=dict(type="pixels", benchmark="knn"))
    pictures = dict(folder=…, count=6, size=128)                  # images of the PCA sheets
    columns = ("retrieval.mIoU", …)     # metrics to show; all when left out
    statistics = ("bootstrap", …)       # further columns: benchmarks/report/statistics
    planned = ("PixPro", "SimCLR")      # one difference to be tested alone, named before the run
    expected_sd = 0.8                   # spread over seeds in the primary metric's unit, for the
    # line that says beforehand what can be seen; an earlier table of the same benchmark comes first
    stopping = dict(type="median", …)   # end poor trials early: benchmarks/compare/stopping.py
    resources = dict(gpus=1, cpus=4)    # what one trial needs, also memory_gb and hours
    title = "…"                         # of the report
    next_step = "…"                     # the last line on screen
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from benchmarks.compare.configs import (
    config_hash,
    find_config,
    load_config,
    refuse_set_later,
    relevant,
    without_helpers,
)
from benchmarks.compare.evaluate import check_baseline, check_benchmark
from benchmarks.compare.executors.base import Resources
from benchmarks.compare.names import (
    PlanError,
    check_folder_name,
    check_names,
    check_seeds,
    plan_errors,
)
from benchmarks.compare.parts import Arm, Baseline, Evaluation, Membership, Plan, Trial
from benchmarks.compare.prepare import check_prepare
from benchmarks.compare.search import check_searches, read_search, with_tuned
from benchmarks.compare.stopping import check_stopping, read_stopping
from benchmarks.compare.sweep import expand
from benchmarks.evaluate.suite import find_benchmark
from benchmarks.report.statistics import STATISTICS
from pretrain.annotations import build
from pretrain.engine.check import check_config
from pretrain.engine.config_file import read_config
from pretrain.engine.settings import ConfigError

KEYS = (
    "base",
    "overrides",
    "budget",
    "seeds",
    "arms",
    "benchmarks",
    "primary",
    "prepare",
    "baselines",
    "pictures",
    "columns",
    "statistics",
    "planned",
    "expected_sd",
    "title",
    "next_step",
    "resources",
    "stopping",
)
REQUIRED = ("base", "budget", "arms", "benchmarks", "primary")
BUDGETS = ("samples", "flops", "seconds")


def load_plan(path: str | Path, work_dir: str | Path | None = None) -> Plan:
    """Reads and checks a comparison config; nothing is written or trained.

    Args:
        work_dir: folder of the whole comparison; ``work_dirs/<config name>`` when None.

    Raises:
        PlanError: an unknown or missing key (with a suggestion), an illegal value, an override of a
            key that the recipe does not have, two arms that are the same experiment.
    """
    path = find_config(path, "comparison", folder="comparisons")
    raw = without_helpers(read_config(path).to_dict())
    check_names("comparison key", raw, KEYS)
    missing = [key for key in REQUIRED if not raw.get(key)]
    if missing:
        raise PlanError(
            f"{path}: missing or empty: {', '.join(missing)}; required are {', '.join(REQUIRED)}"
        )
    folder = Path(work_dir) if work_dir else Path("work_dirs") / path.stem
    kind, amount = read_budget(raw["budget"])
    seeds = check_seeds("seeds", raw.get("seeds", (0,)))
    common = raw.get("overrides", {})
    written = expand(raw["arms"], raw["base"], common)
    arms = tuple(_arm(arm.name, arm.spec, raw["base"], sweep=arm.sweep) for arm in written)
    benchmarks = tuple(_benchmark(name, spec) for name, spec in raw["benchmarks"].items())
    columns = tuple(raw.get("columns", ()))
    for key in (raw["primary"], *columns):
        _check_metric(key, benchmarks)
    searches = []
    for arm, source in zip(arms, written, strict=True):
        if "tune" in source.spec:
            tune = source.spec["tune"]
            searches.append(read_search(tune, arm, common, primary=raw["primary"]))
    check_searches(searches, arms=arms, seeds=seeds, benchmarks=benchmarks)
    names = [*(arm.name for arm in arms), *(search.name for search in searches)]
    plan = Plan(
        path=path,
        work_dir=folder,
        arms=arms,
        seeds=seeds,
        benchmarks=benchmarks,
        budget_kind=kind,
        budget_amount=amount,
        primary=raw["primary"],
        trials=_trials(_recipes(arms, common), arms, seeds=seeds, folder=folder),
        prepare=check_prepare(raw.get("prepare", {})),
        baselines=_baselines(raw.get("baselines", {}), benchmarks),
        pictures=_pictures(raw.get("pictures", {})),
        columns=columns,
        statistics=_statistics(raw.get("statistics", ())),
        planned=_planned(raw.get("planned"), names),
        expected_sd=_expected_sd(raw.get("expected_sd")),
        title=raw.get("title", path.stem),
        next_step=raw.get("next_step", ""),
        resources=_resources(raw.get("resources", {})),
        searches=tuple(searches),
        stopping=read_stopping(raw.get("stopping")),
    )
    check_stopping(plan.stopping, plan.recipes)
    return with_tuned(plan)


def _resources(raw: Any) -> Resources:
    with plan_errors():
        return build(Resources, raw, where="resources.")


def read_budget(raw: Any) -> tuple[str, float]:
    """Returns kind and amount of a comparison's ``budget``.

    Raises:
        PlanError: not exactly one kind, an unknown one, or an amount that is not above 0.
    """
    if not isinstance(raw, dict) or len(raw) != 1:
        forms = "=…), dict(".join(BUDGETS)
        raise PlanError(f"budget = {raw!r}: give exactly one of dict({forms}=…)")
    check_names("budget", raw, BUDGETS)
    ((kind, amount),) = raw.items()
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not amount > 0:
        raise PlanError(f"budget {kind} = {amount!r}: must be a number above 0")
    return kind, float(amount)


def _arm(name: str, raw: Any, base: str, *, sweep: Membership | None) -> Arm:
    check_folder_name("arm", name)
    if not isinstance(raw, dict):
        raise PlanError(
            f"arm {name!r} = {raw!r}: must be a dict with any of config, overrides, train, "
            "tune, and grid, vary or sample"
        )
    check_names(f"key of arm {name!r}:", raw, ("config", "overrides", "train", "tune"))
    train = raw.get("train", True)
    if not isinstance(train, bool):
        raise PlanError(f"arm {name!r}: train = {train!r} must be True or False")
    config = find_config(raw.get("config") or base, f"arm {name!r}")
    return Arm(name, config, raw.get("overrides") or {}, train, sweep)


def _benchmark(name: str, raw: Any) -> Evaluation:
    check_folder_name("benchmark", name)
    if not isinstance(raw, dict) or "type" not in raw or not isinstance(raw.get("data"), dict):
        raise PlanError(f"benchmark {name!r} = {raw!r}: needs type='…' and data=dict(…)")
    benchmark = Evaluation(name, raw["type"], raw["data"], _without(raw, "type", "data"))
    check_benchmark(benchmark)
    return benchmark


def _without(raw: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key not in keys}


def _baselines(raw: dict[str, Any], benchmarks: Sequence[Evaluation]) -> tuple[Baseline, ...]:
    """One baseline per name and benchmark; those of one name share a row of the table."""
    named = {benchmark.name: benchmark for benchmark in benchmarks}
    baselines: list[Baseline] = []
    for name, spec in raw.items():
        check_folder_name("baseline", name)
        if not isinstance(spec, dict) or not spec.get("benchmark"):
            raise PlanError(
                f"baseline {name!r} = {spec!r}: needs benchmark='…', and type='…' unless its "
                "name is one"
            )
        chosen = spec["benchmark"]
        chosen = [chosen] if isinstance(chosen, str) else list(chosen)
        check_names(f"benchmark of baseline {name!r}:", chosen, named)
        baselines += _baselines_of(name, spec, [named[benchmark] for benchmark in chosen])
    return tuple(baselines)


def _baselines_of(
    name: str, spec: dict[str, Any], benchmarks: Sequence[Evaluation]
) -> list[Baseline]:
    """The baselines of one name, each with those of the settings that its benchmark needs."""
    settings, legal, baselines = _without(spec, "type", "benchmark"), [], []
    for benchmark in benchmarks:
        needs = find_benchmark(benchmark.type).baseline_needs
        own = {key: value for key, value in settings.items() if key in needs}
        legal += needs
        baselines.append(Baseline(name, spec.get("type", name), benchmark, own))
    check_names(f"key of baseline {name!r}:", settings, dict.fromkeys(legal))
    for baseline in baselines:
        check_baseline(baseline)
    return baselines


def _check_metric(key: Any, benchmarks: Sequence[Evaluation]) -> None:
    types = {benchmark.name: benchmark.type for benchmark in benchmarks}
    if not isinstance(key, str) or "." not in key:
        raise PlanError(f"metric {key!r}: write BENCHMARK.metric, such as {next(iter(types))}.mIoU")
    name, metric = key.split(".", 1)
    check_names(f"benchmark in metric {key!r}:", [name], types)
    known = find_benchmark(types[name]).metrics
    check_names(f"metric of benchmark {name!r}:", [metric], known)


def _statistics(raw: Any) -> tuple[str, ...]:
    if not isinstance(raw, list | tuple):
        raise PlanError(f"statistics = {raw!r}: a list of names, of {', '.join(STATISTICS)}")
    check_names("statistic:", raw, STATISTICS)
    return tuple(raw)


def _planned(raw: Any, arms: Sequence[str]) -> tuple[str, str] | None:
    if raw is None:
        return None
    if not isinstance(raw, list | tuple) or len(raw) != 2 or raw[0] == raw[1]:
        raise PlanError(f"planned = {raw!r}: the names of two arms, such as ('{arms[0]}', 'other')")
    check_names("arm in planned:", raw, arms)
    return raw[0], raw[1]


def _expected_sd(raw: Any) -> float | None:
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw < math.inf:
        raise PlanError(
            f"expected_sd = {raw!r}: a number above 0, the standard deviation over seeds in the "
            "unit of the primary metric"
        )
    return float(raw)


def _pictures(raw: dict[str, Any]) -> dict[str, Any]:
    check_names("key of pictures:", raw, ("folder", "count", "size"))
    return raw


def _recipes(arms: Sequence[Arm], common: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns arm -> its resolved recipe, all checked and no two the same.

    Args:
        arms: in the order of the table.
        common: overrides of all arms.
    """
    recipes: dict[str, dict[str, Any]] = {}
    arm_of: dict[str, str] = {}  # fingerprint of an experiment -> its arm
    refuse_set_later(common, "overrides")
    for arm in arms:
        refuse_set_later(arm.overrides, f"arm {arm.name!r}")
        recipe = load_config(arm.config, common, arm.overrides, where=f"arm {arm.name!r}")
        recipe.pop("work_dir", None)
        try:
            check_config(Config(recipe))
        except ConfigError as error:
            raise PlanError(f"arm {arm.name!r} ({arm.config}): {error}") from error
        # All untrained arms of one model are one experiment, whatever their objectives.
        start = [recipe["model"].get("backbone"), recipe.get("load_from")]
        experiment = relevant(recipe) if arm.train else start
        twin = arm_of.setdefault(config_hash([experiment, arm.train]), arm.name)
        if twin != arm.name:
            raise PlanError(
                f"arms {twin!r} and {arm.name!r} are the same experiment: remove one or change its "
                "overrides"
            )
        recipes[arm.name] = recipe
    return recipes


def _trials(
    recipes: dict[str, dict[str, Any]], arms: Sequence[Arm], *, seeds: Sequence[int], folder: Path
) -> tuple[Trial, ...]:
    """Seeds outermost: after the first seed of every arm there is already a table to look at."""
    trials = []
    for seed in seeds:
        for arm in arms:
            config = {**recipes[arm.name], "seed": seed}
            trials.append(Trial(arm, seed, folder / arm.name / f"seed_{seed}", config))
    return tuple(trials)
