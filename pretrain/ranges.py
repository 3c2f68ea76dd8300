"""Numbers written by people, checked against the range that is legal; NaN is in none."""

from __future__ import annotations


def check_positive(**values: float) -> None:
    """Raises ValueError, which names the argument and its value, unless all are above 0."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}={value!r}: must be positive")


def check_not_negative(**values: float) -> None:
    """Raises ValueError, which names the argument and its value, unless all are at least 0."""
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name}={value!r}: must not be negative")


def check_share(**values: float) -> None:
    """Raises ValueError, which names the argument and its value, unless all lie in [0, 1]."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}={value!r}: must lie in [0, 1]")
