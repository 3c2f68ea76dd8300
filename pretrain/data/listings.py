"""Lists of names, one a line, and json: read in one way by all that read such files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pretrain.data.folders import SourceError, expanded


def read_lines(path: str | Path) -> list[str]:
    """Returns the lines of a list of names, without blanks at either end and without empty lines.

    A byte order mark, which some editors write, is no part of the first name. Bytes that are not
    UTF-8 come through as ``os.fsdecode`` has them, so that they name the file they stand for.

    Raises:
        SourceError: the file is missing, a folder, or text in UTF-16.
    """
    path = expanded(path)
    if not path.is_file():
        state = "is a folder" if path.is_dir() else "does not exist"
        raise SourceError(f"{path} {state}; legal is a text file with one name per line")
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:1024]:
        raise SourceError(
            f"{path} is not text in UTF-8 (UTF-16, or not text at all): save it as UTF-8"
        )
    lines = data.decode("utf-8-sig", "surrogateescape").replace("\r", "\n").split("\n")
    return [line.strip() for line in lines if line.strip()]


def read_json(source: str, path: Path, *, hint: str = "") -> Any:
    """Returns what a json file holds; ``source`` is the caller's name and ``hint`` advice, for
    messages.

    Raises:
        SourceError: the file is no json, or an object in it has a key twice (Python would keep the
            later).
    """
    try:
        return json.loads(path.read_bytes(), object_pairs_hook=_object)
    except RecursionError as error:
        raise SourceError(f"{source}: {path} is nested too deeply to be read") from error
    except ValueError as error:
        raise SourceError(f"{source}: {path} is not valid json{hint}: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    merged = dict(pairs)
    if len(merged) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object has the key {twice!r} twice; merge the two")
    return merged
