"""Random labels: each image gets one for good, so that a network can only learn them by heart."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.registry import DATASETS

from pretrain.data.choice import check_seed, random_label
from pretrain.data.source_image import SourceImage, source_images_of
from pretrain.data.sources import MAX_CLASSES


@DATASETS.register_module()
class RandomLabels:
    """Another source's images with labels drawn at random, once for each image.

    The label of image i is a pure function of ``seed`` and i: the same in every epoch, process and
    run, however many images there are. Labels of the source itself are not read. Networks can fit
    random labels only while an image always looks the same: switch augmentation off.

    Args:
        source: Registry dict of the source whose images are used.
        classes: C, number of labels, each equally likely.
        seed: of the labels alone; the run's seed does not enter.

    Raises:
        ValueError: fewer than two classes or more than ``MAX_CLASSES``, or a seed out of range; and
            whatever the inner source raises.
    """

    def __init__(self, source: dict[str, Any], classes: int, seed: int = 0) -> None:
        if not 2 <= classes <= MAX_CLASSES:
            raise ValueError(
                f"RandomLabels: classes={classes}; legal is at least 2 and at most {MAX_CLASSES}"
            )
        check_seed("RandomLabels", seed)
        self.source = DATASETS.build(source)
        self.seed = seed
        self.classes = tuple(f"random {i}" for i in range(classes))

    def __len__(self) -> int:
        return len(self.source)

    def read(self, index: int) -> bytes:
        """The encoded bytes of image ``index``. Raises OSError when they cannot be read."""
        return self.source.read(index)

    def name(self, index: int) -> str:
        """What the inner source calls image ``index``."""
        return self.source.name(index)

    def label(self, index: int) -> int:
        """The label drawn for image ``index``."""
        return random_label(self.seed, index, len(self.classes))

    def source_images(self, index: int, rng: np.random.Generator) -> tuple[SourceImage, ...]:
        """Those of the inner source."""
        return source_images_of(self.source, index, rng)
