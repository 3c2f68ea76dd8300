"""Outputs are tried before the work whose result they shall take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pretrain.files import require_writable


def test_what_can_be_written_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "there.jsonl").write_text("a line\n")
    for name in ("there.jsonl", "new.jsonl", "new/folder/new.jsonl"):
        require_writable(tmp_path / name, "--out")
    for name in ("", "new", "new/folder"):
        require_writable(tmp_path / name, "--work-dir", folder=True)
    assert [p.name for p in tmp_path.iterdir()] == ["there.jsonl"]
    assert (tmp_path / "there.jsonl").read_text() == "a line\n"


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    require_writable("r.jsonl", "--out")
    require_writable("work_dirs", "--work-dir", folder=True)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "folder")
    for path, folder, reason in (
        (tmp_path / "file" / "r.jsonl", False, "Not a directory"),
        (tmp_path / "file" / "deeper" / "r.jsonl", False, "Not a directory"),
        (tmp_path / "file", True, "Not a directory"),
        (tmp_path, False, "Is a directory"),
        (tmp_path / "dangling" / "r.jsonl", False, "No such file"),
    ):
        with pytest.raises(
            OSError, match=rf"^--out={path}: cannot be written \({reason}.*\); choose another"
        ):
            require_writable(path, "--out", folder=folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folders_of_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(OSError, match="Permission denied"):
            require_writable(tmp_path / "r.jsonl", "--out")
    finally:
        tmp_path.chmod(0o755)
