"""Downloads from a server of this machine: whole, interrupted, wrong."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data.prepare.download import download

CONTENT = np.random.default_rng(0).bytes(1_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@dataclass
class Server:
    """A server of one file, whose faults can be set.

    Attributes:
        ranges: answers requests for the rest of a file.
        cut: after how many bytes each of the next answers breaks off.
        status: of all answers, if not 200 and 206.
        asked: ``Range`` of each request.
    """

    url: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    tells_length: bool = True
    cut: list[int] = field(default_factory=list)
    status: int = 0
    asked: list[str] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answers one request."""
        wanted = request.headers.get("Range", "")
        self.asked.append(wanted)
        if self.status:
            request.send_error(self.status)
            return
        start = int(re.findall(r"\d+", wanted)[0]) if wanted and self.ranges else 0
        if start >= len(self.content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(self.content)}")
            request.end_headers()
            return
        body = self.content[start:]
        request.send_response(206 if start else 200)
        if start:
            size = len(self.content)
            request.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if self.tells_length:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.cut.pop(0)] if self.cut else body)


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server on the loopback."""
    own = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            own.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        own.url = f"http://127.0.0.1:{running.server_port}/file.zip"
        yield own
        running.shutdown()


def test_a_whole_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    steps = []
    target = tmp_path / "deep" / "file.zip"
    for _ in range(2):
        download(
            server.url, target, md5=MD5, progress=lambda done, total: steps.append((done, total))
        )
    assert target.read_bytes() == CONTENT and server.asked == [""]
    assert steps[0] == (0, len(CONTENT)) and steps[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in target.parent.glob("file*")] == ["file.zip"]


def test_a_broken_line_is_opened_again_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cut = [300_000, 200_000]
    target = download(server.url, tmp_path / "file.zip", md5=MD5, pause=0.01)
    assert target.read_bytes() == CONTENT
    assert server.asked == ["", "bytes=300000-", "bytes=500000-"]


def test_a_killed_download_goes_on_from_what_is_there(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:700_000])
    target = download(server.url, tmp_path / "file.zip", md5=MD5)
    assert target.read_bytes() == CONTENT and server.asked == ["bytes=700000-"]


def test_one_that_was_killed_before_it_was_renamed_is_verified(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    assert download(server.url, tmp_path / "file.zip", md5=MD5).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_more_than_the_file_has_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(CONTENT * 2)
    with pytest.raises(OSError, match="HTTP 416"):
        download(server.url, tmp_path / "file.zip", md5=MD5)
    assert download(server.url, tmp_path / "file.zip", md5=MD5).read_bytes() == CONTENT


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_server_without_ranges_begins_again(
    server: Server, tmp_path: Path, tells_length: bool
) -> None:
    server.ranges, server.tells_length = False, tells_length
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:700_000])
    target = download(server.url, tmp_path / "file.zip", md5=MD5, size=1)
    assert target.read_bytes() == CONTENT


def test_another_content_is_deleted_and_named(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(ValueError, match=f"MD5 is .*, not {MD5}; it was deleted"):
        download(server.url, tmp_path / "file.zip", md5=MD5)
    assert not list(tmp_path.glob("file*"))


def test_what_is_not_there_is_said_at_once(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(OSError, match=r"cannot be downloaded: HTTP 404 .* 0.0 MB are there"):
        download(server.url, tmp_path / "file.zip")
    assert len(server.asked) == 1  # another try would not help


def test_a_server_in_trouble_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.status = 503
    with pytest.raises(OSError, match="HTTP 503"):
        download(server.url, tmp_path / "file.zip", pause=0.001)
    assert len(server.asked) == 4


def test_no_server_at_all(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be downloaded: .*run the same command again"):
        download("http://127.0.0.1:9/file.zip", tmp_path / "file.zip", pause=0.001)


def test_two_at_once_fetch_once(
    server: Server, tmp_path: Path, in_two_processes: Callable[..., list[str]]
) -> None:
    first, second = in_two_processes(_fetch, server.url, str(tmp_path / "file.zip"))
    assert first == second == MD5
    assert server.asked == [""]


def _fetch(rank: int, url: str, target: str) -> str:
    return hashlib.md5(download(url, Path(target), md5=MD5).read_bytes()).hexdigest()
