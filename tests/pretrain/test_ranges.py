"""Ranges of numbers, and what is said about a value outside."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from pretrain.ranges import check_not_negative, check_positive, check_share

CASES = [
    (check_positive, (1e-9, 3), (0, -1, math.nan), "must be positive"),
    (check_not_negative, (0, 2.5), (-1e-9, math.nan), "must not be negative"),
    (check_share, (0, 0.5, 1), (-0.1, 1.1, math.nan), r"must lie in \[0, 1\]"),
]


@pytest.mark.parametrize(("check", "legal", "illegal", "text"), CASES)
def test_the_argument_and_its_value_are_named(
    check: Callable, legal: tuple, illegal: tuple, text: str
) -> None:
    check(**{f"v{i}": value for i, value in enumerate(legal)})
    for value in illegal:
        with pytest.raises(ValueError, match=f"weight={value!r}: {text}"):
            check(first=1, weight=value)
