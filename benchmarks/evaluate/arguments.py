"""How ``--set`` and ``--data`` are written, for benchmarks and presets alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.data.layouts import LAYOUTS
from pretrain.command_line import read_pairs
from pretrain.specs import literal, split_options


def settings_of(
    names: Sequence[str], settings: Sequence[str], *, word: str
) -> dict[str, dict[str, Any]]:
    """Reads ``NAME.KEY=VALUE``.

    Args:
        names: of what can be set: benchmarks or presets; a name may have dots of its own.
        settings: as they stand on the command line.
        word: ``BENCHMARK`` or ``PRESET``, for messages.

    Returns:
        Name -> key -> value, for every name.

    Raises:
        ValueError: an item of another form, of another name, or given twice.
    """
    chosen: dict[str, dict[str, Any]] = {name: {} for name in names}
    form = f"{word}.KEY=VALUE with a {word.lower()} of {', '.join(names)}"
    example = f"{names[0]}.size=64"
    pairs = read_pairs(settings, option="--set", example=example, parse=str, form=form)
    for key, value in pairs.items():
        name = max((name for name in names if key.startswith(f"{name}.")), key=len, default="")
        field = key.removeprefix(f"{name}.")
        if not value or not name or not field:
            raise ValueError(f"--set {f'{key}={value}'!r}: write {form}, as in {example}")
        chosen[name][field] = literal(value)
    return chosen


def split_data(item: str) -> tuple[str, str, dict[str, Any]]:
    """Splits ``LAYOUT:ROOT?option=value&…`` into layout, root and options.

    Raises:
        ValueError: another form, or an unknown layout.
    """
    layout, colon, rest = item.partition(":")
    if not colon or layout not in LAYOUTS:
        raise ValueError(f"--data {item!r}: write LAYOUT:ROOT, layouts are {', '.join(LAYOUTS)}")
    root, options = split_options(rest)
    return layout, root, options
