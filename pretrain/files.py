"""Writing files so that a crash leaves either the old content or the new one, never a part; and
reading one that another process writes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path``; on leaving without an error it is synced and renamed
    to ``path``.

    The temporary name keeps the suffix, because writers such as ``Image.save`` choose the format by
    it.

    Args:
        path: Where the file shall be. Its folder is made if it is missing.

    Raises:
        OSError: the folder cannot be written. ``path`` is then untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Process ids are unique on one machine only, and several may write here.
    temporary = path.with_name(f".{path.stem}.{uuid4().hex[:12]}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Writes ``data`` to ``path`` atomically, see :func:`atomic_path`.

    Text is written in UTF-8; file names in it that are none give their own bytes back.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(
            data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        )


def read_dict(path: Path) -> dict[str, Any]:
    """Returns the dict in a JSON file; empty if it is missing, being replaced or no dict."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def require_writable(path: str | Path, option: str, *, folder: bool = False) -> None:
    """Refuses an output that cannot be written, before the work whose result shall go there. Leaves
    nothing behind.

    Args:
        path: of a file to write or to append to, or of a folder; neither it nor the folders above
            it need exist.
        option: what the user calls it, for the message.
        folder: whether ``path`` is a folder.

    Raises:
        OSError: names option, path and reason.
    """
    path = Path(path)
    try:
        if not folder and path.exists():
            with open(path, "ab"):
                return
        above = path if folder else path.parent
        while not os.path.lexists(above) and above != above.parent:
            above = above.parent
        with tempfile.TemporaryFile(dir=above) as file:
            file.write(b"0" * 4096)  # a full disk lets files be opened
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OSError(f"{option}={path}: cannot be written ({reason}); choose another") from error


def sha256_of(path: str | Path) -> str:
    """Returns the hex digits of a file's SHA-256."""
    return _read_into(hashlib.sha256(), path)


def md5_of(path: str | Path) -> str:
    """Returns the hex digits of a file's MD5, which publishers of data sets name."""
    return _read_into(hashlib.md5(usedforsecurity=False), path)


def _read_into(digest: hashlib._Hash, path: str | Path) -> str:
    with open(path, "rb") as opened:
        while block := opened.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
