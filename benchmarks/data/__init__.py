"""Labelled images that benchmarks read, train and validation part each: masks, depth maps, class folders."""

from benchmarks.data.class_folder import ClassFolder
from benchmarks.data.depth import DepthFolder
from benchmarks.data.segmentation import SegmentationFolder

__all__ = ["ClassFolder", "DepthFolder", "SegmentationFolder"]
