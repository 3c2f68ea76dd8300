"""From a benchmark's line in a comparison config to a record; the untrained network and the trivial
predictors.
"""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config

from benchmarks.compare.names import PlanError, check_names, plan_errors
from benchmarks.compare.parts import Baseline, Evaluation
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record
from benchmarks.evaluate.suite import Task, data_arguments, find_benchmark, make_settings, make_task
from benchmarks.weights.untrained import untrained_content
from pretrain.files import atomic_path


def check_benchmark(benchmark: Evaluation) -> None:
    """Checks type, settings and data of a benchmark without reading any data.

    Raises:
        PlanError: unknown type, setting, data set or argument of it, each with a suggestion.
    """
    with plan_errors():
        declared = find_benchmark(benchmark.type)
        make_settings(benchmark.name, declared, benchmark.settings)
        data_arguments(benchmark.name, declared, benchmark.data)


def open_task(benchmark: Evaluation) -> Task:
    """Opens the data of a benchmark.

    Raises:
        PlanError: it is not there, or not as its layout says.
    """
    try:
        return make_task(
            benchmark.name, {"type": benchmark.type, "data": benchmark.data, **benchmark.settings}
        )
    except (ValueError, OSError) as error:
        raise PlanError(f"benchmark {benchmark.name!r}: {error}") from error


def device() -> str:
    """The device evaluations run on: CUDA where there is any."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def evaluate(checkpoint: Path, benchmark: Evaluation) -> Record:
    """Runs one benchmark on the online weights of a checkpoint."""
    extractor = FeatureExtractor.load(str(checkpoint), weights="online", device=device())
    task = open_task(benchmark)
    return task.benchmark.measure(task.view(extractor), task.data, task.settings)


def make_untrained(config_path: Path, checkpoint: Path) -> None:
    """Writes the network of a recipe as it is before the first step of a run with the recipe's
    seed, see :func:`untrained_content`.
    """
    content = untrained_content(Config.fromfile(config_path))
    with atomic_path(checkpoint) as temporary:
        torch.save(content, temporary)


def check_baseline(baseline: Baseline) -> None:
    """Checks a baseline whose settings are some of its benchmark's ``baseline_needs``.

    Raises:
        PlanError: an unknown type, a missing setting, or a benchmark that has no such baselines.
    """
    benchmark = find_benchmark(baseline.benchmark.type)
    if not benchmark.baselines:
        raise PlanError(
            f"baseline {baseline.name!r}: {baseline.benchmark.type!r} has no trivial predictors"
        )
    check_names(f"type of baseline {baseline.name!r}:", [baseline.type], benchmark.baselines)
    if "stride" in benchmark.baseline_needs and "stride" not in baseline.settings:
        raise PlanError(
            f"baseline {baseline.name!r}: needs stride=, pixels per feature cell of the arms in "
            "its table"
        )


def run_baseline(baseline: Baseline) -> Record:
    """Measures a trivial predictor under the protocol of its benchmark."""
    task = open_task(baseline.benchmark)
    return task.benchmark.measure_baseline(
        baseline.type, task.data, task.settings, **baseline.settings
    )
