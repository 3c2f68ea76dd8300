"""Mask propagation: the first mask of a video carried through it by frozen features."""

from benchmarks.frozen.video.run import BENCHMARK

__all__ = ["BENCHMARK"]
