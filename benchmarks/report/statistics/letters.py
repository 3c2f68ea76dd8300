"""Letters that say which arms are not apart."""

from __future__ import annotations

import itertools
import string
from collections.abc import Sequence

_NAMES = string.ascii_uppercase + string.ascii_lowercase


def tie_letters(order: Sequence[str], apart: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Letters by insertion and absorption: two arms share one exactly if they are not apart.

    Args:
        order: names of the arms; letters begin with the first.
        apart: the pairs that are apart.

    Returns:
        arm -> its letters; one character each, also where the alphabet does not suffice.
    """
    groups = [frozenset(order)]
    for first, second in apart:
        split: list[frozenset[str]] = []
        for group in groups:
            if first in group and second in group:
                split += [group - {first}, group - {second}]
            else:
                split.append(group)
        groups = _absorbed(split)
    groups.sort(key=lambda group: sorted(map(order.index, group)))
    letters = dict.fromkeys(order, "")
    names = itertools.chain(_NAMES, map(chr, itertools.count(0x3B1)))  # then Greek
    for name, group in zip(names, groups, strict=False):
        for arm in order:
            letters[arm] += name if arm in group else ""
    return letters


def _absorbed(groups: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """The groups that lie in no other one, each once."""
    kept = []
    for group in dict.fromkeys(groups):
        if not any(group < other for other in groups):
            kept.append(group)
    return kept
