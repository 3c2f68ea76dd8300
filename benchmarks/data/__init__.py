"""Labelled images that benchmarks read: segmentation folders and class folders, train and validation part each."""

from benchmarks.data.class_folder import ClassFolder
from benchmarks.data.segmentation import SegmentationFolder

__all__ = ["ClassFolder", "SegmentationFolder"]
