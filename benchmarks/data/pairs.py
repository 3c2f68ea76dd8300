"""Pairs of an image and a label map of its size: reading them, resizing, cutting, batching."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.data.label_maps import check_size
from benchmarks.data.loading import (
    CACHE_BYTES,
    file_size,
    fingerprint,
    ordered_map,
    resize_image,
    resize_mask,
)
from pretrain.data.decode import decode_file

View = tuple[np.ndarray, np.ndarray]  # image (H, W, 3) uint8 and label map (H, W)


@dataclass(frozen=True)
class RandomCrop:
    """Train augmentation of the memory: a random resized crop, drawn from (seed, pass, image)
    alone.

    Attributes:
        scale: Share of the image's area. Above 1 the crop may not fit; after ten tries the whole
            image is taken (torchvision's is then cut to an aspect of 3:4 to 4:3; of 500 × 333
            pixels and areas of 0.5 to 2, 28 % of draws).
        ratio: Width / height, drawn log-uniformly.
        seed: Of the protocol.
    """

    scale: tuple[float, float] = (0.5, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    seed: int = 0

    def box(self, height: int, width: int, key: tuple[int, int]) -> tuple[int, int, int, int]:
        """Returns (top, left, height, width) in pixels for ``key`` = (pass, image)."""
        rng = np.random.default_rng([self.seed, *key])
        for _ in range(10):
            area = rng.uniform(*self.scale) * height * width
            ratio = np.exp(rng.uniform(*np.log(self.ratio)))
            h, w = round(np.sqrt(area / ratio)), round(np.sqrt(area * ratio))
            if 0 < h <= height and 0 < w <= width:
                return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
        return 0, 0, height, width


@dataclass
class LabelledBatch:
    """Images of one size with their label maps.

    Attributes:
        images: (B, 3, H, W) uint8 RGB.
        masks: (B, H, W) what is known of each pixel: int16 classes, ``IGNORE`` (-1) where nothing
            counts; or float32 depths in metres, 0 where none is known.
        ids: index of each image in its split.
        repeat: which augmentation pass this is, 0 first.
    """

    images: Tensor
    masks: Tensor
    ids: list[int]
    repeat: int = 0


def _batch(pairs: Sequence[View], ids: list[int], repeat: int = 0) -> LabelledBatch:
    images, masks = zip(*pairs, strict=True)
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # (B, H, W, 3) -> (B, 3, H, W)
    return LabelledBatch(stacked, torch.from_numpy(np.stack(masks)), ids, repeat)


def _below(path: Path, root: Path) -> str:
    """Path of a file as seen from ``root``, also of one beside it."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else os.path.relpath(path, root)


def _turned(labels: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Whether a label map lies across its image: no size for resizing, but a turn that one of them
    lacks.
    """
    across = (labels[0] > labels[1]) != (image[0] > image[1])
    return across and labels[0] != labels[1] and image[0] != image[1]


class PairSplit:
    """Image and label map pairs of one part of a data set; what a label map holds is
    :meth:`read_labels`' matter.

    Resizing: images bilinear with antialiasing unless :meth:`batches` is told otherwise, label maps
    by the label under the pixel's centre, both straight to the asked size without keeping the
    aspect ratio; scores are those of the resized label map.

    Args:
        pairs: The files.
        root: Folder of the data set; names count from there in :attr:`fingerprint`.
        resize_labels: Give a label map of another size than its image the image's, instead of
            refusing it.
    """

    label_bytes = 2  # of one pixel's label, for the decision whether resized pairs stay in memory
    resize_option = "resize_masks"  # what readers call the argument ``resize_labels``
    lacking, cure = "", ""  # what is said if no pixel counts, around the name of the part

    def __init__(
        self, pairs: list[tuple[Path, Path]], *, root: Path, resize_labels: bool = False
    ) -> None:
        self._pairs, self._resize_labels = pairs, resize_labels
        self.fingerprint = fingerprint(self.content(root))
        self._cache: dict[tuple[tuple[int, int], Image.Resampling], dict[int, View]] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    def content(self, root: Path) -> list[tuple[str, ...]]:
        """What a protocol's content key is made of, a row per image: names below the folder of the
        data set and sizes of files.
        """
        rows = []
        for image, labels in self._pairs:
            rows.append((_below(image, root), file_size(image), file_size(labels)))
        return rows

    @property
    def files(self) -> list[Path]:
        """The image files, in order."""
        return [image for image, _ in self._pairs]

    def name(self, index: int) -> str:
        """Path of an image, for messages."""
        return str(self._pairs[index][0])

    def read_labels(self, path: Path) -> np.ndarray:
        """Reads a label map (h, w), as :attr:`LabelledBatch.masks` holds it.

        Raises:
            ValueError: not readable, or it holds what it may not; names the file.
        """
        raise NotImplementedError

    def counts(self, labels: np.ndarray) -> np.ndarray:
        """Which pixels of a label map (h, w) count: (h, w) bool."""
        raise NotImplementedError

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Reads one pair: image (h, w, 3) uint8 RGB and label map (h, w).

        Raises:
            ValueError: not readable, sizes differ, or labels that may not be; names the file.
        """
        image_path, label_path = self._pairs[index]
        image = decode_file(image_path)
        labels = self.read_labels(label_path)
        if self._resize_labels and not _turned(labels.shape, image.shape[:2]):
            labels = resize_mask(labels, image.shape[:2])
        cure = f", or be given it by {self.resize_option}=True (nearest label)"
        check_size(
            labels,
            label_path,
            size=image.shape[:2],
            image=image_path,
            cure="" if self._resize_labels else cure,
        )
        return image, labels

    def require_labels(self, part: str) -> tuple[Path, np.ndarray]:
        """Reads pairs until one has a pixel that counts, nearly always the first one.

        Args:
            part: What the split is called in messages.

        Returns:
            The file and its label map.

        Raises:
            ValueError: no pixel of the part counts, so that nothing could be scored; or as
                :meth:`load`.
        """
        for index, (_, path) in enumerate(self._pairs):
            labels = self.load(index)[1]
            if self.counts(labels).any():
                return path, labels
        raise ValueError(
            f"no {self.lacking} of the {part} part ({len(self)}, the first of {self.name(0)}) "
            f"{self.cure}"
        )

    def batches(
        self,
        size: tuple[int, int],
        batch_size: int,
        *,
        part: tuple[int, int] | None = None,
        passes: int = 1,
        crop: RandomCrop | None = None,
        resample: Image.Resampling = Image.Resampling.BILINEAR,
    ) -> Iterator[LabelledBatch]:
        """Yields the split in order, batch by batch, all passes of a batch one after the other.

        Args:
            size: (H, W) in pixels.
            batch_size: Images per batch.
            part: (first, end) numbers of the batches to yield; None yields all.
            passes: How often each batch is yielded; its files are decoded once.
            crop: Cuts a random part for each pass; None takes whole images (kept in memory while
                they are small).
        """
        first, end = part or (0, self.batch_count(batch_size))
        ids = range(first * batch_size, min(end * batch_size, len(self)))

        def views_of(index: int) -> list[View]:
            return self._views(index, size, passes=passes, crop=crop, resample=resample)

        window: list[list[View]] = []
        start = ids.start
        for views in ordered_map(views_of, ids, ahead=2 * batch_size):
            window.append(views)
            if len(window) == batch_size or start + len(window) == ids.stop:
                for repeat, pairs in enumerate(zip(*window, strict=True)):
                    yield _batch(pairs, list(range(start, start + len(window))), repeat)
                start += len(window)
                window = []

    def take(self, ids: Sequence[int], size: tuple[int, int]) -> LabelledBatch:
        """Reads the pairs of these numbers, whole images resized to ``size`` (kept in memory while
        they are small).
        """
        ids = list(map(int, ids))
        return _batch([self._resized(index, tuple(size)) for index in ids], ids)

    def batch_count(self, batch_size: int) -> int:
        """Batches of the whole split."""
        return -(-len(self) // batch_size)

    def _views(
        self,
        index: int,
        size: tuple[int, int],
        *,
        passes: int,
        crop: RandomCrop | None,
        resample: Image.Resampling,
    ) -> list[View]:
        if crop is None:
            return [self._resized(index, tuple(size), resample)] * passes
        image, mask = self.load(index)
        views = []
        for repeat in range(passes):
            top, left, h, w = crop.box(*mask.shape, (repeat, index))
            window = slice(top, top + h), slice(left, left + w)
            part = resize_image(np.ascontiguousarray(image[window]), size, resample)
            views.append((part, resize_mask(mask[window], size)))
        return views

    def _resized(
        self,
        index: int,
        size: tuple[int, int],
        resample: Image.Resampling = Image.Resampling.BILINEAR,
    ) -> View:
        cache = self._cache.setdefault((size, resample), {})
        if index in cache:
            return cache[index]
        image, mask = self.load(index)
        pair = resize_image(image, size, resample), resize_mask(mask, size)
        if len(self) * size[0] * size[1] * (3 + self.label_bytes) <= CACHE_BYTES:
            cache[index] = pair
        return pair
