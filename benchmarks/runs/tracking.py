"""Runs copied to MLflow or Weights & Biases: params, curves, numbers, protocol hashes as tags.

Both are optional (``requirements/tracking.txt``) and imported when asked for. A run keeps its
identity by its name: a second export to the same place leaves out what MLflow has already, and
gives Weights & Biases the same run id.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from rich.console import Console

from benchmarks.runs.registry import Entry, frame, text_of
from pretrain.files import atomic_write
from pretrain.names import check_choice
from pretrain.places import how_to_install
from pretrain.progress import Bars, Progress

KINDS = ("trial", "baseline", "training", "evaluation")  # a comparison is its trials
_PARAMS, _METRICS = 100, 1000  # most that MLflow takes at once
_LONGEST = 500  # characters of a param, in every version of MLflow
NAME_TAG = "pixelpretext.run"


def export(
    entries: Sequence[Entry],
    *,
    to: str | None,
    out: str | None,
    project: str,
    offline: bool,
    console: Console,
) -> None:
    """Writes runs where they are wanted, and says how many.

    Args:
        entries: runs.
        to: ``csv``, ``mlflow`` or ``wandb``.
        out: file, address or folder; None: ``runs.csv``, ``mlruns`` or the present folder.
        project: experiment or project.
        offline: for wandb.
        console: for the bar and the last line.

    Raises:
        ValueError: another ``to``, or its library is not installed.
        OSError: the file cannot be written.
    """
    check_choice("--to", to, ("csv", "mlflow", "wandb"))
    if to == "csv":
        file = out or "runs.csv"
        atomic_write(file, frame(entries).to_csv(index=False))
        console.print(f"{len(entries)} runs written to {file}", highlight=False)
        return
    with Bars(console) as bars, bars.bar(f"export to {to}") as progress:
        if to == "mlflow":
            place = out or "mlruns"
            count = to_mlflow(entries, uri=place, project=project, progress=progress)
        else:
            place = out or "."
            count = to_wandb(
                entries, project=project, offline=offline, folder=place, progress=progress
            )
    console.print(f"{count} runs written to {project} in {place}", highlight=False)


def to_mlflow(
    entries: Sequence[Entry], *, uri: str, project: str, progress: Progress | None = None
) -> int:
    """Writes runs to an MLflow experiment.

    Args:
        entries: runs; those that the experiment holds by name are left out.
        uri: of a server or data base, or a folder.
        project: name of the experiment, made if missing.
        progress: called with (phase, done, in all).

    Returns:
        How many were written.

    Raises:
        ValueError: mlflow is not installed.
    """
    if "://" not in uri:
        uri = Path(uri).resolve().as_uri()
    if uri.startswith("file:"):  # MLflow 3.7 and later ask for this word; a folder was asked for
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = _optional("mlflow")
    tracking, entities = mlflow.tracking, mlflow.entities
    client = tracking.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(project)
    number = experiment.experiment_id if experiment else client.create_experiment(project)
    known = set()
    for run in _all_runs(client, number):
        known.add(run.data.tags.get(NAME_TAG))
    todo = [entry for entry in entries if entry.kind in KINDS and entry.name not in known]
    for done, entry in enumerate(todo, start=1):
        start = int(1000 * entry.changed)
        created = client.create_run(
            number, start_time=start, tags=tags_of(entry), run_name=entry.name
        )
        params, metrics = [], []
        for key, value in entry.config.items():
            params.append(entities.Param(_legal(key), text_of(value)[:_LONGEST]))
        for step, values in _series(entry):
            for name, value in values.items():
                metrics.append(entities.Metric(_legal(name), value, start, step))
        run = created.info.run_id
        for first in range(0, len(params), _PARAMS):
            client.log_batch(run, params=params[first : first + _PARAMS])
        for first in range(0, len(metrics), _METRICS):
            client.log_batch(run, metrics=metrics[first : first + _METRICS])
        status = {"done": "FINISHED", "failed": "FAILED"}.get(entry.state, "KILLED")
        client.set_terminated(run, status=status, end_time=start)
        if progress is not None:
            progress("", done, len(todo))
    return len(todo)


def _all_runs(client: Any, experiment: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def to_wandb(
    entries: Sequence[Entry],
    *,
    project: str,
    offline: bool,
    folder: str | Path,
    progress: Progress | None = None,
) -> int:
    """Writes runs to a project of Weights & Biases.

    Args:
        entries: runs.
        project: name of the project.
        offline: write to ``folder`` alone; ``wandb sync`` sends it later.
        folder: for wandb's own files.
        progress: called with (phase, done, in all).

    Returns:
        How many were written.

    Raises:
        ValueError: wandb is not installed.
    """
    wandb = _optional("wandb")
    Path(folder).mkdir(parents=True, exist_ok=True)
    todo = [entry for entry in entries if entry.kind in KINDS]
    for done, entry in enumerate(todo, start=1):
        tags = tags_of(entry)
        run = wandb.init(
            project=project,
            id=hashlib.sha256(entry.name.encode()).hexdigest()[:16],
            name=entry.name,
            dir=str(folder),
            mode="offline" if offline else "online",
            job_type=entry.kind,
            config=dict(entry.config),
            tags=[value for key, value in tags.items() if key.startswith("protocol.")],
            settings=wandb.Settings(silent=True, console="off"),
        )
        for step, values in _series(entry):
            run.log(values, step=step)
        run.summary.update(_numbers(entry) | tags)
        run.finish(exit_code=1 if entry.state == "failed" else 0)
        if progress is not None:
            progress("", done, len(todo))
    wandb.teardown()  # its own process writes the files: wait for the last of them
    return len(todo)


def tags_of(entry: Entry) -> dict[str, str]:
    """A run's name, kind and state, and the hash of each benchmark's protocol."""
    tags = {NAME_TAG: entry.name, "kind": entry.kind, "state": entry.state}
    return tags | {f"protocol.{name}": value for name, value in entry.hashes.items()}


def _numbers(entry: Entry) -> dict[str, float]:
    numbers = {}
    for name, metric in entry.metrics.items():
        if metric.defined:
            numbers[name] = metric.value
    return numbers


def _series(entry: Entry) -> Iterator[tuple[int, dict[str, float]]]:
    """(step, values) of the curve, then the numbers of the records at the last step."""
    last = 0
    if entry.curve is not None:
        for row in pd.read_csv(entry.curve).to_dict("records"):
            last = int(row.pop("step"))
            values = {}
            for name, value in row.items():
                if isinstance(value, int | float) and math.isfinite(value):
                    values[f"train/{name}"] = float(value)
            yield last, values
    numbers = _numbers(entry)
    if numbers:
        yield last, numbers


def _legal(name: str) -> str:
    """A name in the characters that MLflow takes."""
    return "".join(letter if letter.isalnum() or letter in "_-./ " else "_" for letter in name)


def _optional(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        package = {"mlflow": "mlflow-skinny"}.get(name, name)
        raise ValueError(
            f"{name} is not installed: {how_to_install('tracking')}, or pip install {package}"
        ) from error
