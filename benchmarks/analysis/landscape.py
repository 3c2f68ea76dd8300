"""Loss and accuracy of a classifier at weights that no training gave it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.analysis.images import evenly_spread, read_images
from benchmarks.core.extractor import normalise
from benchmarks.data.class_folder import ClassSplit
from benchmarks.finetune.classifier import Classifier
from benchmarks.mm.batch_norm import averaging, trained_norms

_STATISTICS_BATCH = 64  # images whose mean and variance make one term of the average


@dataclass(frozen=True)
class Images:
    """Images as a classifier takes them.

    Attributes:
        numbers: of the images in their part of the data.
        pixels: (n, 3, S, S) uint8, resized as for the classifier's tests.
        labels: (n,) int64.
    """

    numbers: range
    pixels: Tensor
    labels: Tensor

    @classmethod
    def of(cls, split: ClassSplit, classifier: Classifier, *, most: int) -> Images:
        """Reads at most ``most`` images of a part, evenly spread.

        Raises:
            ValueError: an image cannot be read; names the file.
        """
        chosen = evenly_spread(len(split), most)
        pixels = read_images(
            split,
            chosen,
            size=classifier.size,
            crop_fraction=classifier.crop_fraction,
            resample=Image.Resampling.BICUBIC,
        )
        return cls(chosen, pixels, split.labels[list(chosen)])


@dataclass(frozen=True)
class Scored:
    """A classifier's results.

    Attributes:
        losses: (n,) float64, cross-entropy of every image.
        right: (n,) bool, whether its class has the largest score.
    """

    losses: Tensor
    right: Tensor

    @property
    def loss(self) -> float:
        """Mean cross-entropy."""
        return float(self.losses.mean())

    @property
    def top1(self) -> float:
        """Accuracy in percent."""
        return 100 * float(self.right.double().mean())


class Landscape:
    """Measures a copy of a classifier at other weights.

    Args:
        classifier: whose architecture, normalisation and device are used; stays as it is.
        statistics: training images, by which BatchNorm's running statistics are measured anew.
        batch_size: images scored at once.
    """

    def __init__(self, classifier: Classifier, *, statistics: Images, batch_size: int) -> None:
        self.classifier = copy.deepcopy(classifier).eval()
        self.statistics, self.batch_size = statistics, batch_size
        modules = self.classifier.modules()
        self._norms = [module for module in modules if isinstance(module, _BatchNorm)]

    @property
    def has_statistics(self) -> bool:
        """Whether the classifier has BatchNorm, so that recalibration changes anything."""
        return bool(self._norms)

    @torch.no_grad()
    def place(self, state: Mapping[str, Tensor], *, recalibrate: bool) -> None:
        """Moves the copy to other weights.

        Args:
            state: all of the classifier's, buffers included.
            recalibrate: measure BatchNorm's running statistics there, on the training images, as
                the average over batches of 64 of each one's mean and variance; False takes those in
                ``state``. Integer buffers stay as they are either way.
        """
        self.classifier.load_state_dict(state)
        if not recalibrate or not self._norms:
            return
        for norm in self._norms:
            norm.train()
        pixels = self.statistics.pixels
        batches = pixels.tensor_split(-(-len(pixels) // _STATISTICS_BATCH))
        with averaging(trained_norms(self.classifier)):
            for batch in batches:
                self._logits(batch)
        self.classifier.eval()

    @torch.no_grad()
    def score(self, images: Images) -> Scored:
        """Scores images at the present weights."""
        losses, right = [], []
        labels = images.labels.to(self.classifier.device)
        for start in range(0, len(labels), self.batch_size):
            part = slice(start, start + self.batch_size)
            logits = self._logits(images.pixels[part])
            losses.append(F.cross_entropy(logits, labels[part], reduction="none").double().cpu())
            right.append((logits.argmax(1) == labels[part]).cpu())
        return Scored(torch.cat(losses), torch.cat(right))

    def _logits(self, pixels: Tensor) -> Tensor:
        classifier = self.classifier
        return classifier(normalise(pixels, classifier.mean, classifier.std, classifier.device))
