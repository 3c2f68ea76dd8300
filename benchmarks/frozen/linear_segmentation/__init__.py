"""Linear segmentation as published tables measure it: one linear layer on frozen features, trained
over crops and tested in windows, masks scored at their own size.

The benchmark :mod:`benchmarks.frozen.probe` asks the same question more cheaply (squashed images,
every image encoded once). Here every choice of the published recipes is a setting, so that a preset
can return a published number: how images are resized, cut and distorted, the head, optimiser and
schedule, the sliding window, several scales, which pixels and classes count, and whether the number
is that of the last iteration or the best of several evaluations.
"""

from benchmarks.frozen.linear_segmentation.run import BENCHMARK
from benchmarks.frozen.linear_segmentation.settings import Settings

__all__ = ["BENCHMARK", "Settings"]
