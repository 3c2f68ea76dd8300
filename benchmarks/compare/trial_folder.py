"""A trial's folder: what was asked for, what has been done, what is missing.

The folder holds what was asked for (``trial.json``, ``config.py``), what is going on
(``state.json``, ``log.txt``, and where trials may be stopped ``stopping.json`` and
``stopped.json``), the training's own folder (``pretrain/``) or the untrained network
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
from benchmarks.compare.executors.attempts import Attempts
from benchmarks.compare.names import PlanError
from benchmarks.compare.parts import Evaluation, Trial
from benchmarks.core.record import Record, read_all
from pretrain.files import atomic_write, read_dict, sha256_of

TRAINER = (sys.executable, "-m", "benchmarks.commands", "train")
FINAL = "final.pth"  # of a training that came to its end
_PROGRESS = "progress.json"  # in which a trainer says how far it is
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
    benchmarks: tuple[Evaluation, ...]
    trainer: tuple[str, ...] = TRAINER

    @property
    def hash(self) -> str:
        """Fingerprint of what is pretrained."""
        return config_hash([self.config, self.train])


def make_spec(
    trial: Trial,
    config: dict[str, Any],
    *,
    benchmarks: Sequence[Evaluation],
    trainer: Sequence[str] = TRAINER,
) -> TrialSpec:
    """Turns a trial and its config, budget included, into what is written to its folder."""
    arm = trial.arm
    if arm.train:
        flat = relevant(config)
    else:
        # Only backbone, input and start weights say what an untrained network is; the rest of its
        # recipe may change.
        kept = ("model", "seed", "load_from")
        flat = relevant({key: config[key] for key in kept if key in config})
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


@dataclass(frozen=True)
class Stopped:
    """How far a training came that was stopped: samples, and the name of its checkpoint."""

    samples: int
    checkpoint: str


class TrialFolder:
    """The folder of one trial, which need not be there yet.

    Attributes:
        config: the resolved recipe, budget included.
        training: folder of the trainer.
        curve: what the trainer logged, step by step.
        evaluations: what ``EvaluationHook`` measured on the way.
        records: results, a line each.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.records = path / "config.py", path / "records.jsonl"
        self.training = path / "pretrain"
        self.curve = self.training / "curve.csv"
        self.evaluations = self.training / "evaluations.jsonl"
        self._spec, self._state = path / "trial.json", path / "state.json"
        self._decision, self._stopped = path / "stopping.json", path / "stopped.json"

    @property
    def is_written(self) -> bool:
        """Whether it is known what was asked for."""
        return self._spec.is_file()

    @property
    def request(self) -> str:
        """Fingerprint of what was asked for, of a trial or of a baseline; empty: nothing was."""
        for file in (self._spec, self.path / "request.json"):
            if file.is_file():
                return sha256_of(file)[:12]
        return ""

    @property
    def attempts(self) -> Attempts:
        """How often it has failed, as a trial or a baseline."""
        return Attempts(self.path, self.request)

    def checkpoint(self, *, train: bool) -> Path:
        """Returns the file of the network that is evaluated: trained, as far as it came if it was
        stopped, or as it was initialised.
        """
        if not train:
            return self.path / "untrained.pth"
        stopped = self.stopped
        return self.training / (stopped.checkpoint if stopped else FINAL)

    @property
    def decision(self) -> dict[str, Any]:
        """What :mod:`benchmarks.compare.stopper` has decided on the trial; may be empty."""
        return read_dict(self._decision)

    def decide(self, decision: dict[str, Any]) -> None:
        """Writes a decision."""
        atomic_write(self._decision, json.dumps(decision))

    def forget_decision(self) -> None:
        """Removes the decision: the trial goes on to its full budget."""
        self._decision.unlink(missing_ok=True)
        self._stopped.unlink(missing_ok=True)

    @property
    def stop_after(self) -> int | None:
        """Samples after which its training has to end; None: at its budget."""
        return self.decision.get("stop")

    @property
    def stopped(self) -> Stopped | None:
        """How far its training came; None: it was not stopped, or had reached its end."""
        content = read_dict(self._stopped) if self.stop_after is not None else {}
        if not content or (self.training / FINAL).is_file():
            return None
        return Stopped(**content)

    def end_early(self, samples: int, checkpoint: Path) -> None:
        """Notes that the training has ended with this checkpoint, as it had to."""
        stopped = Stopped(samples, checkpoint.name)
        atomic_write(self._stopped, json.dumps(asdict(stopped)))

    def write(self, spec: TrialSpec, config: dict[str, Any]) -> None:
        """Makes or renews the folder; benchmarks may be added or changed at any time, the
        pretraining may not.

        Raises:
            StaleTrial: it holds work of another config; names the differences and the way out.
        """
        old = read_dict(self._spec)
        work = (self.training, self.records, self.checkpoint(train=False))
        if old and old.get("hash") != spec.hash and any(path.exists() for path in work):
            raise StaleTrial(self._stale(old.get("config", {}), spec))
        header = f"{spec.arm}, seed {spec.seed}: resolved, written by pixelpretext compare"
        write_config(config, self.config, header=header)
        content = {**asdict(spec), "hash": spec.hash}
        atomic_write(self._spec, json.dumps(content, indent=1, default=repr))

    def _stale(self, old: dict[str, Any], spec: TrialSpec) -> str:
        """Returns the message on pretraining that was begun with the config ``old``."""
        changed = differences(old, json.loads(json.dumps(spec.config, default=repr)))
        more = len(changed) - SHOWN_DIFFERENCES
        shown = [*changed[:SHOWN_DIFFERENCES], *([f"… and {more} more"] if more > 0 else [])]
        return (
            "\n  ".join([f"{self.path} was begun with another config:", *shown])
            + f"\nDiscard its results with --redo {spec.arm}, or choose another --work-dir."
        )

    def spec(self) -> TrialSpec:
        """Reads what was asked for.

        Raises:
            FileNotFoundError: nothing was: the folder is no trial's.
        """
        content = json.loads(self._spec.read_text())
        content.pop("hash")
        content["benchmarks"] = tuple(Evaluation(**values) for values in content["benchmarks"])
        content["trainer"] = tuple(content["trainer"])
        return TrialSpec(**content)

    def measured(self) -> dict[str, Record]:
        """Returns benchmark name -> newest record made by this pretraining, as far as it came, with
        the settings that were asked for.
        """
        spec, stopped = self.spec(), self.stopped
        samples = stopped.samples if stopped else None
        wanted = [(spec.hash, benchmark.name, benchmark.hash) for benchmark in spec.benchmarks]
        newest = {}
        for record in read_all(self.records) if self.records.is_file() else []:
            origin = record.subject.get("trial", {})
            key = origin.get("config"), origin.get("benchmark"), origin.get("settings")
            if key in wanted and origin.get("stopped") == samples:
                newest[origin["benchmark"]] = record
        return newest

    def missing(self) -> list[Evaluation]:
        """Returns the benchmarks that still have to be run; none: the trial is finished."""
        measured = self.measured()
        return [benchmark for benchmark in self.spec().benchmarks if benchmark.name not in measured]

    def state(self) -> dict[str, Any]:
        """Returns the phase and what has been spent so far, over all attempts; may be empty."""
        return read_dict(self._state)

    def progress(self) -> dict[str, Any]:
        """Returns how far the trainer is, as it says itself; may be empty."""
        return read_dict(self.training / _PROGRESS)

    def forget_eta(self) -> None:
        """Drops the time that a trainer expected when it was interrupted: the next one may run
        beside other work.
        """
        progress = self.progress()
        if progress.get("eta_s") is not None:
            content = json.dumps(progress | dict(eta_s=None))
            atomic_write(self.training / _PROGRESS, content)

    def note(self, **values: Any) -> None:
        """Replaces values of the state."""
        atomic_write(self._state, json.dumps({**self.state(), **values}, indent=1))

    def spend(self, **seconds: float) -> None:
        """Adds to sums of the state."""
        state = self.state()
        self.note(**{name: state.get(name, 0.0) + value for name, value in seconds.items()})
