"""The end of a comparison: table files, pictures, the page."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from itertools import chain

from rich.console import Console

from benchmarks.compare.budget import ArmBudget
from benchmarks.compare.collect import (
    collect_baselines,
    collect_checkpoints,
    collect_costs,
    collect_curves,
    collect_failures,
    collect_fairness,
    collect_runs,
    started,
)
from benchmarks.compare.costs import budget_sentence, spent_of_budget
from benchmarks.compare.evaluate import device
from benchmarks.compare.margins import margins
from benchmarks.compare.page import Report, write_report
from benchmarks.compare.parts import Plan
from benchmarks.compare.search import arm_settings, tuning_notes
from benchmarks.compare.table import (
    Comparison,
    as_json,
    as_markdown,
    build_table,
    frame,
    ranking,
    screens,
    verdicts,
)
from benchmarks.core.record import write_all
from benchmarks.report.figures import Sources, draw_figures
from benchmarks.report.pictures.curves import CURVES
from benchmarks.report.pictures.from_config import PAIRS
from benchmarks.report.pictures.pca import PCA, load_images
from benchmarks.report.renderers import to_latex, to_screen
from benchmarks.report.statistics import STATISTICS
from pretrain.command_line import as_typed
from pretrain.files import atomic_write

FIGURES = (PCA, CURVES, PAIRS)
IMAGES, IMAGE_SIZE = 8, 128  # defaults of pictures = dict(count=…, size=…)


def finish(plan: Plan, budgets: dict[str, ArmBudget], *, console: Console) -> bool:
    """Writes everything that people look at, from whatever has finished; returns whether that is
    all of it.
    """
    runs, folder = collect_runs(plan), plan.work_dir
    costs = collect_costs(plan, budgets)
    comparison = build_table(
        runs,
        primary=plan.primary,
        columns=plan.columns,
        fairness=collect_fairness(plan),
        costs=costs,
        baselines=collect_baselines(plan),
        untrained=[arm.name for arm in plan.arms if not arm.train],
        settings=arm_settings(plan),
        statistics=[STATISTICS[name] for name in plan.statistics],
        planned=plan.planned if set(plan.planned or ()) <= set(runs) else None,
        failures=collect_failures(plan),
        title=plan.title,
    )
    spent = spent_of_budget(plan.budget_kind, costs)
    if spent:
        notes = (*comparison.table.notes, budget_sentence(plan.budget_kind, spent))
        comparison.table = replace(comparison.table, notes=notes)
    columns = [column.name for column in comparison.metrics]
    comparison.margins = margins(plan.arms, runs, columns)
    records = [run.record for run in chain(*runs.values())]
    expected = len(plan.trials) * len(plan.benchmarks)
    write_all(records, folder / "records.jsonl")
    atomic_write(folder / "table.md", as_markdown(comparison))
    atomic_write(folder / "table.csv", frame(comparison).to_csv(index=False))
    atomic_write(folder / "table.json", as_json(comparison))
    atomic_write(folder / "table.tex", to_latex(comparison.table))
    pictures = draw_figures(FIGURES, _sources(plan), folder, console=console)
    page = _page(plan, comparison, pictures, measured=len(records), expected=expected)
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


def _page(
    plan: Plan,
    comparison: Comparison,
    pictures: list[tuple[str, str]],
    *,
    measured: int,
    expected: int,
) -> Report:
    notes = [
        f"{len(plan.arms)} arms × {len(plan.seeds)} seeds; budget per trained arm: "
        f"{plan.budget_amount:,.0f} {plan.budget_kind}; written "
        f"{time.strftime('%Y-%m-%d %H:%M')}.",
    ]
    notes += tuning_notes(plan)
    if measured < expected:
        notes.append(f"INCOMPLETE: {measured} of {expected} records are there.")
    files = [
        ("table.md", "table, Markdown"),
        ("table.csv", "table, CSV"),
        ("table.json", "table and values per seed, JSON"),
        ("table.tex", "table, LaTeX"),
        ("records.jsonl", "all records with protocols and raw counts"),
        ("budget.json", "measured budgets"),
    ]
    for trial in started(plan.trials):
        files += [
            (f"{trial.name}/config.py", f"{trial.name}: config"),
            (f"{trial.name}/log.txt", f"{trial.name}: log"),
        ]
    links = [(file, label) for file, label in files if (plan.work_dir / file).exists()]
    return Report(comparison, as_typed(f"pixelpretext compare {plan.path}"), notes, pictures, links)


def _sources(plan: Plan) -> Sources:
    """What the figures are drawn from: networks of the first seed, all curves, each trained arm's
    recipe.
    """
    chosen = plan.pictures
    images = None
    if chosen.get("folder") is not None:
        count, size = chosen.get("count", IMAGES), chosen.get("size", IMAGE_SIZE)
        images = partial(load_images, chosen["folder"], count, size)
    return Sources(
        networks=collect_checkpoints(plan),
        images=images,
        curves=collect_curves(plan),
        recipes=plan.recipes,
        device=device(),
    )
