"""Images with depth maps of their size."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np

from benchmarks.data.label_maps import DEPTH_MODES, read_raw
from benchmarks.data.pair_folder import PairFolder
from benchmarks.data.pairing import Pair
from benchmarks.data.pairs import PairSplit
from benchmarks.data.selection import Parts

_PER_METRE = 1000.0  # files of whole numbers hold millimetres, unless the user says otherwise
_PLAUSIBLE = (0.05, 200.0)  # metres: a median outside is rather a wrong scale than a scene
_SCALES = "1000 for millimetres, 100 for centimetres, 256 for KITTI, 1 for metres"


class DepthSplit(PairSplit):
    """Image and depth map pairs of one part of a data set; label maps are float32 metres, 0 where
    not known.

    Args:
        pairs, root, resize_labels: As for :class:`PairSplit`.
        scale: Values per metre; None: 1000 for whole numbers, 1 for floats.
    """

    label_bytes = 4
    resize_option = "resize_depth"
    lacking = "depth is known: all maps"
    cure = "hold 0, negative numbers, NaN or infinity; check depth="

    def __init__(
        self,
        pairs: list[Pair],
        *,
        root: Path,
        scale: float | None = None,
        resize_labels: bool = False,
    ) -> None:
        super().__init__(pairs, root=root, resize_labels=resize_labels)
        self._scale = scale

    def read_labels(self, path: Path) -> np.ndarray:
        """Reads a depth map (h, w) as float32 metres, 0 where not known: where the file holds 0, a
        negative number, NaN or infinity.

        Raises:
            ValueError: not readable, not one channel, or 8 bits without a scale; names the file.
        """
        raw = read_raw(path, word="depth map", modes=DEPTH_MODES)
        kind = raw.dtype.kind
        if kind != "f" and raw.dtype.itemsize < 2 and self._scale is None:
            content = "an array of 8 bits" if path.suffix == ".npy" else "a L image"
            raise ValueError(
                f"{path} is {content}; a depth map must be one channel of 16 bits that hold "
                "millimetres, or of floats that hold metres, 0 where the depth is not known. 8 "
                "bits need scale=, the number of values per metre"
            )
        scale = self._scale or (1.0 if kind == "f" else _PER_METRE)
        depths = raw.astype(np.float32) * np.float32(1 / scale)
        return np.where(np.isfinite(depths) & (depths > 0), depths, np.float32(0))

    def require_labels(self, part: str) -> tuple[Path, np.ndarray]:
        """As :meth:`PairSplit.require_labels`; warns of a median depth that no scene has: the
        likely cause is the scale.
        """
        path, depths = super().require_labels(part)
        median = float(np.median(depths[depths > 0]))
        if not _PLAUSIBLE[0] <= median <= _PLAUSIBLE[1]:
            warnings.warn(
                f"the median depth of {path} is {median:.4g} m; is that right? scale= says how "
                f"many values make a metre: {_SCALES}",
                stacklevel=4,
            )
        return path, depths

    def counts(self, labels: np.ndarray) -> np.ndarray:
        """Which depths are known: (h, w) bool."""
        return labels > 0


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
            all. One text is cut at its comma.
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
                f"scale={scale!r}: must be a positive number, the values per metre: {_SCALES}"
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
        return DepthSplit(pairs, root=self.root, scale=scale, resize_labels=self._resize_depth)
