"""The command ``pixelpretext transfer``: every network with every seed by a recipe; one table."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from rich.console import Console
from rich.status import Status

from benchmarks.core.commands import RecordFile, require_distinct
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record
from benchmarks.data.transfer_folder import TransferFolder
from benchmarks.finetune.tuning import (
    next_step,
    process_group,
    read_options,
    run_jobs,
    tuning_tables,
)
from benchmarks.mm import libraries
from benchmarks.report.renderers import print_tables
from benchmarks.transfer.run import (
    BENCHMARK,
    Settings,
    fit,
    look_at_labels,
    place_weights,
)
from pretrain.files import require_writable
from pretrain.progress import Progress


@dataclass(frozen=True)
class Options:
    """What ``pixelpretext transfer`` is asked for.

    Attributes:
        checkpoints: specs of :meth:`FeatureExtractor.load`.
        recipe: a config of ``configs/transfer``.
        data: root of the data; None: the recipe's.
        seeds: one fine-tuning with each.
        weights: ``online`` or ``target``, of our checkpoints.
        cfg_options: ``KEY=VALUE`` of the recipe.
        check: only check.
        launcher: who started the processes.
        work_dir: of logs and networks.
        out: file of records.
    """

    checkpoints: Sequence[str]
    recipe: str
    data: str | None = None
    seeds: Sequence[int] = (0,)
    weights: str = "online"
    cfg_options: Sequence[str] = ()
    check: bool = False
    launcher: str = "auto"
    work_dir: str = "work_dirs/transfer"
    out: str = "work_dirs/transfer.jsonl"


def transfer(options: Options) -> None:
    """Fine-tunes and evaluates.

    Raises:
        ValueError, OSError: a mistake in the options or the data. Records made before it are kept.
    """
    console = Console(
        file=sys.stdout, quiet=os.environ.get("RANK", "0") != "0"
    )  # what libraries print goes elsewhere
    written = RecordFile(options.out, console)
    require_writable(options.work_dir, "--work-dir", folder=True)
    require_distinct(options.checkpoints, "checkpoint")
    libraries.require()
    with process_group(options.launcher):
        data = TransferFolder(options.data)
        jobs = list(product(options.checkpoints, _settings(options)))
        _check(options, jobs, data, console)
        if options.check:
            return

        def one(extractor: FeatureExtractor, settings: Settings, progress: Progress) -> Record:
            return BENCHMARK.measure(extractor, data, settings, progress=progress)

        records = run_jobs(jobs, one, weights=options.weights, out=written, console=console)
        print_tables(tuning_tables(records), console)
        console.print(
            f"records: {options.out}; logs and networks: {options.work_dir}",
            markup=False,
            soft_wrap=True,
        )
        following = next_step(options.checkpoints, options.seeds, records)
        if following:
            console.print(f"next: {following}", markup=False, soft_wrap=True)
        written.require_whole()


def _settings(options: Options) -> list[Settings]:
    overrides = read_options(options.cfg_options, example="train_cfg.max_iters=1000")
    common = dict(recipe=options.recipe, options=overrides, work_dir=options.work_dir)
    return [Settings(tuning_seed=seed, **common) for seed in dict.fromkeys(options.seeds)]


def _check(options: Options, jobs: list, data: TransferFolder, console: Console) -> None:
    """Fits the recipe to every network before anything is trained, and says what will be done."""
    planned = 0
    if options.check:  # tools/launching.sh says how many processes there will be
        planned = int(os.environ.get("PIXELPRETEXT_PROCESSES") or 0)
    for spec, settings in jobs[:: len(set(options.seeds))]:
        extractor = FeatureExtractor.load(spec, weights=options.weights)
        fitted = fit(extractor, data, settings, processes=planned or None)
        notes = [str(extractor.report)] if extractor.report is not None else []
        notes += [str(place_weights(extractor, fitted)), fitted.norm, str(fitted.work_dir.parent)]
        with console.status("looking at the labels") as status:

            def show(phase: str, done: int, total: int, status: Status = status) -> None:
                status.update(f"{phase}: {done} of {total}")

            notes += look_at_labels(fitted, data, show)
        console.print(f"{spec}: {'; '.join(notes)}", markup=False, soft_wrap=True)
