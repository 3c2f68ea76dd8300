"""The list of benchmarks, for help texts: all of it comes from their declarations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, Field, fields
from textwrap import fill
from typing import Any

from benchmarks.core.benchmark import Benchmark
from benchmarks.evaluate.suite import BENCHMARKS

_WIDTH = 100


def as_text(benchmarks: Iterable[Benchmark] = BENCHMARKS.values()) -> str:
    """Benchmarks with what they read, measure and can be set to, for a terminal."""
    return "\n\n".join(map(describe, benchmarks))


def describe(benchmark: Benchmark) -> str:
    """One benchmark in a few lines."""
    settings = [f"{setting.name}={_default(setting)!r}" for setting in fields(benchmark.settings)]
    parts = {
        "data": benchmark.data.wanted(),
        "metrics": ", ".join(benchmark.metrics),
        "settings": " ".join(settings),
        "quick": " ".join(f"{name}={value!r}" for name, value in benchmark.quick.items()),
        "trivial predictors": ", ".join(benchmark.baselines),
        "processes": "share its work" if benchmark.distributed else "",
    }
    lines = [f"{benchmark.name}: {benchmark.about}"]
    for title, text in parts.items():
        if text:
            lines.append(_folded(f"{title}: {text}"))
    return "\n".join(lines)


def _default(setting: Field[Any]) -> Any:
    return setting.default if setting.default_factory is MISSING else setting.default_factory()


def _folded(text: str) -> str:
    return fill(
        text,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_on_hyphens=False,
        break_long_words=False,
    )
