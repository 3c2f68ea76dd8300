"""Folders that are either complete or not there, and files in them that take no space of their own
where possible.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pretrain.data.listings import read_json
from pretrain.files import atomic_write

CLASSES_FILE, ORIGIN_FILE = "classes.json", "origin.json"


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Gives an empty folder next to ``target``; on leaving without an error it is renamed to
    ``target``.

    Whatever lay at ``target`` is replaced. After an error nothing of the new folder is left.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    building = target.with_name(f".{target.name}.{os.getpid()}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        yield building
        if target.exists():
            shutil.rmtree(target)
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def place(source: Path, target: Path) -> None:
    """Makes ``target`` the same file as ``source``: a hard link, or a copy where the file system
    allows none.

    Raises:
        ValueError: there is such a file already; as a hard link it would be another original, and
            be overwritten.
    """
    require_new(target, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def require_new(target: Path, source: Path) -> None:
    """Raises a ValueError if ``target``, to be made from ``source``, is there already."""
    if target.exists():
        raise ValueError(
            f"{source}: another file has become {target.name} already; their names must differ"
        )


def write_classes(folder: Path, names: Sequence[str]) -> None:
    """Writes ``classes.json``: the class names in the order of their numbers."""
    atomic_write(folder / CLASSES_FILE, json.dumps(list(names), indent=1) + "\n")


def write_origin(folder: Path, origin: Mapping[str, Any], *, written: str) -> None:
    """Writes ``origin.json``: what a prepared folder depends on, and what was written."""
    content = dict(origin) | dict(written=written)
    atomic_write(folder / ORIGIN_FILE, json.dumps(content, indent=1) + "\n")


def is_prepared(target: Path, origin: Mapping[str, Any]) -> bool:
    """Whether a folder was prepared from just this; False if it is not there.

    Raises:
        ValueError: it holds something else, or was prepared in another way.
    """
    if not target.exists():
        return False
    file = target / ORIGIN_FILE
    stored = read_json("prepared data", file) if file.is_file() else None
    if not isinstance(stored, dict):
        raise ValueError(
            f"{target} holds something other than prepared data: delete it or choose another folder"
        )
    for key, value in origin.items():
        if stored.get(key) != value:
            raise ValueError(
                f"{target} was made with {key}={stored.get(key)!r}, not {value!r}: delete it or "
                "choose another folder"
            )
    return True
