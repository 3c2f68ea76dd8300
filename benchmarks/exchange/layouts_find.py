"""Finding the networks in a checkpoint file: by a given layout, or by recognising one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from benchmarks.exchange.layouts import IMAGENET, LAYOUTS, NESTS, Layout
from benchmarks.exchange.layouts_names import Translated, dialect_of, translate

_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")
_DEEPEST = 6  # dicts within dicts; VISSL has five


class Unrecognised(ValueError):
    """A file that no layout fits, or several that read it differently."""


@dataclass(frozen=True)
class Contents:
    """A file laid flat.

    Attributes:
        tensors: {path: tensor}; a path is the dicts on the way, each with a slash, then the key without wrappers'
            prefixes: ``state_dict/encoder_q.conv1.weight``.
        others: Paths of what is no tensor.
    """

    tensors: dict[str, Tensor]
    others: frozenset[str]

    def any_starts(self, beginning: str) -> bool:
        """Whether a path starts so, in any of the usual nests."""
        wanted = tuple(nest + beginning for nest in NESTS)
        return any(path.startswith(wanted) for paths in (self.tensors, self.others) for path in paths)

    def at(self, place: str) -> dict[str, Tensor]:
        """The tensors under a place, by what follows it."""
        return {path[len(place) :]: value for path, value in self.tensors.items() if _under(path, place)}


@dataclass(frozen=True)
class Network:
    """One network of a file: its place there, the keys behind that place, its tensors under timm's names."""

    place: str
    keys: tuple[str, ...]
    translated: Translated


@dataclass(frozen=True)
class Found:
    """A layout that fits a file, with the networks it points at; ``online`` is None where only a target is there."""

    layout: Layout
    online: Network | None
    target: Network | None

    @property
    def networks(self) -> dict[str, Network]:
        """{``online``, ``target``: network}, those there are."""
        both = dict(online=self.online, target=self.target)
        return {name: network for name, network in both.items() if network is not None}

    @property
    def why(self) -> str:
        """What it was recognised by."""
        parts = [
            f"{name} network at {n.place or 'the top'!r} ({n.translated.dialect.name} names)"
            for name, n in self.networks.items()
        ]
        return "; ".join(parts)

    def same_result(self, other: Found) -> bool:
        """Whether another layout would read the same numbers into the same network for the same inputs."""
        places = [{name: n.place for name, n in found.networks.items()} for found in (self, other)]
        return places[0] == places[1] and self._inputs == other._inputs

    @property
    def _inputs(self) -> tuple[Any, ...]:
        """What decides about features beside weights: normalisation (timm's ResNets and ConvNeXts have ImageNet's, its
        ViTs do not agree) and heads."""
        family = next(iter(self.networks.values())).translated.dialect.family
        normalisation = self.layout.normalisation or (None if family == "vit" else IMAGENET)
        return normalisation, self.layout.heads if family == "vit" else ()


def flatten(content: dict[Any, Any]) -> Contents:
    """Lays a checkpoint flat."""
    tensors: dict[str, Tensor] = {}
    others: set[str] = set()

    def walk(level: dict[Any, Any], path: str, depth: int) -> None:
        for key, value in level.items():
            if isinstance(value, Tensor):
                tensors[path + _WRAPPERS.sub("", str(key))] = value
            elif isinstance(value, dict) and value and depth < _DEEPEST:
                walk(value, f"{path}{key}/", depth + 1)
            else:
                others.add(f"{path}{key}")

    walk(content, "", 1)
    return Contents(tensors, frozenset(others))


def recognise(contents: Contents, source: str) -> Found:
    """The one layout that fits a file.

    Raises:
        Unrecognised: none fits (what was found is said), or several that would read it differently (they are listed).
    """
    found = _candidates(contents)
    if not found:
        raise Unrecognised(
            f"{source} is in no layout known here: {_glimpse(contents)}. Name the layout with --from, or save the "
            "network's own state_dict under timm's or torchvision's names"
        )
    different = [found[0]]
    different += [f for f in found[1:] if not any(f.same_result(d) for d in different)]
    if len(different) > 1:
        listed = "; ".join(f"{f.layout.name} ({_inputs(f.layout)})" for f in found)
        raise Unrecognised(f"{source} fits several layouts that read it differently: {listed}. Choose one with --from")
    return found[0]


def look(contents: Contents, layout: Layout) -> Found | None:
    """The networks at a layout's places, None if there is none."""
    online, target = (_first_network(contents, layout, getattr(layout, which)) for which in ("online", "target"))
    return Found(layout, online, target) if online or target else None


def find(contents: Contents, layout: Layout, source: str) -> Found:
    """The networks of a file in a layout that the user named.

    Raises:
        ValueError: no network is where the layout has it; says which layouts fit.
    """
    found = look(contents, layout)
    if found is None:
        fitting = [f.layout.name for f in _candidates(contents)]
        hint = f" It looks like {', '.join(fitting)}" if fitting else ""
        places = ", ".join(repr(p) for p in (*layout.online, *layout.target))
        raise ValueError(
            f"{source} is not in the layout {layout.name!r}: no network at any of {places}; {_glimpse(contents)}.{hint}"
        )
    return found


def _candidates(contents: Contents) -> list[Found]:
    return [f for f in (look(contents, layout) for layout in LAYOUTS if layout.guess) if f and _fits(contents, f)]


def _first_network(contents: Contents, layout: Layout, places: tuple[str, ...]) -> Network | None:
    for prefix in places:
        for place in (prefix,) if "/" in prefix else (nest + prefix for nest in NESTS):
            state = contents.at(place)
            dialect = dialect_of(state) if state else None
            if dialect and (not layout.dialects or dialect.name in layout.dialects):
                return Network(place, tuple(state), translate(state))
    return None


def _fits(contents: Contents, found: Found) -> bool:
    """Whether the marks of a layout are there and what must not be is not."""
    places = [network.place for network in found.networks.values()]

    def there(beginning: str) -> bool:
        if not beginning.startswith("@"):
            return contents.any_starts(beginning)
        wanted = tuple(place + beginning[1:] for place in places)
        return any(path.startswith(wanted) for path in contents.tensors)

    marked = all(any(there(mark) for mark in marks.split("|")) for marks in found.layout.marks)
    return marked and not any(there(beginning) for beginning in found.layout.absent)


def _under(path: str, place: str) -> bool:
    return path.startswith(place) and "/" not in path[len(place) :]


def _inputs(layout: Layout) -> str:
    """How a layout differs from another of the same keys."""
    mean = "timm's normalisation" if layout.normalisation is None else f"mean {layout.normalisation['mean']}"
    return f"{mean}{f', heads {dict(layout.heads)}' if layout.heads else ''}"


def _glimpse(contents: Contents) -> str:
    shown = ", ".join(list(contents.tensors)[:4])
    return f"{len(contents.tensors)} tensors{f' such as {shown}' if shown else ''}"
