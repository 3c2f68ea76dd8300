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

    Raises:
        ValueError: another ``scope``.
    """

    name: str
    scope: str
    compute: Callable[..., Any]
    heading: str = ""
    explanation: str = ""

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
            Heading -> one value per row. A column without any value is left out.
        """
        if self.scope == "arm":
            columns = {self.heading: [self._of(sample) for sample in samples]}
        elif self.scope == "pair":
            against = [sample for sample in samples if sample.name in references]
            columns = {}
            for other in against:
                heading = self.heading.format(reference=other.name)
                columns[heading] = [self._difference(sample, other) for sample in samples]
        elif self.scope == "arms":
            present = [sample for sample in samples if sample.runs]
            values = dict(zip(map(id, present), self.compute(present), strict=True))
            columns = {self.heading: [values.get(id(sample)) for sample in samples]}
        else:
            columns = {}
        return {
            heading: values for heading, values in columns.items() if self._shown(heading, values)
        }

    def value_of_table(self, samples: Sequence[Sample]) -> Value:
        """The value of scope ``table`` in one metric; None for the other scopes."""
        present = [sample for sample in samples if sample.runs]
        return self.compute(present) if self.scope == "table" and present else None

    @staticmethod
    def _shown(heading: str, values: Sequence[Value]) -> bool:
        """A metric's own column stands even where it is empty."""
        return not heading or any(value is not None for value in values)

    def _of(self, sample: Sample) -> Value:
        return self.compute(sample) if sample.runs else None

    def _difference(self, sample: Sample, reference: Sample) -> Value:
        if sample is reference or not sample.runs or not reference.runs:
            return None
        return self.compute(sample, reference)
