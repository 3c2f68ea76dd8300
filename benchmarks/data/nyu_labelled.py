"""NYUv2's labelled set: one MATLAB 7.3 file (HDF5) with all images and depths, read image by image.

HDF5 shows MATLAB's arrays with their axes reversed:

    images            (1449, 3, 640, 480) uint8       image, channel, column, row
    depths, rawDepths (1449, 640, 480) float32        metres; holes filled, or 0

``splits.mat`` (an older MATLAB format) lists the images of the two parts, counted from 1:
``trainNdxs`` (795) and ``testNdxs`` (654).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from benchmarks.data.depth_split import DepthSplit
from benchmarks.data.label_maps import check_size
from benchmarks.data.loading import file_size
from benchmarks.data.selection import Parts, Selection

FILE, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"
_INDICES = {"train": "trainNdxs", "test": "testNdxs"}


class LabelledSplit(DepthSplit):
    """One part of the labelled set; files are named ``…/nyu_depth_v2_labeled.mat/images/12``, after
    their number in it.

    Args:
        arrays: The open file: array names to arrays.
        numbers: Images of the part, counted from 1.
        path: Of the file.
        depths: ``rawDepths`` or ``depths``.

    Attributes:
        numbers: See there.
    """

    def __init__(self, arrays: Any, numbers: list[int], *, path: Path, depths: str) -> None:
        self._arrays, self.numbers, self._path, self._depths = arrays, numbers, path, depths
        pairs = []
        for number in numbers:
            pairs.append((path / "images" / str(number), path / depths / str(number)))
        super().__init__(pairs, root=path.parent, scale=1.0)

    def content(self, root: Path) -> list[tuple[str, ...]]:
        """See :class:`benchmarks.data.pairs.PairSplit`: the file, its size and the numbers."""
        rows = [(self._path.name, file_size(self._path), self._depths)]
        rows += [(str(number),) for number in self.numbers]
        return rows

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Reads one pair: image (h, w, 3) uint8 RGB and depths (h, w) float32 metres, 0 where not
        known.

        Raises:
            ValueError: depths of another size than the image.
            OSError: the file is damaged.
        """
        place = self.numbers[index] - 1
        image = np.ascontiguousarray(self._arrays["images"][place].transpose(2, 1, 0))
        depths = np.ascontiguousarray(self._arrays[self._depths][place].T)
        image_path, label_path = self._pairs[index]
        check_size(depths, label_path, size=image.shape[:2], image=image_path)
        return image, self.metres(depths)


def labelled_splits(root: Path, parts: Parts, *, depths: str) -> list[LabelledSplit]:
    """Opens the train and the val part.

    Args:
        root: Folder with both files.
        parts: Their names, ``train`` and ``val`` (or ``test``), and what each takes.
        depths: ``rawDepths`` or ``depths``.

    Raises:
        FileNotFoundError: one of the files is missing.
        ValueError: no h5py; a file that is not what it should be; a part of another name; options
            that need file names.
    """
    path, listing = root / FILE, root / SPLITS
    for file in (path, listing):
        if not file.is_file():
            raise FileNotFoundError(f"no {file}; NYUv2's labelled set is {FILE} and {SPLITS}")
    arrays = _open(path, depths)
    images = len(arrays["images"])
    splits = []
    for name, selection in zip(parts.names, parts.selections, strict=True):
        numbers = _numbers(listing, name, images=images)
        numbers = _chosen(numbers, selection)
        splits.append(LabelledSplit(arrays, numbers, path=path, depths=depths))
    return splits


def _open(path: Path, depths: str) -> Any:
    """The arrays of a MATLAB 7.3 file by name; a part of an array is read when it is asked for."""
    try:
        import h5py
    except ImportError as error:
        raise ValueError(
            f"{path} is an HDF5 file, which needs h5py: pip install h5py (pinned in "
            "requirements/hdf5.txt)"
        ) from error
    try:
        arrays = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} is no HDF5 file, or damaged: {error}") from error
    for name, axes in (("images", 4), (depths, 3)):
        if name not in arrays or len(arrays[name].shape) != axes:
            raise ValueError(
                f"{path} has no array {name!r} of {axes} axes; is it {FILE} as published?"
            )
    if arrays["images"].dtype != np.uint8 or arrays[depths].dtype.kind != "f":
        raise ValueError(
            f"{path}: images are {arrays['images'].dtype} and {depths} {arrays[depths].dtype}; "
            "expected are uint8 and floats"
        )
    if len(arrays["images"]) != len(arrays[depths]):
        raise ValueError(
            f"{path}: {len(arrays['images'])} images and {len(arrays[depths])} {depths}; the file "
            "is damaged"
        )
    return arrays


def _numbers(path: Path, part: str, *, images: int) -> list[int]:
    """Images of a part, counted from 1, in the order of the file."""
    own = {"val": "test"}.get(part, part)
    if own not in _INDICES:
        raise ValueError(f"the labelled set has the parts train and val (test), not {part!r}")
    stored = loadmat(path).get(_INDICES[own])
    if stored is None:
        raise ValueError(f"{path} has no {_INDICES[own]!r}; is it {SPLITS} as published?")
    numbers = stored.ravel().astype(int).tolist()
    if not numbers or min(numbers) < 1 or max(numbers) > images:
        raise ValueError(
            f"{path}: {_INDICES[own]} names images outside 1 to {images}, which {FILE} holds"
        )
    return numbers


def _chosen(numbers: list[int], selection: Selection) -> list[int]:
    if selection.names is not None or selection.exclude:
        raise ValueError(
            "names=, train_exclude= and val_exclude= go by names of files; images of the labelled "
            f"set have none, its parts are in {SPLITS}; every= and limit= work"
        )
    return numbers[:: selection.every][: selection.limit]
