"""The command ``pixelpretext finetune``: every network with every seed; what is measured already is
not measured again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from mmengine.dist import is_main_process
from rich.console import Console

from benchmarks.core.commands import RecordFile, require_distinct
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record, read_all
from benchmarks.data import ClassFolder
from benchmarks.finetune.recipe import Fitted, fit
from benchmarks.finetune.run import BENCHMARK, finished
from benchmarks.finetune.settings import Settings
from benchmarks.finetune.tuning import (
    next_step,
    process_group,
    read_options,
    run_jobs,
    tuning_tables,
)
from benchmarks.report.renderers import print_tables
from pretrain.engine.distributed import broadcast
from pretrain.files import require_writable
from pretrain.progress import Progress


@dataclass(frozen=True)
class Options:
    """What ``pixelpretext finetune`` is asked for.

    Attributes:
        checkpoints: specs of :meth:`FeatureExtractor.load`.
        recipe: path or name.
        data: root of class folders.
        seeds: one fine-tuning with each.
        fraction, fraction_seed, labels, work_dir: see :class:`Settings`.
        weights: ``online`` or ``target``, of our checkpoints.
        cfg_options: ``KEY=VALUE`` of the recipe.
        check: only check.
        launcher: who started the processes.
        out: file of records.
    """

    checkpoints: Sequence[str]
    recipe: str
    data: str
    seeds: Sequence[int] = (0,)
    fraction: float = 1.0
    fraction_seed: int = 0
    labels: str | None = None
    weights: str = "online"
    cfg_options: Sequence[str] = ()
    check: bool = False
    launcher: str = "auto"
    work_dir: str = "work_dirs/finetune"
    out: str = "work_dirs/finetune/results.jsonl"


def finetune_all(options: Options) -> None:
    """Fine-tunes and evaluates what is missing.

    Raises:
        ValueError, OSError: a mistake in the options or the data. Records made before it are kept.
    """
    console = Console(quiet=os.environ.get("RANK", "0") != "0")
    with process_group(options.launcher):
        written = RecordFile(options.out, console)
        require_writable(options.work_dir, "--work-dir", folder=True)
        require_distinct(options.checkpoints, "checkpoint")
        data = ClassFolder(options.data)
        jobs = list(product(options.checkpoints, _settings(options)))
        known = broadcast(
            read_all(options.out) if is_main_process() and Path(options.out).is_file() else []
        )
        open_jobs, records = _check(options, jobs, data, known=known, console=console)
        if not options.check:

            def one(extractor: FeatureExtractor, settings: Settings, progress: Progress) -> Record:
                return BENCHMARK.measure(extractor, data, settings, progress=progress)

            records += run_jobs(
                open_jobs, one, weights=options.weights, out=written, console=console
            )
            _print_results(options, records, console)
            written.require_whole()


def _settings(options: Options) -> list[Settings]:
    common = dict(
        recipe=options.recipe,
        options=read_options(options.cfg_options, example="schedule.epochs=50"),
        fraction=options.fraction,
        fraction_seed=options.fraction_seed,
        labels=options.labels,
        work_dir=options.work_dir,
    )
    return [Settings(tuning_seed=seed, **common) for seed in dict.fromkeys(options.seeds)]


def _check(
    options: Options,
    jobs: list[tuple[str, Settings]],
    data: ClassFolder,
    *,
    known: list[Record],
    console: Console,
) -> tuple[list[tuple[str, Settings]], list[Record]]:
    """Fits the recipe to every network before anything is trained; returns what is to be done, and
    what is done.
    """
    missing, done = [], []
    fitted: Fitted | None = None
    extractor: FeatureExtractor | None = None
    for spec, settings in jobs:
        if extractor is None or extractor.spec != spec:
            extractor = FeatureExtractor.load(spec, weights=options.weights)
        fitted = fit(extractor, data, settings)
        record = finished(known, fitted)
        if record is None:
            missing.append((spec, settings))
        else:
            done.append(record)
        state = "to do" if record is None else f"done, in {options.out}"
        loaded = "" if extractor.report is None else f"{extractor.report}; "
        console.print(
            f"{spec} seed {settings.tuning_seed}: {loaded}{state}; {fitted.work_dir}",
            markup=False,
            soft_wrap=True,
        )
    if fitted is not None:
        console.print(
            f"{len(fitted.labels.names)} of {len(data.train)} training images labelled "
            f"({fitted.labels.fingerprint}), {data.classes} classes, {len(data.val)} validation "
            "images",
            markup=False,
            soft_wrap=True,
        )
        _warn_of_gaps(fitted, data, console)
    return missing, done


def _warn_of_gaps(fitted: Fitted, data: ClassFolder, console: Console) -> None:
    """Says which classes have no labelled image: a list of the user's may leave some out."""
    present = set(fitted.labels.numbers)
    absent = [name for number, name in enumerate(data.class_names) if number not in present]
    if absent:
        console.print(
            f"without any labelled image: {len(absent)} classes ({', '.join(absent[:5])})",
            markup=False,
        )


def _print_results(options: Options, records: list[Record], console: Console) -> None:
    """Prints the table and what to do next."""
    plain = dict(markup=False, soft_wrap=True)
    print_tables(tuning_tables(records), console)
    console.print(
        f"records: {options.out}; networks, curves and lists of labels: {options.work_dir}", **plain
    )
    following = next_step(options.checkpoints, options.seeds, records)
    following = following or "--fraction 0.1 and --fraction 0.01 show what few labels are worth"
    console.print(f"next: {following}", **plain)
