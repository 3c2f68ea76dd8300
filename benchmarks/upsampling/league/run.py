"""The work of ``pixelpretext league``: what is missing is measured or trained, then reported."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.compare.progress import clock
from benchmarks.core.commands import RecordFile
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.kept import KeptMaps
from benchmarks.core.record import Record, read_all
from benchmarks.core.subject import identity
from benchmarks.core.upsamplers import NONE, load_upsampler
from benchmarks.evaluate.run import request_of
from benchmarks.evaluate.suite import Task
from benchmarks.report.renderers import print_tables
from benchmarks.upsampling import training
from benchmarks.upsampling.league.costs import Costs, measure_costs
from benchmarks.upsampling.league.page import Page, write_page
from benchmarks.upsampling.league.plan import (
    REFERENCE,
    REQUEST,
    Entrant,
    League,
    Options,
    Training,
    open_league,
)
from pretrain.files import atomic_write, require_writable
from pretrain.memory import keep_freed_memory
from pretrain.progress import Bars

RECORDS = "records.jsonl"


def run_league(options: Options, command: str) -> None:
    """Runs a league, or what of it is missing.

    Args:
        options: what is asked for.
        command: that was typed, for the page.

    Raises:
        ValueError, OSError, MemoryError: a mistake in the options or the data. What was measured
            before it is kept.
    """
    console = Console()
    require_writable(options.work_dir, "--work-dir", folder=True)
    league = open_league(options)
    if league.device == "cpu":
        keep_freed_memory()
    for sentence in league.shared:
        _tell(console, sentence)
    records = Records(league.folder / RECORDS, console)
    costs: dict[str, Costs] = {}
    with Bars(console) as bars:
        for entrant in league.entrants:
            with bars.bar(entrant.spec) as progress:
                costs[entrant.spec] = measure_costs(league, entrant, progress)
            _evaluate(league, entrant, [REFERENCE], records=records, bars=bars)
    trainings = list(_missing_trainings(league))
    _tell(console, forecast(league, trainings, records, costs=costs))
    for number, one in enumerate(trainings, 1):
        _tell(console, f"training {number} of {len(trainings)}: {one.spec}")
        train(league, one)
    with Bars(console) as bars:
        for entrant in league.entrants:
            _evaluate(league, entrant, _specs(league, entrant), records=records, bars=bars)
    records.file.summarise()
    records.file.require_whole()
    page = write_page(Page(league, records.measured, costs, command))
    print_tables(page.conditions, console)
    _tell(console, f"tables: {page.path}")
    _tell(console, page.conclusion)


class Records:
    """The records of a league's folder, found again by what was asked for.

    Args:
        path: JSON lines.
        console: where losses are told.

    Attributes:
        measured: (network, benchmark, upsampler), as they are named, -> the record.
    """

    def __init__(self, path: Path, console: Console) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = RecordFile(path, console, option="--work-dir")
        self.measured: dict[tuple[str, str, str], Record] = {}
        self._known: dict[str, Record] = {}
        for record in read_all(path) if path.is_file() else ():
            self._known[_key(record.subject)] = record

    def find(self, subject: Mapping[str, Any]) -> Record | None:
        """The record of a network behind an upsampler in a benchmark."""
        return self._known.get(_key(subject))

    def has(self, entrant: Entrant, task: Task, spec: str) -> bool:
        """Whether there is a record by these names; weights may have changed since."""
        for record in self._known.values():
            subject = record.subject
            request = subject["request"]
            names = subject["spec"], request["benchmark"], request["upsampler"] or NONE
            if names == (entrant.spec, task.name, spec) and request["config"] == _plain(
                task.config
            ):
                return True
        return False

    def append(self, record: Record) -> None:
        """Writes a record."""
        self.file.append(record)
        self._known[_key(record.subject)] = record


def _key(subject: Mapping[str, Any]) -> str:
    """What makes a measurement this one: network (its spec says which of its maps), weights of
    network and upsampler, stride, benchmark with data and settings.
    """
    upsampler = subject.get("upsampler") or {}
    parts = [subject["spec"], identity(subject), subject["stride"], upsampler.get("fingerprint")]
    parts += [upsampler.get("config"), subject.get("request")]
    return json.dumps(parts, sort_keys=True)


def _specs(league: League, entrant: Entrant) -> list[str]:
    """The upsamplers to measure on a network, each once."""
    specs: list[str] = []
    for samples in league.options.samples:
        for own in league.arms(entrant, samples).values():
            specs += own
    return list(dict.fromkeys(specs))


def _evaluate(
    league: League, entrant: Entrant, specs: Iterable[str], *, records: Records, bars: Bars
) -> None:
    """Measures a network behind upsamplers in every benchmark, where that is missing."""
    extractor = FeatureExtractor.load(entrant.spec, device=league.device).keeping(KeptMaps())
    pairs = [(task, spec) for spec in specs for task in league.tasks]
    done = bars.add_task(f"{entrant.spec}: all", total=len(pairs))
    for task, spec in pairs:
        upsampler = load_upsampler(spec, league.device, channels=extractor.channels)
        seen = extractor.through(upsampler, league.stride(task))
        request = _plain(request_of(task, seen))
        record = records.find(seen.describe() | dict(request=request))
        if record is None:
            with bars.bar(f"{entrant.spec} {spec} {task.name}") as progress:
                record = task.benchmark.measure(seen, task.data, task.settings, progress=progress)
            record = replace(record, subject=record.subject | dict(request=request))
            records.append(record)
        records.measured[entrant.spec, task.name, spec] = record
        bars.advance(done)
    bars.remove_task(done)


def _missing_trainings(league: League) -> Iterator[Training]:
    """Yields the trainings that are yet to be made."""
    for one in league.all_trainings():
        if not (one.folder / "final.pth").is_file():
            yield one


def train(league: League, one: Training) -> None:
    """Makes a training, or goes on where it was interrupted."""
    one.folder.mkdir(parents=True, exist_ok=True)
    atomic_write(one.folder / REQUEST, json.dumps(league.settled(one), indent=1))
    training.train(league.request(one))


def forecast(
    league: League, trainings: list[Training], records: Records, *, costs: Mapping[str, Costs]
) -> str:
    """How long the rest will take, from steps that were timed, the time of bilinear in every
    benchmark, and what other upsamplers take longer for an image.
    """
    learning = 0.0
    for one in trainings:
        cfg, _ = training.make_config(league.request(one))
        steps = -(-one.samples // cfg.schedule.global_batch)
        learning += steps * costs[one.entrant.spec].steps[one.kind]
    count, judging = 0, 0.0
    for entrant in league.entrants:
        for spec in _specs(league, entrant):
            for task in league.tasks:
                if not records.has(entrant, task, spec):
                    count += 1
                    known = records.measured[entrant.spec, task.name, REFERENCE]
                    judging += _seconds(task, spec, known=known, costs=costs[entrant.spec])
    return (
        f"Forecast: about {clock(learning + judging)}: {len(trainings)} trainings "
        f"{clock(learning)}, {count} evaluations {clock(judging)}."
    )


def _seconds(task: Task, spec: str, *, known: Record, costs: Costs) -> float:
    """About how long an evaluation takes: that of bilinear, and what the upsampler takes longer for
    every image.
    """
    own = costs.upsamplers[spec if spec in costs.upsamplers else spec.partition(":")[0]]
    longer = max(0.0, own.milliseconds - costs.upsamplers[REFERENCE].milliseconds) / 1e3
    images = len(getattr(getattr(task.data, "train", None), "files", ()))
    return known.cost["seconds"] + longer * (images + len(task.data.scored_files))


def _plain(values: Any) -> Any:
    """Values as they come back from a file."""
    return json.loads(json.dumps(values))


def _tell(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
