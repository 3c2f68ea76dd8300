"""One trial, in a process of its own: pretrain, then every benchmark. ``python -m
benchmarks.compare.trial DIRECTORY``.

The directory holds what was asked for (``trial.json``, ``config.py``), what is going on
(``state.json``, ``log.txt``), the training's own folder (``pretrain/``) or the untrained network
(``untrained.pth``), and the results (``records.jsonl``). Whether something is missing is read from
these alone, so a trial killed at any moment goes on where it stood.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.compare.configs import config_hash, differences, relevant, write_config
from benchmarks.compare.local import GRACE_SECONDS, end_with_parent
from benchmarks.compare.names import PlanError
from benchmarks.compare.parts import Benchmark, Trial
from benchmarks.compare.progress import read_json
from benchmarks.core.record import Record, read_all
from pretrain.files import atomic_write
from pretrain.folder_lock import exclusive
from pretrain.memory import peak_resident
from pretrain.places import import_path

LOCK_SECONDS = GRACE_SECONDS + 10
TRAINER = (sys.executable, "-m", "benchmarks.commands", "train")


class StaleTrial(PlanError):
    """A trial directory was made from another config than the one asked for."""


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
    benchmarks: Sequence[Benchmark],
    trainer: Sequence[str] = TRAINER,
) -> TrialSpec:
    """Turns a trial and its config, budget included, into what is written to its directory."""
    samples = int(config["schedule"]["samples"]) if trial.arm.train else 0
    # Only backbone and input say what an untrained network is; the rest of its recipe may change.
    kept = config if trial.arm.train else {k: config[k] for k in ("model", "seed") if k in config}
    flat = {
        k: v
        for k, v in relevant(kept).items()
        if trial.arm.train or not k.startswith("model.objectives")
    }
    return TrialSpec(
        trial.arm.name,
        trial.seed,
        trial.arm.train,
        samples,
        flat,
        tuple(benchmarks),
        tuple(trainer),
    )


def write_trial(directory: Path, spec: TrialSpec, config: dict[str, Any]) -> None:
    """Makes or renews a trial directory; benchmarks may be added or changed at any time, the
    pretraining may not.

    Raises:
        StaleTrial: the directory holds work of another config; names the differences and the way
            out.
    """
    old = read_json(directory / "trial.json")
    begun = (
        (directory / "pretrain").exists()
        or (directory / "records.jsonl").exists()
        or (directory / "untrained.pth").exists()
    )
    if old and begun and old.get("hash") != spec.hash:
        changed = differences(
            old.get("config", {}), json.loads(json.dumps(spec.config, default=repr))
        )
        shown = "\n  ".join(changed[:8]) + (
            f"\n  … and {len(changed) - 8} more" if len(changed) > 8 else ""
        )
        raise StaleTrial(
            f"{directory} was begun with another config:\n  {shown}\n"
            f"Throw its results away with --redo {spec.arm}, or take another --work-dir."
        )
    write_config(
        config,
        directory / "config.py",
        header=f"{spec.arm}, seed {spec.seed}: resolved, written by tools/compare.py",
    )
    atomic_write(
        directory / "trial.json",
        json.dumps({**asdict(spec), "hash": spec.hash}, indent=1, default=repr),
    )


def read_spec(directory: Path) -> TrialSpec:
    """Reads ``trial.json``.

    Raises:
        FileNotFoundError: no such file: the folder is no trial.
    """
    raw = json.loads((directory / "trial.json").read_text())
    raw.pop("hash")
    benchmarks = tuple(Benchmark(**b) for b in raw.pop("benchmarks"))
    return TrialSpec(**{**raw, "benchmarks": benchmarks, "trainer": tuple(raw["trainer"])})


def records_of(directory: Path, spec: TrialSpec) -> dict[str, Record]:
    """Returns benchmark name -> newest record made by this pretraining with these benchmark
    settings.
    """
    path = directory / "records.jsonl"
    wanted = {b.name: b.hash for b in spec.benchmarks}
    found = {}
    for record in read_all(path) if path.is_file() else []:
        made = record.subject.get("trial", {})
        if made.get("config") == spec.hash and wanted.get(made.get("benchmark")) == made.get(
            "settings"
        ):
            found[made["benchmark"]] = record
    return found


def missing(directory: Path, spec: TrialSpec) -> list[Benchmark]:
    """Returns the benchmarks that still have to be run; none means that the trial is finished."""
    done = records_of(directory, spec)
    return [b for b in spec.benchmarks if b.name not in done]


def run_trial(directory: Path) -> None:
    """Does what is missing of a trial.

    Raises:
        RuntimeError: the trainer failed.
        Busy: another process works on this trial.
    """
    from benchmarks.compare.evaluate import evaluate, make_untrained

    spec = read_spec(directory)
    # A killed comparison's trial needs its grace to write a checkpoint; then this one goes on from
    # there.
    with exclusive(directory, "trial", wait_s=LOCK_SECONDS) as lock:
        state = State(directory)
        if spec.train:
            checkpoint = pretrain(directory, spec, state, lock)
        else:
            checkpoint = directory / "untrained.pth"
            if not checkpoint.is_file():
                make_untrained(directory / "config.py", checkpoint)
        for benchmark in missing(directory, spec):
            state.set(phase=f"evaluating {benchmark.name}")
            started = time.monotonic()
            record = evaluate(checkpoint, benchmark)
            made = {
                "arm": spec.arm,
                "seed": spec.seed,
                "benchmark": benchmark.name,
                "config": spec.hash,
                "settings": benchmark.hash,
            }
            replace(record, subject={**record.subject, "trial": made}).append(
                directory / "records.jsonl"
            )
            state.add(evaluation_seconds=time.monotonic() - started)
        state.set(phase="done")


class State:
    """``state.json``: the phase and what has been spent so far, over all attempts."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "state.json"
        self.values = read_json(self.path)

    def set(self, **values: Any) -> None:
        """Replaces values and writes the file."""
        self.values |= values
        atomic_write(self.path, json.dumps(self.values, indent=1))

    def add(self, **seconds: float) -> None:
        """Adds to the sums and writes the file."""
        self.set(**{key: self.values.get(key, 0.0) + value for key, value in seconds.items()})


def pretrain(directory: Path, spec: TrialSpec, state: State, lock: int) -> Path:
    """Trains, or resumes, with the trainer's own process; returns the final checkpoint.

    A SIGTERM to this process waits for the trainer, which gets it too and writes a checkpoint.

    Args:
        lock: file descriptor of the trial's lock; the trainer inherits it, so the trial stays
            locked as long as it lives.

    Raises:
        RuntimeError: the trainer ended with an error, or without ``final.pth``.
    """
    final = directory / "pretrain" / "final.pth"
    if final.is_file():
        return final
    state.set(phase="pretraining")
    command = [
        *spec.trainer,
        str(directory / "config.py"),
        "--work-dir",
        str(directory / "pretrain"),
        "--resume",
        "auto",
    ]
    process = subprocess.Popen(command, pass_fds=(lock,), env={**os.environ, **import_path()})
    stopped = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = True
        process.terminate()

    previous = signal.signal(signal.SIGTERM, stop)
    last, peak = time.monotonic(), 0
    try:
        while process.poll() is None:
            with suppress(ProcessLookupError):  # it ended meanwhile, or the system does not tell
                peak = peak_resident(process.pid)
            time.sleep(0.05)
            if time.monotonic() - last > 5:
                state.add(pretrain_seconds=time.monotonic() - last)
                last = time.monotonic()
    finally:
        signal.signal(signal.SIGTERM, previous)
        process.kill()
        process.wait()
    state.add(pretrain_seconds=time.monotonic() - last)
    state.set(peak_memory_bytes=max(peak, state.values.get("peak_memory_bytes", 0)))
    if stopped:
        raise SystemExit(128 + signal.SIGTERM)
    if process.returncode != 0:
        raise RuntimeError(
            f"pretraining ended with exit code {process.returncode}; its messages stand above"
        )
    if not final.is_file():
        raise RuntimeError(f"pretraining ended without an error but left no {final}")
    return final


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the trial's process."""
    (directory,) = sys.argv[1:] if arguments is None else arguments
    end_with_parent()
    try:
        run_trial(Path(directory))
    except Exception as error:
        State(Path(directory)).set(phase="failed", error=f"{type(error).__name__}: {error}")
        raise


if __name__ == "__main__":
    main()
