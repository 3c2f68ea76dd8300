"""Images with maps of surface normals of their size."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmarks.data.pair_folder import PairFolder
from benchmarks.data.pair_lists import Pair
from benchmarks.data.pairs import PairSplit
from benchmarks.data.selection import Parts
from pretrain.data.decode import open_image

_ENDINGS = (".png", ".tif", ".tiff", ".bmp")  # JPEG changes directions


class NormalSplit(PairSplit):
    """Image and normal map pairs of one part of a data set; label maps are (h, w, 3) float32 unit
    vectors, (0, 0, 0) where not known.

    A file holds 8-bit RGB values v with n = 2v / 255 − 1, made unit length; (0, 0, 0) is not known.
    Axes are the file's: a horizontal flip negates the first component.
    """

    label_bytes: ClassVar[int] = 12
    resize_option = "resize_normals"
    lacking = "normal is known: all maps"
    cure = "hold (0, 0, 0); check normals="

    def read_labels(self, path: Path) -> np.ndarray:
        """Reads a normal map (h, w, 3).

        Raises:
            ValueError: not readable, or no 8-bit RGB; names the file.
        """
        try:
            picture = open_image(path.read_bytes())
        except (ValueError, OSError) as error:
            raise ValueError(f"{path}: not readable as a normal map ({error})") from error
        if picture.mode != "RGB" or path.suffix.lower() not in _ENDINGS:
            raise ValueError(
                f"{path} is a {path.suffix} file of mode {picture.mode}; a normal map must be "
                f"8-bit RGB without loss ({', '.join(_ENDINGS)}), n = 2v / 255 − 1, (0, 0, 0) "
                "where not known"
            )
        return normals_of(np.array(picture))

    def counts(self, labels: np.ndarray) -> np.ndarray:
        """Which normals are known: (h, w) bool."""
        return labels.any(-1)


def normals_of(values: np.ndarray) -> np.ndarray:
    """Unit vectors (h, w, 3) float32 of 8-bit values (h, w, 3), 0 where not known."""
    vectors = values.astype(np.float64) * (2 / 255) - 1
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)  # never 0: 127.5 is no value
    return np.where(values.any(-1, keepdims=True), vectors / lengths, 0).astype(np.float32)


class NormalFolder(PairFolder):
    """Images with surface normals: a part that a head is trained on and a part that is scored.

    Args:
        root: Folder of the data set.
        layout: One of those with normals in :mod:`benchmarks.data.layouts`: ``plain``, to which
            ``images`` and ``normals`` belong.
        train: Name of the train part.
        val: Name of the part that is scored.
        every: (train, val) take every n-th image in order of name.
        limit: (train, val) at most so many images, after ``every``; None = no limit.
        names: (train, val) text files with one image name per line: only these are taken; None =
            all. One text is cut at its comma.
        train_exclude: Patterns of names that the train part leaves out, before ``every``; one text
            is cut at its commas.
        val_exclude: Likewise of the val part.
        allow_shared: Accept images that lie in both parts; the protocol then counts them
            (``shared_images``).
        images: Folder of images, or names with stars, see :class:`benchmarks.data.layout.Layout`;
            ``{split}`` is replaced by the part.
        normals: Folder of normal maps, or names with stars.

    Raises:
        FileNotFoundError: a folder or list is missing; the message says which was expected.
        ValueError: images without normal maps or the reverse, names that differ, nothing left,
            parts that share images, a part without a single known normal, or an illegal option.
    """

    labels, word = "normals", "normal map"
    train: NormalSplit
    val: NormalSplit

    def __init__(
        self,
        root: str | Path,
        layout: str = "plain",
        *,
        train: str = "train",
        val: str = "val",
        every: tuple[int, int] = (1, 1),
        limit: tuple[int | None, int | None] = (None, None),
        names: str | tuple[str | None, str | None] = (None, None),
        train_exclude: str | tuple[str, ...] = (),
        val_exclude: str | tuple[str, ...] = (),
        allow_shared: bool = False,
        images: str | None = None,
        normals: str | None = None,
    ) -> None:
        plain = dict(images=images, normals=normals)
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
            settings=plain,
        )

    def _open(self, pairs: list[Pair]) -> NormalSplit:
        return NormalSplit(pairs, root=self.root)
