"""The command ``tools/finetune.py``: every network with every seed; what is measured already is not measured again."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist
from rich.console import Console

from benchmarks.data import ClassFolder
from benchmarks.extractor import FeatureExtractor
from benchmarks.finetune.recipe import Fitted, fit
from benchmarks.finetune.run import finetune, finished
from benchmarks.finetune.settings import Settings
from benchmarks.record import Record, read_all
from benchmarks.tuning import next_step, read_options, run_jobs, tables
from benchmarks.vectors import Progress
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

            def one(extractor: FeatureExtractor, settings: Settings, progress: Progress) -> Record:
                return finetune(fit(extractor, data, settings), data, settings, progress=progress)

            records += run_jobs(open_jobs, one, weights=args.weights, out=args.out, console=console)
            _tell(args, records, console)
    except (ValueError, OSError) as error:
        console.print(f"finetune: {error}", markup=False, soft_wrap=True)
        return 2
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


def _settings(args: argparse.Namespace) -> list[Settings]:
    common = dict(
        recipe=args.recipe, options=read_options(args.cfg_options, example="schedule.epochs=50"),
        fraction=args.fraction, fraction_seed=args.fraction_seed, labels=args.labels, work_dir=args.work_dir,
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


def _tell(args: argparse.Namespace, records: list[Record], console: Console) -> None:
    """Prints the table and what to do next."""
    plain = dict(markup=False, soft_wrap=True)
    for table in tables(records):
        console.print(table)
    console.print(f"records: {args.out}; networks, curves and lists of labels: {args.work_dir}", **plain)
    following = next_step(args.checkpoints, args.seeds, records)
    following = following or "--fraction 0.1 and --fraction 0.01 tell what it is worth with few labels"
    console.print(f"next: {following}", **plain)
