"""One data set drawn, painted and photographed: folders of domains, each with the same classes.

``ROOT/<domain>/<class>/…`` as in PACS, or with lists beside the folders as in DomainNet, which say
which image belongs to which part: ``ROOT/<domain>_train.txt`` and ``ROOT/<domain>_test.txt`` with a
line ``<domain>/<class>/<image> <number of the class>`` each.
"""

from __future__ import annotations

import re
from pathlib import Path

from pretrain.data.folders import quoted, visible
from pretrain.data.listings import read_lines
from pretrain.data.sources import FilesBelow
from pretrain.names import suggestion

_PARTS = ("train", "test")  # as DomainNet calls them


def domain_folder(root: Path, domain: str) -> Path:
    """Returns the folder of a domain.

    Raises:
        FileNotFoundError: ``root`` is no folder.
        ValueError: it holds no such domain; names those that it holds.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"root={str(root)!r} is not a folder")
    names = [path.name for path in visible(root.iterdir()) if path.is_dir()]
    if domain not in names:
        hint = suggestion(domain, names) if domain else ""
        raise ValueError(
            f"domain={domain!r}{hint}: {root} holds the folders {quoted(names) or 'none'}; name "
            "one of them"
        )
    return root / domain


def listed_parts(root: Path, domain: str) -> tuple[FilesBelow, FilesBelow] | None:
    """Reads the lists of a domain's train and test part; None where it has none.

    Classes are called after the folders of their images and keep the order of their numbers in the
    lists; numbers that no image has are left out. Both sources have the classes that occur in
    theirs.

    Raises:
        ValueError: one list of the two is missing, empty, or has a line without a class; a number
            that stands for two folders, or a folder with two numbers; a file that is not there.
    """
    lists = [root / f"{domain}_{part}.txt" for part in _PARTS]
    missing = [path.name for path in lists if not path.is_file()]
    if len(missing) == len(lists):
        return None
    if missing:
        raise ValueError(
            f"{root} lacks {missing[0]}, the list of {domain}'s other part; add it, or remove the "
            "one that is there to have a share of each class held back"
        )
    names: dict[int, str] = {}
    rows = [_read_list(path, names) for path in lists]
    train, test = (_source(root, path, own, names) for path, own in zip(lists, rows, strict=True))
    return train, test


def _read_list(path: Path, names: dict[int, str]) -> list[tuple[str, int]]:
    """Reads (path below the root, number of the class) and adds to the classes' ``names``."""
    rows = []
    for line in read_lines(path):
        match = re.fullmatch(r"(.*\S)\s+(\d+)", line)
        place = Path(match[1]).parts if match else ()
        if len(place) < 2:
            raise ValueError(
                f"{path}: {line!r} is not '<domain>/<class>/<image> <number of the class>'"
            )
        folder, number = place[-2], int(match[2])
        known = names.setdefault(number, folder)
        if known != folder:
            raise ValueError(
                f"{path}: class {number} is {known!r} and {folder!r}; a number stands for one "
                "folder, in both lists of a domain"
            )
        rows.append((match[1], number))
    if not rows:
        raise ValueError(f"{path} is empty; write '<domain>/<class>/<image> <number>' a line")
    numbers = {name: number for number, name in names.items()}
    for number, name in names.items():
        if numbers[name] != number:
            raise ValueError(
                f"{path}: {name!r} has the numbers {number} and {numbers[name]}; a folder has one, "
                "in both lists of a domain"
            )
    return rows


def _source(
    root: Path, path: Path, rows: list[tuple[str, int]], names: dict[int, str]
) -> FilesBelow:
    first = root / rows[0][0]
    if not first.exists():
        raise ValueError(
            f"{path} lists {rows[0][0]!r}, but {first} does not exist; unpack the domain's images "
            "beside its lists"
        )
    present = sorted({number for _, number in rows})
    place = {number: index for index, number in enumerate(present)}
    classes = tuple(names[number] for number in present)
    labels = [place[number] for _, number in rows]
    return FilesBelow(root, [name for name, _ in rows], labels, classes=classes)
