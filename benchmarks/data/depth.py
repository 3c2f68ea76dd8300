"""Images with depth maps of their size."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.depth_split import SCALES, DepthSplit
from benchmarks.data.loading import resize_image
from benchmarks.data.nyu_labelled import labelled_splits
from benchmarks.data.pair_folder import PairFolder
from benchmarks.data.pair_lists import Pair
from benchmarks.data.pairs import PairSplit
from benchmarks.data.selection import Parts


class DepthFolder(PairFolder):
    """Images with depth maps: a part that fills the memory and a part that is scored.

    Args:
        root: Folder of the data set.
        layout: One of those with depth maps in :mod:`benchmarks.data.layouts`, or ``plain``, to
            which ``images`` and ``depth`` belong.
        train: Name of the part for the memory.
        val: Name of the part that is scored.
        every: (train, val) take every n-th image in order of name.
        limit: (train, val) at most so many images, after ``every``; None = no limit.
        names: (train, val) text files with one image name per line: only these are taken; None =
            all. One text is cut at its comma. Of a layout with lists of pairs (``nyu``,
            ``kitti-eigen``) these lists take the place of its own.
        train_exclude: Patterns of names that the train part leaves out, before ``every``; one text
            is cut at its commas. With a slash a pattern is compared with the path below the images'
            folder.
        val_exclude: Likewise of the val part.
        scale: Values per metre in the depth maps: 256 for KITTI; None: 1000 for whole numbers, 1
            for floats.
        resize_depth: Give depth maps of another size than their image the image's size (nearest
            depth).
        allow_shared: Accept images that lie in both parts; the protocol then counts them
            (``shared_images``).
        images: Folder of images, or names with stars, see :class:`benchmarks.data.layout.Layout`;
            ``{split}`` is replaced by the part.
        depth: Folder of depth maps, or names with stars.

    Raises:
        FileNotFoundError: a folder or list is missing; the message says which was expected.
        ValueError: images without depth maps or the reverse, names that differ, nothing left, parts
            that share images, a part without a single known depth, or an illegal option.
    """

    labels, word = "depth", "depth map"

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
        scale: float | None = None,
        resize_depth: bool = False,
        allow_shared: bool = False,
        images: str | None = None,
        depth: str | None = None,
    ) -> None:
        if scale is not None and (type(scale) not in (int, float) or not 0 < scale < math.inf):
            raise ValueError(
                f"scale={scale!r}: must be a positive number, the values per metre: {SCALES}"
            )
        self._scale, self._resize_depth = scale, resize_depth
        plain = dict(images=images, depth=depth)
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
            settings=plain | dict(scale=scale, resize_depth=resize_depth or None),
        )

    def _open(self, pairs: list[Pair]) -> DepthSplit:
        scale = self._layout.depth.scale if self._scale is None else self._scale
        return DepthSplit(
            pairs,
            root=self.root,
            scale=scale,
            eight_bits=self._scale is not None,
            resize_labels=self._resize_depth,
        )

    def _splits(self, parts: Parts) -> Iterable[PairSplit]:
        arrays = self._layout.depth.arrays
        if not arrays:
            return super()._splits(parts)
        if self._scale is not None or self._resize_depth:
            raise ValueError(
                f"scale= and resize_depth= belong to depth maps in files; layout={self.layout!r} "
                "holds metres of its images' size"
            )
        return labelled_splits(self.root, parts, depths=arrays)

    def _shared(self, allow_shared: bool) -> dict[str, int]:
        if not self._layout.depth.arrays:
            return super()._shared(allow_shared)
        shared = sorted(set(self.train.numbers) & set(self.val.numbers))
        if shared and not allow_shared:
            raise ValueError(
                f"{len(shared)} of the {len(self.val)} val images are train images, too; the "
                f"first: {self.train.name(self.train.numbers.index(shared[0]))}. Name another "
                "part by train=, val=; if you mean it, allow_shared=True"
            )
        return dict(shared_images=len(shared)) if shared else {}

    def picture(self, index: int, settings: Any) -> np.ndarray:
        """See :class:`benchmarks.data.base.LabelledData`."""
        if not self._layout.depth.arrays:
            return super().picture(index, settings)
        return resize_image(self.val.load(index)[0], settings.size)
