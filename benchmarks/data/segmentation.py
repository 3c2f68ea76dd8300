"""Images with masks of classes, read from the layouts that segmentation data sets come in."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.data.layouts import UNKNOWN, Layout, find_layout
from benchmarks.data.pairs import PairSplit, check_parts_of_pairs, part_pairs

_IMAGE_MODES = ("L", "P", "I", "I;16", "1")


class SegmentationSplit(PairSplit):
    """Image and mask pairs of one part of a data set; label maps are int16 classes or ``IGNORE``."""

    def __init__(self, pairs: list[tuple[Path, Path]], layout: Layout, *, root: Path, keep_ignored: bool) -> None:
        super().__init__(pairs, root=root)
        self._table = layout.table(keep_ignored)
        self.classes = len(layout.values) + keep_ignored

    def read_labels(self, path: Path) -> np.ndarray:
        """Reads a mask (h, w) as int16 classes or ``IGNORE``.

        Raises:
            ValueError: not readable, colours, or a value that the layout does not know; names the file.
        """
        mask = _read_mask(path)
        labels = self._table[mask]
        if (labels == UNKNOWN).any():
            values = sorted(set(mask[labels == UNKNOWN].tolist()))[:5]
            raise ValueError(
                f"{path} holds the values {values}, which are neither a class (there are {self.classes}) nor "
                "ignored; check layout=, or for layout='plain' classes=, first= and ignore="
            )
        return labels


class SegmentationFolder:
    """A labelled data set with a part that fills the memory and a part that is scored.

    Args:
        root: Folder of the data set.
        layout: ``ade20k``, ``voc``, ``coco-stuff``, ``camvid``, ``cityscapes``, ``scenes``, or ``plain`` with the
            further options ``images=``, ``masks=`` (folders, ``{split}`` is replaced), ``classes=``, ``ignore=`` and
            ``first=``.
        train: Name of the part for the memory (VOC: also ``trainaug``).
        val: Name of the part that is scored.
        every: (train, val) take every n-th image in order of name: a smaller, still spread-out set.
        limit: (train, val) at most so many images, after ``every``; None = no limit.
        names: (train, val) text files with one image stem per line: only these are taken, before ``every`` (the fixed
            lists of low-shot protocols); None = all.
        keep_ignored: Make a class of the ignored values (compat with results on 151 ADE20K classes).
        allow_shared: Accept images that lie in both parts; the protocol then counts them (``shared_images``).

    Raises:
        FileNotFoundError: a folder or list is missing; the message says which was expected.
        ValueError: images without masks or the reverse, names that differ, nothing left, or parts that share images.
    """

    def __init__(
        self, root: str | Path, layout: str, *, train: str = "train", val: str = "val",
        every: tuple[int, int] = (1, 1), limit: tuple[int | None, int | None] = (None, None),
        names: tuple[str | None, str | None] = (None, None), keep_ignored: bool = False, allow_shared: bool = False,
        **plain: Any,
    ) -> None:  # fmt: skip
        self.layout = layout
        self.root, self._layout = find_layout(Path(root), layout, **plain)
        self.train, self.val = (
            SegmentationSplit(pairs, self._layout, root=self.root, keep_ignored=keep_ignored)
            for pairs in part_pairs(self.root, self._layout, (train, val), every=every, limit=limit, names=names)
        )
        self._words = dict(train=train, val=val, every=list(every), limit=list(limit))
        if plain:  # no layout's name stands for them
            self._words |= {key: plain[key] for key in sorted(plain) if key != "classes"}
        self._words |= check_parts_of_pairs(self.train, self.val, allow_shared=allow_shared)

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
