"""From a benchmark's line in a comparison config to a record: finds its module, its data and its settings."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import set_random_seed

from benchmarks.compare.names import PlanError, check_names, suggestion
from benchmarks.record import Record
from pretrain.engine.check import register_all
from pretrain.files import atomic_path

if TYPE_CHECKING:
    from benchmarks.compare.parts import Baseline, Benchmark

# Short names; any other importable module with a ``Settings`` dataclass and ``run(extractor, data, settings)`` works
# too.
BENCHMARKS = {"retrieval": "benchmarks.retrieval", "knn": "benchmarks.knn", "linear": "benchmarks.linear"}


def check_benchmark(benchmark: Benchmark, what: str = "benchmark") -> None:
    """Checks type, settings and data of a benchmark without reading any data.

    Raises:
        PlanError: unknown type, setting, data set or argument of it, each with a suggestion.
    """
    settings = find_module(benchmark.type, f"{what} {benchmark.name!r}").Settings
    legal = [field.name for field in dataclasses.fields(settings)]
    check_names(f"setting of {what} {benchmark.name!r} ({benchmark.type}):", benchmark.settings, legal)
    try:
        settings(**benchmark.settings)
    except (TypeError, ValueError) as error:
        raise PlanError(f"{what} {benchmark.name!r}: {error}") from error
    data_class(benchmark, what)


def find_module(kind: str, where: str) -> ModuleType:
    """Returns the module of a benchmark type.

    Raises:
        PlanError: neither a short name nor an importable module with a settings dataclass and ``run``.
    """
    name = BENCHMARKS.get(kind, kind)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and not name.startswith(error.name):
            raise  # the module is there, something that it needs is not
        legal = ", ".join(BENCHMARKS)
        raise PlanError(
            f"{where}: unknown type {kind!r}{suggestion(kind, BENCHMARKS)}; legal: {legal}, or a module's dotted name"
        ) from error
    if not hasattr(module, "Settings") or not hasattr(module, "run"):
        raise PlanError(f"{where}: module {name} has no Settings dataclass or no run(extractor, data, settings)")
    return module


def data_class(benchmark: Benchmark, what: str = "benchmark") -> type:
    """Returns the class of a benchmark's data set, its arguments' names checked.

    Raises:
        PlanError: no ``type``, an unknown one, or an argument that it does not take.
    """
    import benchmarks.data as data_sets

    kind = benchmark.data.get("type")
    legal = list(data_sets.__all__)
    if kind is None:
        raise PlanError(f"{what} {benchmark.name!r}: data = {benchmark.data!r} needs type=, one of {', '.join(legal)}")
    check_names(f"data set of {what} {benchmark.name!r}:", [kind], legal)
    cls = getattr(data_sets, kind)
    parameters = inspect.signature(cls).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        check_names(f"argument of {kind} in {what} {benchmark.name!r}:", set(benchmark.data) - {"type"}, parameters)
    return cls


def build_data(benchmark: Benchmark) -> Any:
    """Opens the data set of a benchmark."""
    cls = data_class(benchmark)
    return cls(**{key: value for key, value in benchmark.data.items() if key != "type"})


def device() -> str:
    """The device evaluations run on: CUDA where there is any."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def evaluate(checkpoint: Path, benchmark: Benchmark) -> Record:
    """Runs one benchmark on the online weights of a checkpoint."""
    from benchmarks.extractor import FeatureExtractor

    module = find_module(benchmark.type, f"benchmark {benchmark.name!r}")
    extractor = FeatureExtractor.load(str(checkpoint), weights="online", device=device())
    return module.run(extractor, build_data(benchmark), module.Settings(**benchmark.settings))


def make_untrained(config_path: Path, checkpoint: Path) -> None:
    """Writes the network of a recipe as it is before the first step of a run with the recipe's seed.

    The file has what a trained checkpoint's ``final.pth`` has as far as an evaluation reads it: ``state_dict`` and in
    ``meta`` the backbone's config and the normalisation.
    """
    register_all()
    config = Config.fromfile(config_path)
    # The same call with which the engine seeds a run, so trained arms of this seed started from these very weights.
    set_random_seed(int(config.get("seed", 0)))
    model = MODELS.build(copy.deepcopy(config.model.to_dict()))
    meta = {
        "backbone": model.backbone.config,
        "normalisation": model.data_preprocessor.normalisation,
        "samples_seen": 0,
        "untrained": True,
    }
    with atomic_path(checkpoint) as temporary:
        torch.save({"state_dict": model.state_dict(), "meta": meta}, temporary)


def check_baseline(baseline: Baseline) -> None:
    """Checks type and settings of a baseline.

    Raises:
        PlanError: an unknown type or setting, or a benchmark that has no such baselines.
    """
    from benchmarks.baselines import BASELINES

    check_names(f"type of baseline {baseline.name!r}:", [baseline.type], BASELINES)
    check_names(f"key of baseline {baseline.name!r}:", baseline.settings, ["stride"])
    if "stride" not in baseline.settings:
        raise PlanError(f"baseline {baseline.name!r}: needs stride=, pixels per feature cell of the arms beside it")
    if baseline.benchmark.type != "retrieval":
        raise PlanError(f"baseline {baseline.name!r}: benchmark {baseline.benchmark.name!r} is no dense retrieval")


def run_baseline(baseline: Baseline) -> Record:
    """Measures a trivial predictor under the protocol of its benchmark."""
    from benchmarks.baselines import BASELINES

    benchmark = baseline.benchmark
    settings = find_module(benchmark.type, f"baseline {baseline.name!r}").Settings(**benchmark.settings)
    return BASELINES[baseline.type](build_data(benchmark), settings, baseline.settings["stride"])
