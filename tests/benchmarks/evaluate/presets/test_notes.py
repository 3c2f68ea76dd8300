"""What settings are, read from comments and docstrings."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.evaluate.presets.notes import field_notes


@dataclass
class Base:
    """Settings.

    Attributes:
        first: from the ``docstring``,
            over two lines of :class:`benchmarks.core.Thing`.
        second: of the docstring too.

    Raises:
        ValueError: never.
    """

    first: int = 0
    second: int = 1  # a comment wins


@dataclass
class Settings(Base):
    """More of them."""

    # in the line
    # above: both
    third: tuple[int, ...] = (
        1,
        2,
    )
    fourth: int = 3


def test_comments_docstrings_and_bases_are_read() -> None:
    assert field_notes(Settings) == dict(
        first="from the docstring, over two lines of benchmarks.core.Thing.",
        second="a comment wins",
        third="in the line above: both",
    )
