"""Whether the two parts of a data set share images: an image that lies in both finds itself, and
its score is worth nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

from benchmarks.data.loading import ordered_map
from pretrain.files import sha256_of

# Bytes at a file's end, compared before whole files are: compressed pixels differ there.
_TAIL = 4096


def check_parts(
    train: Sequence[Path],
    val: Sequence[Path],
    *,
    allow_shared: bool,
    cure: str,
    option: str = "allow_shared=True",
) -> dict[str, int]:
    """Refuses two parts that share an image, whatever the file is called in each of them.

    Files are compared byte by byte, links by what they lead to. An image that was written anew
    (another format or quality) is not recognised.

    Args:
        train: Image files of the train part.
        val: Image files of the val part.
        allow_shared: Accept what they share.
        cure: What the user can do about it, as the end of a sentence.
        option: How the user writes ``allow_shared``.

    Returns:
        What belongs to the protocol: nothing for parts that share no image, else ``shared_images``,
        how many images of the val part lie in the train part too.

    Raises:
        ValueError: they share images; says how many, names the first in both parts and the cure.
        OSError: a file cannot be read.
    """
    shared = shared_images(train, val)
    if not shared:
        return {}
    if not allow_shared:
        ours, theirs = shared[0]
        first = str(ours) if ours == theirs else f"{ours}, which is {theirs}"
        raise ValueError(
            f"{len(shared)} of the {len(val)} val images are train images, too, and would find "
            f"themselves; the first: {first}. To cure it, {cure}; if you mean it, {option}, "
            "which the record's protocol then states"
        )
    return dict(shared_images=len(shared))


def shared_images(train: Sequence[Path], val: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Lists (val file, train file) of equal content, in the order of ``val``; empty files are equal
    to none.

    Raises:
        OSError: a file cannot be read.
    """
    partners = _linked(train, val)
    train_keys = dict.fromkeys(train)
    val_keys = dict.fromkeys(path for path in val if path not in partners)
    # Each key costs more than the one before and is asked of fewer files: of most only their size.
    for key in (_size, _tail, sha256_of):
        train_keys, val_keys = _keys(train_keys, key), _keys(val_keys, key)
        common = set(train_keys.values()) & set(val_keys.values()) - {0}
        train_keys, val_keys = _with_keys(train_keys, common), _with_keys(val_keys, common)
    copies = {key: path for path, key in reversed(train_keys.items())}
    partners |= {path: copies[key] for path, key in val_keys.items()}
    return [(path, partners[path]) for path in val if path in partners]


def _linked(train: Sequence[Path], val: Sequence[Path]) -> dict[Path, Path]:
    """Val file -> train file for those that are one file, links of any kind followed; reads
    nothing.
    """
    places = {_place(path): path for path in reversed(train)}
    places.pop(None, None)
    partners = {}
    for path in val:
        other = places.get(_place(path))
        if other is not None:
            partners[path] = other
    return partners


def _keys(paths: Iterable[Path], key: Callable[[Path], Hashable]) -> dict[Path, Hashable]:
    paths = list(paths)
    return dict(zip(paths, ordered_map(key, paths, ahead=64), strict=True))


def _with_keys(keys: dict[Path, Hashable], wanted: set[Hashable]) -> dict[Path, Hashable]:
    return {path: key for path, key in keys.items() if key in wanted}


def _place(path: Path) -> tuple[int, int] | None:
    """Device and number of the file that a path leads to; None where files have no numbers."""
    state = os.stat(path)
    return (state.st_dev, state.st_ino) if state.st_ino else None


def _size(path: Path) -> int:
    return os.stat(path).st_size


def _tail(path: Path) -> tuple[int, bytes]:
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        return size, file.read()
