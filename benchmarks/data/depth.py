"""Images with depth maps of their size."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.data.layouts import depth_layout
from benchmarks.data.pairs import PairSplit, check_parts_of_pairs, part_pairs

_METRES_PER_VALUE = np.float32(1e-3)  # files hold millimetres
_IMAGE_MODES = ("I;16", "I;16B", "I")  # what 16-bit PNGs of one channel are to the versions of Pillow


class DepthSplit(PairSplit):
    """Image and depth map pairs of one part of a data set; label maps are float32 metres, 0 where not known."""

    label_bytes = 4

    def read_labels(self, path: Path) -> np.ndarray:
        """Reads a depth map (h, w) as float32 metres, 0 where not known.

        Raises:
            ValueError: not readable, or not one channel of 16 bits; names the file.
        """
        try:
            with Image.open(io.BytesIO(path.read_bytes())) as image:
                if image.mode not in _IMAGE_MODES:
                    raise ValueError(
                        f"{path} is a {image.mode} image; a depth map must be a PNG of one channel of 16 bits that "
                        "holds millimetres, 0 where the depth is not known: convert it first"
                    )
                return np.array(image).astype(np.float32) * _METRES_PER_VALUE
        except OSError as error:
            raise ValueError(f"{path}: not readable as a depth map ({error})") from error


class DepthFolder:
    """Images with depth maps: a part that fills the memory and a part that is scored.

    Args:
        root: Folder of the data set.
        layout: ``scenes``, or ``plain`` with the further options ``images=`` and ``depth=`` (folders, ``{split}`` is
            replaced).
        train: Name of the part for the memory.
        val: Name of the part that is scored.
        every: (train, val) take every n-th image in order of name.
        limit: (train, val) at most so many images, after ``every``; None = no limit.
        names: (train, val) text files with one image stem per line: only these are taken; None = all.
        allow_shared: Accept images that lie in both parts; the protocol then counts them (``shared_images``).

    Raises:
        FileNotFoundError: a folder or list is missing; the message says which was expected.
        ValueError: images without depth maps or the reverse, names that differ, nothing left, or parts that share
            images.
    """

    def __init__(
        self, root: str | Path, layout: str, *, train: str = "train", val: str = "val",
        every: tuple[int, int] = (1, 1), limit: tuple[int | None, int | None] = (None, None),
        names: tuple[str | None, str | None] = (None, None), allow_shared: bool = False, **plain: Any,
    ) -> None:  # fmt: skip
        self.layout, self.root = layout, Path(root)
        found = part_pairs(
            self.root, depth_layout(self.root, layout, **plain), (train, val),
            every=every, limit=limit, names=names, kind="depth maps",
        )  # fmt: skip
        self.train, self.val = (DepthSplit(pairs, root=self.root) for pairs in found)
        self._words = dict(train=train, val=val, every=list(every), limit=list(limit)) | dict(sorted(plain.items()))
        self._words |= check_parts_of_pairs(self.train, self.val, allow_shared=allow_shared)

    @property
    def protocol(self) -> dict[str, Any]:
        """What of the data belongs to a protocol: layout, parts, counts, content keys; no path."""
        return dict(
            layout=self.layout, **self._words, train_images=len(self.train), val_images=len(self.val),
            train_content=self.train.fingerprint, val_content=self.val.fingerprint,
        )  # fmt: skip
