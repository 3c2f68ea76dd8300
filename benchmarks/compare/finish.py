"""The end of a comparison: table files, pictures, the page."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from benchmarks.compare.budget import ArmBudget
from benchmarks.compare.collect import (
    baseline_rows,
    collect_costs,
    collect_curves,
    collect_fairness,
    collect_rows,
    started,
    write_all_records,
)
from benchmarks.compare.evaluate import device
from benchmarks.compare.page import Report, write_report
from benchmarks.compare.parts import Plan, Trial
from benchmarks.compare.table import (
    Comparison,
    build_table,
    frame,
    ranking,
    to_json,
    to_markdown,
    to_screen,
    verdicts,
)
from benchmarks.report.pictures.curves import draw_curves
from benchmarks.report.pictures.from_config import draw_config_views
from benchmarks.report.pictures.pca import draw_pca, load_images, principal_colours
from pretrain.files import atomic_write

PICTURE_IMAGES, PICTURE_SIZE = 8, 128  # defaults of pictures = dict(count=…, size=…)


def finish(plan: Plan, budgets: dict[str, ArmBudget], *, console: Console) -> bool:
    """Writes everything that people look at, from whatever has finished; returns whether that is
    all of it.
    """
    rows, records = collect_rows(plan)
    table = build_table(
        rows,
        [arm.name for arm in plan.arms],
        primary=plan.primary,
        columns=plan.columns,
        fairness=collect_fairness(plan),
        costs=collect_costs(plan, budgets),
        baselines=baseline_rows(plan),
        untrained=[arm.name for arm in plan.arms if not arm.train],
        title=plan.title,
    )
    folder = plan.work_dir
    write_all_records(records, folder / "records.jsonl")
    atomic_write(folder / "table.md", to_markdown(table))
    atomic_write(folder / "table.csv", frame(table).to_csv(index=False))
    atomic_write(folder / "table.json", to_json(table))
    pictures = _pictures(plan, console)
    expected = len(plan.trials) * len(plan.benchmarks)
    write_report(_page(plan, table, pictures, found=len(rows), expected=expected), folder)
    if rows:
        for screen in to_screen(table):
            console.print(screen)
        for sentence in [*ranking(table), *verdicts(table)]:
            console.print(sentence, markup=False, highlight=False)
    console.print(
        f"table, pictures, records: {folder / 'index.html'}, report.md, table.md, table.csv",
        markup=False,
    )
    return len(rows) == expected


def _page(
    plan: Plan, table: Comparison, pictures: list[tuple[str, str]], *, found: int, expected: int
) -> Report:
    notes = [
        f"{len(plan.arms)} arms × {len(plan.seeds)} seeds; budget per trained arm: "
        f"{plan.budget_amount:,.0f} {plan.budget_kind}; written "
        f"{time.strftime('%Y-%m-%d %H:%M')}.",
    ]
    if found < expected:
        notes.append(f"INCOMPLETE: {found} of {expected} records are there.")
    files = [
        ("table.md", "table, Markdown"),
        ("table.csv", "table, CSV"),
        ("table.json", "table and values per seed, JSON"),
        ("records.jsonl", "all records with protocols and raw counts"),
        ("budget.json", "measured budgets"),
    ]
    links = [(file, words) for file, words in files if (plan.work_dir / file).exists()]
    for trial in started(plan.trials):
        place = f"{trial.arm.name}/seed_{trial.seed}"
        links += [
            (f"{place}/config.py", f"{trial.name}: config"),
            (f"{place}/log.txt", f"{trial.name}: log"),
        ]
    links = [(file, words) for file, words in links if (plan.work_dir / file).exists()]
    return Report(table, f"python tools/compare.py {plan.path}", notes, pictures, links)


def _pictures(plan: Plan, console: Console) -> list[tuple[str, str]]:
    """Draws what can be drawn; a picture that fails is told and left out, since the numbers do not
    hang on it.
    """
    out = []
    steps = (
        (
            "pca.png",
            "Dense features of the first seed: three main components as red, green, blue; per "
            "arm one basis for all images, so colours compare along a row and not between rows.",
            _draw_pca,
        ),
        (
            "curves.png",
            "Training curves, one line per seed. Losses of two objectives do not compare.",
            _draw_curves,
        ),
        ("pairs.png", "Positive pairs of the first trained arm's views.", _draw_pairs),
    )
    for file, caption, draw in steps:
        path = plan.work_dir / "pictures" / file
        try:
            drawn = draw(plan, path)
        except Exception as error:
            console.print(f"picture {file} left out: {type(error).__name__}: {error}", markup=False)
            continue
        if drawn:
            out.append((f"pictures/{file}", caption))
    return out


def _draw_pca(plan: Plan, path: Path) -> bool:
    from benchmarks.core.extractor import FeatureExtractor

    checkpoints = {}
    for trial in plan.trials:
        file = _checkpoint(trial)
        if trial.seed == plan.seeds[0] and file.is_file():
            checkpoints[trial.arm.name] = file
    folder = plan.pictures.get("folder")
    if not checkpoints or folder is None:
        return False
    images = load_images(
        folder, plan.pictures.get("count", PICTURE_IMAGES), plan.pictures.get("size", PICTURE_SIZE)
    )
    rows = {}
    for arm, file in checkpoints.items():
        rows[arm] = principal_colours(
            FeatureExtractor.load(str(file), device=device()).maps(images).cpu()
        )
    draw_pca(images, rows, path)
    return True


def _checkpoint(trial: Trial) -> Path:
    return trial.directory / ("pretrain/final.pth" if trial.arm.train else "untrained.pth")


def _draw_curves(plan: Plan, path: Path) -> bool:
    curves = collect_curves(plan)
    if curves:
        draw_curves(curves, path)
    return bool(curves)


def _draw_pairs(plan: Plan, path: Path) -> bool:
    """Draws the pairs of the first arm that learns from two views; not every objective does."""
    trained = [trial for trial in plan.trials if trial.arm.train]
    paired = [
        trial
        for trial in trained
        if len(trial.config["views"].get("groups", {}).get("global", ())) >= 2
    ]
    if paired:
        draw_config_views(paired[0].config, path)
    return bool(paired)
