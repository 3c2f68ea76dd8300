"""Every run below a folder: comparisons, trials, baselines, trainings and evaluations.

Folders are the only truth: nothing is registered anywhere, and what one command wrote is found by
the next. ``runs("work_dirs")`` gives all of it as one pandas frame.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.compare.configs import flatten
from benchmarks.core.record import Metric, Record, is_baseline, read_all
from pretrain.engine.config_file import read_config
from pretrain.engine.hooks.progress import CURVE, PROGRESS
from pretrain.files import read_dict
from pretrain.names import suggestion

ROOT = "work_dirs"
KINDS = ("comparison", "trial", "baseline", "training", "evaluation")
_FAILURES = "failures.json"
_TRIAL, _TABLE, _BUDGET, _BASELINE = "trial.json", "table.json", "budget.json", "record.json"
_RECORDS = ".jsonl"


@dataclass(frozen=True)
class Entry:
    """One run.

    Attributes:
        name: its path below the root, ``FILE:N`` for the N-th record of a file.
        kind: one of ``KINDS``.
        state: ``done``, ``failed``, or the phase that it noted last.
        path: folder, or file of records.
        changed: when, in seconds since 1970.
        records: benchmark -> its newest record; in a comparison's trial benchmarks have the names
            that the comparison gave them.
        error: why it failed, as noted.
    """

    name: str
    kind: str
    state: str
    path: Path
    changed: float
    records: Mapping[str, Record] = field(default_factory=dict)
    error: str = ""

    @cached_property
    def config(self) -> dict[str, Any]:
        """Flattened config: of the training; of an evaluation what its record says of network and
        protocol.
        """
        if self.kind in ("evaluation", "baseline"):
            (record,) = self.records.values()
            return flatten({"subject": record.subject, "protocol": record.protocol})
        if self.kind == "comparison":
            return flatten(read_dict(self.path / _BUDGET).get("budget", {}), "budget")
        if (self.path / _TRIAL).is_file():
            spec = read_dict(self.path / _TRIAL)
            facts = {name: spec[name] for name in ("arm", "seed", "train", "samples")}
            return spec["config"] | facts
        file = self.path / "config.py"
        return flatten(read_config(file).to_dict()) if file.is_file() else {}

    @property
    def metrics(self) -> dict[str, Metric]:
        """``benchmark.metric`` -> number, unit and direction."""
        metrics = {}
        for benchmark, record in self.records.items():
            for name, metric in record.metrics.items():
                metrics[f"{benchmark}.{name}"] = metric
        return metrics

    @property
    def hashes(self) -> dict[str, str]:
        """Benchmark -> hash of the protocol that its numbers hold under."""
        return {name: record.protocol_hash for name, record in self.records.items()}

    @property
    def curve(self) -> Path | None:
        """The training's curve; None where there is none."""
        for file in (self.path / CURVE, self.path / "pretrain" / CURVE):
            if file.is_file():
                return file
        return None


def runs(root: str | Path = ROOT) -> pd.DataFrame:
    """Returns the runs below ``root`` as :func:`frame` does.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    return frame(entries(root))


def frame(chosen: Sequence[Entry]) -> pd.DataFrame:
    """Returns a row per run: ``name, kind, state, changed``, then ``config.KEY``,
    ``metric.BENCHMARK.NAME`` and ``protocol.BENCHMARK`` (hashes) where the run has them.

    Numbers of unequal protocol hash must not be compared.
    """
    rows = []
    for entry in chosen:
        row: dict[str, Any] = dict(name=entry.name, kind=entry.kind, state=entry.state)
        row["changed"] = pd.Timestamp(entry.changed, unit="s")
        row |= {f"config.{key}": value for key, value in entry.config.items()}
        row |= {f"metric.{name}": metric.value for name, metric in entry.metrics.items()}
        rows.append(row | {f"protocol.{name}": value for name, value in entry.hashes.items()})
    table = pd.DataFrame(rows, columns=None if rows else ["name", "kind", "state", "changed"])
    order = {"config": 1, "metric": 2, "protocol": 3}
    return table[sorted(table, key=lambda name: order.get(name.partition(".")[0], 0))]


def entries(root: str | Path = ROOT) -> list[Entry]:
    """Returns all runs below ``root`` in order of their names.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no folder of runs is there; --root names another one")
    everything: list[Entry] = []
    for folder, names, files in os.walk(root):
        names.sort()
        inside = set(files)
        everything += _of_folder(root, Path(folder), inside)
        if _TRIAL in inside:
            names.clear()  # its training is part of the trial
    return everything


def find(root: str | Path, name: str) -> Entry:
    """Returns a run by its name, as ``ls`` shows it, or by its path.

    Raises:
        ValueError: there is none; with a suggestion.
    """
    known = {entry.name: entry for entry in entries(root)}
    for candidate in (name.rstrip("/"), os.path.relpath(name, root)):
        if candidate in known:
            return known[candidate]
    raise ValueError(
        f"there is no run {name!r} below {root}{suggestion(name, known)}; "
        "pixelpretext runs ls lists them"
    )


def _of_folder(root: Path, folder: Path, files: set[str]) -> Iterator[Entry]:
    """The runs that one folder holds."""
    name = str(folder.relative_to(root))
    if _TRIAL in files:
        yield _trial(name, folder)
    elif _BUDGET in files or _TABLE in files:
        yield _comparison(name, folder)
    elif _BASELINE in files:
        content = read_dict(folder / _BASELINE)
        if "record" in content:
            record = Record.from_json(content["record"])
            records, changed = {folder.name: record}, _changed(folder / _BASELINE)
            yield Entry(name, "baseline", "done", folder, changed, records)
    else:
        if PROGRESS in files:
            state = read_dict(folder / PROGRESS).get("state", "unknown")
            yield Entry(name, "training", state, folder, _changed(folder / PROGRESS))
        for file in sorted(files):
            if file.endswith(_RECORDS):
                yield from _evaluations(root, folder / file)


def _comparison(name: str, folder: Path) -> Entry:
    trials = [_trial("", path.parent) for path in sorted(folder.glob(f"*/*/{_TRIAL}"))]
    done = sum(trial.state == "done" for trial in trials)
    state = "done" if trials and done == len(trials) else f"{done} of {len(trials)} trials done"
    file = folder / (_TABLE if (folder / _TABLE).is_file() else _BUDGET)
    return Entry(name, "comparison", state, folder, _changed(file))


def _trial(name: str, folder: Path) -> Entry:
    """A trial, done when each benchmark that was asked for has a record."""
    spec, noted = read_dict(folder / _TRIAL), read_dict(folder / "state.json")
    records = {}
    for record in _records(folder / "records.jsonl"):
        origin = record.subject.get("trial", {})
        if origin.get("config") == spec.get("hash"):
            records[origin["benchmark"]] = record
    wanted = {benchmark["name"] for benchmark in spec.get("benchmarks", ())}
    state = noted.get("phase", "waiting")
    if wanted <= records.keys():
        state = "done"
    elif state == "done":
        state = "waiting"  # for benchmarks that were added
    file, failures = folder / ("state.json" if noted else _TRIAL), folder / _FAILURES
    error = noted.get("error", "") if state == "failed" else ""
    # One that was killed, or lost its machine, could not say so itself.
    if state not in ("done", "failed") and failures.is_file():
        if _changed(failures) > _changed(file):
            state, error = "failed", read_dict(failures).get("reason", "")
    return Entry(name, "trial", state, folder, _changed(file), records, error)


def _evaluations(root: Path, file: Path) -> Iterator[Entry]:
    name = file.relative_to(root)
    for number, record in enumerate(_records(file), start=1):
        kind = "baseline" if is_baseline(record) else "evaluation"
        records = {record.benchmark: record}
        yield Entry(f"{name}:{number}", kind, "done", file, _changed(file), records)


def _records(file: Path) -> list[Record]:
    """The records of a file; none, with a warning, where it holds something else."""
    try:
        return read_all(file) if file.is_file() else []
    except (ValueError, AttributeError) as error:
        warnings.warn(f"{file} is left out: {error}", stacklevel=2)
        return []


def _changed(path: Path) -> float:
    return path.stat().st_mtime


def matching(entry: Entry, metric: str) -> list[tuple[str, Metric, str]]:
    """(column, metric, protocol hash) of what a name stands for in a run.

    Args:
        entry: the run.
        metric: ``benchmark.metric``, with the benchmark's own name or that of the comparison; or
            the metric alone.
    """
    chosen = []
    for benchmark, record in entry.records.items():
        for name, value in record.metrics.items():
            if metric in (name, f"{benchmark}.{name}", f"{record.benchmark}.{name}"):
                chosen.append((f"{benchmark}.{name}", value, record.protocol_hash))
    return chosen


def text_of(value: Any) -> str:
    """A config's value as one word or line, for tables and trackers."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
