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
        partly = sorted({key.split(".")[0] for key in self.different})
        return sorted({key.split(".")[0] for key in self.equal} - set(partly)), partly


def compare_configs(configs: dict[str, dict[str, Any]]) -> Fairness:
    """Diffs the resolved configs of all arms (seed and keys without influence on the result left
    out).
    """
    flat = {
        arm: {k: v for k, v in relevant(config).items() if k != "seed"}
        for arm, config in configs.items()
    }
    equal, different = {}, {}
    for key in sorted({key for keys in flat.values() for key in keys}):
        values = {arm: keys.get(key, "(absent)") for arm, keys in flat.items()}
        if len({config_hash(value) for value in values.values()}) == 1:
            equal[key] = next(iter(values.values()))
        else:
            different[key] = values
    return Fairness(equal, different)
