"""Names and seeds in a comparison's config, checked; names with a suggestion."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pretrain import names


class PlanError(ValueError):
    """A comparison that cannot be run as written; the message names the key, the value and what is
    legal.
    """


def check_names(where: str, given: Iterable[str], legal: Iterable[str]) -> None:
    """As :func:`pretrain.names.check_names`, but raises :class:`PlanError`."""
    with plan_errors():
        names.check_names(where, given, legal)


@contextmanager
def plan_errors(prefix: str = "") -> Iterator[None]:
    """Turns what is wrong with values and files into a :class:`PlanError` that opens with
    ``prefix``.
    """
    try:
        yield
    except PlanError:
        raise
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        raise PlanError(f"{prefix}{error}") from error


def check_folder_name(where: str, name: str) -> None:
    """Raises :class:`PlanError` unless ``name`` can be a folder name on every file system."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+=-]*", name):
        raise PlanError(
            f"{where} {name!r} becomes a folder: use letters, digits and . _ + = - only"
        )


def check_seeds(where: str, raw: Any) -> tuple[int, ...]:
    """Returns the seeds of a config; raises :class:`PlanError` unless they are different whole
    numbers from 0.
    """
    seeds = tuple(raw) if isinstance(raw, list | tuple | range) else ()
    if not seeds or not all(map(_is_seed, seeds)) or len(set(seeds)) < len(seeds):
        raise PlanError(
            f"{where} = {raw!r}: a list of different whole numbers ≥ 0, such as (0, 1, 2)"
        )
    return seeds


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
