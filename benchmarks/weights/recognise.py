"""Finding the networks in a checkpoint file: by a given layout, or by recognising one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.weights.dialects import Translated, dialect_of, translate
from benchmarks.weights.layouts import IMAGENET, LAYOUTS, NESTS, Layout
from pretrain.state_dicts import unwrapped

_DEEPEST = 6  # dicts within dicts; VISSL has five


class Unrecognised(ValueError):
    """A file that no layout fits, or several that read it differently."""


@dataclass(frozen=True)
class Contents:
    """A file laid flat.

    Attributes:
        tensors: {path: tensor}; a path is the dicts on the way, each with a slash, then the key
            without wrappers' names: ``state_dict/encoder_q.conv1.weight``.
        others: Paths of what is no tensor.
    """

    tensors: dict[str, Tensor]
    others: frozenset[str]

    def any_starts(self, beginning: str) -> bool:
        """Whether a path starts so, in any of the usual nests."""
        wanted = tuple(nest + beginning for nest in NESTS)
        return any(
            path.startswith(wanted) for paths in (self.tensors, self.others) for path in paths
        )

    def at(self, place: str) -> dict[str, Tensor]:
        """The tensors under a place, by what follows it."""
        return {
            path[len(place) :]: value for path, value in self.tensors.items() if _under(path, place)
        }


@dataclass(frozen=True)
class Network:
    """One network of a file.

    Attributes:
        place: Where it stands.
        keys: The keys of the file behind that place, heads and what else stands there included.
        translated: Its tensors under timm's names.
        copies: Ending of its modules' names, see :attr:`Layout.copies`.
    """

    place: str
    keys: tuple[str, ...]
    translated: Translated
    copies: str = ""

    @property
    def where(self) -> str:
        """Its place in words."""
        place = repr(self.place) if self.place else "the top"
        return f"{place}, modules …{self.copies}" if self.copies else place


@dataclass(frozen=True)
class Found:
    """A layout that fits a file, with the networks it points at; ``online`` is None where only a
    target is there.
    """

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
            f"{name} network at {n.where} ({n.translated.dialect.name} names)"
            for name, n in self.networks.items()
        ]
        return "; ".join(parts)

    def same_result(self, other: Found) -> bool:
        """Whether another layout would read the same numbers into the same network for the same
        inputs.
        """
        places = [{name: n.where for name, n in found.networks.items()} for found in (self, other)]
        return places[0] == places[1] and self._inputs == other._inputs

    @property
    def _inputs(self) -> tuple[Any, ...]:
        """What decides about features beside weights: normalisation (timm's ResNets and ConvNeXts
        have ImageNet's, its ViTs do not agree) and heads."""
        family = next(iter(self.networks.values())).translated.dialect.family
        normalisation = self.layout.normalisation or (None if family == "vit" else IMAGENET)
        return normalisation, self.layout.heads if family == "vit" else ()


def flatten(content: dict[Any, Any]) -> Contents:
    """Lays a checkpoint flat.

    Raises:
        ValueError: two tensors of one dict that have one name without the wrappers'.
    """
    tensors: dict[str, Tensor] = {}
    others: set[str] = set()

    def walk(level: dict[Any, Any], path: str, depth: int) -> None:
        own = {str(key): value for key, value in level.items() if isinstance(value, Tensor)}
        tensors.update({path + key: value for key, value in unwrapped(own).items()})
        for key, value in level.items():
            if isinstance(value, Tensor):
                continue
            if isinstance(value, dict) and value and depth < _DEEPEST:
                walk(value, f"{path}{key}/", depth + 1)
            else:
                others.add(f"{path}{key}")

    walk(content, "", 1)
    return Contents(tensors, frozenset(others))


def recognise(contents: Contents, source: str) -> Found:
    """The one layout that fits a file.

    Raises:
        Unrecognised: none fits (what was found is said), or several that would read it differently
            (they are listed).
    """
    found = _candidates(contents)
    if not found:
        raise Unrecognised(
            f"{source} is in no layout known here: {_glimpse(contents)}. Name the layout with "
            "--from, or save the network's own state_dict under timm's or torchvision's names"
        )
    different = [found[0]]
    different += [f for f in found[1:] if not any(f.same_result(d) for d in different)]
    if len(different) > 1:
        listed = "; ".join(f"{f.layout.name} ({_inputs(f.layout)})" for f in found)
        raise Unrecognised(
            f"{source} fits several layouts that read it differently: {listed}. Choose one with "
            "--from"
        )
    return found[0]


def look(contents: Contents, layout: Layout) -> Found | None:
    """The networks at a layout's places, None if there is none."""
    online = _first_network(contents, layout, layout.online)
    target = _first_network(contents, layout, layout.target)
    if layout.copies and online is not None:
        online, target = _apart(contents, online, layout.copies)
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
            f"{source} is not in the layout {layout.name!r}: no network at any of {places}; "
            f"{_glimpse(contents)}.{hint}"
        )
    return found


def _candidates(contents: Contents) -> list[Found]:
    return [
        f
        for f in (look(contents, layout) for layout in LAYOUTS if layout.guess)
        if f and _fits(contents, f)
    ]


def _first_network(contents: Contents, layout: Layout, places: tuple[str, ...]) -> Network | None:
    for prefix in places:
        nested = [prefix] if "/" in prefix else [nest + prefix for nest in NESTS]
        states = {place: contents.at(place) for place in nested}
        there = {}
        for place, state in states.items():
            dialect = dialect_of(state) if state else None
            if dialect and (not layout.dialects or dialect.name in layout.dialects):
                there[place] = state
        if there:
            _refuse_two(there)
            place, state = next(iter(there.items()))
            return Network(place, tuple(state), translate(state))
    return None


def _refuse_two(states: dict[str, dict[str, Tensor]]) -> None:
    """Refuses several networks of one name in different dicts of a file, unless they are the same."""
    (place, first), *others = states.items()
    for other, state in others:
        if state.keys() != first.keys() or not all(
            torch.equal(first[key], state[key]) for key in first
        ):
            raise ValueError(
                f"the file holds two different networks, at {place or 'the top'!r} and at "
                f"{other!r}: save the one to be read alone"
            )


def _apart(contents: Contents, both: Network, ending: str) -> tuple[Network, Network | None]:
    """Two networks of one place, told apart by the ending of the copy's modules."""
    online: dict[str, Tensor] = {}
    copied: dict[str, str] = {}  # {key of the online network: that of its copy}
    state = contents.at(both.place)
    for key, value in state.items():
        module, dot, rest = key.partition(".")
        original = module.removesuffix(ending) + dot + rest
        if original != key and original in state:
            copied[original] = key
        else:
            online[key] = value
    first = replace(both, keys=tuple(online), translated=translate(online))
    if not any(copied.get(key) for keys in first.translated.sources.values() for key in keys):
        return first, None
    # Modules without a copy are of both networks; one that has a copy must have it whole.
    modules = {key.partition(".")[0] for key in copied}
    own = {}
    for key in online:
        if key in copied or key.partition(".")[0] not in modules:
            own[key] = state[copied.get(key, key)]
    target = translate(own)
    sources = {}
    for name, keys in target.sources.items():
        sources[name] = tuple(copied.get(key, key) for key in keys)
    keys = tuple(copied.get(key, key) for key in own)
    return first, Network(both.place, keys, replace(target, sources=sources), ending)


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
    mean = (
        "timm's normalisation"
        if layout.normalisation is None
        else f"mean {layout.normalisation['mean']}"
    )
    return f"{mean}{f', heads {dict(layout.heads)}' if layout.heads else ''}"


def _glimpse(contents: Contents) -> str:
    shown = ", ".join(list(contents.tensors)[:4])
    return f"{len(contents.tensors)} tensors{f' such as {shown}' if shown else ''}"
