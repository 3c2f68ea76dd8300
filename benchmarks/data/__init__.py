"""Labelled images that benchmarks read: masks, depth maps, surface normals and class folders with
two parts each, keypoint pairs, sets of images in which one factor varies, videos, and views with
depth.
"""

from benchmarks.data.class_folder import ClassFolder
from benchmarks.data.depth import DepthFolder
from benchmarks.data.image_sets import ImageSets
from benchmarks.data.keypoints import KeypointPairs
from benchmarks.data.normals import NormalFolder
from benchmarks.data.segmentation import SegmentationFolder
from benchmarks.data.transfer_folder import TransferFolder
from benchmarks.data.videos import VideoFolder
from benchmarks.data.view_pairs import ViewPairs

__all__ = [
    "ClassFolder",
    "DepthFolder",
    "ImageSets",
    "KeypointPairs",
    "NormalFolder",
    "SegmentationFolder",
    "TransferFolder",
    "VideoFolder",
    "ViewPairs",
]
