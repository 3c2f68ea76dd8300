"""One page per evaluation, ``report.md`` and ``index.html``: a table per protocol, pictures, the
records.
"""

from __future__ import annotations

import html
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record, by_protocol, is_baseline, upsampler_of
from benchmarks.core.upsamplers import family, load_upsampler
from benchmarks.evaluate.suite import Task
from benchmarks.report.html import (
    html_figures,
    html_files,
    html_page,
    html_table,
    markdown_figures,
    markdown_files,
    markdown_head,
    markdown_table,
)
from benchmarks.report.pictures.upsampled import draw_upsampled, feature_colours
from pretrain.files import atomic_write

TITLE, PICTURES, SIDE = (
    "Frozen evaluation",
    5,
    256,
)  # images per sheet; pixels to which features are upsampled for it
NONE = "none"


def report(
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
    """Writes the page that ``tools/evaluate.py --report FOLDER`` asks for.

    A picture that fails is told and left out, since the numbers do not hang on it.

    Args:
        records, tasks: of the evaluation; pictures show images of the first task that reads maps.
        networks, upsamplers, weights: what was evaluated, as :func:`draw_features` takes them.
        folder: of the page. device: where the networks run. console: tells where the page is.
    """
    pictures: list[tuple[str, str]] = []
    shown = next((task for task in tasks if task.benchmark.upsampled_stride is not None), None)
    if shown is not None:
        try:
            images = sample_images(shown, PICTURES)
            with console.status("drawing features"):
                pictures = draw_features(
                    networks, upsamplers, images, folder, weights=weights, device=device
                )
        except Exception as error:
            console.print(
                f"pictures left out: {type(error).__name__}: {error}", markup=False, soft_wrap=True
            )
    command = f"python tools/evaluate.py {shlex.join(sys.argv[1:])}"
    page = write_evaluation(records, pictures, command, folder)
    console.print(f"page: {page}", markup=False, soft_wrap=True)


def write_evaluation(
    records: Sequence[Record], pictures: Sequence[tuple[str, str]], command: str, folder: str | Path
) -> Path:
    """Writes ``index.html``, ``report.md`` and ``records.jsonl`` below ``folder``.

    Args:
        records: of this evaluation; numbers of unequal protocols never share a table.
        pictures: (file below the folder, caption).
        command: how to run it again.

    Returns:
        The page's path.
    """
    folder = Path(folder)
    atomic_write(folder / "records.jsonl", "".join(record.to_json() + "\n" for record in records))
    links = [
        ("records.jsonl", "all records with protocols and counts per image"),
        ("report.md", "this page, Markdown"),
    ]
    note = (
        f"{len(records)} records, written {time.strftime('%Y-%m-%d %H:%M')}. Bold: the best "
        "network of a column."
    )
    body, text = [f'<p class="note">{note}</p>'], [*markdown_head(TITLE, command), note, ""]
    for group in by_protocol(records):
        headings, lines, best = table_of(group)
        heading, line = (
            f"{group[0].benchmark} · protocol {group[0].protocol_hash}",
            group[0].protocol_line,
        )
        kinds = ["baseline" if is_baseline(record) else "" for record in group]
        body += [
            *_heading(heading, line),
            html_table(headings, lines, text=(0, 1), kinds=kinds, best=best),
        ]
        text += [f"## {heading}", "", *markdown_table(headings, _bold(lines, best)), "", line, ""]
    body += ["<h2>Features</h2>" * bool(pictures), *html_figures(pictures), *html_files(links)]
    text += [*markdown_figures(pictures), *markdown_files(links[:1])]
    atomic_write(folder / "report.md", "\n".join(text))
    atomic_write(folder / "index.html", html_page(TITLE, command, body))
    return folder / "index.html"


def table_of(group: Sequence[Record]) -> tuple[list[str], list[list[str]], list[tuple[int, int]]]:
    """Headings, rows and the best network's cell (row, column) of each metric; records of one
    protocol.
    """
    names = list(dict.fromkeys(name for record in group for name in record.metrics))
    metrics = {
        name: next(record.metrics[name] for record in group if name in record.metrics)
        for name in names
    }
    marked = [f"{name} [{metric.unit}] {metric.arrow}" for name, metric in metrics.items()]
    lines = []
    for record in group:
        values = [
            f"{record.metrics[name].value:.2f}" if name in record.metrics else "" for name in names
        ]
        seconds = f"{record.cost['seconds']:.1f}" if "seconds" in record.cost else ""
        name = str(record.subject.get("spec", "?"))
        who = [f"({name})", "–"] if is_baseline(record) else [name, upsampler_of(record.subject)]
        lines.append([*who, *values, seconds])
    best = []
    for column, (name, metric) in enumerate(metrics.items(), start=2):
        competing = [name in r.metrics and not is_baseline(r) for r in group]
        values = np.array(
            [r.metrics[name].value if c else np.nan for r, c in zip(group, competing, strict=True)]
        )
        if sum(competing) > 1 and np.isfinite(values).any():
            extreme = np.nanmin(values) if metric.better == "lower" else np.nanmax(values)
            best += [(int(row), column) for row in np.flatnonzero(values == extreme)]
    return ["network", "upsampler", *marked, "s"], lines, best


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


def draw_features(
    networks: Sequence[str],
    upsamplers: Sequence[str],
    images: Tensor,
    folder: str | Path,
    *,
    weights: str = "online",
    device: str = "cpu",
) -> list[tuple[str, str]]:
    """Draws one sheet per network: features before and behind every upsampler.

    Args:
        networks: specs of :meth:`FeatureExtractor.load`.
        upsamplers: specs of :func:`load_upsampler`; bilinear is drawn whether it is among them or
            not.
        images: (B, 3, H, W) uint8 RGB.
        folder: of the page; pictures go to ``pictures`` below it.
        weights: as for :meth:`FeatureExtractor.load`.
        device: where the networks run.

    Returns:
        (file below the folder, caption).
    """
    drawn = []
    specs = [spec for spec in dict.fromkeys(["bilinear", *upsamplers]) if spec != NONE]
    stride = max(1, round(max(images.shape[-2:]) / SIDE))
    for number, network in enumerate(networks):
        extractor = FeatureExtractor.load(network, weights=weights, device=device)
        names = [family(spec) for spec in specs]
        names = names if len(set(names)) == len(names) else specs
        made = {
            n: load_upsampler(s, device, channels=extractor.channels)
            for n, s in zip(names, specs, strict=True)
        }
        file = f"pictures/features_{number}.png"
        draw_upsampled(
            images, feature_colours(extractor, images, made, stride=stride), Path(folder) / file
        )
        caption = (
            f"{network}: the three main components of dense features as red, green and blue, on "
            "the network's own grid and behind each upsampler. One basis for the whole sheet, "
            "that of the network's own grid."
        )
        drawn.append((file, caption))
    return drawn


def _heading(heading: str, line: str) -> list[str]:
    """Heading of a table and its protocol, folded up."""
    return [
        f"<h2>{html.escape(heading)}</h2>",
        f'<details class="note"><summary>protocol</summary>{html.escape(line)}</details>',
    ]


def _bold(lines: list[list[str]], best: list[tuple[int, int]]) -> list[list[str]]:
    return [
        [f"**{cell}**" if (row, column) in best else cell for column, cell in enumerate(line)]
        for row, line in enumerate(lines)
    ]
