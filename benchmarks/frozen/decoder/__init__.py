"""Segmentation with a trained decoder: what an upsampler is worth inside a network that learns with
it.

A SegFormer-like head (:mod:`heads.segformer`) is trained on a frozen or a fine-tuned backbone, with
one new upsampler per level of the pyramid, trained jointly where it has parameters. Everything else
is equal for every upsampler: initial weights of the head, images, crops, steps. The value reported
is that of the last step.
"""

from benchmarks.frozen.decoder.run import BENCHMARK
from benchmarks.frozen.decoder.settings import Settings

__all__ = ["BENCHMARK", "Settings"]
