"""Does one trial: pretrain, then every benchmark. ``python -m benchmarks.compare.trial DIRECTORY``.

:mod:`trial_folder` says what the directory holds. Does what is missing there; who started the
process, and on which machine, does not matter.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from benchmarks.compare.parts import Benchmark
from benchmarks.compare.trial_folder import State, TrialSpec, missing_benchmarks, read_spec
from pretrain.folder_lock import exclusive
from pretrain.memory import peak_resident
from pretrain.places import import_path

# An earlier process of this trial may still be writing its last checkpoint; then this one goes on
# from there.
LOCK_SECONDS = 40.0


class TrainerFailed(RuntimeError):
    """The trainer ended without a final checkpoint; its own messages say why."""


def run_trial(directory: Path) -> None:
    """Does what is missing of a trial.

    Raises:
        TrainerFailed: the pretraining ended too early.
        Busy: another process works on this trial.
    """
    spec = read_spec(directory)
    with exclusive(directory, "trial", wait_s=LOCK_SECONDS) as lock:
        state = State(directory)
        checkpoint = _network(directory, spec, state=state, lock=lock)
        for benchmark in missing_benchmarks(directory, spec):
            _evaluate(directory, spec, benchmark=benchmark, checkpoint=checkpoint, state=state)
        state.set(phase="done")


def _network(directory: Path, spec: TrialSpec, *, state: State, lock: int) -> Path:
    """Returns the checkpoint that the benchmarks are run on, made if it is missing."""
    if spec.train:
        return pretrain(directory, spec, state=state, lock=lock)
    from benchmarks.compare.evaluate import make_untrained

    checkpoint = directory / "untrained.pth"
    if not checkpoint.is_file():
        make_untrained(directory / "config.py", checkpoint)
    return checkpoint


def _evaluate(
    directory: Path, spec: TrialSpec, *, benchmark: Benchmark, checkpoint: Path, state: State
) -> None:
    """Runs a benchmark and appends its record, which says what it was made from."""
    from benchmarks.compare.evaluate import evaluate  # torch: not before training has ended

    state.set(phase=f"evaluating {benchmark.name}")
    started = time.monotonic()
    record = evaluate(checkpoint, benchmark)
    origin = {
        "arm": spec.arm,
        "seed": spec.seed,
        "benchmark": benchmark.name,
        "config": spec.hash,
        "settings": benchmark.hash,
    }
    record = replace(record, subject={**record.subject, "trial": origin})
    record.append(directory / "records.jsonl")
    state.add(evaluation_seconds=time.monotonic() - started)


def pretrain(directory: Path, spec: TrialSpec, *, state: State, lock: int) -> Path:
    """Trains, or resumes, with the trainer's own process; returns the final checkpoint.

    Args:
        lock: file descriptor of the trial's lock; the trainer inherits it, so the trial stays
            locked as long as it lives.

    Raises:
        TrainerFailed: the trainer ended with an error, or without ``final.pth``.
        SystemExit: this process was told to stop, see :func:`_train`.
    """
    final = directory / "pretrain" / "final.pth"
    if final.is_file():
        return final
    state.set(phase="pretraining")
    config, folder = str(directory / "config.py"), str(directory / "pretrain")
    command = [*spec.trainer, config, "--work-dir", folder, "--resume", "auto"]
    code = _train(command, state=state, lock=lock)
    if code != 0:
        raise TrainerFailed(f"pretraining ended with exit code {code}; its messages stand above")
    if not final.is_file():
        raise TrainerFailed(f"pretraining ended without an error but left no {final}")
    return final


def _train(command: Sequence[str], *, state: State, lock: int) -> int:
    """Runs the trainer, noting its seconds and its memory; returns its exit code.

    Raises:
        SystemExit: this process got SIGTERM; so did the trainer, which has ended by then.
    """
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
    return process.returncode


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the trial's process."""
    (directory,) = sys.argv[1:] if arguments is None else arguments
    try:
        run_trial(Path(directory))
    except Exception as error:
        State(Path(directory)).set(phase="failed", error=f"{type(error).__name__}: {error}")
        if isinstance(error, TrainerFailed):
            sys.exit(str(error))  # a traceback of this process would hide the trainer's
        raise


if __name__ == "__main__":
    main()
