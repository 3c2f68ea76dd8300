"""Keys that arms differ in and the values that these may take: what sweeps and searches draw from.

A space is a dict of axes. Each axis is one of

    {"schedule.lr": (1e-4, 1e-3)}                                   # values of a dotted key
    {"schedule.lr": dict(low=1e-4, high=1e-2, log=True)}            # a range
    {"branch": dict(without={}, pooled={"model.objectives": […]})}  # named choices: overrides each

A range whose ends are whole numbers holds whole numbers only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.compare.names import PlanError, check_names

RANGE = ("low", "high", "log")
DIGITS = 3  # significant ones of a number drawn from a range: its name is its value


@dataclass(frozen=True)
class Level:
    """One value of an axis.

    Attributes:
        text: as it stands in the names of arms and in the table.
        overrides: what it changes in the recipe; empty: nothing.
    """

    text: str
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Axis:
    """One key of a space: levels, or a range.

    Attributes:
        key: dotted key of the recipe, or the name of a group of choices.
        levels: in the order of the config; empty for a range.
        low, high: ends of the range, both included.
        log: drawn evenly in the logarithm.
        named: levels are choices with overrides of their own; else each sets ``key``.
    """

    key: str
    levels: tuple[Level, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    named: bool = False

    @property
    def whole(self) -> bool:
        """Whether the range is one of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def at(self, place: float) -> Level:
        """Returns the level at a place in [0, 1): equal parts of it belong to equal levels."""
        if self.levels:
            return self.levels[int(place * len(self.levels))]
        low, high = self.low, self.high + self.whole
        if self.log:
            value = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
        else:
            value = low + place * (high - low)
        return self.level(int(value) if self.whole else value)

    def level(self, value: float) -> Level:
        """Returns a number of the range, rounded to ``DIGITS`` significant digits but kept within
        it.
        """
        if not self.whole:
            value = min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)
        return Level(spell(value), {self.key: value})


def read_space(raw: Any, where: str) -> tuple[Axis, ...]:
    """Checks a space.

    Args:
        raw: as in the config, see above.
        where: how messages call it.

    Raises:
        PlanError: no axis, an axis without levels, levels of equal name, a range that is none.
    """
    if not isinstance(raw, dict) or not raw:
        raise PlanError(
            f"{where} = {raw!r}: a dict of dotted keys, such as {{'schedule.lr': (1e-4, 1e-3)}}"
        )
    return tuple(_axis(key, values, f"{where}: {key!r}") for key, values in raw.items())


def _axis(key: str, raw: Any, where: str) -> Axis:
    if isinstance(raw, dict) and raw and not any(isinstance(item, dict) for item in raw.values()):
        return _range(key, raw, where)
    if isinstance(raw, dict):
        return Axis(key, _named(raw, where), named=True)
    if not isinstance(raw, list | tuple) or not raw:
        raise PlanError(
            f"{where} = {raw!r}: a list of values, dict(low=…, high=…), or named choices "
            "dict(NAME={dotted key: value})"
        )
    levels = tuple(Level(spell(value), {key: value}) for value in raw)
    _refuse_twins(levels, where)
    return Axis(key, levels)


def _named(raw: dict[str, Any], where: str) -> tuple[Level, ...]:
    levels = []
    for name, overrides in raw.items():
        if not isinstance(overrides, dict):
            raise PlanError(f"{where}: choice {name!r} = {overrides!r}: a dict of overrides")
        levels.append(Level(spell(name), overrides))
    if not levels:
        raise PlanError(f"{where}: no choice; write dict(NAME={{dotted key: value}})")
    _refuse_twins(levels, where)
    return tuple(levels)


def _range(key: str, raw: dict[str, Any], where: str) -> Axis:
    check_names(f"key of {where}:", raw, RANGE)
    low, high, log = raw.get("low"), raw.get("high"), raw.get("log", False)
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    if not numbers or not -math.inf < low < high < math.inf:
        raise PlanError(f"{where} = {raw!r}: needs two numbers with low < high")
    if not isinstance(log, bool) or (log and low <= 0):
        raise PlanError(f"{where} = {raw!r}: log=True needs low above 0; log is True or False")
    return Axis(key, low=low, high=high, log=log)


def _refuse_twins(levels: Sequence[Level], where: str) -> None:
    texts = [level.text for level in levels]
    for text in texts:
        if texts.count(text) > 1:
            raise PlanError(f"{where}: {text} stands there twice, or two values have that name")


def spell(value: Any) -> str:
    """Returns a value as a part of a folder's name: numbers as Python writes them, lists joined by
    dashes, everything else with dashes for what folders must not hold.

    A path is named by its last part without its ending.
    """
    if isinstance(value, list | tuple):
        return "-".join(map(spell, value)) or "empty"
    text = str(value)
    if isinstance(value, str) and "/" in text:
        text = re.sub(r"\.[a-z]+$", "", text.rstrip("/").rsplit("/", 1)[-1])
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-" if isinstance(value, str) else "")


def labels(keys: Iterable[str]) -> dict[str, str]:
    """Returns dotted key -> its shortest end that no other of the keys has."""
    keys = list(dict.fromkeys(keys))
    short = {}
    for key in keys:
        parts, others = key.split("."), [other.split(".") for other in keys if other != key]
        length = 1
        while any(parts[-length:] == other[-length:] for other in others) and length < len(parts):
            length += 1
        short[key] = ".".join(parts[-length:])
    return short
