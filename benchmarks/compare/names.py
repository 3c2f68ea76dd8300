"""Names in a comparison's config, checked with a suggestion."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pretrain.names import suggestion


class PlanError(ValueError):
    """A comparison that cannot be run as written; the message names the key, the value and what is legal."""


def check_names(where: str, given: Iterable[str], legal: Iterable[str]) -> None:
    """Raises :class:`PlanError` for the first of ``given`` that is not ``legal``, with the nearest legal name.

    Args:
        where: what the names belong to, as the reader of the message knows it (``"comparison key"``).
    """
    legal = [str(name) for name in legal]
    for name in given:
        if str(name) not in legal:
            raise PlanError(
                f"unknown {where} {name!r}{suggestion(str(name), legal)}; legal: {', '.join(legal) or 'none'}"
            )


def check_folder_name(where: str, name: str) -> None:
    """Raises :class:`PlanError` unless ``name`` can be a folder name on every file system."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name):
        raise PlanError(f"{where} {name!r} becomes a folder: use letters, digits and . _ + - only")
