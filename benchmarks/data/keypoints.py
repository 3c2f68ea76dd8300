"""Pairs of images whose keypoints correspond: semantic correspondence, read from the PF-WILLOW layout."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import loadmat

from benchmarks.data.loading import file_size, fingerprint
from benchmarks.data.pairs import SUFFIXES
from pretrain.data.decode import DecodeError, decode
from pretrain.names import check_choice

LAYOUTS = ("pfwillow",)
_VARIABLE = "pts_coord"


@dataclass(frozen=True)
class KeypointImage:
    """One image and its keypoints; point k of every image in ``folder`` marks the same part of an object.

    Attributes:
        path: of the image. folder: the subset it belongs to.
        size: (H, W) in pixels.
        points: (K, 2) float64 x, y in pixels, the image's corner at (0, 0).
    """

    path: Path
    folder: str
    size: tuple[int, int]
    points: np.ndarray

    @property
    def box(self) -> tuple[float, float]:
        """(height, width) in pixels of the keypoints' bounding box, what stands for the object's box in PF-WILLOW."""
        width, height = np.ptp(self.points, axis=0)
        return float(height), float(width)


class KeypointPairs:
    """Image pairs with corresponding keypoints; there is no train part, nothing is fitted.

    PF-WILLOW (Ham et al. 2016, arXiv 1511.05065): one folder per subset, in it ``NAME.png`` beside ``NAME.mat`` with
    the variable ``pts_coord`` (2, K): x, then y. Every ordered pair of two images of a subset is a pair.

    Args:
        root: Folder of the subsets, or the folder around it.
        layout: ``pfwillow``.
        every: Take every n-th pair.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no pair; an image without keypoints or the reverse; a file that is not readable; keypoints that are
            not finite or whose number differs within a subset.
    """

    relative_to = "box"  # what PF-WILLOW measures distances against

    def __init__(self, root: str | Path, layout: str = "pfwillow", *, every: int = 1) -> None:
        check_choice("layout", layout, LAYOUTS)
        self.root, self.layout = Path(root), layout
        if every < 1:
            raise ValueError(f"every={every} must be at least 1")
        if not self.root.is_dir():
            raise FileNotFoundError(f"root={str(root)!r} is not a folder")
        self.images = _read_folders(self.root)
        self.pairs = _ordered_pairs(self.images)[::every]
        if not self.pairs:
            raise ValueError(
                f"{self.root}: no two images with keypoints in one folder; layout 'pfwillow' is SUBSET/NAME.png beside "
                f"SUBSET/NAME.mat with the variable {_VARIABLE!r}"
            )
        rows = ((f"{i.folder}/{i.path.name}", file_size(i.path), i.points.tobytes().hex()) for i in self.images)
        self._words = dict(layout=layout, every=every, content=fingerprint(rows))

    @property
    def protocol(self) -> dict[str, Any]:
        """What of the data belongs to a protocol; no path."""
        used = {index for pair in self.pairs for index in pair}
        return dict(**self._words, images=len(used), pairs=len(self.pairs))

    def read(self, index: int) -> np.ndarray:
        """Reads image ``index`` as (H, W, 3) uint8 RGB.

        Raises:
            ValueError: not readable; names the file.
        """
        path = self.images[index].path
        try:
            return decode(path.read_bytes())
        except DecodeError as error:
            raise ValueError(f"{path}: {error}") from error


def _read_folders(root: Path) -> list[KeypointImage]:
    """All annotated images below ``root``, by folder and name."""
    images = []
    for file in sorted(root.rglob("*.mat")):
        near = [file.with_suffix(ending) for ending in SUFFIXES if file.with_suffix(ending).is_file()]
        if not near:
            raise ValueError(f"{file} has no image beside it: looked for {file.stem} with {', '.join(SUFFIXES)}")
        with Image.open(near[0]) as image:
            size = image.size[::-1]
        images.append(KeypointImage(near[0], file.parent.relative_to(root).as_posix(), size, _read_points(file)))
    return images


def _read_points(file: Path) -> np.ndarray:
    """(K, 2) float64 of a .mat file."""
    try:
        content = loadmat(file, variable_names=[_VARIABLE])
    except Exception as error:  # scipy names many kinds of damage by many exceptions
        raise ValueError(f"{file}: not readable as a MATLAB file ({error})") from error
    if _VARIABLE not in content:
        raise ValueError(f"{file} has no variable {_VARIABLE!r}")
    points = np.asarray(content[_VARIABLE], np.float64)
    if points.ndim != 2 or len(points) != 2 or not np.isfinite(points).all():
        raise ValueError(f"{file}: {_VARIABLE} must be (2, K) finite numbers, x and y; found shape {points.shape}")
    return points.T


def _ordered_pairs(images: list[KeypointImage]) -> list[tuple[int, int]]:
    """(source, target) indices of every ordered pair within a folder."""
    folders: dict[str, list[int]] = {}
    for index, image in enumerate(images):
        folders.setdefault(image.folder, []).append(index)
    for folder, members in folders.items():
        counts = {len(images[i].points) for i in members}
        if len(counts) > 1:
            raise ValueError(f"folder {folder!r}: images have {sorted(counts)} keypoints; all must have the same")
    return [pair for members in folders.values() for pair in permutations(members, 2)]
