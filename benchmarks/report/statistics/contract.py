"""What a statistic of the table is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.core.statistics import Interval
from benchmarks.report.runs import Sample
from pretrain.names import check_choice

Value = Interval | float | str | None  # None: there is none
SCOPES = ("arm", "pair", "arms", "table")


@dataclass(frozen=True)
class Statistic:
    """One function of the runs, and how its values stand in a table.

    Attributes:
        name: What it is asked for by.
        scope: What ``compute`` looks at, always in one metric:
            ``arm``: ``compute(sample) -> value``, a column beside the metric's own;
            ``pair``: ``compute(sample, reference) -> value``, a column per row that the others are
            compared with;
            ``arms``: ``compute(samples) -> a value per sample``, one column (ranks, groups);
            ``table``: ``compute(samples) -> value``, a sentence below the table.
        compute: The function. It gets no sample without runs. Its value is an ``Interval``
            (printed as ``mean ± half``), a number, words, or None where there is none.
        heading: Of its column, with ``{reference}`` for the name of the row compared with. Empty:
            its values stand in the metric's own column.
        explanation: One sentence below the table: what the numbers are and what they assume.
        reads_rankings: ``compute`` also takes ``rankings``, column -> its ranking of all arms, so
            that a comparison need not rank twice.

    Raises:
        ValueError: another ``scope``.
    """

    name: str
    scope: str
    compute: Callable[..., Any]
    heading: str = ""
    explanation: str = ""
    reads_rankings: bool = False

    def __post_init__(self) -> None:
        check_choice("scope", self.scope, SCOPES)

    def columns(
        self, samples: Sequence[Sample], references: Sequence[str] = ()
    ) -> dict[str, list[Value]]:
        """The statistic's columns in one metric.

        Args:
            samples: one per row of the table; without runs where a row lacks the metric.
            references: names of the rows that the others are compared with, for ``pair``.

        Returns:
            Heading -> one value per row. A column without any value is left out, but for the
            metric's own.
        """
        columns: dict[str, list[Value]] = {}
        if self.scope == "arm":
            columns[self.heading] = [self._of(sample) for sample in samples]
        elif self.scope == "pair":
            for other in samples:
                if other.name in references:
                    heading = self.heading.format(reference=other.name)
                    columns[heading] = [self._difference(sample, other) for sample in samples]
        elif self.scope == "arms":
            values = iter(self.compute(_present(samples)))
            columns[self.heading] = []
            for sample in samples:
                columns[self.heading].append(next(values) if sample.runs else None)
        for heading, values in list(columns.items()):
            if heading and values == [None] * len(values):
                del columns[heading]
        return columns

    def value_of_table(self, samples: Sequence[Sample]) -> Value:
        """The value of scope ``table`` in one metric; None for the other scopes."""
        present = _present(samples)
        return self.compute(present) if self.scope == "table" and present else None

    def _of(self, sample: Sample) -> Value:
        return self.compute(sample) if sample.runs else None

    def _difference(self, sample: Sample, reference: Sample) -> Value:
        if sample is reference or not sample.runs or not reference.runs:
            return None
        return self.compute(sample, reference)


def _present(samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.runs]
