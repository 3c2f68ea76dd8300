"""Pairs that a text file names: an image and its label map per line, anything behind them.

NYUv2's and KITTI's lists of monocular depth look like this; the third entry is a focal length:

    /kitchen_0028b/rgb_00045.jpg /kitchen_0028b/sync_depth_00045.png 518.8579
    2011_09_26/…/image_02/data/0000000069.png None 721.5377
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from benchmarks.data.layout import PairLists
from benchmarks.data.selection import Selection

Pair = tuple[Path, Path]
_NO_LABEL = "None"  # stands for the label map of an image that has none


def listed_pairs(
    root: Path, lists: PairLists, split: str, *, selection: Selection, word: str
) -> list[Pair]:
    """Lists the (image, label map) files of a part, in the order of its list.

    Images without a label map (``None`` in the list) are left out. Paths count from the root, with
    or without a slash in front.

    Args:
        root: Folder of the data set.
        lists: Where the list lies and what its paths count from.
        split: The layout's name of the part.
        selection: ``names`` is another list, in place of the layout's own.
        word: What messages call a label map.

    Raises:
        FileNotFoundError: the list is missing, or files that it names; says how many and where the
            first one was looked for.
        ValueError: a line of fewer than two names, a list without pairs, or an exclude pattern that
            fits nothing.
    """
    path = root / lists.files.format(split=split)
    if selection.names is not None:
        path = Path(selection.names).expanduser()
        path = path if path.is_file() or path.is_absolute() else root / path
    if not path.is_file():
        raise FileNotFoundError(
            f"no list {path} of part {split!r}: each line is an image, its {word} and more, "
            "separated by blanks; another list is names=TRAIN.txt,VAL.txt"
        )
    lines = _without(selection.exclude, _read(path, word), path=path)
    lines = lines[:: selection.every][: selection.limit]
    images, labels = zip(*lines, strict=True)
    image_files = _below(root, images, folders=lists.images, path=path)
    label_files = _below(root, labels, folders=lists.labels, path=path)
    return list(zip(image_files, label_files, strict=True))


def _read(path: Path, word: str) -> list[tuple[str, str]]:
    """(image, label map) of each line that has both, slashes in front taken away."""
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        entries = line.split()
        if not entries:
            continue
        if len(entries) < 2:
            raise ValueError(
                f"{path}:{number}: {line!r} names no {word}; write an image and its {word}, "
                f"separated by a blank ({_NO_LABEL} for an image without)"
            )
        if entries[1] != _NO_LABEL:
            pairs.append((entries[0].lstrip("/"), entries[1].lstrip("/")))
    if not pairs:
        raise ValueError(f"{path} names no image with a {word}")
    return pairs


def _without(
    patterns: Sequence[str], lines: list[tuple[str, str]], *, path: Path
) -> list[tuple[str, str]]:
    """The lines whose image fits no pattern; raises ValueError for a pattern that fits none."""
    for pattern in patterns:
        kept = [line for line in lines if not _fits(pattern, line[0])]
        if len(kept) == len(lines):
            raise ValueError(
                f"exclude {pattern!r} fits no image of {path}, of which the first is "
                f"{lines[0][0]}; * stands for any characters"
            )
        lines = kept
    if not lines:
        raise ValueError(f"{path}: the exclude patterns leave no image")
    return lines


def _fits(pattern: str, name: str) -> bool:
    """Whether a pattern fits a path or, if it has no slash, its last part."""
    return fnmatchcase(name if "/" in pattern else name.rpartition("/")[2], pattern)


def _below(root: Path, names: Sequence[str], *, folders: Sequence[str], path: Path) -> list[Path]:
    """The files of these names, all in the first of the folders that holds the first name; ``path``
    is the list that names them.
    """
    places = [root / folder for folder in folders]
    holding = next((place for place in places if (place / names[0]).is_file()), places[0])
    files = [holding / name for name in names]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{path}: {len(missing)} of {len(files)} files are missing, the first: {missing[0]}; "
            f"paths of the list count from one of {', '.join(map(str, places))}"
        )
    return files
