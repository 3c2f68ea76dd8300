"""PF-PASCAL and PF-WILLOW (Ham et al. 2016, arXiv 1703.07144) by published lists of pairs."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from benchmarks.data.correspondences.pair import ImageList, PairSet, PointPair, extent

_CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor"
).split()
_POINTS = 10  # of every image of PF-WILLOW


def read_pf_pascal(root: Path, part: str) -> PairSet:
    """Reads ``PART_pairs_pf_pascal.csv`` or ``PART_pairs.csv``: source, target, class 1 to 20, then
    x and y of the source's and of the target's points, each joined by semicolons.

    The target's box is that of ``Annotations/CLASS/IMAGE.mat``, where it is there.

    Args:
        root: Folder of ``JPEGImages`` and of the lists.
        part: ``test`` or ``val``.

    Raises:
        ValueError: no such list, a line that is not as above, a missing image; names file and line.
    """
    path, images, pairs = _list_of(root, part, "pf_pascal"), ImageList(), []
    for number, cells in _lines(path, columns=7):
        try:
            category = _CLASSES[int(cells[2]) - 1]
            columns = [np.fromstring(cell, sep=";") for cell in cells[3:7]]
            source, target = np.stack(columns[:2], 1), np.stack(columns[2:], 1)
        except (ValueError, IndexError) as error:
            raise ValueError(
                f"{path}:{number}: must be source, target, class 1 to {len(_CLASSES)}, XA, YA, XB, "
                f"YB with numbers joined by semicolons ({error})"
            ) from error
        files = [root / "JPEGImages" / Path(cell).name for cell in cells[:2]]
        ids = [images.number(file, category) for file in files]
        box = _annotated_box(root / "Annotations" / category / f"{files[1].stem}.mat")
        pairs.append(PointPair(*ids, source, target, box, category))
    return images.complete(pairs)


def read_pf_willow(root: Path, part: str) -> PairSet:
    """Reads ``PART_pairs_pf_willow.csv`` or ``PART_pairs.csv``: source, target, then 10 x and 10 y
    of the source and of the target. The box is that around the target's points.

    Args:
        root: Folder of the subsets and of the list.
        part: ``test``.

    Raises:
        ValueError: as :func:`read_pf_pascal`.
    """
    path, images, pairs = _list_of(root, part, "pf_willow"), ImageList(), []
    for number, cells in _lines(path, columns=2 + 4 * _POINTS):
        try:
            values = np.array(cells[2 : 2 + 4 * _POINTS], np.float64)
        except ValueError as error:
            raise ValueError(
                f"{path}:{number}: must be source, target and {4 * _POINTS} numbers ({error})"
            ) from error
        source, target = values.reshape(2, 2, _POINTS).transpose(0, 2, 1)
        files = [root.joinpath(*Path(cell).parts[-2:]) for cell in cells[:2]]
        ids = [images.number(file, file.parent.name) for file in files]
        pairs.append(PointPair(*ids, source, target, extent(target), files[1].parent.name))
    return images.complete(pairs)


def _list_of(root: Path, part: str, name: str) -> Path:
    """The list of pairs of a part."""
    candidates = root / f"{part}_pairs_{name}.csv", root / f"{part}_pairs.csv"
    for path in candidates:
        if path.is_file():
            return path
    names = " nor ".join(path.name for path in candidates)
    raise ValueError(
        f"{root} has neither {names}: the list of pairs is published apart from the images; put it "
        "there"
    )


def _lines(path: Path, columns: int) -> list[tuple[int, list[str]]]:
    """(line number, cells) of each line below the heading."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = [(number, cells) for number, cells in enumerate(csv.reader(file), 1) if cells]
    for number, cells in lines:
        if len(cells) < columns:
            raise ValueError(f"{path}:{number}: {len(cells)} columns, {columns} needed")
    return lines[1:]


def _annotated_box(path: Path) -> tuple[float, float] | None:
    """(height, width) in pixels of the variable ``bbox`` (left, top, right, bottom)."""
    if not path.is_file():
        return None
    try:
        left, top, right, bottom = loadmat(path, variable_names=["bbox"])["bbox"].ravel().tolist()
    except Exception as error:  # scipy names many kinds of damage by many exceptions
        raise ValueError(
            f"{path}: no variable 'bbox' of four numbers can be read from it ({error})"
        ) from error
    return float(bottom - top), float(right - left)
