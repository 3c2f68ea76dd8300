"""Trivial predictors: what a benchmark gives away for nothing, and a network has to beat.

Each gives a record with the protocol hash of a network's, so it may stand in the same column.
Images: the largest class, and 16×16 pixels in place of a vector. Dense labels: the most frequent
class (the mean depth), the same per place, and mean colour with position in place of features.
``benchmarks/evaluate/suite.py`` names those of each benchmark.
"""

from benchmarks.frozen.baselines.dense import DEPTH, RETRIEVAL
from benchmarks.frozen.baselines.features import ColourPosition, Pixels
from benchmarks.frozen.baselines.images import CAM, KNN, LINEAR, ROBUSTNESS
from benchmarks.frozen.baselines.trained import DECODER, DEPTH_PROBE, PROBE

__all__ = [
    "CAM",
    "DECODER",
    "DEPTH",
    "DEPTH_PROBE",
    "KNN",
    "LINEAR",
    "PROBE",
    "RETRIEVAL",
    "ROBUSTNESS",
    "ColourPosition",
    "Pixels",
]
