"""A trial's folder: what was asked for, what has been done, what is missing.

It holds what was asked for (``trial.json``, ``config.py``), what is going on (``state.json``,
``log.txt``), the training's own folder (``pretrain/``) or the untrained network
(``untrained.pth``), and the results (``records.jsonl``). Whether something is missing is read from
these alone, so a trial killed at any moment goes on where it stood, on any machine.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.compare.configs import config_hash, differences, relevant, write_config
from benchmarks.compare.names import PlanError
from benchmarks.compare.parts import Benchmark, Trial
from benchmarks.core.record import Record, read_all
from pretrain.files import atomic_write, read_dict

TRAINER = (sys.executable, "-m", "benchmarks.commands", "train")
SHOWN_DIFFERENCES = 8  # of a stale trial, in the message


class StaleTrial(PlanError):
    """A trial's folder was made from another config than the one asked for."""


@dataclass(frozen=True)
class TrialSpec:
    """What ``trial.json`` holds.

    Attributes:
        config: flattened keys that matter for the result, to name differences by.
        samples: images shown in pretraining, 0 for an untrained arm.
        trainer: command that trains; gets ``CONFIG --work-dir DIR --resume auto`` appended.
    """

    arm: str
    seed: int
    train: bool
    samples: int
    config: dict[str, Any]
    benchmarks: tuple[Benchmark, ...]
    trainer: tuple[str, ...] = TRAINER

    @property
    def hash(self) -> str:
        """Fingerprint of what is pretrained."""
        return config_hash([self.config, self.train])


def make_spec(
    trial: Trial,
    config: dict[str, Any],
    *,
    benchmarks: Sequence[Benchmark],
    trainer: Sequence[str] = TRAINER,
) -> TrialSpec:
    """Turns a trial and its config, budget included, into what is written to its folder."""
    arm = trial.arm
    if arm.train:
        flat = relevant(config)
    else:
        # Only backbone and input say what an untrained network is; the rest of its recipe may
        # change.
        flat = relevant({key: config[key] for key in ("model", "seed") if key in config})
        flat = {k: v for k, v in flat.items() if not k.startswith("model.objectives")}
    return TrialSpec(
        arm=arm.name,
        seed=trial.seed,
        train=arm.train,
        samples=int(config["schedule"]["samples"]) if arm.train else 0,
        config=flat,
        benchmarks=tuple(benchmarks),
        trainer=tuple(trainer),
    )


def write_trial(directory: Path, spec: TrialSpec, config: dict[str, Any]) -> None:
    """Makes or renews a trial's folder; benchmarks may be added or changed at any time, the
    pretraining may not.

    Raises:
        StaleTrial: the folder holds work of another config; names the differences and the way out.
    """
    old = read_dict(directory / "trial.json")
    work = (directory / name for name in ("pretrain", "records.jsonl", "untrained.pth"))
    if old and old.get("hash") != spec.hash and any(path.exists() for path in work):
        raise StaleTrial(_stale(directory, old.get("config", {}), spec))
    write_config(
        config,
        directory / "config.py",
        header=f"{spec.arm}, seed {spec.seed}: resolved, written by pixelpretext compare",
    )
    content = {**asdict(spec), "hash": spec.hash}
    atomic_write(directory / "trial.json", json.dumps(content, indent=1, default=repr))


def _stale(directory: Path, old: dict[str, Any], spec: TrialSpec) -> str:
    """Returns the message on a folder whose pretraining was begun with the config ``old``."""
    changed = differences(old, json.loads(json.dumps(spec.config, default=repr)))
    more = len(changed) - SHOWN_DIFFERENCES
    shown = [*changed[:SHOWN_DIFFERENCES], *([f"… and {more} more"] if more > 0 else [])]
    return (
        "\n  ".join([f"{directory} was begun with another config:", *shown])
        + f"\nThrow its results away with --redo {spec.arm}, or take another --work-dir."
    )


def read_spec(directory: Path) -> TrialSpec:
    """Reads ``trial.json``.

    Raises:
        FileNotFoundError: no such file: the folder is no trial.
    """
    content = json.loads((directory / "trial.json").read_text())
    content.pop("hash")
    content["benchmarks"] = tuple(Benchmark(**values) for values in content["benchmarks"])
    content["trainer"] = tuple(content["trainer"])
    return TrialSpec(**content)


def records_of(directory: Path, spec: TrialSpec) -> dict[str, Record]:
    """Returns benchmark name -> newest record made by this pretraining with these benchmark
    settings.
    """
    path = directory / "records.jsonl"
    settings = {benchmark.name: benchmark.hash for benchmark in spec.benchmarks}
    newest = {}
    for record in read_all(path) if path.is_file() else []:
        origin = record.subject.get("trial", {})
        name = origin.get("benchmark")
        if origin.get("config") == spec.hash and settings.get(name) == origin.get("settings"):
            newest[name] = record
    return newest


def missing_benchmarks(directory: Path, spec: TrialSpec) -> list[Benchmark]:
    """Returns the benchmarks that still have to be run; none means that the trial is finished."""
    done = records_of(directory, spec)
    return [benchmark for benchmark in spec.benchmarks if benchmark.name not in done]


class State:
    """``state.json``: the phase and what has been spent so far, over all attempts."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "state.json"
        self.values = read_dict(self.path)

    def set(self, **values: Any) -> None:
        """Replaces values and writes the file."""
        self.values |= values
        atomic_write(self.path, json.dumps(self.values, indent=1))

    def add(self, **seconds: float) -> None:
        """Adds to the sums and writes the file."""
        self.set(**{key: self.values.get(key, 0.0) + value for key, value in seconds.items()})
