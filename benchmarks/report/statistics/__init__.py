"""The statistics that a table may show. A new one is a module here and a name in ``STATISTICS``;
``docs/adding_a_statistic.md`` shows how.
"""

from benchmarks.report.statistics.bootstrap import BOOTSTRAP
from benchmarks.report.statistics.contract import Statistic, Value
from benchmarks.report.statistics.intervals import DIFFERENCE, IMAGE_DIFFERENCE, INTERVAL
from benchmarks.report.statistics.ranks import RANKS
from benchmarks.report.statistics.verdict import VERDICT

# What a comparison's ``statistics`` may name. INTERVAL stands in every table.
STATISTICS = {
    statistic.name: statistic
    for statistic in (INTERVAL, RANKS, DIFFERENCE, IMAGE_DIFFERENCE, BOOTSTRAP, VERDICT)
}

__all__ = [
    "DIFFERENCE",
    "IMAGE_DIFFERENCE",
    "INTERVAL",
    "BOOTSTRAP",
    "RANKS",
    "STATISTICS",
    "VERDICT",
    "Statistic",
    "Value",
]
