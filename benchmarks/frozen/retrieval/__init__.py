"""Dense nearest-neighbour retrieval: how good are frozen dense features without training any head?

Patches of a labelled train set form a memory of unit keys K (M, D) and soft labels L (M, C). Each
patch q of a validation image is labelled by attention over its k nearest keys, with cosine
similarities s_1 … s_k:

    w = softmax(s / β),   ŷ = Σ_j w_j · L[index_j]

The (C, h, w) labels are upsampled bilinearly to the mask, their argmax goes into one confusion
matrix over the set, and mIoU is the mean over classes with a non-empty union, classes taken as they
are (identity matching). Balazevic et al. 2023 (arXiv 2306.01667); defaults after the open
re-implementation, whose quirks are ``COMPAT``.
"""

from benchmarks.frozen.retrieval.run import BENCHMARK
from benchmarks.frozen.retrieval.settings import COMPAT, MemorySettings, Settings

__all__ = ["BENCHMARK", "COMPAT", "MemorySettings", "Settings"]
