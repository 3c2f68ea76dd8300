"""Robustness of a classifier: the 15 corruptions of ImageNet-C on any class folder, and ImageNet-A,
-R, -Sketch, -C.
"""

from benchmarks.robustness.measures import METRICS
from benchmarks.robustness.run import BENCHMARK, Settings

__all__ = ["BENCHMARK", "METRICS", "Settings"]
