"""Which training images keep their labels: all, a class-balanced fraction by lot, or those that a
list names.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.class_folder import ClassFolder
from benchmarks.data.loading import fingerprint
from pretrain.data.choice import CHOICE, check_seed
from pretrain.data.folders import expanded
from pretrain.data.listings import read_lines
from pretrain.data.sampler import stream
from pretrain.files import atomic_write

_SHOWN = 3  # examples in a message


@dataclass(frozen=True)
class Labels:
    """The labelled training images.

    Attributes:
        names: paths relative to the data's root, in the order of the train part.
        numbers: class number of each.
        choice: what of the choice belongs to a protocol, besides its content.
    """

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    choice: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits over names and classes: two lists with one value are the same."""
        rows = zip(self.names, map(str, self.numbers), strict=True)
        return fingerprint(sorted(rows))

    @property
    def protocol(self) -> dict[str, Any]:
        """What belongs to a protocol; no path."""
        return dict(self.choice, images=len(self.names), list=self.fingerprint)

    def write(self, folder: str | Path) -> Path:
        """Writes ``labels_<fingerprint>.txt``, a line ``path class`` each, unless it is there;
        returns its path.

        Raises:
            ValueError: a file name does not fit into a line.
        """
        path = Path(folder) / f"labels_{self.fingerprint}.txt"
        odd = [name for name in self.names if name != name.strip() or "\n" in name or "\r" in name]
        if odd:
            raise ValueError(
                f"{odd[0]!r}: a list of labels cannot hold a name with a line end or outer blanks; "
                "rename the file"
            )
        if not path.exists():
            rows = zip(self.names, self.numbers, strict=True)
            atomic_write(path, "".join(f"{name}\t{number}\n" for name, number in rows))
        return path


def choose_labels(
    data: ClassFolder, *, fraction: float = 1.0, seed: int = 0, file: str | Path | None = None
) -> Labels:
    """Chooses the labelled images of the train part.

    Args:
        data: The class folder.
        fraction: share of every class, in (0, 1]; rounded, and at least one image of each, as in
            the published lists of 1 % and 10 % of ImageNet. A larger share with the same seed keeps
            what a smaller one chose.
        seed: of that choice; the seed of the training does not enter.
        file: a list instead, see :func:`read_list`.

    Raises:
        ValueError: an illegal share, share and file both, or a list that does not fit the data.
        FileNotFoundError: no such file.
    """
    labels = data.train.labels.numpy()
    start = len(str(data.root)) + 1
    names = [data.train.name(i)[start:] for i in range(len(labels))]
    if file is not None:
        if fraction != 1.0:
            raise ValueError(
                f"fraction={fraction} and labels={str(file)!r}: give one of the two, the list "
                "is complete"
            )
        chosen, choice = read_list(file, names), dict(given=True)
    elif not 0 < fraction <= 1:
        raise ValueError(f"fraction={fraction!r}: must be above 0 and at most 1 (1 % is 0.01)")
    elif fraction == 1:
        chosen, choice = np.arange(len(names)), {}
    else:
        chosen = balanced(labels, fraction, seed)
        choice = dict(fraction=fraction, fraction_seed=seed)
    if len(np.unique(labels[chosen])) < 2:
        raise ValueError(
            f"{len(chosen)} labelled images of one class: a classifier needs two classes or more"
        )
    return Labels(tuple(names[i] for i in chosen), tuple(labels[chosen].tolist()), choice)


def balanced(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Chooses round(fraction · n), at least one, of the n images of each class; ascending indices.

    Args:
        labels: (n,) int64.
        fraction: in (0, 1].
        seed: a class's choice depends on it, the class's number and its size.
    """
    check_seed("labels", seed)
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        lots = stream(seed, CHOICE, 0, int(label)).random_raw(len(members))
        order = np.argsort(lots, kind="stable")
        chosen.append(members[order[: max(1, round(fraction * len(members)))]])
    return np.sort(np.concatenate(chosen))


def read_list(file: str | Path, names: list[str]) -> np.ndarray:
    """Reads a list of labelled images, one a line, as the published ``1percent.txt`` and
    ``10percent.txt``.

    A line is a path from the data's root or from its train folder, a file's name, or that without
    its extension (``n01440764_10026.JPEG``, ``n01440764_10026``); what follows a tab is left out,
    so that our own lists can be read.

    Args:
        file: text file (UTF-8, with or without a byte order mark); empty lines are skipped.
        names: paths of the train images relative to the root.

    Returns:
        Ascending indices into ``names``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an empty list, a line that fits no image or several, or an image listed twice.
    """
    path = expanded(file)
    if not path.is_file():
        raise FileNotFoundError(
            f"labels={str(file)!r}: no such file; legal is a text file with one image per line"
        )
    lines = [line.split("\t")[0].strip() for line in read_lines(path)]
    if not lines:
        raise ValueError(f"{path} is empty; write one image per line")
    known = _named(set(lines), names)
    unknown = [line for line in lines if line not in known]
    if unknown:
        comma = "; a comma separates nothing, write only the name, or a tab after it"
        raise ValueError(
            f"{path}: {len(unknown)} of {len(lines)} lines name no training image "
            f"({', '.join(unknown[:_SHOWN])}); the data has {', '.join(names[:_SHOWN])}, "
            f"…{comma if ',' in unknown[0] else ''}"
        )
    several = [line for line in lines if len(known[line]) > 1]
    if several:
        fitting = [names[index] for index in known[several[0]]]
        raise ValueError(
            f"{path}: {several[0]!r} fits {len(fitting)} training images, "
            f"{', '.join(map(repr, fitting[:_SHOWN]))}; write class folder and extension with it"
        )
    chosen = np.array([known[line][0] for line in lines])
    unique, counts = np.unique(chosen, return_counts=True)
    if len(unique) < len(chosen):
        raise ValueError(
            f"{path}: {names[unique[counts.argmax()]]!r} is listed {counts.max()} times; list "
            "it once"
        )
    return unique


def _named(lines: set[str], names: list[str]) -> dict[str, list[int]]:
    """Line → the images that it fits, for lines that fit any; a table of all names of a large set
    would be huge.
    """
    known: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        parts = name.split("/")
        stem = parts[-1].rsplit(".", 1)[0]
        tails = {"/".join(parts[first:]) for first in range(len(parts))}
        for way in (tails | {stem, "/".join([*parts[-2:-1], stem])}) & lines:
            known[way].append(index)
    return known
