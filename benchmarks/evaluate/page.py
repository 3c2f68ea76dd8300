"""One page per evaluation, ``report.md`` and ``index.html``: a table per protocol, pictures, the
records.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from benchmarks.core.record import Record, is_baseline, write_all
from benchmarks.evaluate.suite import Task
from benchmarks.evaluate.tables import evaluation_tables
from benchmarks.report.figures import Picture, Sources, declared_figures, draw_figures
from benchmarks.report.inline import picture_groups
from benchmarks.report.markdown import markdown_figures, markdown_files, markdown_head
from benchmarks.report.pictures.upsampled import FEATURES
from benchmarks.report.renderers import plain_table, to_latex, to_markdown
from benchmarks.report.runs import Run
from benchmarks.report.templating import render
from benchmarks.report.view import show
from pretrain.command_line import own_command
from pretrain.files import atomic_write

TITLE = "Frozen evaluation"
FIGURES = (FEATURES,)
IMAGES = 5  # per sheet


def write_page(
    records: Sequence[Record],
    tasks: Sequence[Task],
    *,
    networks: Sequence[str],
    upsamplers: Sequence[str],
    folder: str | Path,
    weights: str,
    device: str,
    console: Console,
) -> None:
    """Writes the page that ``pixelpretext evaluate --report FOLDER`` asks for.

    Args:
        records, tasks: of the evaluation; pictures show images of the first task that reads maps,
            then come the figures that the benchmarks bring along.
        networks, upsamplers, weights: what was evaluated, as in :class:`Sources`.
        folder: of the page.
        device: where the networks run.
        console: for messages, such as where the page is.
    """
    dense = [task for task in tasks if task.benchmark.upsampled_stride is not None]
    sources = Sources(
        arms=networks,
        networks={spec: spec for spec in networks},
        images=partial(sample_images, dense[0], IMAGES) if dense else None,
        upsamplers=upsamplers,
        runs=_runs(records),
        weights=weights,
        device=device,
    )
    figures = [*FIGURES, *declared_figures(task.benchmark for task in tasks)]
    pictures = draw_figures(figures, sources, Path(folder), console=console)
    page = write_evaluation(records, pictures, own_command(), folder)
    console.print(f"page: {page}", markup=False, soft_wrap=True)


def _runs(records: Sequence[Record]) -> dict[str, list[Run]]:
    """Network -> its records; trivial predictors have none."""
    runs: dict[str, list[Run]] = {}
    for record in records:
        if not is_baseline(record):
            spec = str(record.subject["spec"])
            runs.setdefault(spec, []).append(Run(record, spec, benchmark=record.benchmark))
    return runs


def write_evaluation(
    records: Sequence[Record], pictures: Sequence[Picture], command: str, folder: str | Path
) -> Path:
    """Writes ``index.html``, ``report.md``, the tables and ``records.jsonl`` below ``folder``.

    Args:
        records: of this evaluation; numbers of unequal protocols never share a table.
        pictures: below the folder.
        command: how to run it again.
        folder: of the page.

    Returns:
        The page's path.
    """
    folder, tables = Path(folder), evaluation_tables(records)
    links = [
        ("records.jsonl", "all records with protocols and counts per image"),
        ("tables.json", "the tables as numbers, JSON"),
        ("tables.tex", "the tables, LaTeX"),
        ("report.md", "this page, Markdown"),
    ]
    note = (
        f"{len(records)} records, written {time.strftime('%Y-%m-%d %H:%M')}. Bold: the best "
        "network of a column."
    )
    text = [*markdown_head(TITLE, command), note, ""]
    for table in tables:
        text += [f"## {table.title}", "", *to_markdown(table), "", table.caption, ""]
    text += [*markdown_figures(pictures), *markdown_files(links[:-1])]
    write_all(records, folder / "records.jsonl")
    atomic_write(folder / "tables.json", json.dumps(list(map(plain_table, tables)), indent=1))
    atomic_write(folder / "tables.tex", "\n".join(map(to_latex, tables)))
    atomic_write(folder / "report.md", "\n".join(text))
    page = render(
        "evaluation.html",
        title=TITLE,
        command=command,
        note=note,
        tables=[show(table, table.title) for table in tables],
        sections=picture_groups(pictures, folder),
        links=links,
    )
    atomic_write(folder / "index.html", page)
    return folder / "index.html"


def sample_images(task: Task, count: int) -> Tensor:
    """Images spread evenly over a task's validation part, of the size that the task shows to
    networks.

    Returns:
        (count, 3, H, W) uint8 RGB, fewer where there are fewer.
    """
    images = len(task.data.scored_files)
    chosen = np.linspace(0, images - 1, min(count, images))
    shown = [task.data.picture(int(index), task.settings) for index in chosen]
    return torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2)
