"""Descriptions of networks, upsamplers and data as people write them on command lines."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote


def parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """Splits the description of a network as :func:`split_options` does.

    Raises:
        ValueError: as there, or an unknown ``KIND:NAME``.
    """
    source, options = split_options(spec)
    kind, colon, _ = source.partition(":")
    if colon and kind not in ("timm", "random") and "/" not in kind and not Path(source).suffix:
        raise ValueError(
            f"spec {spec!r}: {kind!r} is not 'timm' or 'random'; a file is named by its path"
        )
    return source, options


def split_options(spec: str) -> tuple[str, dict[str, Any]]:
    """Splits ``SOURCE?key=value&key=value``; values are Python literals where they read as such,
    else text.

    A plus is a plus, in paths too; ``%26`` stands for an ampersand inside a value.

    Raises:
        ValueError: an option without a value, or one that is given twice.
    """
    source, _, query = spec.partition("?")
    try:
        pairs = parse_qsl(query.replace("+", "%2B"), strict_parsing=True) if query else []
    except ValueError as error:
        raise ValueError(
            f"spec {spec!r}: options are written ?key=value&key=value ({error})"
        ) from error
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"spec {spec!r}: {twice}= is given twice; give it once")
    return source, {name: literal(value) for name, value in pairs}


def spec_of(source: str, options: Mapping[str, Any]) -> str:
    """Returns the description that :func:`split_options` splits into these two."""
    pairs = [f"{name}={quote(str(value), safe='/:+(),. ')}" for name, value in options.items()]
    return "?".join(filter(None, (source, "&".join(pairs))))


def literal(text: str) -> Any:
    """Returns what ``text`` from a command line means: a Python literal if it reads as one, a bool,
    else itself.
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False}.get(text.lower(), text)
