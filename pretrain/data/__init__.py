"""Where images come from: decoding, sources, the sampler and the data set of views."""

from pretrain.data.boxes import CocoBoxes
from pretrain.data.dataset import UnreadableData, ViewDataset, limit_threads
from pretrain.data.describe import describe_source
from pretrain.data.frames import FramePairs
from pretrain.data.random_labels import RandomLabels
from pretrain.data.sampler import ClassBalancedSampler, EpochSampler
from pretrain.data.source_image import RegionSource, SourceImage
from pretrain.data.sources import CocoImages, FileList, ImageFolder, Source, SourceError

__all__ = [
    "ClassBalancedSampler",
    "CocoBoxes",
    "CocoImages",
    "EpochSampler",
    "FileList",
    "FramePairs",
    "ImageFolder",
    "RandomLabels",
    "RegionSource",
    "Source",
    "SourceError",
    "SourceImage",
    "UnreadableData",
    "ViewDataset",
    "describe_source",
    "limit_threads",
]
