"""Arms made from keys and values: a sweep is a comparison whose arms are generated.

An arm of a comparison's config becomes several by one of

    PixPro=dict(grid={"schedule.lr": (1e-4, 1e-3), …})   # every combination
    PixPro=dict(vary={"schedule.lr": (1e-4, 1e-3), …})   # the arm as it is, then one key at a time
    PixPro=dict(sample=dict(space={…}, n=16, seed=0))    # n points, evenly spread

with ``config``, ``overrides`` and all else shared by them. :mod:`benchmarks.compare.space` says
what keys and values may be.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from benchmarks.compare.configs import config_hash, find_config, load_config
from benchmarks.compare.names import PlanError, check_folder_name, check_names
from benchmarks.compare.parts import Arm, Membership
from benchmarks.compare.space import Axis, Level, labels, read_space, spell

KINDS = ("grid", "vary", "sample")
SAMPLE_KEYS = ("space", "n", "seed")
LONGEST_NAME = 100  # characters; a folder's name may have 255 bytes, and others add to it
UNSAID = "default"  # level of a named axis where the arm as it is has none of its choices


@dataclass(frozen=True)
class Written:
    """An arm as it would have been written by hand.

    Attributes:
        spec: its keys; those of the sweep are gone.
        sweep: what generated it, if anything did.
    """

    name: str
    spec: Any
    sweep: Membership | None = None


def expand(arms: Any, base: str, common: dict[str, Any]) -> list[Written]:
    """Returns all arms, generated ones in the place of what generates them.

    Args:
        arms: as in the config.
        base: recipe of the arms that name none.
        common: overrides of all arms.

    Raises:
        PlanError: two of ``KINDS`` in one arm, a space that is none, two arms of one name, a name
            that is too long.
    """
    if not isinstance(arms, dict):
        raise PlanError(f"arms = {arms!r}: must be a dict of arms, such as dict(PixPro=dict())")
    spaces = {}
    for name, spec in arms.items():
        kind = _kind(name, spec)
        if kind:
            spaces[name] = kind, _space(name, spec[kind], kind)
    keys = (axis.key for _, space in spaces.values() for axis in space)
    short, written = labels(keys), []
    for name, spec in arms.items():
        if name not in spaces:
            written.append(Written(name, spec))
            continue
        check_folder_name("arm", name)
        kind, space = spaces[name]
        shared = {key: value for key, value in spec.items() if key != kind}
        sweep = _Sweep(name, kind, space, shared, short)
        written += sweep.arms(spec[kind], base, common)
    _refuse_twins(written)
    return written


def _kind(name: str, spec: Any) -> str | None:
    kinds = [kind for kind in KINDS if isinstance(spec, dict) and kind in spec]
    if len(kinds) > 1:
        raise PlanError(f"arm {name!r}: {' and '.join(kinds)}; give one of {', '.join(KINDS)}")
    if kinds and spec.get("train") is False:
        raise PlanError(f"arm {name!r}: {kinds[0]} of an arm that is not trained; remove train=")
    return kinds[0] if kinds else None


def _space(name: str, raw: Any, kind: str) -> tuple[Axis, ...]:
    where = f"arm {name!r}: {kind}"
    if kind == "sample":
        if not isinstance(raw, dict):
            raise PlanError(f"{where} = {raw!r}: must be dict(space={{…}}, n=16)")
        check_names(f"key of {where}:", raw, SAMPLE_KEYS)
        n, seed = raw.get("n"), raw.get("seed", 0)
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise PlanError(f"{where}: n = {n!r}: how many arms to draw, a whole number above 0")
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise PlanError(f"{where}: seed = {seed!r}: of the draw, a whole number ≥ 0")
        return read_space(raw.get("space"), f"{where}: space")
    space = read_space(raw, where)
    for axis in space:
        if not axis.levels:
            raise PlanError(f"{where}: {axis.key!r} is a range; list its values, or use sample")
    return space


@dataclass(frozen=True)
class _Sweep:
    """What becomes several arms."""

    name: str
    kind: str
    space: tuple[Axis, ...]
    shared: dict[str, Any]
    short: Mapping[str, str]

    def arms(self, raw: Any, base: str, common: dict[str, Any]) -> Iterator[Written]:
        """Yields the arms."""
        if self.kind == "vary":
            yield from self._vary(self._own_levels(base, common))
        elif self.kind == "grid":
            for levels in product(*(axis.levels for axis in self.space)):
                yield self._arm(levels, levels)
        else:
            for point in spread(len(self.space), raw["n"], raw.get("seed", 0)):
                levels = [axis.at(place) for axis, place in zip(self.space, point, strict=True)]
                yield self._arm(levels, levels)

    def _vary(self, own: Sequence[Level]) -> Iterator[Written]:
        """Yields the arm with its own levels, then with one of them replaced at a time."""
        yield self._arm(own, [None] * len(own))
        for place, axis in enumerate(self.space):
            for level in axis.levels:
                if level.text != own[place].text:
                    levels, changed = list(own), [None] * len(own)
                    levels[place] = changed[place] = level
                    yield self._arm(levels, changed)

    def _own_levels(self, base: str, common: dict[str, Any]) -> list[Level]:
        """The levels of the arm as it is: what its recipe holds; of named choices, the one that
        changes nothing.
        """
        where = f"arm {self.name!r}"
        path = find_config(self.shared.get("config") or base, where)
        recipe = load_config(path, common, self.shared.get("overrides") or {}, where=where)
        own = []
        for axis in self.space:
            if axis.named:
                still = [level for level in axis.levels if not level.overrides]
                own.append(still[0] if still else Level(UNSAID))
            else:
                own.append(_own_level(axis, value_at(recipe, axis.key)))
        return own

    def _arm(self, levels: Sequence[Level], changed: Sequence[Level | None]) -> Written:
        """The arm with these levels, named by and overridden with those that are ``changed``."""
        overrides, name, texts = dict(self.shared.get("overrides") or {}), self.name, {}
        keys = {}
        for axis, level, change in zip(self.space, levels, changed, strict=True):
            label = self.short[axis.key]
            texts[label] = level.text
            if not axis.named:
                keys[label] = axis.key
            if change is not None:
                overrides |= change.overrides
                name += f"+{label}={change.text}"
        if len(name) > LONGEST_NAME:
            raise PlanError(
                f"arm {name!r}: its name of {len(name)} characters becomes a folder's, of at most "
                f"{LONGEST_NAME}; give long values names of their own: dict(NAME={{key: value}})"
            )
        spec = self.shared | dict(overrides=overrides)
        return Written(name, spec, Membership(self.name, self.kind, texts, keys))


def _own_level(axis: Axis, value: Any) -> Level:
    """The level of an axis that a recipe's value is, a new one if it is none of them."""
    for level in axis.levels:
        if is_equal(level.overrides[axis.key], value):
            return level
    return Level(spell(value))


def is_equal(first: Any, second: Any) -> bool:
    """Whether two values of a config mean the same; lists and tuples do."""
    return first == second or config_hash(first) == config_hash(second)


def value_at(recipe: Any, key: str) -> Any:
    """Returns what stands at a dotted key of a recipe, else the default of the class or section
    that the key belongs to; None if there is neither.
    """
    *parents, last = key.split(".")
    at = recipe
    for part in parents:
        if isinstance(at, list | tuple):
            at = at[int(part)] if part.isdigit() and int(part) < len(at) else {}
        else:
            at = at.get(part, {}) if isinstance(at, dict) else {}
    if not isinstance(at, dict):
        return None
    return at[last] if last in at else _default(parents, at, last)


def _default(parents: Sequence[str], owner: dict[str, Any], name: str) -> Any:
    from pretrain.engine.check import REGISTRIES, SECTIONS, register_all

    section = parents[0] if parents else ""
    made = SECTIONS.get(section) if len(parents) == 1 else None
    if made is None and section in REGISTRIES and isinstance(owner.get("type"), str):
        register_all()
        made = REGISTRIES[section].get(owner["type"])
    parameter = inspect.signature(made).parameters.get(name) if made else None
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def spread(dimensions: int, n: int, seed: int) -> Any:
    """Returns (n, dimensions) points of the unit cube: the first of a scrambled Sobol sequence, so
    that more points leave the earlier ones as they were.

    Every power of two of them has equally many in equal parts of each key.
    """
    from scipy.stats import qmc

    points = qmc.Sobol(dimensions, scramble=True, rng=seed)
    return points.random_base2(max(0, math.ceil(math.log2(n))))[:n]


def _refuse_twins(written: Sequence[Written]) -> None:
    seen: dict[str, Written] = {}
    for arm in written:
        other = seen.setdefault(arm.name, arm)
        if other is arm:
            continue
        cure = "rename one"
        if arm.sweep is not None and other.sweep is not None and arm.sweep.kind == "sample":
            cure = "so many points do not fit into its space: lower n, or use grid"
        raise PlanError(f"two arms are named {arm.name!r}: {cure}")


def settings_of(
    arms: Sequence[Arm], recipes: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, str]]:
    """Returns arm -> label of each key that a sweep of the comparison changes -> its value there,
    as text; of an arm written by hand, what its recipe holds. Empty without a sweep.

    Args:
        arms: of the comparison.
        recipes: trained arm -> recipe.
    """
    keys: dict[str, str] = {}
    order: dict[str, None] = {}
    for arm in arms:
        if arm.sweep is not None:
            keys |= arm.sweep.keys
            order |= dict.fromkeys(arm.sweep.levels)
    settings = {}
    for arm in arms:
        own = dict(arm.sweep.levels) if arm.sweep else {}
        for label in order:
            if label not in own and label in keys and arm.name in recipes:
                value = value_at(recipes[arm.name], keys[label])
                own |= {} if value is None else {label: spell(value)}
        settings[arm.name] = {label: own[label] for label in order if label in own}
    return settings if order else {}
