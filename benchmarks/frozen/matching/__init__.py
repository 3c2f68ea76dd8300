"""Matching in 3-D: are points of an object found again in another view of it?

Both views are cut to the object and encoded. Every cell with a known depth is a point in metres.
For each point of the source, with cosine distances d₁ ≤ d₂ to the two nearest points of the target,
the match with the nearest weighs 1 − d₁ / d₂; the matches of the largest weights are kept. With the
true pose (R, t) between the cameras

    error of a match = ‖R·x + t − y‖,   recall@c = share of matches with an error < c

averaged over pairs; the same in pixels of the target's view, and at 2 cm by the angle between the
views. El Banani et al. 2024 (arXiv 2404.08636).
"""

from benchmarks.frozen.matching.run import BENCHMARK
from benchmarks.frozen.matching.settings import Settings

__all__ = ["BENCHMARK", "Settings"]
