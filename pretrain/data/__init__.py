"""Where images come from: decoding, sources, the sampler and the data set of views."""

from pretrain.data.dataset import UnreadableData, ViewDataset, limit_threads
from pretrain.data.sampler import EpochSampler
from pretrain.data.sources import CocoImages, FileList, ImageFolder, Source, SourceError

__all__ = [
    "CocoImages",
    "EpochSampler",
    "FileList",
    "ImageFolder",
    "Source",
    "SourceError",
    "UnreadableData",
    "ViewDataset",
    "limit_threads",
]
