"""The statistics that a table may show. A new one is a module here and a name in ``STATISTICS``;
``docs/adding_a_statistic.md`` shows how.
"""

from benchmarks.report.statistics.bootstrap import OVER_IMAGES
from benchmarks.report.statistics.contract import Statistic, Value
from benchmarks.report.statistics.intervals import DIFFERENCE, IMAGE_DIFFERENCE, INTERVAL

# What a comparison's ``statistics`` may name. INTERVAL stands in every table.
_ALL = (INTERVAL, DIFFERENCE, IMAGE_DIFFERENCE, OVER_IMAGES)
STATISTICS = {statistic.name: statistic for statistic in _ALL}

__all__ = [
    "DIFFERENCE",
    "IMAGE_DIFFERENCE",
    "INTERVAL",
    "OVER_IMAGES",
    "STATISTICS",
    "Statistic",
    "Value",
]
