"""Benchmarks by name: from plain dicts, as configs and command lines give them, to a record."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import benchmarks.data as data_sets
from benchmarks import finetune
from benchmarks.core.record import Record
from benchmarks.data import (
    ClassFolder,
    DepthFolder,
    KeypointPairs,
    SegmentationFolder,
    TransferFolder,
)
from benchmarks.frozen import (
    baselines,
    cam,
    correspondence,
    decoder,
    depth,
    knn,
    linear,
    retrieval,
    robustness,
)
from benchmarks.frozen.probe import depth as depth_probe
from benchmarks.frozen.probe import segmentation as probe
from benchmarks.transfer import run as transfer
from pretrain.annotations import fit_all
from pretrain.names import check_choice, suggestion


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark's module offers: ``run(extractor, data, settings, progress=None) ->
    Record``.

    Attributes:
        data: class of its data set; None where the module does not tell.
        metrics: names its records may have; None where the module does not tell.
        upsampled_stride: pixels per feature behind an upsampler, unless the user says otherwise;
            None where it reads no maps, so that no upsampler changes its number.
        baselines: its trivial predictors by name, each ``(data, settings, *, progress=None,
            **needs) -> Record``.
        baseline_needs: what of an arm's protocol they need to share its column.
        own_grid: whether it has a number of its own without an upsampler; a probe has none, its
            outputs are then resized bilinearly, which is the upsampler ``bilinear``.
    """

    settings: type
    run: Callable[..., Record]
    data: type | None = None
    metrics: tuple[str, ...] | None = None
    upsampled_stride: int | None = None
    own_grid: bool = True
    baselines: Mapping[str, Callable[..., Record]] = field(default_factory=dict)
    baseline_needs: tuple[str, ...] = ()


# Short names; any other importable module with a ``Settings`` dataclass and ``run`` works too.
BENCHMARKS = {
    "retrieval": Benchmark(
        retrieval.Settings,
        retrieval.run,
        SegmentationFolder,
        ("mIoU", "pixel_accuracy"),
        4,
        baselines=baselines.RETRIEVAL,
        baseline_needs=("stride",),
    ),
    "depth": Benchmark(
        depth.Settings,
        depth.run,
        DepthFolder,
        ("RMSE", "delta1"),
        4,
        baselines=baselines.DEPTH,
        baseline_needs=("stride",),
    ),
    "knn": Benchmark(knn.Settings, knn.run, ClassFolder, ("top1", "top5"), baselines=baselines.KNN),
    "linear": Benchmark(
        linear.Settings, linear.run, ClassFolder, ("top1", "top5"), baselines=baselines.LINEAR
    ),
    "robustness": Benchmark(
        robustness.Settings,
        robustness.run,
        ClassFolder,
        robustness.METRICS,
        baselines=baselines.ROBUSTNESS,
    ),
    "finetune": Benchmark(finetune.Settings, finetune.run, ClassFolder, ("top1", "top5")),
    "probe": Benchmark(
        probe.Settings,
        probe.run,
        SegmentationFolder,
        ("mIoU", "pixel_accuracy"),
        1,
        own_grid=False,
        baselines=baselines.PROBE,
        baseline_needs=("stride", "train_stride"),
    ),
    "depth_probe": Benchmark(
        depth_probe.Settings,
        depth_probe.run,
        DepthFolder,
        ("RMSE", "delta1", "aligned_RMSE", "aligned_delta1"),
        1,
        own_grid=False,
        baselines=baselines.DEPTH_PROBE,
        baseline_needs=("stride", "train_stride"),
    ),
    "decoder": Benchmark(
        decoder.Settings,
        decoder.run,
        SegmentationFolder,
        ("mIoU", "pixel_accuracy"),
        4,
        own_grid=False,
        baselines=baselines.DECODER,
    ),
    "cam": Benchmark(cam.Settings, cam.run, ClassFolder, cam.METRICS, 1, baselines=baselines.CAM),
    "correspondence": Benchmark(
        correspondence.Settings,
        correspondence.run,
        KeypointPairs,
        correspondence.METRICS,
        2,
        baselines=correspondence.BASELINES,
    ),
    "transfer": Benchmark(transfer.Settings, transfer.run, TransferFolder, transfer.METRICS),
}


@dataclass
class Task:
    """A benchmark with its data opened and its settings checked, ready to run on any extractor.

    Attributes:
        name: What the user calls it; names its metrics in logs.
        benchmark: Which one.
        data: Its data set.
        settings: Its ``Settings``.
    """

    name: str
    benchmark: Benchmark
    data: Any
    settings: Any

    def check(self, extractor: Any) -> None:
        """Raises a ValueError if the network refuses the images' size, before any work.

        Args:
            extractor: what :meth:`run` is going to get.
        """
        size = getattr(self.settings, "size", None)
        if size is not None:
            extractor.check_size((size, size) if isinstance(size, int) else size)

    @property
    def metrics(self) -> tuple[str, ...] | None:
        """Names of the metrics that a record will have with these data and settings; None where
        that is not known.
        """
        names = self.benchmark.metrics
        if names is None or self.benchmark.data is TransferFolder:  # there the recipe decides
            return None
        if isinstance(self.data, ClassFolder) and self.data.classes <= 5:
            names = tuple(name for name in names if "top5" not in name)
        if getattr(self.settings, "loss", "") == "relative":
            names = tuple(name for name in names if name.startswith("aligned_"))
        return names

    def run(self, extractor: Any, **options: Any) -> Record:
        """Runs it; ``options`` go to the benchmark's ``run`` (``progress``)."""
        return self.benchmark.run(extractor, self.data, self.settings, **options)


def find_benchmark(kind: str) -> Benchmark:
    """Returns a benchmark by its short name or its module's dotted name.

    Raises:
        ValueError: neither; with a suggestion.
    """
    if kind in BENCHMARKS:
        return BENCHMARKS[kind]
    try:
        module = importlib.import_module(kind)
    except ModuleNotFoundError as error:
        if error.name and not kind.startswith(error.name):
            raise  # the module is there, something that it needs is not
        raise ValueError(
            f"benchmark {kind!r} is not one of {', '.join(BENCHMARKS)}, nor a module's dotted name"
            f"{suggestion(kind, BENCHMARKS)}"
        ) from error
    if not hasattr(module, "Settings") or not hasattr(module, "run"):
        raise ValueError(
            f"benchmark {kind!r}: it lacks a Settings dataclass or run(extractor, data, settings)"
        )
    metrics = getattr(module, "METRICS", None)
    return Benchmark(
        module.Settings, module.run, metrics=None if metrics is None else tuple(metrics)
    )


def make_settings(name: str, benchmark: Benchmark, values: dict[str, Any]) -> Any:
    """Returns the ``Settings`` of the benchmark that the user calls ``name``.

    Raises:
        ValueError: an unknown setting, with a suggestion, or an illegal value.
    """
    legal = [field.name for field in fields(benchmark.settings)]
    for key in values:
        if key not in legal:
            raise ValueError(
                f"benchmark {name!r} has no setting {key!r}{suggestion(key, legal)}; legal: "
                f"{', '.join(legal)}"
            )
    values = fit_all(values, benchmark.settings, where=f"benchmark {name!r}: ")
    try:
        return benchmark.settings(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"benchmark {name!r}: {error}") from error


def data_class(name: str, benchmark: Benchmark, arguments: dict[str, Any]) -> type:
    """Returns the class that reads the benchmark's data, its arguments' names and types checked;
    reads nothing.

    Args:
        name: What the user calls the benchmark.
        benchmark: Which one.
        arguments: Of the data set; ``type`` may be left out where the benchmark knows its own.

    Raises:
        ValueError: an unknown or unsuitable ``type``, an argument that it does not take, with a
            suggestion, one of a wrong type, or one that is missing.
    """
    legal = list(data_sets.__all__)
    kind = arguments.get("type")
    if kind is None and benchmark.data is None:
        raise ValueError(
            f"benchmark {name!r}: data = {arguments!r} needs type=, one of {', '.join(legal)}"
        )
    if kind is not None:
        check_choice(f"benchmark {name!r}: data type", kind, legal)
    cls = benchmark.data if kind is None else getattr(data_sets, kind)
    if benchmark.data not in (None, cls):
        raise ValueError(
            f"benchmark {name!r}: data type={kind!r}, but it reads a {benchmark.data.__name__}"
        )
    parameters = inspect.signature(cls).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in arguments:
            if key != "type" and key not in parameters:
                raise ValueError(
                    f"benchmark {name!r}: {cls.__name__} has no argument "
                    f"{key!r}{suggestion(key, parameters)}; legal: {', '.join(parameters)}"
                )
    needed = [
        key
        for key, p in parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_KEYWORD,)
    ]
    for key in needed:
        if key not in arguments:
            raise ValueError(f"benchmark {name!r}: data of {cls.__name__} lacks {key}=; add it")
    fit_all(arguments, cls, where=f"benchmark {name!r}: {cls.__name__}: ")
    return cls


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
    cls = data_class(name, benchmark, arguments)
    given = {key: value for key, value in arguments.items() if key != "type"}
    data = cls(**fit_all(given, cls, where=f"benchmark {name!r}: {cls.__name__}: "))
    return Task(name, benchmark, data, settings)
