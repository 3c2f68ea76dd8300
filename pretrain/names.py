"""Names written by people, checked with the one that was probably meant."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any


def suggestion(name: str, legal: Iterable[str]) -> str:
    """Returns ``"; did you mean 'x'?"`` or an empty string."""
    lowered = {candidate.lower(): candidate for candidate in legal}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean {lowered[near[0]]!r}?" if near else ""


def check_choice(name: str, value: Any, legal: Iterable[Any]) -> None:
    """Does nothing if ``value`` is one of ``legal``.

    Raises:
        ValueError: it is not; names the argument, the value, what is legal and what was probably
            meant.
    """
    legal = list(legal)
    if value not in legal:
        texts = [str(candidate) for candidate in legal]
        raise ValueError(
            f"{name}={value!r} is not one of {', '.join(texts)}{suggestion(str(value), texts)}"
        )


def check_names(where: str, given: Iterable[str], legal: Iterable[str]) -> None:
    """Does nothing if all of ``given`` are ``legal``.

    Args:
        where: what the names belong to, as the reader of the message knows it (``"comparison
            key"``).

    Raises:
        ValueError: one of them is not; names it, what is legal and what was probably meant.
    """
    legal = [str(name) for name in legal]
    for name in given:
        if str(name) not in legal:
            near = suggestion(str(name), legal)
            raise ValueError(f"unknown {where} {name!r}{near}; legal: {', '.join(legal) or 'none'}")


def find_declared(what: str, name: str, known: Mapping[str, Any], *, attribute: str) -> Any:
    """Returns one of ``known``, or what a module outside this project declares.

    Args:
        what: kind of thing, for the message.
        name: short name, or a module's dotted name.
        known: by short name.
        attribute: of a module, under which it declares one.

    Returns:
        The thing; None where the module does not declare any.

    Raises:
        ValueError: neither a short name nor a module; with a suggestion.
        ModuleNotFoundError: the module is there, something that it needs is not.
    """
    if name in known:
        return known[name]
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and not name.startswith(error.name):
            raise
        raise ValueError(
            f"{what} {name!r} is not one of {', '.join(known)}, nor a module's dotted name"
            f"{suggestion(name, known)}"
        ) from error
    return getattr(module, attribute, None)


def printable(text: str) -> str:
    """Returns text that every terminal takes: bytes that are not UTF-8 as ``\\xe9``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
