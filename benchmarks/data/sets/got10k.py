"""GOT-10k (Huang et al. 2018, arXiv 1810.11981): how much of a moving object is hidden."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.data.sets.image_set import ImageSet, Shown
from pretrain.data.listings import read_lines

_SEED = 1992  # of the published draw of frames
_LEAST_SPREAD = 4  # of the levels of cover, 0 to 8, in a video that is kept


def read_got10k(root: Path) -> list[ImageSet]:
    """Reads the train part: one frame, drawn at random, of each level of cover in a video.

    A video's levels span 4 or more; frames in which the object is absent are never drawn (the
    published script draws them, too). The class is the video's ``object_class``.

    Args:
        root: Folder of ``list.txt`` and of the videos, or the folder around its ``train``.

    Raises:
        FileNotFoundError: there is no list, or a frame that it leads to is missing.
        ValueError: a file of a video that cannot be read, or no video whose levels span 4.
    """
    folder = root if (root / "list.txt").is_file() else root / "train"
    if not (folder / "list.txt").is_file():
        raise FileNotFoundError(
            f"{root} has no list.txt, neither itself nor in train/: layout 'got10k' is the train "
            "part of GOT-10k, VIDEO/00000001.jpg and list.txt, which names the videos"
        )
    random = np.random.RandomState(_SEED)
    sets = []
    for name in read_lines(folder / "list.txt"):
        chosen = _choose(folder / name, random)
        if chosen:
            sets.append(ImageSet("occlusion", _class_of(folder / name), chosen))
    if not sets:
        raise ValueError(
            f"{folder}: in no video do the levels of cover span {_LEAST_SPREAD} or more"
        )
    return sets


def _choose(video: Path, random: np.random.RandomState) -> tuple[Shown, ...]:
    """One frame of each level of cover, by level; none if the levels span too little."""
    boxes = _read_numbers(video / "groundtruth.txt", columns=4)
    cover = _read_numbers(video / "cover.label")
    absent = _read_numbers(video / "absence.label")
    counts = len(boxes), len(cover), len(absent)
    if len(set(counts)) > 1:
        raise ValueError(
            f"{video}: groundtruth.txt, cover.label and absence.label have {counts} lines; each "
            "has one for every frame"
        )
    present = (absent[:, 0] == 0) & (boxes[:, 2:] > 0).all(1)
    levels = np.unique(cover[present])
    if not len(levels) or levels[-1] - levels[0] < _LEAST_SPREAD:
        return ()
    shown = []
    for level in levels:
        frame = random.choice(np.flatnonzero(present & (cover[:, 0] == level)))
        x, y, width, height = boxes[frame].tolist()
        shown.append(Shown(video / f"{frame + 1:08d}.jpg", (x, y, x + width, y + height)))
    return tuple(shown)


def _class_of(video: Path) -> str:
    """The entry ``object_class`` of a video's description."""
    path = video / "meta_info.ini"
    for line in read_lines(path):
        key, colon, value = line.partition(":")
        if colon and key.strip() == "object_class" and value.strip():
            return value.strip()
    raise ValueError(f"{path} has no line 'object_class: NAME'")


def _read_numbers(path: Path, *, columns: int = 1) -> np.ndarray:
    """(n, columns) float64, the numbers of a text file, separated by commas."""
    rows = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            row = list(map(float, line.split(",")))
        except ValueError:
            row = []
        if len(row) != columns or not np.isfinite(row).all():
            raise ValueError(f"{path}:{number}: {line!r} is not {columns} numbers with commas")
        rows.append(row)
    return np.array(rows).reshape(-1, columns)
