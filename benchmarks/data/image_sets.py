"""Sets of images between which one factor varies: what invariance is measured on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.data.base import LabelledData
from benchmarks.data.layouts import LAYOUTS, layouts_with, require_root
from benchmarks.data.loading import file_size, fingerprint, ordered_map, resize_image
from benchmarks.data.sets.image_set import FACTORS, ImageSet, Shown
from pretrain.data.decode import decode_file
from pretrain.names import check_choice


@dataclass(frozen=True)
class FactorSets:
    """The sets of one factor.

    Attributes:
        images: (N,) int64, numbers among the images of the data set, set by set.
        of_image: (N,) int64, the number of each one's set, 0 to S - 1.
        label: (S,) int64, the class of each set.
        class_names: of the C classes.
    """

    images: Tensor
    of_image: Tensor
    label: Tensor
    class_names: tuple[str, ...]


class ImageSets(LabelledData):
    """Images in sets; there is no train part, nothing is fitted.

    Args:
        root: Folder of the data set.
        layout: One of those with sets in :mod:`benchmarks.data.layouts`: ``got10k``, ``aloi``,
            ``pascal3d`` or ``scenes``.
        factors: Only these, a list of them or one text with commas; empty: all that the data set
            has.
        every: Take every n-th set of each class and factor.

    Attributes:
        factors: Those that vary in its sets, in a fixed order.
        images: Every image or box once, in order.
        side: Side of the square input in pixels that its published measure uses.

    Raises:
        FileNotFoundError: no such folder, or a file of the layout is missing.
        ValueError: a factor that it does not have, or files of the layout that cannot be read.
    """

    labels, word = "sets", "image set"

    def __init__(
        self,
        root: str | Path,
        layout: str,
        *,
        factors: str | Sequence[str] = (),
        every: int = 1,
    ) -> None:
        check_choice("layout", layout, layouts_with(self.labels))
        if type(every) is not int or every < 1:
            raise ValueError(f"every={every!r} must be at least 1, a whole number")
        self.root, self.layout = Path(root).expanduser(), layout
        require_root(self.root)
        declared = LAYOUTS[layout].sets
        self.side, self._every = declared.side, every
        sets = declared.read(self.root)
        there = {one.factor for one in sets}
        chosen = factors.split(",") if isinstance(factors, str) and factors else tuple(factors)
        for factor in chosen:
            check_choice("factors", factor, [name for name in FACTORS if name in there])
        wanted = [one for one in sets if not chosen or one.factor in chosen]
        self._sets = _every_nth(wanted, every)
        self.factors = tuple(name for name in FACTORS if name in self._sets)
        self.images, self._numbers = self._number_images()
        self._content = fingerprint(self._rows())

    def __len__(self) -> int:
        return len(self.images)

    def sets(self, factor: str) -> FactorSets:
        """Which images belong together where this factor varies."""
        members = self._sets[factor]
        names = tuple(dict.fromkeys(one.label for one in members))
        place = {name: number for number, name in enumerate(names)}
        numbers = [torch.tensor([self._numbers[shown] for shown in one.images]) for one in members]
        sizes = torch.tensor(list(map(len, numbers)))
        label = torch.tensor([place[one.label] for one in members])
        of_image = torch.arange(len(members)).repeat_interleave(sizes)
        return FactorSets(torch.cat(numbers), of_image, label, names)

    def batches(self, side: int, batch_size: int) -> Iterator[tuple[Tensor, list[int]]]:
        """Yields (images (B, 3, side, side) uint8, their numbers) in order. Boxes and images are
        resized to the square, so aspect ratios are not kept.

        Raises:
            ValueError: an image that cannot be read, or a box that lies outside; names the file.
        """
        window: list[np.ndarray] = []
        start = 0

        def square(index: int) -> np.ndarray:
            return self.read(index, side)

        for image in ordered_map(square, range(len(self)), 2 * batch_size):
            window.append(image)
            if len(window) == batch_size or start + len(window) == len(self):
                images = torch.from_numpy(np.stack(window)).permute(0, 3, 1, 2)
                yield images, list(range(start, start + len(window)))
                start, window = start + len(window), []

    def read(self, index: int, side: int) -> np.ndarray:
        """Image ``index`` as networks see it: (side, side, 3) uint8 RGB."""
        shown = self.images[index]
        return resize_image(_cut(decode_file(shown.path), shown), (side, side))

    def name(self, index: int) -> str:
        """Path of an image, for messages."""
        return str(self.images[index].path)

    @property
    def scored_files(self) -> list[Path]:
        """See :class:`LabelledData`."""
        return [shown.path for shown in self.images]

    def picture(self, index: int, settings: Any) -> np.ndarray:
        """See :class:`LabelledData`; ``settings`` hold ``size``, the side of the square or None."""
        return self.read(index, settings.size or self.side)

    @property
    def protocol(self) -> dict[str, Any]:
        """See :class:`LabelledData`."""
        counts = {}
        for factor in self.factors:
            members = self._sets[factor]
            classes = len({one.label for one in members})
            images = sum(len(one.images) for one in members)
            counts[factor] = dict(classes=classes, sets=len(members), images=images)
        return dict(layout=self.layout, every=self._every, content=self._content, **counts)

    def _number_images(self) -> tuple[list[Shown], dict[Shown, int]]:
        """Every image or box once, although it may stand in sets of several factors."""
        numbers: dict[Shown, int] = {}
        for factor in self.factors:
            for one in self._sets[factor]:
                for shown in one.images:
                    numbers.setdefault(shown, len(numbers))
        return list(numbers), numbers

    def _rows(self) -> Iterator[tuple[str, ...]]:
        """What the content is known by: every image's set, path, size and box."""
        for factor in self.factors:
            for number, one in enumerate(self._sets[factor]):
                for shown in one.images:
                    path = shown.path.relative_to(self.root).as_posix()
                    yield factor, str(number), one.label, path, _size(shown.path), str(shown.box)


def _every_nth(sets: list[ImageSet], step: int) -> dict[str, list[ImageSet]]:
    """Factor -> its sets, every n-th of each class."""
    places: dict[tuple[str, str], int] = defaultdict(int)
    kept: dict[str, list[ImageSet]] = defaultdict(list)
    for one in sets:
        if places[one.factor, one.label] % step == 0:
            kept[one.factor].append(one)
        places[one.factor, one.label] += 1
    return dict(kept)


def _size(path: Path) -> str:
    """Bytes of a file, as text; names one that is missing."""
    try:
        return file_size(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing, but the data set's lists name it") from error


def _cut(image: np.ndarray, shown: Shown) -> np.ndarray:
    """The box in an image (H, W, 3), in whole pixels and cut off at the border."""
    if shown.box is None:
        return image
    height, width = image.shape[:2]
    left, top, right, bottom = map(round, shown.box)
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(max(right, left + 1), width), min(max(bottom, top + 1), height)
    if left >= right or top >= bottom:
        raise ValueError(
            f"{shown.path}: the box {shown.box} (x1, y1, x2, y2) lies outside its image of "
            f"{width} x {height} pixels"
        )
    return np.ascontiguousarray(image[top:bottom, left:right])
