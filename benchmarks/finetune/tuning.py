"""What the command lines of fine-tuning share: options, one run after the other, one table over
seeds, what is next.
"""

from __future__ import annotations

import shlex
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import is_main_process
from rich.console import Console

from benchmarks.core.commands import RecordFile
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record, by_protocol
from benchmarks.core.subject import identity
from benchmarks.report.runs import Run
from benchmarks.report.table import Column, Entry, Table, build, protocol_title
from pretrain.backbones.timm_backbone import timm_options
from pretrain.command_line import read_pairs
from pretrain.engine.distributed import open_group
from pretrain.memory import keep_freed_memory
from pretrain.progress import Bars, Progress
from pretrain.specs import literal

NETWORK, SEEDS = Column("network", is_text=True), Column("seeds", is_text=True)
SECONDS = Column("s per seed", digits=0)


@contextmanager
def process_group(launcher: str) -> Iterator[None]:
    """Joins the processes that were launched together and leaves them at the end.

    Args:
        launcher: who started the processes, see :func:`pretrain.engine.distributed.open_group`.
    """
    try:
        open_group(launcher)
        if not torch.cuda.is_available():
            keep_freed_memory()
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def read_options(items: Sequence[str], *, example: str) -> dict[str, Any]:
    """Reads ``--cfg-options KEY=VALUE …``.

    Raises:
        ValueError: an item without a value, a key that is given twice; names ``example`` as one
            that is right.
    """
    return read_pairs(items, option="--cfg-options", example=example, parse=literal)


def run_jobs(
    jobs: Sequence[tuple[str, Any]],
    run: Callable[[FeatureExtractor, Any, Progress], Record],
    *,
    weights: str,
    out: RecordFile,
    console: Console,
) -> list[Record]:
    """Runs one fine-tuning after the other behind a bar; the first process appends each new record
    to ``out`` at once, so that what is measured survives whatever comes after.

    Args:
        jobs: (spec of the network, settings with a ``tuning_seed``).
        run: called with the network, the settings and a progress callback (phase, done, total).
        weights: ``online`` or ``target``, of our checkpoints.
        out: gets the records; one that stands there word for word is not appended again.
        console: where the bar is drawn.
    """
    lines = out.path.read_text().splitlines() if out.path.is_file() else []
    known = {_as_written_now(line) for line in lines}
    records = []
    with Bars(console, redirect_stdout=False) as bars:
        for number, (spec, settings) in enumerate(jobs, start=1):
            title = f"{number}/{len(jobs)} {spec} seed {settings.tuning_seed}"
            with bars.bar(title) as progress:
                extractor = FeatureExtractor.load(spec, weights=weights)
                records.append(run(extractor, settings, progress))
            if is_main_process() and records[-1].to_json() not in known:
                out.append(records[-1])
    return records


def _as_written_now(line: str) -> str:
    """A stored line as today's records are written, which have more fields; what is no record stays
    as it is.
    """
    try:
        return Record.from_json(line).to_json()
    except ValueError:
        return line


def next_step(specs: Sequence[str], seeds: Sequence[int], records: Sequence[Record]) -> str | None:
    """Returns what would tell more about these results: more seeds, the untrained network; None
    with both there.
    """
    if len(seeds) == 1:
        return f"other seeds show the spread: {shlex.join(['python', *sys.argv])} --seeds 0 1 2"
    if not any(spec.startswith("random:") for spec in specs):
        control = untrained_spec(records[0].subject["backbone"])
        return f"{control!r} next to the checkpoints shows what pretraining was worth"
    return None


def untrained_spec(config: Mapping[str, Any]) -> str:
    """Returns the spec of the same architecture with random weights:
    ``random:NAME?option=value&…``.

    Args:
        config: of a ``TimmBackbone``; how a ``SinCosViT`` draws its weights is lost, its shape is
            not.
    """
    options = timm_options(config)
    written = "&".join(f"{key}={value}".replace(" ", "") for key, value in options.items())
    return f"random:{config['name']}" + (f"?{written}" if written else "")


def tuning_tables(records: Sequence[Record]) -> list[Table]:
    """One table per protocol: a row per network, its seeds, the mean and its 95 % interval over
    them.

    Args:
        records: of fine-tunings; those of one network have one
            :func:`benchmarks.core.subject.identity`.
    """
    tables = []
    for group in by_protocol(records):
        networks: dict[str, list[Record]] = {}
        for record in group:
            networks.setdefault(identity(record.subject), []).append(record)
        entries = list(map(_entry, networks.values()))
        head = protocol_title(group[0])
        tables.append(build(entries, **head, before=(NETWORK, SEEDS), after=(SECONDS,)))
    return tables


def _entry(records: Sequence[Record]) -> Entry:
    """The row of one network."""
    spec = str(records[0].subject["spec"])
    runs, seeds, seconds = [], [], []
    for record in records:
        seed = str(record.subject["tuning_seed"])
        runs.append(Run(record, f"{spec}, seed {seed}", pair=seed))
        seeds.append(seed)
        seconds.append(record.cost["seconds"])
    cells = {
        NETWORK.name: spec,
        SEEDS.name: " ".join(seeds),
        SECONDS.name: statistics.fmean(seconds),
    }
    return Entry(spec, runs, cells)
