"""Which configs share what, and where they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.compare.configs import config_hash, relevant


@dataclass(frozen=True)
class Fairness:
    """What the arms share and where they differ.

    Attributes:
        equal: flattened key -> value, the same in every arm.
        different: flattened key -> {arm: value}; ``"(absent)"`` where an arm has no such key.
    """

    equal: dict[str, Any]
    different: dict[str, dict[str, Any]]

    def groups(self) -> tuple[list[str], list[str]]:
        """Returns the top-level keys equal in all they hold, and those equal only in part or not at
        all.
        """
        partly = set(map(_section, self.different))
        return sorted(set(map(_section, self.equal)) - partly), sorted(partly)


def compare_configs(configs: dict[str, dict[str, Any]]) -> Fairness:
    """Diffs the resolved configs of all arms (seed and keys without influence on the result left
    out).
    """
    flat = {arm: relevant(config) for arm, config in configs.items()}
    equal, different = {}, {}
    for key in sorted(set().union(*flat.values()) - {"seed"}):
        values = {arm: keys.get(key, "(absent)") for arm, keys in flat.items()}
        if len(set(map(config_hash, values.values()))) == 1:
            equal[key] = next(iter(values.values()))
        else:
            different[key] = values
    return Fairness(equal, different)


def _section(key: str) -> str:
    return key.split(".")[0]


def by_value(values: dict[str, Any]) -> str:
    """``0.1 (A, B) · 0.2 (C)``: arms grouped by their value; ``0.2 (C) · else 0.1``, if more than
    half of four or more arms share one.
    """
    groups: dict[str, list[str]] = {}
    for arm, value in values.items():
        groups.setdefault(str(value), []).append(arm)
    most = max(groups, key=lambda value: len(groups[value]))
    rest = []
    if len(values) >= 4 and 2 * len(groups[most]) > len(values):
        groups.pop(most)
        rest = [f"else {most}"]
    return " · ".join([f"{value} ({', '.join(arms)})" for value, arms in groups.items()] + rest)
