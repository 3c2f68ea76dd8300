"""The command ``tools/transfer.py``: every network, by every recipe, with every seed; one table."""

from __future__ import annotations

import argparse
import os
import sys

import torch
import torch.distributed as dist
from rich.console import Console

from benchmarks.data.transfer_folder import TransferFolder
from benchmarks.extractor import FeatureExtractor
from benchmarks.record import Record
from benchmarks.transfer import libraries
from benchmarks.transfer.run import Settings, fit, place_weights, run
from benchmarks.tuning import next_step, read_options, run_jobs, tables
from benchmarks.vectors import Progress
from pretrain.engine.distributed import open_group
from pretrain.memory import keep_freed_memory


def transfer(args: argparse.Namespace) -> int:
    """Fine-tunes and evaluates; returns the exit code, 2 for a mistake in the arguments or data."""
    console = Console(file=sys.stdout, quiet=os.environ.get("RANK", "0") != "0")  # what libraries print goes elsewhere
    try:
        libraries.require()
        open_group(args.launcher)
        if not torch.cuda.is_available():
            keep_freed_memory()
        data = TransferFolder(args.data)
        jobs = [(spec, settings) for spec in args.checkpoints for settings in _settings(args)]
        _check(args, jobs, data, console)
        if args.check:
            return 0

        def one(extractor: FeatureExtractor, settings: Settings, progress: Progress) -> Record:
            return run(extractor, data, settings, progress=progress)

        records = run_jobs(jobs, one, weights=args.weights, out=args.out, console=console)
        for table in tables(records):
            console.print(table)
        console.print(f"records: {args.out}; logs and networks: {args.work_dir}", markup=False, soft_wrap=True)
        following = next_step(args.checkpoints, args.seeds, records)
        if following:
            console.print(f"next: {following}", markup=False, soft_wrap=True)
    except (ValueError, OSError) as error:
        console.print(f"transfer: {error}", markup=False, soft_wrap=True)
        return 2
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


def _settings(args: argparse.Namespace) -> list[Settings]:
    options = read_options(args.cfg_options, example="train_cfg.max_iters=1000")
    common = dict(recipe=args.recipe, options=options, work_dir=args.work_dir)
    return [Settings(tuning_seed=seed, **common) for seed in dict.fromkeys(args.seeds)]


def _check(args: argparse.Namespace, jobs: list, data: TransferFolder, console: Console) -> None:
    """Fits the recipe to every network before anything is trained, and says what will be done."""
    planned = int(os.environ.get("PIXELPRETEXT_PROCESSES") or 0) if args.check else 0  # set by tools/launching.sh
    for spec, settings in jobs[:: len(set(args.seeds))]:
        extractor = FeatureExtractor.load(spec, weights=args.weights)
        fitted = fit(extractor, data, settings, processes=planned or None)
        said = [str(extractor.report)] if extractor.report is not None else []
        said += [str(place_weights(extractor, fitted)), fitted.norm, str(fitted.work_dir.parent)]
        console.print(f"{spec}: {'; '.join(said)}", markup=False, soft_wrap=True)
