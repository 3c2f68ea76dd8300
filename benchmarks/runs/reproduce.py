"""Runs a record again from what its folder stored, and compares the numbers.

A trial is pretrained and measured anew, from its own config, samples and seed, by the trial's own
process. A baseline is measured anew, and so is a record of ``pixelpretext evaluate``, whose network
must still be where it was.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from scipy import stats

from benchmarks.compare.configs import differences, flatten
from benchmarks.compare.jobs import job_environment
from benchmarks.compare.parts import Evaluation
from benchmarks.compare.trial_folder import TRAINER, TrialFolder, TrialSpec
from benchmarks.core.record import Record, read_all
from benchmarks.core.statistics import CONFIDENCE
from benchmarks.report.statistics.bootstrap import draw, image_sums
from pretrain.engine.config_file import read_config
from pretrain.files import read_dict
from pretrain.progress import Bars, Progress

OUT = Path("work_dirs") / "reproduced"
_RESAMPLES = 1000
_POLL_S = 0.5


@dataclass(frozen=True)
class Comeback:
    """One number and its repetition.

    Attributes:
        column: ``benchmark.metric``.
        before, after: the numbers.
        half: half-width of the number's 95 % interval; None where nothing tells it.
        source: what that interval covers.
    """

    column: str
    before: float
    after: float
    half: float | None
    source: str

    @property
    def exact(self) -> bool:
        """Whether it is the same number to the last digit."""
        return self.before == self.after or (math.isnan(self.before) and math.isnan(self.after))

    @property
    def came_back(self) -> bool:
        """Whether it is the same, or within the interval."""
        within = self.half is not None and abs(self.after - self.before) <= self.half
        return self.exact or within

    def __str__(self) -> str:
        if self.exact:
            return f"{self.column}: {self.before:.6g} came back exactly"
        change = f"{self.column}: {self.before:.6g} → {self.after:.6g}"
        if self.half is None:
            return f"{change}, NOT the same, and the record has no interval"
        verdict = "within" if self.came_back else "NOT within"
        return f"{change}, {verdict} its interval ± {self.half:.3g} ({self.source})"


@dataclass(frozen=True)
class Origin:
    """Where records came from.

    Attributes:
        name: of the new folder.
        records: benchmark -> record to repeat.
        folder: of the trial or the baseline; of the file for other records.
        halves: ``benchmark.metric`` -> half-width in the comparison's table.
    """

    name: str
    records: Mapping[str, Record]
    folder: Path
    halves: Mapping[str, float]


def reproduce(
    target: str, *, out: str | None = None, evaluation: bool = False, console: Console | None = None
) -> bool:
    """Repeats what ``target`` names.

    Args:
        target: a trial's or a baseline's folder, or ``FILE:N``, the N-th record of a file.
        out: a new folder for everything that it writes; ``work_dirs/reproduced/NAME`` when None.
        evaluation: keep the trained network and repeat the measurement alone.
        console: for the bar and the result.

    Returns:
        Whether every number came back, exactly or within its interval.

    Raises:
        ValueError, OSError: something that the repetition needs is missing, or ``out`` is there.
    """
    console = console or Console()
    origin = find(target)
    folder = Path(out) if out else OUT / origin.name
    if folder.exists():
        raise ValueError(f"{folder} is there already: name a new folder with --out, or remove it")
    with Bars(console) as bars, bars.bar(origin.name) as progress:
        if (origin.folder / "request.json").is_file():
            repeated = _repeat_baseline(origin, folder)
        elif (origin.folder / "trial.json").is_file():
            repeated = _repeat_trial(origin, folder, evaluation=evaluation, progress=progress)
        else:
            repeated = _repeat_evaluation(origin, folder, progress=progress)
    return _tell(origin, repeated, folder, console)


def find(target: str) -> Origin:
    """Returns what a name stands for.

    Raises:
        ValueError, FileNotFoundError: nothing, or no record to repeat.
    """
    path = Path(target)
    if (path / "trial.json").is_file():
        records = TrialFolder(path).measured()
        if not records:
            raise ValueError(f"{path}: the trial has no record of its present settings to repeat")
        return _trial_origin(path, records)
    if (path / "request.json").is_file() and (path / "record.json").is_file():
        record = Record.from_json(read_dict(path / "record.json")["record"])
        name = f"{path.parent.name}_{path.name}"
        return Origin(name, {path.name: record}, path, {})
    if path.is_dir():
        raise ValueError(
            f"{path} is no folder of a trial (trial.json) or a measured baseline; of a comparison "
            "name one trial, such as ARM/seed_0, or one record, records.jsonl:1"
        )
    name, _, number = target.rpartition(":")
    file = Path(name) if number.isdigit() else path
    if not file.is_file():
        raise FileNotFoundError(f"{target}: no folder of a trial, and no file of records")
    records = read_all(file)
    wanted = int(number) if number.isdigit() else 1
    if not 1 <= wanted <= len(records) or (len(records) > 1 and not number.isdigit()):
        raise ValueError(f"{target}: the file holds {len(records)} records; name one as {file}:N")
    return _record_origin(file, records[wanted - 1], wanted)


def _record_origin(file: Path, record: Record, number: int) -> Origin:
    trial = record.subject.get("trial")
    if trial is None:
        return Origin(f"{file.stem}_{number}", {record.benchmark: record}, file.parent, {})
    for folder in (file.parent, file.parent / trial["arm"] / f"seed_{trial['seed']}"):
        spec = read_dict(folder / "trial.json")
        if spec.get("hash") == trial["config"]:
            return _trial_origin(folder, {trial["benchmark"]: record})
        if spec:
            raise ValueError(
                f"{folder}: the trial was asked for anew with another config since this record was "
                "made; what it was made from is lost"
            )
    raise ValueError(
        f"{file}: the record is that of the trial {trial['arm']}/seed_{trial['seed']}, whose "
        f"folder with trial.json and config.py is not below {file.parent}; without it nothing "
        "says what to train"
    )


def _trial_origin(folder: Path, records: Mapping[str, Record]) -> Origin:
    spec = TrialFolder(folder).spec()
    halves = {}
    table = read_dict(folder.parent.parent / "table.json")
    for column, ranking in table.get("rankings", {}).items():
        for arm in ranking["arms"]:
            if arm["arm"] == spec.arm and arm["half"] is not None:
                halves[column] = arm["half"]
    return Origin(f"{spec.arm}_seed_{spec.seed}", records, folder, halves)


def _repeat_trial(
    origin: Origin, folder: Path, *, evaluation: bool, progress: Progress
) -> dict[str, Record]:
    stored = TrialFolder(origin.folder)
    spec = stored.spec()
    if not stored.config.is_file():
        raise FileNotFoundError(f"{stored.config} is missing: nothing says what to train")
    benchmarks = [one for one in spec.benchmarks if one.name in origin.records]
    _require_settings(origin, benchmarks)
    _require_data(spec, benchmarks, training=spec.train and not evaluation)
    network = stored.checkpoint(train=spec.train)
    if stored.stopped and not evaluation:
        raise ValueError(
            f"{origin.folder}: the trial was stopped after {stored.stopped.samples:,} of "
            f"{spec.samples:,} samples, at a checkpoint that a repetition would not meet again; "
            "--evaluation measures that checkpoint anew"
        )
    if evaluation and not network.is_file():
        raise FileNotFoundError(
            f"{network}: the network of the record is gone; without --evaluation it is trained anew"
        )
    trainer = TRAINER if spec.trainer[1:] == TRAINER[1:] else spec.trainer
    again = TrialFolder(folder)
    again.write(
        replace(spec, benchmarks=tuple(benchmarks), trainer=trainer),
        read_config(stored.config).to_dict(),
    )
    if evaluation:
        copy = again.checkpoint(train=spec.train)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(network, copy)
    _run("trial", folder, progress)
    return again.measured()


def _require_settings(origin: Origin, benchmarks: Sequence[Evaluation]) -> None:
    """Refuses a record that was made with other settings than the trial's folder has now."""
    hashes = {benchmark.name: benchmark.hash for benchmark in benchmarks}
    for name, record in origin.records.items():
        if hashes.get(name) != record.subject["trial"]["settings"]:
            raise ValueError(
                f"{origin.folder}: the record of {name} was made with other settings of the "
                "benchmark than trial.json has now; those are lost"
            )


def _require_data(spec: TrialSpec, benchmarks: Sequence[Evaluation], *, training: bool) -> None:
    """Refuses to begin without the images."""
    needed = {f"data of benchmark {one.name}": one.data.get("root") for one in benchmarks}
    if training:
        needed |= {"images of the training": spec.config.get("source.root")}
    for what, place in needed.items():
        if isinstance(place, str) and not Path(place).exists():
            raise FileNotFoundError(
                f"{place}: the {what} are not there; run this where the comparison ran, after "
                "pixelpretext compare or prepare-data has prepared them"
            )


def _repeat_baseline(origin: Origin, folder: Path) -> dict[str, Record]:
    folder.mkdir(parents=True)
    shutil.copy2(origin.folder / "request.json", folder / "request.json")
    _run("baseline", folder)
    record = Record.from_json(read_dict(folder / "record.json")["record"])
    return {origin.folder.name: record}


def _run(module: str, folder: Path, progress: Progress | None = None) -> None:
    """Runs a trial's or a baseline's own process; its messages go to ``log.txt``.

    Raises:
        ValueError: it failed; with the end of its log.
    """
    command = [sys.executable, "-m", f"benchmarks.compare.{module}", str(folder)]
    trial, log = TrialFolder(folder), folder / "log.txt"
    with open(log, "ab") as output:
        environment = {**os.environ, **job_environment()}
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            while process.poll() is None:
                if progress is not None:
                    now = trial.progress()
                    phase = trial.state().get("phase", "starting")
                    progress(phase, now.get("step", 0), now.get("total", 0))
                time.sleep(_POLL_S)
        finally:
            process.terminate()
            process.wait()
    if process.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise ValueError(f"the repetition failed, see {log}: {' '.join(last)}")


def _repeat_evaluation(origin: Origin, folder: Path, *, progress: Progress) -> dict[str, Record]:
    """Measures again what ``pixelpretext evaluate`` measured."""
    from benchmarks.core.commands import choose_device
    from benchmarks.core.extractor import FeatureExtractor
    from benchmarks.core.upsamplers import load_upsampler
    from benchmarks.evaluate.presets.choose import task_again
    from benchmarks.evaluate.suite import make_task

    ((name, record),) = origin.records.items()
    request, device = record.subject.get("request"), choose_device(None)
    if request is None:
        raise ValueError(
            f"the record of {name} does not say what it was asked for (folder of the data, "
            "settings): it is no trial's, and was written before records of pixelpretext evaluate "
            "said so; measure it again with pixelpretext evaluate"
        )
    spec, weights = record.subject["spec"], record.subject["weights"]
    config = request["config"]
    task = task_again(config) if "preset" in config else make_task(request["benchmark"], config)
    loaded = FeatureExtractor.load(spec, weights=weights, device=device)
    ((task, network),) = task.prepared(loaded)
    if request["upsampler"] is not None:
        upsampler = load_upsampler(request["upsampler"], device)
        network = network.through(upsampler, request["upsampled_stride"])
    measured = task.benchmark.measure(network, task.data, task.settings, progress=progress)
    again = task.signed(measured)
    replace(again, subject={**again.subject, "request": request}).append(folder / "records.jsonl")
    return {name: again}


def compare(
    name: str, before: Record, after: Record, halves: Mapping[str, float]
) -> list[Comeback]:
    """The numbers of two records of one protocol.

    Args:
        name: of the benchmark.
        before, after: the records.
        halves: ``benchmark.metric`` -> half-width of its arm in the comparison's table, used where
            there is one; else images tell it where counts are kept.
    """
    numbers = []
    for metric, stored in before.metrics.items():
        column = f"{name}.{metric}"
        half, source = halves.get(column), "its arm's in the table"
        if half is None:
            half, source = _half_over_images(before, metric), "over images"
        repeated = after.metrics[metric].value
        numbers.append(Comeback(column, stored.value, repeated, half, source))
    return numbers


def _half_over_images(record: Record, metric: str) -> float | None:
    """Half of the 95 % interval of one record's number over draws of its images."""
    sums = image_sums(record, metric)
    if sums is None:
        return None
    units = len(sums.images) if sums.groups is None else len(np.unique(sums.groups))
    if units < 2:
        return None
    drawn, _ = draw([sums], resamples=_RESAMPLES)
    variance = np.nanvar(drawn[:, 0], ddof=1) * units / (units - 1)
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, units - 1) * math.sqrt(variance))


def _tell(origin: Origin, repeated: Mapping[str, Record], folder: Path, console: Console) -> bool:
    """Prints the result and keeps it as ``reproduced.json``; returns whether all came back."""
    lines, came_back = [], True
    for name, before in origin.records.items():
        after = repeated[name]
        if before.protocol_hash != after.protocol_hash:
            changed = differences(flatten(before.protocol), flatten(after.protocol))
            lines.append(f"{name}: NOT the same protocol, so no number can come back:")
            lines += [f"  {line}" for line in changed]
            came_back = False
            continue
        numbers = compare(name, before, after, origin.halves)
        lines += [str(number) for number in numbers]
        came_back = came_back and all(number.came_back for number in numbers)
        changed = differences(before.versions, after.versions)
        lines.append(f"{name}: versions {'; '.join(changed) if changed else 'are the same'}")
    lines.append(f"{'came back' if came_back else 'did NOT come back'}; its folder is {folder}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    content: dict[str, Any] = dict(origin=str(origin.folder), came_back=came_back, lines=lines)
    (folder / "reproduced.json").write_text(json.dumps(content, indent=1, ensure_ascii=False))
    return came_back
