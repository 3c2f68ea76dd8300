"""Images with label maps, read from the layouts that segmentation data sets come in."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.data.layouts import UNKNOWN, Layout, find_layout, use_trainaug
from benchmarks.data.loading import CACHE_BYTES, file_size, fingerprint, ordered_map, resize_image, resize_mask
from pretrain.data.decode import DecodeError, decode

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_IMAGE_MODES = ("L", "P", "I", "I;16", "1")


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
        masks: (B, H, W) int16 classes, ``IGNORE`` (-1) where nothing counts.
        ids: index of each image in its split.
        repeat: which augmentation pass this is, 0 first.
    """

    images: Tensor
    masks: Tensor
    ids: list[int]
    repeat: int = 0


class SegmentationSplit:
    """Image and mask pairs of one part of a data set.

    Resizing: images bilinear with antialiasing, masks by the label under the pixel's centre, both straight to the
    asked size without keeping the aspect ratio; scores are those of the resized mask.
    """

    def __init__(self, pairs: list[tuple[Path, Path]], layout: Layout, *, root: Path, keep_ignored: bool) -> None:
        self._pairs = pairs
        self._table = layout.table(keep_ignored)
        self.classes = len(layout.values) + keep_ignored
        rows = ((str(i.relative_to(root)), file_size(i), file_size(m)) for i, m in pairs)
        self.fingerprint = fingerprint(rows)
        self._cache: dict[tuple[int, int], dict[int, tuple[np.ndarray, np.ndarray]]] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    def name(self, index: int) -> str:
        """Path of an image, for messages."""
        return str(self._pairs[index][0])

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Reads one pair: image (h, w, 3) uint8 RGB and mask (h, w) int16 classes or ``IGNORE``.

        Raises:
            ValueError: not readable, sizes differ, or a mask value that the layout does not know; names the file.
        """
        image_path, mask_path = self._pairs[index]
        try:
            image = decode(image_path.read_bytes())
        except DecodeError as error:
            raise ValueError(f"{image_path}: {error}") from error
        mask = _read_mask(mask_path)
        if mask.shape != image.shape[:2]:
            raise ValueError(
                f"{mask_path} is {mask.shape[1]}x{mask.shape[0]} pixels, its image {image_path} (upright) is "
                f"{image.shape[1]}x{image.shape[0]}; a mask must have its image's size"
            )
        labels = self._table[mask]
        if (labels == UNKNOWN).any():
            values = sorted(set(mask[labels == UNKNOWN].tolist()))[:5]
            raise ValueError(
                f"{mask_path} holds the values {values}, which are neither a class (there are {self.classes}) nor "
                "ignored; check layout=, or for layout='plain' classes=, first= and ignore="
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
        if len(self) * size[0] * size[1] * 5 <= CACHE_BYTES:  # 3 bytes of colour, 2 of label per pixel
            cache[index] = pair
        return pair


class SegmentationFolder:
    """A labelled data set with a part that fills the memory and a part that is scored.

    Args:
        root: Folder of the data set.
        layout: ``ade20k``, ``voc``, ``coco-stuff``, ``camvid``, ``scenes``, or ``plain`` with the further options
            ``images=``, ``masks=`` (folders, ``{split}`` is replaced), ``classes=``, ``ignore=``, ``first=``.
        train: Name of the part for the memory (VOC: also ``trainaug``).
        val: Name of the part that is scored.
        every: (train, val) take every n-th image in order of name: a smaller, still spread-out set.
        limit: (train, val) at most so many images, after ``every``; None = no limit.
        names: (train, val) text files with one image stem per line: only these are taken, before ``every`` (the fixed
            lists of low-shot protocols); None = all.
        keep_ignored: Make a class of the ignored values (compat with results on 151 ADE20K classes).

    Raises:
        FileNotFoundError: a folder or list is missing; the message says which was expected.
        ValueError: images without masks or the reverse, names that differ, or nothing left.
    """

    def __init__(
        self, root: str | Path, layout: str, *, train: str = "train", val: str = "val",
        every: tuple[int, int] = (1, 1), limit: tuple[int | None, int | None] = (None, None),
        names: tuple[str | None, str | None] = (None, None), keep_ignored: bool = False, **plain: Any,
    ) -> None:  # fmt: skip
        for name, pair, legal in (("every", every, "two positive numbers"), ("limit", limit, "two of them or None")):
            if not isinstance(pair, (tuple, list)) or len(pair) != 2 or any(x is not None and x < 1 for x in pair):
                raise ValueError(f"{name}={pair!r}: must be (train, val), {legal}, for example (1, 3)")
        self.layout = layout
        self.root, self._layout = find_layout(Path(root), layout, **plain)
        self.train, self.val = (
            self._part(split, names[i], every=every[i], limit=limit[i], keep_ignored=keep_ignored)
            for i, split in enumerate((train, val))
        )
        self._words = dict(train=train, val=val, every=list(every), limit=list(limit))
        if plain:  # no layout's name stands for them
            self._words |= {key: plain[key] for key in sorted(plain) if key != "classes"}

    @property
    def classes(self) -> int:
        """C."""
        return self.train.classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the C classes; numbers where the layout does not tell."""
        return self._layout.names or tuple(map(str, range(self.classes)))

    @property
    def protocol(self) -> dict[str, Any]:
        """What of the data belongs to a protocol: layout, parts, counts, content keys; no path."""
        return dict(
            layout=self.layout, **self._words, classes=self.classes, train_images=len(self.train),
            val_images=len(self.val), train_content=self.train.fingerprint, val_content=self.val.fingerprint,
        )  # fmt: skip

    def _part(
        self, split: str, names: str | None, *, every: int, limit: int | None, keep_ignored: bool
    ) -> SegmentationSplit:
        pairs = find_pairs(self.root, use_trainaug(self._layout, split), split)
        if names is not None:  # which were taken shows in the protocol's content key and count
            pairs = _chosen(pairs, Path(names), split)
        return SegmentationSplit(pairs[::every][:limit], self._layout, root=self.root, keep_ignored=keep_ignored)


def find_pairs(root: Path, layout: Layout, split: str) -> list[tuple[Path, Path]]:
    """Lists (image, mask) files of a split in order of name.

    Raises:
        FileNotFoundError, ValueError: as :class:`SegmentationFolder`.
    """
    word = layout.split(split)
    folders = [root / part.format(split=word) for part in (layout.images, layout.masks)]
    for kind, folder in zip(("images", "masks"), folders, strict=True):
        if not folder.is_dir():
            near = sorted(p.name for p in folder.parent.iterdir()) if folder.parent.is_dir() else []
            there = f"; {folder.parent} holds {', '.join(near[:8])}" if near else ""
            raise FileNotFoundError(f"no folder {folder} with the {kind} of split {split!r}{there}")
    images = {p.stem: p for p in sorted(folders[0].iterdir()) if p.suffix.lower() in SUFFIXES}
    ending = layout.mask_ending
    masks = {p.name[: -len(ending)]: p for p in sorted(folders[1].iterdir()) if p.name.endswith(ending)}
    if layout.listing:
        stems = _listed(root / layout.listing.format(split=word))
        images, masks = ({s: found[s] for s in stems if s in found} for found in (images, masks))
        absent = [s for s in stems if s not in images and s not in masks]
        if absent:
            raise ValueError(f"{len(absent)} listed names have no file in {folders[0]}, the first: {absent[:3]}")
    bare, orphans = sorted(images.keys() - masks.keys()), sorted(masks.keys() - images.keys())
    if bare or orphans:
        raise ValueError(
            f"split {split!r}: {len(images)} images in {folders[0]} and {len(masks)} masks in {folders[1]} do not "
            f"pair: {len(bare)} images without mask {bare[:3]}, {len(orphans)} masks without image {orphans[:3]}; "
            f"a mask is called like its image, ending in {ending!r}"
        )
    if not images:
        raise ValueError(f"split {split!r}: no image with a mask in {folders[0]}")
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


def _read_mask(path: Path) -> np.ndarray:
    """(h, w) integers: raw values, of a palette image its indices."""
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            if image.mode not in _IMAGE_MODES:
                raise ValueError(
                    f"{path} is a {image.mode} image; a mask must be one channel of class numbers (modes "
                    f"{', '.join(_IMAGE_MODES)}), not colours: convert it first"
                )
            mask = np.array(image)
    except OSError as error:
        raise ValueError(f"{path}: not readable as a mask ({error})") from error
    return mask.astype(np.int64).clip(0, 65_535)
