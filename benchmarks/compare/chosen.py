"""The checkpoints that dense structure advises, beside the last ones, judged by the primary metric.

Only of trainings with a ``DenseStructureHook``; it keeps the checkpoints that it may advise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.compare.configs import config_hash
from benchmarks.compare.evaluate import evaluate, make_untrained
from benchmarks.compare.parts import Evaluation, Plan, Trial
from benchmarks.compare.trial_folder import TrialFolder
from pretrain.engine.checkpoints import saved_steps
from pretrain.files import atomic_write, read_dict
from pretrain.hooks.structure_advice import Advice, advise_run

_FILE = "chosen.json"


@dataclass(frozen=True)
class Chosen:
    """The advised checkpoint of one trial.

    Attributes:
        arm: of the trial.
        step: of the advised checkpoint. last: of the last one.
        value: primary metric of the advised one. last_value: of the last one.
        strength: how far the advice can be trusted, in words.
    """

    arm: str
    step: int
    last: int
    value: float
    last_value: float
    strength: str


def chosen_checkpoints(plan: Plan) -> list[Chosen]:
    """Returns what is advised in each finished training that followed dense structure, measuring
    what is not known yet.

    A start that is advised has the value of the untrained arm with the same backbone, start weights
    and seed, where there is one.
    """
    name, metric = plan.primary.split(".", 1)
    benchmark = next(own for own in plan.benchmarks if own.name == name)
    untouched = {}
    for trial in plan.trials:
        record = TrialFolder(trial.directory).measured().get(name)
        if not trial.arm.train and record is not None:
            untouched[_start(trial)] = record.metrics[metric].value
    rows = []
    for trial in plan.trials:
        advice = _advice(trial)
        record = TrialFolder(trial.directory).measured().get(name)
        if advice is None or record is None:
            continue
        last = record.metrics[metric].value
        if advice.look is advice.looks[-1]:
            value = last
        elif advice.look.step == 0 and _start(trial) in untouched:
            value = untouched[_start(trial)]
        else:
            value = _measured(trial, advice.look.step, benchmark=benchmark, metric=metric)
        step, end = advice.look.step, advice.looks[-1].step
        rows.append(Chosen(trial.arm.name, step, end, value, last, advice.strength))
    return rows


def _start(trial: Trial) -> tuple[str, int]:
    """What a training starts from."""
    weights = [trial.config["model"].get("backbone"), trial.config.get("load_from")]
    return config_hash(weights), trial.seed


def _advice(trial: Trial) -> Advice | None:
    """What is advised of a trial's finished training; None without dense structure."""
    folder = TrialFolder(trial.directory)
    if not trial.arm.train or not folder.checkpoint(train=True).is_file():
        return None
    return advise_run(folder.training)


def _measured(trial: Trial, step: int, *, benchmark: Evaluation, metric: str) -> float:
    """The metric of one checkpoint, from the trial's folder where it is known."""
    path = trial.directory / _FILE
    asked = dict(step=step, settings=benchmark.hash, metric=metric)
    known = read_dict(path)
    if {name: known.get(name) for name in asked} == asked:
        return known["value"]
    with _checkpoint(TrialFolder(trial.directory), step) as checkpoint:
        value = evaluate(checkpoint, benchmark).metrics[metric].value
    atomic_write(path, json.dumps(asked | dict(value=value)))
    return value


@contextmanager
def _checkpoint(folder: TrialFolder, step: int) -> Iterator[Path]:
    """The file of a step; that of the start is made, as trainings do not keep it."""
    if step:
        yield Path(dict(saved_steps(folder.training))[step])
        return
    with TemporaryDirectory(prefix=".start.", dir=folder.path) as made:
        start = Path(made) / "start.pth"
        make_untrained(folder.config, start)
        yield start


def chosen_sentences(rows: Sequence[Chosen], metric: str) -> list[str]:
    """One sentence per arm: which steps are advised, and what they are worth.

    Args:
        rows: of all trials.
        metric: what was measured, for the text.
    """
    sentences = []
    for arm in dict.fromkeys(row.arm for row in rows):
        own = [row for row in rows if row.arm == arm]
        steps = ", ".join(f"{row.step}" for row in own)
        value, last = (
            np.mean([getattr(row, key) for row in own]) for key in ("value", "last_value")
        )
        strengths = ", ".join(dict.fromkeys(row.strength for row in own))
        sentences.append(
            f"{arm}: dense structure advises step {steps} of {own[0].last} (to be trusted: "
            f"{strengths}); mean {metric} {value:.2f} there, {last:.2f} at the end."
        )
    return sentences
