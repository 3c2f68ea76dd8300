"""Finding the networks in a checkpoint file: by a given layout, or by recognising one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from operator import methodcaller
from typing import Any

import torch
from torch import Tensor

from pretrain.state_dicts import prefixed, under, unwrapped
from pretrain.weights.dialects import Translated, dialect_of, translate
from pretrain.weights.layouts import IMAGENET, LAYOUTS, NESTS, Layout

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
        return any(map(methodcaller("startswith", wanted), (*self.tensors, *self.others)))

    def at(self, place: str) -> dict[str, Tensor]:
        """The tensors under a place, by what follows it."""
        return {key: value for key, value in under(place, self.tensors).items() if "/" not in key}


@dataclass(frozen=True)
class StoredNetwork:
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

    @property
    def names(self) -> str:
        """The dialect of its keys."""
        return self.translated.dialect.name


@dataclass(frozen=True)
class Match:
    """A layout that fits a file, with the networks it points at; ``online`` is None where only a
    target is there.
    """

    layout: Layout
    online: StoredNetwork | None
    target: StoredNetwork | None

    @property
    def networks(self) -> dict[str, StoredNetwork]:
        """{``online``, ``target``: network}, those there are."""
        networks = dict(online=self.online) if self.online is not None else {}
        return networks | (dict(target=self.target) if self.target is not None else {})

    @property
    def why(self) -> str:
        """What it was recognised by."""
        parts = []
        for name, network in self.networks.items():
            parts.append(f"{name} network at {network.where} ({network.names} names)")
        return "; ".join(parts)

    @property
    def places(self) -> dict[str, str]:
        """{``online``, ``target``: where it stands in the file, in words}."""
        return {name: network.where for name, network in self.networks.items()}

    def same_result(self, other: Match) -> bool:
        """Whether another layout would read the same numbers into the same network for the same
        inputs.
        """
        return self.places == other.places and self._inputs == other._inputs

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
        own, nested = {}, {}
        for key, value in level.items():
            if isinstance(value, Tensor):
                own[str(key)] = value
            elif isinstance(value, dict) and value and depth < _DEEPEST:
                nested[f"{path}{key}/"] = value
            else:
                others.add(f"{path}{key}")
        tensors.update(prefixed(path, unwrapped(own)))
        for inner, value in nested.items():
            walk(value, inner, depth + 1)

    walk(content, "", 1)
    return Contents(tensors, frozenset(others))


def recognise(contents: Contents, source: str) -> Match:
    """The one layout that fits a file.

    Raises:
        Unrecognised: none fits (what was found is said), or several that would read it differently
            (they are listed).
    """
    matches = _candidates(contents)
    if not matches:
        raise Unrecognised(
            f"{source} is in no layout known here: {_glimpse(contents)}. Name the layout with "
            "--from, or save the network's own state_dict under timm's or torchvision's names"
        )
    first = matches[0]
    if not all(first.same_result(other) for other in matches):
        listed = [f"{match.layout.name} ({_inputs(match.layout)})" for match in matches]
        raise Unrecognised(
            f"{source} fits several layouts that read it differently: {'; '.join(listed)}. Choose "
            "one with --from"
        )
    return first


def look(contents: Contents, layout: Layout) -> Match | None:
    """The networks at a layout's places, None if there is none."""
    online = _first_network(contents, layout, layout.online)
    target = _first_network(contents, layout, layout.target)
    if layout.copies and online is not None:
        online, target = _apart(contents, online, layout.copies)
    return Match(layout, online, target) if online or target else None


def find(contents: Contents, layout: Layout, source: str) -> Match:
    """The networks of a file in a layout that the user named.

    Raises:
        ValueError: no network is where the layout has it; says which layouts fit.
    """
    match = look(contents, layout)
    if match is None:
        fitting = [other.layout.name for other in _candidates(contents)]
        hint = f" It looks like {', '.join(fitting)}" if fitting else ""
        places = ", ".join(map(repr, (*layout.online, *layout.target)))
        raise ValueError(
            f"{source} is not in the layout {layout.name!r}: no network at any of {places}; "
            f"{_glimpse(contents)}.{hint}"
        )
    return match


def _candidates(contents: Contents) -> list[Match]:
    matches = []
    for layout in LAYOUTS:
        match = look(contents, layout) if layout.guess else None
        if match is not None and _fits(contents, match):
            matches.append(match)
    return matches


def _first_network(
    contents: Contents, layout: Layout, places: tuple[str, ...]
) -> StoredNetwork | None:
    for prefix in places:
        nested = [prefix] if "/" in prefix else [nest + prefix for nest in NESTS]
        states = {}
        for place in nested:
            state = contents.at(place)
            dialect = dialect_of(state) if state else None
            if dialect and (not layout.dialects or dialect.name in layout.dialects):
                states[place] = state
        if states:
            _refuse_two(states)
            place, state = next(iter(states.items()))
            return StoredNetwork(place, tuple(state), translate(state))
    return None


def _refuse_two(states: dict[str, dict[str, Tensor]]) -> None:
    """Refuses several networks of one name in different dicts of a file, unless they are equal."""
    (place, first), *others = states.items()
    for other, state in others:
        same = state.keys() == first.keys() and all(torch.equal(first[k], state[k]) for k in first)
        if not same:
            raise ValueError(
                f"the file holds two different networks, at {place or 'the top'!r} and at "
                f"{other!r}: save only the one to read"
            )


def _apart(
    contents: Contents, both: StoredNetwork, ending: str
) -> tuple[StoredNetwork, StoredNetwork | None]:
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
    known = set(chain.from_iterable(first.translated.sources.values()))
    if not known & copied.keys():
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
        sources[name] = tuple(map(copied.get, keys, keys))
    keys = tuple(map(copied.get, own, own))
    translated = replace(target, sources=sources)
    return first, StoredNetwork(both.place, keys, translated, copies=ending)


def _fits(contents: Contents, match: Match) -> bool:
    """Whether the marks of a layout are there and what must not be is not."""
    for alternatives in match.layout.marks:
        if not any(_stands(contents, match, mark) for mark in alternatives.split("|")):
            return False
    return not any(_stands(contents, match, beginning) for beginning in match.layout.absent)


def _stands(contents: Contents, match: Match, beginning: str) -> bool:
    """Whether a key begins so; ``@`` stands for the place of a network."""
    if not beginning.startswith("@"):
        return contents.any_starts(beginning)
    wanted = tuple(network.place + beginning[1:] for network in match.networks.values())
    return any(map(methodcaller("startswith", wanted), contents.tensors))


def _inputs(layout: Layout) -> str:
    """How a layout differs from another of the same keys."""
    mean = "timm's normalisation"
    if layout.normalisation is not None:
        mean = f"mean {layout.normalisation['mean']}"
    return mean + (f", heads {dict(layout.heads)}" if layout.heads else "")


def _glimpse(contents: Contents) -> str:
    shown = ", ".join(list(contents.tensors)[:4])
    return f"{len(contents.tensors)} tensors{f' such as {shown}' if shown else ''}"
