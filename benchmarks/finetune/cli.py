"""The command ``tools/finetune.py``: every network with every seed; what is measured already is not measured again."""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.data import ClassFolder
from benchmarks.evaluation_page import by_protocol
from benchmarks.extractor import FeatureExtractor, literal
from benchmarks.finetune.recipe import Fitted, fit
from benchmarks.finetune.run import finetune, finished
from benchmarks.finetune.settings import Settings
from benchmarks.record import Record, read_all
from pretrain.engine.distributed import broadcast, open_group, world
from pretrain.memory import keep_freed_memory


def run(args: argparse.Namespace) -> int:
    """Fine-tunes and evaluates what is missing; returns the exit code, 2 for a mistake in the arguments or data."""
    console = Console(quiet=os.environ.get("RANK", "0") != "0")
    try:
        open_group(args.launcher)
        if not torch.cuda.is_available():
            keep_freed_memory()
        data = ClassFolder(args.data)
        jobs = [(spec, settings) for spec in args.checkpoints for settings in _settings(args)]
        known = broadcast(read_all(args.out) if world()[0] == 0 and Path(args.out).is_file() else [])
        open_jobs, records = _check(args, jobs, data, known=known, console=console)
        if not args.check:
            records += _run_all(args, open_jobs, data, console)
            _tell(args, records, console)
    except (ValueError, OSError) as error:
        console.print(f"finetune: {error}", markup=False, soft_wrap=True)
        return 2
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


def _settings(args: argparse.Namespace) -> list[Settings]:
    options = {}
    for item in args.cfg_options:
        key, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"--cfg-options {item!r}: write KEY=VALUE, as in schedule.epochs=50")
        options[key] = literal(value)
    common = dict(
        recipe=args.recipe, options=options, fraction=args.fraction, fraction_seed=args.fraction_seed,
        labels=args.labels, work_dir=args.work_dir,
    )  # fmt: skip
    return [Settings(tuning_seed=seed, **common) for seed in dict.fromkeys(args.seeds)]


def _check(
    args: argparse.Namespace, jobs: list[tuple[str, Settings]], data: ClassFolder, *, known: list[Record],
    console: Console,
) -> tuple[list[tuple[str, Settings]], list[Record]]:  # fmt: skip
    """Fits the recipe to every network before anything is trained; returns what is to be done, and what is done."""
    missing, done = [], []
    fitted: Fitted | None = None
    extractor: FeatureExtractor | None = None
    for spec, settings in jobs:
        if extractor is None or extractor.spec != spec:
            extractor = FeatureExtractor.load(spec, weights=args.weights)
        fitted = fit(extractor, data, settings)
        record = finished(known, fitted)
        if record is None:
            missing.append((spec, settings))
        else:
            done.append(record)
        state = "to do" if record is None else f"done, in {args.out}"
        loaded = "" if extractor.report is None else f"{extractor.report}; "
        console.print(
            f"{spec} seed {settings.tuning_seed}: {loaded}{state}; {fitted.work_dir}", markup=False, soft_wrap=True
        )
    if fitted is not None:
        console.print(
            f"{len(fitted.labels.names)} of {len(data.train)} training images labelled ({fitted.labels.fingerprint}), "
            f"{data.classes} classes, {len(data.val)} validation images", markup=False, soft_wrap=True,
        )  # fmt: skip
        _warn_of_gaps(fitted, data, console)
    return missing, done


def _warn_of_gaps(fitted: Fitted, data: ClassFolder, console: Console) -> None:
    """Says which classes have no labelled image: a list of the user's may leave some out."""
    present = set(fitted.labels.numbers)
    absent = [name for number, name in enumerate(data.class_names) if number not in present]
    if absent:
        console.print(f"without any labelled image: {len(absent)} classes ({', '.join(absent[:5])})", markup=False)


def _run_all(
    args: argparse.Namespace, jobs: list[tuple[str, Settings]], data: ClassFolder, console: Console
) -> list[Record]:
    """Fine-tunes, evaluates and appends, one after the other."""
    records = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bars:
        for number, (spec, settings) in enumerate(jobs, start=1):
            title = f"{number}/{len(jobs)} {spec} seed {settings.tuning_seed}"
            bar = bars.add_task(title)

            def progress(phase: str, done: int, total: int, bar: int = bar, title: str = title) -> None:
                bars.update(bar, description=f"{title}: {phase}", completed=done, total=total)

            extractor = FeatureExtractor.load(spec, weights=args.weights)
            records.append(finetune(fit(extractor, data, settings), data, settings, progress=progress))
            bars.remove_task(bar)
            if world()[0] == 0:
                records[-1].append(args.out)  # at once: what is measured survives whatever comes after
    return records


def _tell(args: argparse.Namespace, records: list[Record], console: Console) -> None:
    """Prints the table and what to do next."""
    plain = dict(markup=False, soft_wrap=True)
    for table in tables(records):
        console.print(table)
    console.print(f"records: {args.out}; networks, curves and lists of labels: {args.work_dir}", **plain)
    command = shlex.join(["python", *sys.argv])
    if len(args.seeds) == 1:
        console.print(f"next: other seeds show the spread: {command} --seeds 0 1 2", **plain)
    elif not any(spec.startswith("random:") for spec in args.checkpoints):
        control = untrained_spec(records[0].subject["backbone"])
        console.print(f"next: {control!r} beside the checkpoints tells what pretraining was worth", **plain)
    else:
        console.print("next: --fraction 0.1 and --fraction 0.01 tell what it is worth with few labels", **plain)


def untrained_spec(config: Mapping[str, Any]) -> str:
    """Returns the spec of the same architecture with random weights: ``random:NAME?option=value&…``.

    Args:
        config: of a ``TimmBackbone``; how a ``SinCosViT`` draws its weights is lost, its shape is not.
    """
    left_out = ("name", "type", "freeze_patches")
    options = {key: value for key, value in config.items() if key not in left_out and value is not None}
    written = "&".join(f"{key}={value}".replace(" ", "") for key, value in options.items())
    return f"random:{config['name']}" + (f"?{written}" if written else "")


def tables(records: list[Record]) -> list[Table]:
    """One table per protocol: a row per network, its seeds, the mean and the standard deviation over them.

    Args:
        records: of fine-tunings; those of one network have one fingerprint.
    """
    result = []
    for group in by_protocol(records):
        names = list(group[0].metrics)
        table = Table(title=f"{group[0].benchmark} · protocol {group[0].protocol_hash}", caption=group[0].protocol_line)
        for name in ("network", "seeds", *(f"{n} \\[{group[0].metrics[n].unit}]" for n in names), "s per seed"):
            table.add_column(name, justify="left" if name in ("network", "seeds") else "right")
        networks: dict[str, list[Record]] = {}
        for record in group:
            networks.setdefault(record.subject["fingerprint"], []).append(record)
        for found in networks.values():
            seeds = " ".join(str(record.subject["tuning_seed"]) for record in found)
            values = [_mean_and_deviation([record.metrics[name].value for record in found]) for name in names]
            seconds = statistics.fmean(record.cost["seconds"] for record in found)
            table.add_row(str(found[0].subject["spec"]), seeds, *values, f"{seconds:.0f}")
        result.append(table)
    return result


def _mean_and_deviation(values: list[float]) -> str:
    """Returns ``mean ± deviation`` (n − 1), the value alone if there is one."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}"
