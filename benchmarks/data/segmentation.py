"""Images with masks of classes, read from the layouts that segmentation data sets come in."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.label_maps import IGNORE, class_numbers
from benchmarks.data.layout import Masks
from benchmarks.data.pair_folder import PairFolder
from benchmarks.data.pair_lists import Pair
from benchmarks.data.pairs import PairSplit
from benchmarks.data.selection import Parts


class SegmentationSplit(PairSplit):
    """Image and mask pairs of one part of a data set; masks are int16 classes or ``IGNORE``."""

    lacking = "pixel is labelled: all masks"
    cure = "hold ignored values; check layout=, or classes=, first=, values= and ignore="

    def __init__(
        self,
        pairs: list[Pair],
        masks: Masks,
        *,
        root: Path,
        keep_ignored: bool,
        resize_labels: bool = False,
    ) -> None:
        super().__init__(pairs, root=root, resize_labels=resize_labels)
        self._table, self._advice = masks.table(keep_ignored), masks.advice
        self.classes = masks.count + keep_ignored
        # A standard layout knows its classes: what a small part lacks of them is no mistake.
        self._unread = set(range(len(self))) if masks.declared else set()
        self._occurring = np.zeros(self.classes, bool)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`PairSplit.load`; warns, when all pairs were read, of declared classes that
        occur in no mask.
        """
        image, labels = super().load(index)
        if self._unread:
            pixels = np.bincount(labels.ravel() + 1, minlength=self.classes + 1)[1:]  # IGNORE is -1
            self._occurring[pixels > 0] = True
            self._unread.discard(index)
            if not self._unread:
                self._warn_of_classes()
        return image, labels

    def _warn_of_classes(self) -> None:
        absent = np.flatnonzero(~self._occurring).tolist()
        if 0 < len(absent) < self.classes:
            numbers = ", ".join(map(str, absent[:8])) + (", …" if len(absent) > 8 else "")
            warnings.warn(
                f"{len(absent)} of {self.classes} classes occur in none of the {len(self)} "
                f"masks, of which the first is {self.name(0)}: {numbers}. Nothing measures "
                "them; are classes=, values= and ignore= right?",
                stacklevel=2,
            )

    def read_labels(self, path: Path) -> np.ndarray:
        """Reads a mask (h, w) as int16 classes or ``IGNORE``.

        Raises:
            ValueError: not readable, colours, or a value that the layout does not know; names the
                file.
        """
        return class_numbers(path, self._table, advice=self._advice)

    def counts(self, labels: np.ndarray) -> np.ndarray:
        """Which pixels have a class: (h, w) bool."""
        return labels != IGNORE


class SegmentationFolder(PairFolder):
    """Images with masks of classes: a part that fills the memory and a part that is scored.

    Args:
        root: Folder of the data set.
        layout: One of those with masks in :mod:`benchmarks.data.layouts`, or ``plain``, to which
            ``images``, ``masks``, ``classes``, ``first``, ``ignore`` and ``values`` belong.
        train: Name of the part for the memory (VOC: also ``trainaug``).
        val: Name of the part that is scored.
        every: (train, val) take every n-th image in order of name: a smaller, still spread-out set.
        limit: (train, val) at most so many images, after ``every``; None = no limit.
        names: (train, val) text files with one image name per line: only these are taken, before
            ``every`` (the fixed lists of low-shot protocols); None = all. One text is cut at its
            comma.
        train_exclude: Patterns of names that the train part leaves out, ``0016E5_*`` say, before
            ``every``; one text is cut at its commas. With a slash a pattern is compared with the
            path below the images' folder.
        val_exclude: Likewise of the val part.
        keep_ignored: Make a class of the ignored values, in training and in the score. (The open
            re-implementation of dense retrieval leaves it out of the score: retrieval's
            ``compat=ignored-is-a-class``.)
        resize_masks: Give masks of another size than their image the image's size (nearest label).
        allow_shared: Accept images that lie in both parts; the protocol then counts them
            (``shared_images``).
        images: Folder of images, or names with stars, see :class:`benchmarks.data.layout.Layout`;
            ``{split}`` is replaced by the part.
        masks: Folder of masks, or names with stars.
        classes: C.
        first: Raw mask value of class 0; None = 0.
        ignore: Raw mask value or values that count nowhere.
        values: Raw mask values of classes 0, 1, …, in place of ``classes`` and ``first``:
            ``0,255``.

    Raises:
        FileNotFoundError: a folder or list is missing; the message says which was expected.
        ValueError: images without masks or the reverse, names that differ, nothing left, parts that
            share images, a part without a single pixel that has a class, or an illegal option.
    """

    labels, word = "masks", "mask"
    train: SegmentationSplit
    val: SegmentationSplit

    def __init__(
        self,
        root: str | Path,
        layout: str,
        *,
        train: str = "train",
        val: str = "val",
        every: tuple[int, int] = (1, 1),
        limit: tuple[int | None, int | None] = (None, None),
        names: str | tuple[str | None, str | None] = (None, None),
        train_exclude: str | tuple[str, ...] = (),
        val_exclude: str | tuple[str, ...] = (),
        keep_ignored: bool = False,
        resize_masks: bool = False,
        allow_shared: bool = False,
        images: str | None = None,
        masks: str | None = None,
        classes: int | None = None,
        first: int | None = None,
        ignore: int | tuple[int, ...] | None = None,
        values: tuple[int, ...] | None = None,
    ) -> None:
        self._keep_ignored, self._resize_masks = keep_ignored, resize_masks
        plain = dict(
            images=images, masks=masks, classes=classes, first=first, ignore=ignore, values=values
        )
        super().__init__(
            root,
            layout,
            parts=Parts.of(
                train,
                val,
                every=every,
                limit=limit,
                names=names,
                train_exclude=train_exclude,
                val_exclude=val_exclude,
            ),
            options=plain,
            allow_shared=allow_shared,
            # C itself is in the protocol anyway.
            settings=plain | dict(classes=None, resize_masks=resize_masks or None),
        )
        if self.classes == 1:
            warnings.warn(
                f"{self.root}: one class, so any network scores 100 %; ignored values are not a "
                "class",
                stacklevel=2,
            )

    def _open(self, pairs: list[Pair]) -> SegmentationSplit:
        return SegmentationSplit(
            pairs,
            self._layout.masks,
            root=self.root,
            keep_ignored=self._keep_ignored,
            resize_labels=self._resize_masks,
        )

    @property
    def classes(self) -> int:
        """C."""
        return self.train.classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the C classes; numbers where the layout does not tell."""
        return self._layout.masks.names or tuple(map(str, range(self.classes)))

    @property
    def protocol(self) -> dict[str, Any]:
        """See :class:`benchmarks.data.base.LabelledData`."""
        return super().protocol | dict(classes=self.classes)
