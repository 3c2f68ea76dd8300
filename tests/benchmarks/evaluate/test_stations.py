"""The stations that ``benchmarks.evaluate`` lists are all there."""

from __future__ import annotations

import importlib
import re

import benchmarks.evaluate


def test_every_station_is_there() -> None:
    names = re.findall(r":(?:func|class|meth|mod):`([\w.]+)`", benchmarks.evaluate.__doc__)
    numbered = re.findall(r"^\d\. ", benchmarks.evaluate.__doc__, flags=re.M)
    assert len(names) == len(numbered) == 8
    for name in names:
        assert resolve(f"benchmarks.{name}") is not None, name


def resolve(dotted: str) -> object:
    """A module, or what stands in one."""
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError:
        parent, _, last = dotted.rpartition(".")
        return getattr(resolve(parent), last)
