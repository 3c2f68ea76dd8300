"""Downloads that can be interrupted: what has arrived stays, and the next try asks for the rest."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO

from pretrain.files import md5_of, require_writable
from pretrain.folder_lock import exclusive

ATTEMPTS = 4
LOCK_SECONDS = 3600.0  # another process may be fetching the same file over a slow line
_TIMEOUT = 30.0  # without a byte
_BLOCK = 1 << 18
_NETWORK_ERRORS = (OSError, HTTPException)


def download(
    url: str,
    target: Path,
    *,
    md5: str = "",
    size: int = 0,
    progress: Callable[[int, int], None] | None = None,
    pause: float = 2.0,
) -> Path:
    """Fetches a file unless it is there; until it is whole and verified it is called ``NAME.part``.

    A connection that breaks is opened again, up to ``ATTEMPTS`` times, and goes on where it broke
    if the server can do that (HTTP ranges). So does the next call after this process was killed. A
    second process that wants the same file waits for the first.

    Args:
        url: ``http``, ``https`` or ``file``.
        target: the file to make; its folder is made as well.
        md5: of the whole file, in hexadecimal digits; empty: its reader has to check it.
        size: in bytes, about, for the progress of servers that do not tell it.
        progress: called with bytes done and bytes in all.
        pause: seconds before the second attempt, twice that before the third, …

    Returns:
        ``target``.

    Raises:
        OSError: the server cannot be reached, has no such file, or the connection broke too often;
            says how much there is and what to do.
        ValueError: the file has another checksum; it was deleted.
        Busy: another process is still at it after an hour.
    """
    require_writable(target.parent, "folder of downloads", folder=True)
    with exclusive(target.parent, "download", wait_s=LOCK_SECONDS):
        if target.is_file():
            return target
        part = target.with_name(f"{target.name}.part")
        report = progress or (lambda done, total: None)
        for attempt in range(ATTEMPTS):
            try:
                _fetch_rest(url, part, size=size, progress=report)
                break
            except urllib.error.HTTPError as error:
                if error.code < 500 or attempt == ATTEMPTS - 1:
                    raise OSError(
                        _failure(url, part, f"HTTP {error.code} {error.reason}")
                    ) from None
            except _NETWORK_ERRORS as error:
                if attempt == ATTEMPTS - 1:
                    reason = getattr(error, "reason", error) or type(error).__name__
                    raise OSError(_failure(url, part, str(reason))) from error
            time.sleep(pause * 2**attempt)
        _verify(part, url, md5=md5)
        os.replace(part, target)
    return target


def _fetch_rest(url: str, part: Path, *, size: int, progress: Callable[[int, int], None]) -> None:
    """Appends to ``part`` what it lacks; raises one of ``_NETWORK_ERRORS`` if the line breaks."""
    there = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "pixelpretext"})
    if there:
        request.add_header("Range", f"bytes={there}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if there and error.code == 416:  # nothing lies behind what is there
            if error.headers.get("Content-Range") == f"bytes */{there}":
                return
            part.unlink()  # of another file: begin again
        raise
    with response, open(part, "ab") as file:
        if not _continues(response, there):
            file.truncate(0)
            there = 0
        expected = response.headers.get("Content-Length")
        total = there + int(expected) if expected else 0
        _copy(response, file, done=there, total=total or size, progress=progress)
        file.flush()
        os.fsync(file.fileno())
        if total and file.tell() < total:
            raise ConnectionError(f"the connection ended at {file.tell():,} of {total:,} bytes")


def _continues(response: HTTPResponse, there: int) -> bool:
    """Whether the answer begins behind the bytes that are there."""
    status = getattr(response, "status", None)  # none where the URL names a file
    return status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {there}-")


def _copy(
    response: HTTPResponse,
    file: BinaryIO,
    *,
    done: int,
    total: int,
    progress: Callable[[int, int], None],
) -> None:
    progress(done, total)
    while block := response.read(_BLOCK):
        file.write(block)
        done += len(block)
        progress(done, max(done, total))


def _verify(part: Path, url: str, *, md5: str) -> None:
    if not md5:
        return
    found = md5_of(part)
    if found != md5:
        part.unlink()
        raise ValueError(
            f"{url}: the download's MD5 is {found}, not {md5}; it was deleted. Try "
            "again; if it stays so, the publisher has changed the file"
        )


def _failure(url: str, part: Path, reason: str) -> str:
    there = part.stat().st_size if part.is_file() else 0
    return (
        f"{url} cannot be downloaded: {reason}. {there / 1e6:.1f} MB are there; run the same "
        "command again to go on from there"
    )
