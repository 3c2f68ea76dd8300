"""Benchmarks by name, and tasks from plain dicts as configs and command lines give them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks import finetune
from benchmarks.analysis import (
    aligned_start,
    alignment,
    along_training,
    barrier,
    block_shuffle,
    cka,
    criticality,
    dead_units,
    dense_structure,
    distance,
    invariances,
    positional_bias,
    which_checkpoint,
)
from benchmarks.core.benchmark import Benchmark
from benchmarks.core.record import Record
from benchmarks.frozen import (
    cam,
    correspondence,
    decoder,
    depth,
    knn,
    linear,
    linear_segmentation,
    matching,
    retrieval,
    robustness,
    video,
)
from benchmarks.frozen.clusters import discovery, overcluster
from benchmarks.frozen.patch_labels import knn as patch_knn
from benchmarks.frozen.patch_labels import logistic as patch_logistic
from benchmarks.frozen.probe import depth as depth_probe
from benchmarks.frozen.probe import segmentation as probe
from benchmarks.frozen.surfaces import depth as depth_bins
from benchmarks.frozen.surfaces import normals
from benchmarks.transfer import run as transfer
from pretrain.annotations import build, fit_all
from pretrain.names import find_declared, suggestion

MODULES = (
    retrieval,
    depth,
    knn,
    linear,
    robustness,
    probe,
    depth_probe,
    linear_segmentation,
    depth_bins,
    normals,
    decoder,
    cam,
    correspondence,
    matching,
    video,
    overcluster,
    discovery,
    patch_knn,
    patch_logistic,
    finetune,
    transfer,
    block_shuffle,
    which_checkpoint,
    alignment,
    dead_units,
    aligned_start,
    positional_bias,
    dense_structure,
    cka,
    distance,
    barrier,
    criticality,
    along_training,
    invariances,
)

#: Benchmarks by short name; any other importable module with a ``BENCHMARK`` works by its dotted
#: name.
BENCHMARKS: dict[str, Benchmark] = {module.BENCHMARK.name: module.BENCHMARK for module in MODULES}


#: What ``--benchmark dense`` stands for: everything that is asked of frozen maps.
DENSE = (
    "retrieval",
    "depth",
    "probe",
    "depth_probe",
    "linear_segmentation",
    "depth_bins",
    "normals",
    "correspondence",
    "video",
    "overcluster",
    "discovery",
    "patch_knn",
    "patch_logistic",
    "positional_bias",
)

#: The room of the analyses; a benchmark whose ``run`` stands in it is one.
_ANALYSES = "benchmarks.analysis."


def analyses() -> dict[str, Benchmark]:
    """The analyses among the benchmarks by name."""
    chosen = {}
    for name, benchmark in BENCHMARKS.items():
        if benchmark.run.__module__.startswith(_ANALYSES):
            chosen[name] = benchmark
    return chosen


@dataclass
class Task:
    """A benchmark with its data opened and its settings checked, ready to run on any extractor.

    Attributes:
        name: What the user calls it; names its metrics in logs.
        benchmark: Which one.
        data: Its data set.
        settings: Its ``Settings``.
        config: What it was made from, as :func:`make_task` takes it.
    """

    name: str
    benchmark: Benchmark
    data: Any
    settings: Any
    config: dict[str, Any] = field(default_factory=dict)

    def check(self, extractor: Any) -> None:
        """Raises a ValueError if the network refuses the images' size, or if the benchmark does not
        see what was removed from the network's maps, before any work.

        Args:
            extractor: what is going to be measured.
        """
        removal = getattr(extractor, "removal", None)
        if removal is not None and self.benchmark.upsampled_stride is None:
            raise ValueError(
                f"benchmark {self.name}: it reads more of a network than its maps, which alone "
                "without_place= changes; leave that out of the network's spec"
            )
        size = getattr(self.settings, "size", None)
        if size is not None:
            extractor.check_size((size, size) if isinstance(size, int) else size)

    def prepared(self, extractor: Any) -> Iterator[tuple[Task, Any]]:
        """Yields what to run on a network: the task and the network as it is read. A preset may
        yield itself several times, with other settings.

        Args:
            extractor: what is going to be measured.
        """
        yield self, extractor

    def signed(self, record: Record) -> Record:
        """Returns a record of this task with what the task adds to it: nothing, unless it is a
        preset.
        """
        return record

    def view(self, extractor: Any) -> Any:
        """Returns the network as the benchmark reads it without an upsampler: dense ones ask for a
        value per ``upsampled_stride`` pixels.

        Args:
            extractor: what is going to be measured.
        """
        stride = self.upsampled_stride
        return extractor if stride is None else extractor.through(None, stride)

    @property
    def upsampled_stride(self) -> int | None:
        """Pixels per feature behind an upsampler: the benchmark's, unless its settings name one."""
        return getattr(self.settings, "upsampled_stride", self.benchmark.upsampled_stride)

    @property
    def metrics(self) -> tuple[str, ...] | None:
        """Names of the metrics that a record will have with these data and settings; None where
        only the run tells.
        """
        return self.benchmark.expected_metrics(self.data, self.settings)


def find_benchmark(kind: str) -> Benchmark:
    """Returns a benchmark by its short name or its module's dotted name.

    Raises:
        ValueError: neither; with a suggestion.
    """
    benchmark = find_declared("benchmark", kind, BENCHMARKS, attribute="BENCHMARK")
    if not isinstance(benchmark, Benchmark):
        raise ValueError(
            f"benchmark {kind!r}: the module must end in BENCHMARK = Benchmark(name=…, about=…, "
            "settings=Settings, run=run, data=…, metrics=…) of benchmarks.core.benchmark, see "
            "docs/adding_a_benchmark.md"
        )
    return benchmark


def make_settings(name: str, benchmark: Benchmark, values: dict[str, Any]) -> Any:
    """Returns the ``Settings`` of the benchmark that the user calls ``name``.

    Raises:
        ValueError: an unknown setting, with a suggestion, or an illegal value.
    """
    where = f"benchmark {name!r}: "
    try:
        return build(benchmark.settings, values, where=where)
    except ValueError as error:
        raise ValueError(where + str(error).removeprefix(where)) from error


def data_arguments(name: str, benchmark: Benchmark, arguments: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of the class that reads the benchmark's data, their names and types
    checked; reads nothing.

    Args:
        name: What the user calls the benchmark.
        benchmark: Which one.
        arguments: Of the data set; ``type`` may be left out, as the benchmark knows its own.

    Raises:
        ValueError: an unknown or unsuitable ``type``, an argument that it does not take, with a
            suggestion, one of a wrong type, or one that is missing.
    """
    cls = benchmark.data
    kind = arguments.get("type", cls.__name__)
    if kind != cls.__name__:
        raise ValueError(f"benchmark {name!r}: data type={kind!r}, but it reads a {cls.__name__}")
    parameters = inspect.signature(cls).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in arguments:
            if key != "type" and key not in parameters:
                raise ValueError(
                    f"benchmark {name!r}: {cls.__name__} has no argument "
                    f"{key!r}{suggestion(key, parameters)}; legal: {', '.join(parameters)}"
                )
    for key, parameter in parameters.items():
        needed = (
            parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        )
        if needed and key not in arguments:
            raise ValueError(f"benchmark {name!r}: data of {cls.__name__} lacks {key}=; add it")
    given = {key: value for key, value in arguments.items() if key != "type"}
    return fit_all(given, cls, where=f"benchmark {name!r}: {cls.__name__}: ")


def make_task(name: str, config: dict[str, Any]) -> Task:
    """Opens the data and checks the settings of a benchmark.

    Args:
        name: What to call it.
        config: ``type`` (default: the name), ``data`` (arguments of its data set) and settings.

    Raises:
        ValueError: unknown type or setting, with a suggestion; errors of the data set; a part
            without any label.
        FileNotFoundError: the data is not there.
    """
    values = dict(config)
    benchmark = find_benchmark(values.pop("type", name))
    if "data" not in values:
        raise ValueError(f"benchmark {name!r} has no data; add data=dict(root=…)")
    arguments = values.pop("data")
    settings = make_settings(name, benchmark, values)
    data = benchmark.data(**data_arguments(name, benchmark, arguments))
    return Task(name, benchmark, data, settings, dict(config))
