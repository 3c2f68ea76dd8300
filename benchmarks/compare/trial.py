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

from benchmarks.compare.parts import Evaluation
from benchmarks.compare.trial_folder import TrialFolder, TrialSpec
from pretrain.folder_lock import exclusive, inheritance
from pretrain.memory import peak_resident
from pretrain.places import import_path

# An earlier process of this trial may still be writing its last checkpoint; then this one goes on
# from there.
LOCK_SECONDS = 40.0
LOOK_SECONDS = 1.0  # between two looks at whether the training has to end early


class TrainerFailed(RuntimeError):
    """The trainer ended without a final checkpoint; its own messages say why."""


def run_trial(directory: Path) -> None:
    """Does what is missing of a trial.

    Raises:
        TrainerFailed: the pretraining ended too early.
        Busy: another process works on this trial.
    """
    folder = TrialFolder(directory)
    spec = folder.spec()
    with exclusive(directory, "trial", wait_s=LOCK_SECONDS) as lock:
        checkpoint = folder.checkpoint(train=spec.train)
        if not checkpoint.is_file():
            if spec.train:
                pretrain(folder, spec, lock=lock)
                checkpoint = folder.checkpoint(train=True)
            else:
                initialise(folder)
        for benchmark in folder.missing():
            measure(folder, spec, benchmark=benchmark, checkpoint=checkpoint)
        folder.note(phase="done", error="")


def initialise(folder: TrialFolder) -> None:
    """Writes the network as it is before its training."""
    from benchmarks.compare.evaluate import make_untrained

    make_untrained(folder.config, folder.checkpoint(train=False))


def measure(
    folder: TrialFolder, spec: TrialSpec, *, benchmark: Evaluation, checkpoint: Path
) -> None:
    """Runs a benchmark and appends its record, which says what it was made from."""
    from benchmarks.compare.evaluate import evaluate  # torch: not before training has ended

    folder.note(phase=f"evaluating {benchmark.name}")
    started = time.monotonic()
    record = evaluate(checkpoint, benchmark)
    origin = {
        "arm": spec.arm,
        "seed": spec.seed,
        "benchmark": benchmark.name,
        "config": spec.hash,
        "settings": benchmark.hash,
    }
    if folder.stopped:
        origin["stopped"] = folder.stopped.samples
    replace(record, subject={**record.subject, "trial": origin}).append(folder.records)
    folder.spend(evaluation_seconds=time.monotonic() - started)


def pretrain(folder: TrialFolder, spec: TrialSpec, *, lock: int) -> None:
    """Trains, or resumes, with the trainer's own process.

    Args:
        lock: file descriptor of the trial's lock; the trainer inherits it, so the trial stays
            locked as long as it lives.

    Raises:
        TrainerFailed: the trainer ended with an error, or without a final checkpoint.
        SystemExit: this process was told to stop, see :func:`_train`.
    """
    folder.note(phase="pretraining")
    if _has_ended_early(folder, spec):
        return
    folder.forget_eta()
    arguments = [str(folder.config), "--work-dir", str(folder.training), "--resume", "auto"]
    code = _train([*spec.trainer, *arguments], folder, spec, lock=lock)
    if _has_ended_early(folder, spec):
        return
    if code != 0:
        raise TrainerFailed(f"pretraining ended with exit code {code}; see its messages above")
    final = folder.checkpoint(train=True)
    if not final.is_file():
        raise TrainerFailed(f"pretraining ended without an error but left no {final}")


def _batch(spec: TrialSpec) -> int:
    """Samples per step."""
    return spec.config["schedule.global_batch"]


def _has_ended_early(folder: TrialFolder, spec: TrialSpec) -> bool:
    """Whether the training has come as far as it may, short of its end; notes how far."""
    if folder.stop_after is None or folder.checkpoint(train=True).is_file():
        return False
    from pretrain.engine.checkpoints import saved_steps  # torch: not before training has ended

    for step, checkpoint in saved_steps(folder.training)[-1:]:
        if step * _batch(spec) >= folder.stop_after:
            folder.end_early(step * _batch(spec), checkpoint)
            return True
    return False


def _is_due(folder: TrialFolder, spec: TrialSpec) -> bool:
    """Whether the training has to end at its next checkpoint."""
    limit = folder.stop_after
    return limit is not None and folder.progress().get("step", 0) * _batch(spec) >= limit


def _train(command: Sequence[str], folder: TrialFolder, spec: TrialSpec, *, lock: int) -> int:
    """Runs the trainer, noting its seconds and its memory, and ends it if it is stopped early;
    returns its exit code.

    Raises:
        SystemExit: this process got SIGTERM; so did the trainer, which has ended by then.
    """
    environment = {**os.environ, **import_path(), **inheritance()}
    process = subprocess.Popen(command, pass_fds=(lock,), env=environment)
    stopped = due = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = True
        process.terminate()

    previous = signal.signal(signal.SIGTERM, stop)
    last, looked, peak = time.monotonic(), time.monotonic(), 0
    try:
        while process.poll() is None:
            with suppress(ProcessLookupError):  # it ended meanwhile, or the system does not tell
                peak = peak_resident(process.pid)
            time.sleep(0.05)
            if time.monotonic() - last > 5:
                folder.spend(pretrain_seconds=time.monotonic() - last)
                last = time.monotonic()
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                if not due and _is_due(folder, spec):
                    due = True
                    process.terminate()  # it writes a checkpoint and ends
    finally:
        signal.signal(signal.SIGTERM, previous)
        process.kill()
        process.wait()
    folder.spend(pretrain_seconds=time.monotonic() - last)
    folder.note(peak_memory_bytes=max(peak, folder.state().get("peak_memory_bytes", 0)))
    if stopped:
        raise SystemExit(128 + signal.SIGTERM)
    return process.returncode


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the trial's process."""
    (directory,) = sys.argv[1:] if arguments is None else arguments
    try:
        run_trial(Path(directory))
    except Exception as error:
        TrialFolder(Path(directory)).note(phase="failed", error=f"{type(error).__name__}: {error}")
        if isinstance(error, TrainerFailed):
            sys.exit(str(error))  # a traceback of this process would hide the trainer's
        raise


if __name__ == "__main__":
    main()
