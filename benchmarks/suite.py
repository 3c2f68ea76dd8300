"""Benchmarks by name: from plain dicts, as configs and command lines give them, to a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from benchmarks import knn, linear, retrieval
from benchmarks.data import ClassFolder, SegmentationFolder
from benchmarks.record import Record


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark's module offers: ``run(extractor, data, settings, progress=None) -> Record``."""

    settings: type
    data: type
    run: Callable[..., Record]


BENCHMARKS = {
    "retrieval": Benchmark(retrieval.Settings, SegmentationFolder, retrieval.run),
    "knn": Benchmark(knn.Settings, ClassFolder, knn.run),
    "linear": Benchmark(linear.Settings, ClassFolder, linear.run),
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

    def run(self, extractor: Any, **options: Any) -> Record:
        """Runs it; ``options`` go to the benchmark's ``run`` (``progress``)."""
        return self.benchmark.run(extractor, self.data, self.settings, **options)


def find_benchmark(kind: str) -> Benchmark:
    """Returns a benchmark by name.

    Raises:
        ValueError: unknown; with a suggestion.
    """
    if kind not in BENCHMARKS:
        raise ValueError(f"benchmark {kind!r} is not one of {', '.join(BENCHMARKS)}{_hint(kind, BENCHMARKS)}")
    return BENCHMARKS[kind]


def make_task(name: str, config: dict[str, Any]) -> Task:
    """Opens the data and checks the settings of a benchmark.

    Args:
        name: What to call it.
        config: ``type`` (default: the name), ``data`` (arguments of its data set) and settings.

    Raises:
        ValueError: unknown type or setting, with a suggestion; errors of the data set.
    """
    settings = dict(config)
    benchmark = find_benchmark(settings.pop("type", name))
    if "data" not in settings:
        raise ValueError(f"benchmark {name!r} has no data; add data=dict(root=…) for a {benchmark.data.__name__}")
    data = {key: value for key, value in settings.pop("data").items() if key != "type"}
    legal = [field.name for field in fields(benchmark.settings)]
    for key in settings:
        if key not in legal:
            raise ValueError(f"benchmark {name!r} has no setting {key!r}{_hint(key, legal)}; legal: {', '.join(legal)}")
    return Task(name, benchmark, benchmark.data(**data), benchmark.settings(**settings))


def _hint(name: str, legal: Any) -> str:
    near = get_close_matches(str(name), list(legal), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
