"""The command ``pixelpretext evaluate``: from its arguments to records and a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console

from benchmarks.core.commands import RecordFile, choose_device, require_distinct
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.kept import KeptMaps
from benchmarks.core.record import Record
from benchmarks.core.upsamplers import NONE, foreign_backbone, load_upsampler, require_width
from benchmarks.evaluate.arguments import settings_of, split_data
from benchmarks.evaluate.backbones import add_records, require_table
from benchmarks.evaluate.page import write_page
from benchmarks.evaluate.presets.choose import make_preset_tasks
from benchmarks.evaluate.presets.compare import compare
from benchmarks.evaluate.suite import DENSE, Task, find_benchmark, make_task
from benchmarks.evaluate.tables import evaluation_tables
from benchmarks.report.renderers import print_tables
from heads.upsamplers.base import Upsampler
from pretrain.files import require_writable
from pretrain.memory import keep_freed_memory
from pretrain.progress import Bars


@dataclass(frozen=True)
class Options:
    """What ``pixelpretext evaluate`` is asked for; its help says how each is written.

    Attributes:
        networks: specs of :meth:`FeatureExtractor.load`. benchmark: names.
        data: ``LAYOUT:ROOT?options``. settings: ``BENCHMARK.KEY=VALUE``.
        weights: ``online`` or ``target``, of our checkpoints.
        upsampler: specs of :func:`load_upsampler`.
        upsampled_stride: pixels per upsampled feature; None: the task's own.
        preset: names of presets, in place of benchmarks; ``settings`` then name these.
        seeds: of the training of presets; empty: their own.
        published_as: the row of published numbers that the network is; None: timm's name tells.
        quick: reduced settings. baselines: trivial predictors as well.
        report: folder of a page; None: no page. add_to: folder of the table of backbones.
        device: None: cuda where it is. out: file of records.
    """

    networks: Sequence[str]
    data: Sequence[str]
    benchmark: Sequence[str] = ()
    preset: Sequence[str] = ()
    seeds: Sequence[int] = ()
    published_as: str | None = None
    settings: Sequence[str] = ()
    weights: str = "online"
    upsampler: Sequence[str] = ()
    upsampled_stride: int | None = None
    quick: bool = False
    baselines: bool = False
    report: str | None = None
    add_to: str | None = None
    device: str | None = None
    out: str = "work_dirs/evaluations.jsonl"


def evaluate(options: Options) -> None:
    """Runs every benchmark on every network.

    Raises:
        ValueError, OSError, MemoryError: a mistake in the options or the data. Records made before
            it are kept.
    """
    console = Console()
    with _process_group() as rank:
        device = choose_device(options.device)
        if device == "cuda" and dist.is_initialized():
            device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        if device == "cpu":
            # upsampled maps are large: half of an upsampling's time was fresh pages
            keep_freed_memory()
        if options.report:
            require_writable(options.report, "--report", folder=True)
        if options.add_to:
            require_table(options.add_to)
        written = RecordFile(options.out, console)
        upsamplers = _load_upsamplers(options, device, console)
        tasks = _tasks(options)
        _check_networks(options, tasks)
        records: list[Record] = []
        try:
            for record in _run_all(options, tasks, upsamplers, device=device, console=console):
                records.append(record)
                if rank == 0:
                    # At once: what is measured survives whatever comes after.
                    written.append(record)
            if rank == 0 and options.report:
                write_page(
                    records,
                    tasks,
                    networks=options.networks,
                    upsamplers=options.upsampler,
                    folder=options.report,
                    weights=options.weights,
                    device=device,
                    console=console,
                )
            if rank == 0 and options.add_to:
                added = add_records(records, options.add_to)
                console.print(f"page: {added}", markup=False, soft_wrap=True)
        finally:
            if rank == 0 and records:
                print_tables(evaluation_tables(records), console)
                for line in map(str, compare(records)):
                    console.print(line, markup=False, highlight=False, soft_wrap=True)
                written.summarise()
        written.require_whole()


def _tasks(options: Options) -> list[Task]:
    """Opens the data of what is to be measured: benchmarks, or presets.

    Raises:
        ValueError, OSError: as :func:`make_tasks` and
            :func:`benchmarks.evaluate.presets.choose.make_preset_tasks`; options that do not go
            together.
    """
    if bool(options.benchmark) == bool(options.preset):
        raise ValueError("name what to measure by --benchmark or by --preset, one of the two")
    if options.benchmark:
        if options.seeds or options.published_as:
            raise ValueError("--seeds and --published-as belong to --preset")
        names = expanded(options.benchmark, options.data)
        return make_tasks(names, options.data, options.settings, quick=options.quick)
    if options.quick:
        raise ValueError(
            "--quick would change nearly every setting of a preset; take fewer images by ?limit= "
            "behind the folder, or change settings by --set"
        )
    if options.upsampled_stride is not None:
        raise ValueError("--upsampled-stride belongs to --benchmark; a preset has its own")
    if options.published_as and len(options.networks) > 1:
        raise ValueError("--published-as names the row of one network; evaluate them one by one")
    return make_preset_tasks(
        options.preset,
        options.data,
        options.settings,
        seeds=tuple(options.seeds),
        model=options.published_as,
    )


def expanded(names: Sequence[str], data: Sequence[str]) -> list[str]:
    """Names of benchmarks, with every dense one that reads some of the data in place of ``dense``.

    Args:
        names: of benchmarks.
        data: ``LAYOUT:ROOT?options``.

    Raises:
        ValueError: ``dense``, and no dense benchmark reads any of the data.
    """
    chosen: dict[str, None] = {}
    for name in names:
        fitting = [name] if name != "dense" else _dense_for(data)
        if not fitting:
            raise ValueError(
                f"--benchmark dense: none of {', '.join(DENSE)} reads {' or '.join(data)}"
            )
        chosen |= dict.fromkeys(fitting)
    return list(chosen)


def _dense_for(data: Sequence[str]) -> list[str]:
    """The dense benchmarks that read some of the data."""
    fitting = []
    for name in DENSE:
        reader = find_benchmark(name).data
        if any(reader.arguments(*split_data(item)) is not None for item in data):
            fitting.append(name)
    return fitting


def make_tasks(
    names: Sequence[str], data: Sequence[str], settings: Sequence[str], *, quick: bool
) -> list[Task]:
    """Opens the data of each benchmark and checks its settings.

    Args:
        names: Benchmarks.
        data: ``LAYOUT:ROOT?options``; the one that suits a benchmark is taken, each must suit one.
        settings: ``BENCHMARK.KEY=VALUE``.
        quick: Start from the reduced settings.

    Raises:
        ValueError: no or several data sets for a benchmark, one that none reads, an unknown
            benchmark, setting or layout.
    """
    chosen = settings_of(names, settings, word="BENCHMARK")
    opened: dict[type, Any] = {}  # what reads the data -> the data
    tasks, unread = [], list(data)
    for name, own in chosen.items():
        benchmark = find_benchmark(name)
        reader = benchmark.data
        readable = {}
        for item in data:
            arguments = reader.arguments(*split_data(item))
            if arguments is not None:
                readable[item] = arguments
        unread = [item for item in unread if item not in readable]
        if len(readable) != 1:
            raise ValueError(
                f"benchmark {name} needs one --data with a {reader.wanted()}, found {len(readable)}"
            )
        reduced = dict(benchmark.quick) if quick else {}
        task = make_task(name, reduced | own | dict(data=next(iter(readable.values()))))
        # Benchmarks that read the same data share decoded images.
        task.data = opened.setdefault(reader, task.data)
        tasks.append(task)
    if unread:
        raise ValueError(
            f"--data {unread[0]!r}: none of the benchmarks {', '.join(names)} reads it; leave "
            "it out"
        )
    return tasks


def _run_all(
    options: Options,
    tasks: list[Task],
    upsamplers: Mapping[str, Upsampler | None],
    *,
    device: str,
    console: Console,
) -> Iterator[Record]:
    """Yields the record of each benchmark on each network, then those of the trivial predictors."""
    # One entry per table that trivial predictors stand in.
    protocols: dict[tuple[Any, ...], tuple[Task, dict[str, Any]]] = {}
    with Bars(console) as bars:
        for spec in options.networks:
            extractor = FeatureExtractor.load(spec, weights=options.weights, device=device)
            if extractor.report is not None:
                console.print(f"{spec}: {extractor.report}", markup=False, soft_wrap=True)
            for task in tasks:  # the last one's images, too, before the first one's work
                task.check(extractor)
            _require_fitting(upsamplers, extractor, console)
            kept = KeptMaps()
            if len(tasks) > 1 or len(upsamplers) > 1:
                extractor = extractor.keeping(kept)
            prepared = chain.from_iterable(task.prepared(extractor) for task in tasks)
            for task, seen in _behind_upsamplers(options, prepared, upsamplers):
                behind = "" if seen.upsampler is None else f" {seen.upsampler.spec}"
                with bars.bar(f"{spec}{behind} {task.name}") as progress:
                    record = task.benchmark.measure(
                        seen,
                        task.data,
                        task.settings,
                        progress=progress,
                        distributed=dist.is_initialized(),
                    )
                needs = {name: record.protocol[name] for name in task.benchmark.baseline_needs}
                protocols[(task.name, *needs.values())] = task, needs
                record = replace(
                    record, subject=record.subject | dict(request=request_of(task, seen))
                )
                yield task.signed(record)
            if kept.taken:
                console.print(f"{spec}: {kept}", markup=False, soft_wrap=True)
        for task, needs in protocols.values() if options.baselines else ():
            if not task.benchmark.baselines:
                console.print(
                    f"{task.name} has no trivial predictors", markup=False, soft_wrap=True
                )
            for name in task.benchmark.baselines:
                with bars.bar(f"{name} for {task.name}") as progress:
                    record = task.benchmark.measure_baseline(
                        name, task.data, task.settings, progress=progress, **needs
                    )
                yield task.signed(record)


def request_of(task: Task, network: FeatureExtractor) -> dict[str, Any]:
    """What a record must say so that it can be made again, see :mod:`benchmarks.runs.reproduce`."""
    behind = network.upsampler
    return dict(
        benchmark=task.name,
        config=task.config,
        upsampler=None if behind is None else behind.spec,
        upsampled_stride=None if behind is None else network.stride,
    )


def _check_networks(options: Options, tasks: list[Task]) -> None:
    """Loads every network once before anything is measured: the last of many may be misspelt, or
    refuse the size of the images.

    Raises:
        ValueError, FileNotFoundError: as :meth:`FeatureExtractor.load` and
            :meth:`FeatureExtractor.check_size`; a network that is named twice.
    """
    require_distinct(options.networks, "network")
    for spec in options.networks if len(options.networks) > 1 else ():
        extractor = FeatureExtractor.load(spec, weights=options.weights)
        for task in tasks:
            task.check(extractor)


def _load_upsamplers(
    options: Options, device: str, console: Console
) -> dict[str, Upsampler | None]:
    """Loads what maps pass through, bilinear always beside what was asked for, and says what was
    found in files of others.

    Raises:
        ValueError, FileNotFoundError: as :func:`benchmarks.core.upsamplers.load_upsampler`; an
            illegal stride.
    """
    if options.upsampled_stride is not None and options.upsampled_stride < 1:
        raise ValueError(
            f"--upsampled-stride {options.upsampled_stride}: must be at least 1, pixels per feature"
        )
    specs = [NONE, "bilinear", *options.upsampler] if options.upsampler else [NONE]
    upsamplers = {spec: load_upsampler(spec, device) for spec in dict.fromkeys(specs)}
    for spec, upsampler in upsamplers.items():
        report = getattr(upsampler, "report", None)
        if report is not None:
            console.print(f"{spec}: {report}", markup=False, soft_wrap=True)
    return upsamplers


def _require_fitting(
    upsamplers: Mapping[str, Upsampler | None], extractor: FeatureExtractor, console: Console
) -> None:
    """Refuses upsamplers for features of another width; says which ones were trained with another
    backbone.

    Raises:
        ValueError: as :func:`benchmarks.core.upsamplers.require_width`.
    """
    for spec, upsampler in upsamplers.items():
        if upsampler is None:
            continue
        require_width(upsampler, extractor.channels)
        if foreign_backbone(upsampler, extractor.fingerprint):
            console.print(
                f"{spec} was trained with another backbone than {extractor.spec}; its numbers say "
                "little",
                markup=False,
                soft_wrap=True,
            )


def _behind_upsamplers(
    options: Options,
    prepared: Iterable[tuple[Task, FeatureExtractor]],
    upsamplers: Mapping[str, Upsampler | None],
) -> Iterator[tuple[Task, FeatureExtractor]]:
    """Yields what to run on one network: benchmarks of maps behind every upsampler, and on the
    network's own grid where that is something else.
    """
    for task, extractor in prepared:
        stride = task.upsampled_stride
        if stride is None:
            yield task, extractor
            continue
        asked = not options.upsampler or NONE in options.upsampler
        for spec, upsampler in upsamplers.items():
            if spec != NONE or asked or task.benchmark.own_grid:
                yield task, extractor.through(upsampler, options.upsampled_stride or stride)


@contextmanager
def _process_group() -> Iterator[int]:
    """Joins torchrun's process group where there is one; yields the rank."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield 0
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()
