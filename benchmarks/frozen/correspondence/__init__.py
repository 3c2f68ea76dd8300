"""Semantic correspondence: does a keypoint's feature find the same part of another object?

The images are brought to one size and encoded. For a keypoint of the source image, take the feature
f at it; the prediction is where the target's map has the largest cosine to f, carried back to the
target's own pixels. With point t annotated in the target and L the longer side of its object box
(or of the image)

    PCK@α = share of keypoints with ‖prediction − t‖ ≤ α·L

Without settings: the images squashed to the size, the source's cell that holds the point, the
target cell's centre, and shares averaged over the keypoints of a pair, then over pairs (Yang and
Ramanan 2013; Ham et al. 2016, arXiv 1511.05065). Published numbers differ in every one of these
choices and by tens of points; each is a setting. The finer the map, the finer the answer: with an
upsampler in the extractor its map is searched.
"""

from benchmarks.frozen.correspondence.run import BENCHMARK
from benchmarks.frozen.correspondence.scores import result_of
from benchmarks.frozen.correspondence.settings import Settings

__all__ = ["BENCHMARK", "Settings", "result_of"]
