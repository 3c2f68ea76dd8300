"""Pairs of an image and a label map of its size: finding the files, reading them, resizing, cutting, batching."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.data.layouts import Layout, use_trainaug
from benchmarks.data.loading import CACHE_BYTES, file_size, fingerprint, ordered_map, resize_image, resize_mask
from benchmarks.data.parts import check_parts
from pretrain.data.decode import DecodeError, decode

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class RandomCrop:
    """Train augmentation of the memory: a random resized crop, drawn from (seed, pass, image) alone.

    Attributes:
        scale: Share of the image's area. Above 1 the crop may not fit; after ten tries the whole image is taken.
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
        masks: (B, H, W) what is known of each pixel: int16 classes, ``IGNORE`` (-1) where nothing counts; or float32
            depths in metres, 0 where none is known.
        ids: index of each image in its split.
        repeat: which augmentation pass this is, 0 first.
    """

    images: Tensor
    masks: Tensor
    ids: list[int]
    repeat: int = 0


class PairSplit:
    """Image and label map pairs of one part of a data set; what a label map holds is :meth:`read_labels`' matter.

    Resizing: images bilinear with antialiasing, label maps by the label under the pixel's centre, both straight to the
    asked size without keeping the aspect ratio; scores are those of the resized label map.
    """

    label_bytes = 2  # of one pixel's label, for the decision whether resized pairs stay in memory

    def __init__(self, pairs: list[tuple[Path, Path]], *, root: Path) -> None:
        self._pairs = pairs
        rows = ((str(i.relative_to(root)), file_size(i), file_size(m)) for i, m in pairs)
        self.fingerprint = fingerprint(rows)
        self._cache: dict[tuple[int, int], dict[int, tuple[np.ndarray, np.ndarray]]] = {}

    def __len__(self) -> int:
        return len(self._pairs)

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

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Reads one pair: image (h, w, 3) uint8 RGB and label map (h, w).

        Raises:
            ValueError: not readable, sizes differ, or labels that may not be; names the file.
        """
        image_path, label_path = self._pairs[index]
        try:
            image = decode(image_path.read_bytes())
        except DecodeError as error:
            raise ValueError(f"{image_path}: {error}") from error
        labels = self.read_labels(label_path)
        if labels.shape != image.shape[:2]:
            raise ValueError(
                f"{label_path} is {labels.shape[1]}x{labels.shape[0]} pixels, its image {image_path} (upright) is "
                f"{image.shape[1]}x{image.shape[0]}; a label map must have its image's size"
            )
        return image, labels

    def batches(
        self, size: tuple[int, int], batch_size: int, *,
        part: tuple[int, int] | None = None, passes: int = 1, crop: RandomCrop | None = None,
    ) -> Iterator[LabelledBatch]:  # fmt: skip
        """Yields the split in order, batch by batch, all passes of a batch one after the other.

        Args:
            size: (H, W) in pixels.
            batch_size: Images per batch.
            part: (first, end) numbers of the batches to yield; None yields all.
            passes: How often each batch is yielded; its files are decoded once.
            crop: Cuts a random part for each pass; None takes whole images (kept in memory while they are small).
        """
        first, end = part or (0, self.batch_count(batch_size))
        ids = range(first * batch_size, min(end * batch_size, len(self)))
        window: list[list[tuple[np.ndarray, np.ndarray]]] = []
        start = ids.start
        for views in ordered_map(lambda i: self._views(i, size, passes, crop), ids, ahead=2 * batch_size):
            window.append(views)
            if len(window) == batch_size or start + len(window) == ids.stop:
                for repeat in range(passes):
                    images = torch.from_numpy(np.stack([v[repeat][0] for v in window])).permute(0, 3, 1, 2)
                    masks = torch.from_numpy(np.stack([v[repeat][1] for v in window]))
                    yield LabelledBatch(images, masks, list(range(start, start + len(window))), repeat)
                start += len(window)
                window = []

    def take(self, ids: Sequence[int], size: tuple[int, int]) -> LabelledBatch:
        """Reads the pairs of these numbers, whole images resized to ``size`` (kept in memory while they are small)."""
        pairs = [self._resized(int(index), tuple(size)) for index in ids]
        images = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2)
        masks = torch.from_numpy(np.stack([mask for _, mask in pairs]))
        return LabelledBatch(images, masks, [int(index) for index in ids])

    def batch_count(self, batch_size: int) -> int:
        """Batches of the whole split."""
        return -(-len(self) // batch_size)

    def _views(
        self, index: int, size: tuple[int, int], passes: int, crop: RandomCrop | None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        if crop is None:
            return [self._resized(index, tuple(size))] * passes
        image, mask = self.load(index)
        views = []
        for repeat in range(passes):
            top, left, h, w = crop.box(*mask.shape, (repeat, index))
            window = slice(top, top + h), slice(left, left + w)
            views.append((resize_image(np.ascontiguousarray(image[window]), size), resize_mask(mask[window], size)))
        return views

    def _resized(self, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        cache = self._cache.setdefault(size, {})
        if index in cache:
            return cache[index]
        image, mask = self.load(index)
        pair = resize_image(image, size), resize_mask(mask, size)
        if len(self) * size[0] * size[1] * (3 + self.label_bytes) <= CACHE_BYTES:
            cache[index] = pair
        return pair


def check_parts_of_pairs(train: PairSplit, val: PairSplit, *, allow_shared: bool) -> dict[str, int]:
    """:func:`benchmarks.data.parts.check_parts` for two parts of pairs."""
    cure = "write {split} into images= where the parts have folders of their own, or name another part by train=, val="
    return check_parts(train.files, val.files, allow_shared=allow_shared, cure=cure)


def part_pairs(
    root: Path, layout: Layout, parts: tuple[str, str], *, every: tuple[int, int], limit: tuple[int | None, int | None],
    names: tuple[str | None, str | None], kind: str = "masks",
) -> list[list[tuple[Path, Path]]]:  # fmt: skip
    """Lists the (image, label map) files of the train and the val part.

    Args:
        root: Folder of the data set.
        layout: Where files lie in it.
        parts: (train, val) names of the parts.
        every: (train, val) take every n-th image in order of name.
        limit: (train, val) at most so many images, after ``every``; None = no limit.
        names: (train, val) text files with the image stems to take, before ``every``; None = all.
        kind: What label maps are called in messages.

    Raises:
        FileNotFoundError, ValueError: as :class:`benchmarks.data.SegmentationFolder`.
    """
    for name, pair, legal in (("every", every, "two positive numbers"), ("limit", limit, "two of them or None")):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or any(x is not None and x < 1 for x in pair):
            raise ValueError(f"{name}={pair!r}: must be (train, val), {legal}, for example (1, 3)")
    found = []
    for i, split in enumerate(parts):
        pairs = find_pairs(root, use_trainaug(layout, split), split, kind=kind)
        if names[i] is not None:  # which were taken shows in the protocol's content key and count
            pairs = _chosen(pairs, Path(names[i]), split)
        found.append(pairs[:: every[i]][: limit[i]])
    return found


def find_pairs(root: Path, layout: Layout, split: str, *, kind: str = "masks") -> list[tuple[Path, Path]]:
    """Lists (image, label map) files of a split in order of name; ``kind`` is what messages call label maps.

    Raises:
        FileNotFoundError, ValueError: as :class:`benchmarks.data.SegmentationFolder`.
    """
    word = layout.split(split)
    folders = [root / part.format(split=word) for part in (layout.images, layout.masks)]
    for which, folder in zip(("images", kind), folders, strict=True):
        if not folder.is_dir():
            near = sorted(p.name for p in folder.parent.iterdir()) if folder.parent.is_dir() else []
            there = f"; {folder.parent} holds {', '.join(near[:8])}" if near else ""
            raise FileNotFoundError(f"no folder {folder} with the {which} of split {split!r}{there}")
    ending, tail = layout.mask_ending, layout.image_ending
    files = [sorted(folder.glob("*/*" if layout.grouped else "*")) for folder in folders]
    images = {p.stem.removesuffix(tail): p for p in files[0] if p.suffix.lower() in SUFFIXES and p.stem.endswith(tail)}
    masks = {p.name[: -len(ending)]: p for p in files[1] if p.name.endswith(ending)}
    if layout.listing:
        stems = _listed(root / layout.listing.format(split=word))
        images, masks = ({s: found[s] for s in stems if s in found} for found in (images, masks))
        absent = [s for s in stems if s not in images and s not in masks]
        if absent:
            raise ValueError(f"{len(absent)} listed names have no file in {folders[0]}, the first: {absent[:3]}")
    bare, orphans = sorted(images.keys() - masks.keys()), sorted(masks.keys() - images.keys())
    if bare or orphans:
        raise ValueError(
            f"split {split!r}: {len(images)} images in {folders[0]} and {len(masks)} {kind} in {folders[1]} do not "
            f"pair: {len(bare)} images without {kind[:-1]} {bare[:3]}, {len(orphans)} {kind} without image "
            f"{orphans[:3]}; a {kind[:-1]} is called like its image, ending in {ending!r}"
        )
    if not images:
        raise ValueError(f"split {split!r}: no image with a {kind[:-1]} in {folders[0]}")
    return [(images[stem], masks[stem]) for stem in sorted(images)]


def _chosen(pairs: list[tuple[Path, Path]], path: Path, split: str) -> list[tuple[Path, Path]]:
    stems = set(_listed(path))
    absent = sorted(stems - {image.stem for image, _ in pairs})
    if absent or not stems:
        raise ValueError(
            f"names={str(path)!r}: {len(absent)} of its {len(stems)} names are not in split {split!r}: {absent[:3]}; "
            "one stem (a file name without ending) per line, at least one"
        )
    return [pair for pair in pairs if pair[0].stem in stems]


def _listed(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"no list {path} with the names of a split, one per line")
    return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
