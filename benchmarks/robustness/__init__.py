"""Robustness of a classifier: the 15 corruptions of ImageNet-C on any class folder, and ImageNet-A,
-R, -Sketch, -C.
"""

from benchmarks.robustness.measures import METRICS
from benchmarks.robustness.run import Settings, run

__all__ = ["METRICS", "Settings", "run"]
