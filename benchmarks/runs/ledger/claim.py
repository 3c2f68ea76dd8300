"""What an entry of the ledger states: a claim, and the records that decide it. Data only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Above:
    """One arm is better than another by more than ``margin``, in the direction that the metric says
    is better.

    Attributes:
        records: name of the file in ``docs/results/records``, without ``.jsonl.gz``.
        column: ``benchmark.metric``.
        first: the arm that the claim puts above.
        second: the other.
        margin: in the metric's unit; a negative one states "not worse by that much".
    """

    records: str
    column: str
    first: str
    second: str
    margin: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Larger:
    """Of one arm, a metric is larger than another of the same benchmark, or than a number.

    Attributes:
        records: as in :class:`Above`.
        arms: whose networks are looked at.
        column: ``benchmark.metric`` that the claim says is the larger one.
        than: the other metric's name, or a number in the metric's unit.
        smaller: True states that ``column`` is the smaller one.
    """

    records: str
    arms: tuple[str, ...]
    column: str
    than: str | float
    smaller: bool = False


@dataclass(frozen=True, kw_only=True)
class Narrower:
    """Over several settings, one method's metric differs less between best and worst than
    another's, seed by seed.

    Attributes:
        records, column: as in :class:`Above`.
        first: arms, the settings of the method that the claim says depends less on them.
        second: those of the other method.
    """

    records: str
    column: str
    first: tuple[str, ...]
    second: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Halves:
    """In a table that records keep in their counts, from the input to the output, a value is larger
    in the upper half of the rows than in the lower one, on average.

    Attributes:
        records, arms: as in :class:`Larger`.
        benchmark: whose records.
        table: name of the list of rows in ``counts``.
        key: of the value in a row.
        without: rows that do not count, by the value of their first key.
    """

    records: str
    arms: tuple[str, ...]
    benchmark: str
    table: str
    key: str
    without: tuple[str, ...] = ()


Test = Above | Larger | Narrower | Halves


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One empirical claim of a paper.

    Attributes:
        claim: in our words, a sentence.
        place: where the paper states it; says so where we could not read the place itself.
        confirms: what would confirm it, in words.
        commands: what a reader types to run our test.
        scale: of our test: data, network, budget; what it leaves open.
        tests: every one must be seen for the claim to be.
        needs: data or hardware that a test would need and that is not at hand; then no ``tests``.

    Raises:
        ValueError: both or neither of ``tests`` and ``needs``.
    """

    claim: str
    place: str
    confirms: str
    commands: tuple[str, ...]
    scale: str
    tests: tuple[Test, ...] = ()
    needs: str = ""

    def __post_init__(self) -> None:
        if bool(self.tests) == bool(self.needs):
            raise ValueError(f"claim {self.claim!r}: give either tests= or needs=")


@dataclass(frozen=True, kw_only=True)
class Paper:
    """The claims of one paper.

    Attributes:
        title: heading.
        cited: authors, title, where it appeared.
        claims: in the order of the page.
    """

    title: str
    cited: str
    claims: tuple[Claim, ...]
