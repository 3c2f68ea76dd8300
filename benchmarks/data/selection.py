"""Which images each part of a data set takes: the options that readers of pairs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Patterns = str | Sequence[str]


@dataclass(frozen=True)
class Selection:
    """What a part takes of its images, in this order.

    Attributes:
        names: Text file with one image name per line: only these; None = all.
        exclude: Patterns of names to leave out.
        every: Every n-th of what is left, in order of name.
        limit: At most so many of these; None = no limit.
    """

    names: str | Path | None = None
    exclude: tuple[str, ...] = ()
    every: int = 1
    limit: int | None = None


@dataclass(frozen=True)
class Parts:
    """The train and the val part of a data set: their names and what each takes.

    Attributes:
        names: (train, val) as the user calls them.
        selections: (train, val).
    """

    names: tuple[str, str] = ("train", "val")
    selections: tuple[Selection, Selection] = (Selection(), Selection())

    @classmethod
    def of(
        cls,
        train: str,
        val: str,
        *,
        every: Sequence[int],
        limit: Sequence[int | None],
        names: str | Sequence[str | Path | None],
        train_exclude: Patterns = (),
        val_exclude: Patterns = (),
    ) -> Parts:
        """Checks the options of a reader.

        Args:
            train: Name of the train part.
            val: Name of the val part.
            every: (train, val) as in :class:`Selection`; ``limit`` and ``names`` likewise.
                ``names`` may be one text, as the command line gives it: ``few.txt,None``.
            train_exclude: Patterns, a list of them or one text with commas; ``val_exclude``
                likewise.

        Raises:
            ValueError: an option that is not as it must be, with an example.
        """
        for name, part in (("train", train), ("val", val)):
            if not isinstance(part, str) or not part:
                raise ValueError(
                    f"{name}={part!r}: must be the name of a part; a number needs quotes, "
                    f"{name}='2012'"
                )
        every = _pair(
            "every",
            every,
            is_legal=_is_count,
            legal="two whole numbers from 1 on, for example every=1,3",
        )
        limit = _pair(
            "limit",
            limit,
            is_legal=_is_limit,
            legal="two whole numbers from 1 on or None, for example limit=500,None",
        )
        names = _pair(
            "names",
            names,
            is_legal=_is_list,
            legal="two text files or None, for example names=few.txt,None",
        )
        first = Selection(names[0], _patterns("train_exclude", train_exclude), every[0], limit[0])
        second = Selection(names[1], _patterns("val_exclude", val_exclude), every[1], limit[1])
        return cls((train, val), (first, second))

    @property
    def protocol(self) -> dict[str, Any]:
        """What of it belongs to a protocol; patterns only where there are any. Lists of names are
        in the content keys.
        """
        train, val = self.selections
        protocol: dict[str, Any] = dict(zip(("train", "val"), self.names, strict=True))
        protocol |= dict(every=[train.every, val.every], limit=[train.limit, val.limit])
        for option, selection in (("train_exclude", train), ("val_exclude", val)):
            if selection.exclude:
                protocol[option] = list(selection.exclude)
        return protocol


BOTH = Parts()  # both parts under our own names, whole


def _pair(name: str, value: Any, *, is_legal: Callable[[Any], bool], legal: str) -> tuple[Any, Any]:
    """Two values for train and val; a text is cut at its comma."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else value
    if isinstance(value, str):
        pair = tuple(map(_text_or_none, value.split(",")))
    if not isinstance(pair, tuple) or len(pair) != 2 or not all(map(is_legal, pair)):
        raise ValueError(f"{name}={value!r}: must be (train, val), {legal}")
    return pair


def _text_or_none(text: str) -> str | None:
    text = text.strip()
    return None if text in ("", "None", "none") else text


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_limit(value: Any) -> bool:
    return value is None or _is_count(value)


def _is_list(value: Any) -> bool:
    return value is None or isinstance(value, Path) or _is_text(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _patterns(name: str, value: Any) -> tuple[str, ...]:
    """Patterns as a tuple; a text is cut at its commas."""
    patterns = tuple(map(str.strip, value.split(","))) if isinstance(value, str) else value
    if not isinstance(patterns, (tuple, list)) or not all(map(_is_text, patterns)):
        raise ValueError(
            f"{name}={value!r}: must be names with stars, for example {name}=0016E5_*,Seq05VD_*"
        )
    return tuple(patterns)
