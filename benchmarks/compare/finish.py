"""The end of a comparison: table files, pictures, the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import chain
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.compare.budget import ArmBudget
from benchmarks.compare.collect import (
    collect_baselines,
    collect_checkpoints,
    collect_costs,
    collect_curves,
    collect_evaluations,
    collect_failures,
    collect_fairness,
    collect_runs,
    started,
)
from benchmarks.compare.costs import budget_sentence, spent_of_budget
from benchmarks.compare.evaluate import device, open_task
from benchmarks.compare.margins import margins
from benchmarks.compare.origins import RECORDS, origins_of
from benchmarks.compare.page import Report, write_report
from benchmarks.compare.parts import Plan
from benchmarks.compare.screens import screens
from benchmarks.compare.search import arm_settings, tuning_notes
from benchmarks.compare.stopping import as_plain, collect_stopped, stopping_sentences, without
from benchmarks.compare.table import (
    Comparison,
    as_json,
    as_markdown,
    build_table,
    frame,
    ranking,
    verdicts,
)
from benchmarks.core.record import write_all
from benchmarks.evaluate.suite import find_benchmark
from benchmarks.report.figures import Sources, declared_figures, draw_figures
from benchmarks.report.pictures.correspondences import CORRESPONDENCES
from benchmarks.report.pictures.cost import COST
from benchmarks.report.pictures.curves import COLLAPSED, LOSSES, THROUGHPUT
from benchmarks.report.pictures.extremes import EXTREMES
from benchmarks.report.pictures.forest import FOREST
from benchmarks.report.pictures.from_config import PAIRS
from benchmarks.report.pictures.pca import PCA, load_images
from benchmarks.report.pictures.quality import QUALITY
from benchmarks.report.renderers import to_latex, to_screen
from benchmarks.report.runs import Run
from benchmarks.report.statistics import STATISTICS
from pretrain.command_line import as_typed
from pretrain.files import atomic_write

# In the order of the page, whose sections they name.
FIGURES = (
    FOREST,
    COST,
    LOSSES,
    QUALITY,
    COLLAPSED,
    THROUGHPUT,
    EXTREMES,
    PCA,
    CORRESPONDENCES,
    PAIRS,
)
IMAGES, IMAGE_SIZE = 8, 128  # defaults of pictures = dict(count=…, size=…)


def finish(plan: Plan, budgets: dict[str, ArmBudget], *, console: Console) -> bool:
    """Writes everything that people look at, from whatever has finished; returns whether that is
    all of it.
    """
    runs, baselines, folder = collect_runs(plan), collect_baselines(plan), plan.work_dir
    costs, stopped = collect_costs(plan, budgets), collect_stopped(plan)
    comparison = build_table(
        runs,
        primary=plan.primary,
        columns=plan.columns,
        fairness=collect_fairness(plan),
        costs=costs,
        baselines=baselines,
        untrained=[arm.name for arm in plan.arms if not arm.train],
        settings=arm_settings(plan),
        statistics=[STATISTICS[name] for name in plan.statistics],
        planned=plan.planned if set(plan.planned or ()) <= set(runs) else None,
        failures=collect_failures(plan),
        stopped=stopped,
        title=plan.title,
    )
    notes = [*comparison.table.notes, *_budget_notes(plan, comparison, costs)]
    comparison.table = replace(comparison.table, notes=tuple(notes))
    comparison.stopping = as_plain(plan, stopped)
    columns = [column.name for column in comparison.metrics]
    comparison.margins = margins(plan.arms, without(stopped, runs), columns)
    records = [run.record for run in chain(*runs.values())]
    expected = len(plan.trials) * len(plan.benchmarks)
    write_all(records, folder / RECORDS)
    atomic_write(folder / "table.md", as_markdown(comparison))
    atomic_write(folder / "table.csv", frame(comparison).to_csv(index=False))
    atomic_write(folder / "table.json", as_json(comparison))
    atomic_write(folder / "table.tex", to_latex(comparison.table))
    sources = _sources(plan, comparison, runs=runs, costs=costs)
    page = _page(plan, comparison, measured=len(records), expected=expected)
    declared = (find_benchmark(benchmark.type) for benchmark in plan.benchmarks)
    figures = [*FIGURES, *declared_figures(declared)]
    page.pictures = draw_figures(figures, sources, folder, console=console)
    page.origins, page.costs = origins_of(runs, baselines, "baselines"), costs
    write_report(page, folder)
    if records:
        for screen in screens(comparison):
            console.print(screen)
        for sentence in [*ranking(comparison), *verdicts(comparison)]:
            console.print(sentence, markup=False, highlight=False)
        for margin in comparison.margin_tables:
            console.print(to_screen(margin))
    console.print(
        f"table, pictures, records: {folder / 'index.html'}, report.md, table.md, table.csv",
        markup=False,
    )
    return len(records) == expected


def _budget_notes(plan: Plan, comparison: Comparison, costs: Sequence[dict[str, Any]]) -> list[str]:
    """Sentences on which budget was equal, and on trials that did not get theirs."""
    stopped = comparison.stopped
    full = [cost for cost in costs if cost["arm"] not in stopped]
    spent = spent_of_budget(plan.budget_kind, full)
    notes = stopping_sentences(plan, stopped)
    if spent:
        arms = "all trained arms without a stopped trial" if stopped else "all trained arms"
        notes.append(budget_sentence(plan.budget_kind, spent, arms=arms))
    return notes


def _page(plan: Plan, comparison: Comparison, *, measured: int, expected: int) -> Report:
    """The page without its pictures and records."""
    note = (
        f"{len(plan.arms)} arms × {len(plan.seeds)} seeds; budget per trained arm: "
        f"{plan.budget_amount:,.0f} {plan.budget_kind}; written {time.strftime('%Y-%m-%d %H:%M')}."
    )
    alerts = []
    if measured < expected:
        alerts.append(f"INCOMPLETE: {measured} of {expected} records are there.")
    if comparison.stopped:
        alerts.append(stopping_sentences(plan, comparison.stopped)[0])
    commands, configs = [], {}
    for trial in started(plan.trials):
        config, training = trial.directory / "config.py", trial.directory / "pretrain"
        configs.setdefault(trial.arm.name, config.read_text(encoding="utf-8"))
        if trial.arm.train:
            line = f"pixelpretext train {config} --work-dir {training} --resume auto"
            commands.append((trial.name, line))
    return Report(
        comparison,
        as_typed(f"pixelpretext compare {plan.path}"),
        notes=[note, *tuning_notes(plan)],
        links=_links(plan),
        alerts=alerts,
        arms=[arm.name for arm in plan.arms],
        commands=commands,
        configs=configs,
    )


def _links(plan: Plan) -> list[tuple[str, str]]:
    """Files beside the page and what they hold."""
    files = [
        ("table.md", "table, Markdown"),
        ("table.csv", "table, CSV"),
        ("table.json", "table and values per seed, JSON"),
        ("table.tex", "table, LaTeX"),
        (RECORDS, "all records with protocols and raw counts"),
        ("budget.json", "measured budgets"),
    ]
    for trial in started(plan.trials):
        files += [
            (f"{trial.name}/config.py", f"{trial.name}: config"),
            (f"{trial.name}/log.txt", f"{trial.name}: log"),
        ]
    return [(file, label) for file, label in files if (plan.work_dir / file).exists()]


def _sources(
    plan: Plan,
    comparison: Comparison,
    *,
    runs: Mapping[str, Sequence[Run]],
    costs: Sequence[dict[str, Any]],
) -> Sources:
    """What the figures are drawn from: networks of the first seed, all curves, each trained arm's
    recipe.
    """
    chosen = plan.pictures
    images = None
    if chosen.get("folder") is not None:
        count, size = chosen.get("count", IMAGES), chosen.get("size", IMAGE_SIZE)
        images = partial(load_images, chosen["folder"], count, size)
    return Sources(
        arms=[arm.name for arm in plan.arms],
        networks=collect_checkpoints(plan),
        images=images,
        curves=collect_curves(plan),
        evaluations=collect_evaluations(plan),
        recipes=plan.recipes,
        rankings=comparison.rankings,
        runs=runs,
        costs=costs,
        scored=_scored(plan),
        device=device(),
    )


def _scored(plan: Plan) -> Callable[[int], np.ndarray]:
    """Reads images of the primary benchmark; its data is opened with the first one."""
    name = plan.primary.partition(".")[0]
    benchmark = next(own for own in plan.benchmarks if own.name == name)
    task = cache(partial(open_task, benchmark))

    def read(number: int) -> np.ndarray:
        return task().data.picture(number, task().settings)

    return read
