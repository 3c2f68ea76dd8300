"""Runs that were killed are finished, finished sets are left alone, other folders are refused."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from pretrain.data.scenes import write_scenes
from pretrain.data.scenes.manifest import Request, begin
from pretrain.data.scenes.write import Chunk, write_chunk

ROOT = Path(__file__).resolve().parents[4]
IMAGES, SIZE, SEED, SEQUENCES = 70, 96, 3, 3
ARGUMENTS = dict(size=SIZE, seed=SEED, sequences=SEQUENCES)


def command(out: Path, *more: str, images: int = IMAGES) -> list[str]:
    given = f"--images {images} --size {SIZE} --seed {SEED} --sequences {SEQUENCES}".split()
    return [sys.executable, str(ROOT / "tools" / "make_scenes.py"), str(out), *given, *more]


def test_a_killed_run_of_two_processes_is_finished_with_the_bytes_of_one(
    scenes: Path, tmp_path: Path
):
    out = tmp_path / "killed"
    run = subprocess.Popen(
        command(out, "--workers", "2"), stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not (notes := list(out.glob(".parts/image_train_*.json"))):
        assert run.poll() is None
        time.sleep(0.005)
    run.kill()  # the parent only: its workers have to notice by themselves
    run.wait()
    assert not (out / "scenes.json").exists()
    while alive(run.pid):  # workers that outlive the killed parent make this test hang
        time.sleep(0.05)
    finished = [out / name for note in notes for name in json.loads(note.read_text())["files"]]
    before = {path: path.stat().st_mtime_ns for path in finished}
    (out / "images" / "train" / ".scene_000999.jpg.1.tmp").write_bytes(b"begun")
    write_scenes(out, IMAGES, **ARGUMENTS)
    assert {path: path.stat().st_mtime_ns for path in finished} == before
    ours = {p.relative_to(scenes): p.read_bytes() for p in scenes.rglob("*") if p.is_file()}
    theirs = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert {name for name in theirs if name not in ours} == set()
    assert theirs == ours


def test_a_chunk_whose_file_was_emptied_is_done_again(tmp_path: Path):
    request, chunk = Request(images=5, size=96, seed=0, sequences=0), Chunk("image", "val", 0, 1)
    write_chunk(tmp_path, request, chunk)
    assert chunk.is_done(tmp_path)
    (tmp_path / "depth" / "val" / "scene_000000.png").write_bytes(b"")
    assert not chunk.is_done(tmp_path)
    assert not Chunk("image", "val", 0, 2).is_done(tmp_path)


@pytest.mark.parametrize("length", [0, 100])
def test_a_chunk_whose_note_was_cut_short_is_done_again(tmp_path: Path, length: int):
    request, chunk = Request(images=5, size=96, seed=0, sequences=0), Chunk("image", "val", 0, 1)
    write_chunk(tmp_path, request, chunk)
    chunk.note(tmp_path).write_bytes(chunk.note(tmp_path).read_bytes()[:length])
    assert not chunk.is_done(tmp_path)
    write_chunk(tmp_path, request, chunk)
    assert chunk.is_done(tmp_path)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(
        int(fields[2]) == group and fields[0] != "Z"
        for fields in (
            stat.read_text().rsplit(")", 1)[1].split()
            for stat in Path("/proc").glob("[0-9]*/stat")
            if stat.exists()
        )
    )


def test_a_finished_set_is_left_alone(scenes: Path):
    before = {p: p.stat().st_mtime_ns for p in scenes.rglob("*")}
    reported = io.StringIO()
    write_scenes(scenes, IMAGES, console=Console(file=reported, width=300), **ARGUMENTS)
    assert "already holds these scenes: images 70, size 96 px, seed 3" in reported.getvalue()
    assert {p: p.stat().st_mtime_ns for p in scenes.rglob("*")} == before


def test_a_different_set_is_refused_and_both_are_named(scenes: Path):
    with pytest.raises(
        FileExistsError, match=r"images 70, size 96 px, seed 3.*images 71, size 96 px, seed 3"
    ):
        write_scenes(scenes, IMAGES + 1, **ARGUMENTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "scenes.json is not valid json"),
        ('{"seed": 1}', "scenes.json was not written by make_scenes.py, or is damaged"),
        ("[]", "scenes.json was not written by make_scenes.py, or is damaged"),
        (
            '{"versions": {}, "request": {"pictures": 5}}',
            "holds a different data set: there {'pictures': 5}",
        ),
    ],
)
def test_a_damaged_table_of_contents_is_told(tmp_path: Path, text: str, message: str):
    (tmp_path / "scenes.json").write_text(text)
    with pytest.raises((ValueError, FileExistsError), match=message):
        write_scenes(tmp_path, 20)


def test_the_command_line_reports_and_says_what_is_next(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture, run_tool: Callable[..., int]
):
    assert (
        run_tool("make_scenes", *command(scenes, "--sheet", str(tmp_path / "sheet.png"))[2:]) == 0
    )
    assert "compare.py" in capsys.readouterr().out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 * SIZE, 3 * SIZE)
    assert (tmp_path / "sheet.png").stat().st_size < 200_000
    assert run_tool("make_scenes", *command(scenes, images=80)[2:]) == 2
    assert "images 80" in capsys.readouterr().err


def test_an_unfinished_different_set_and_a_foreign_folder_are_refused(tmp_path: Path):
    begin(tmp_path / "begun", Request(images=10, size=96, seed=0, sequences=0))
    with pytest.raises(FileExistsError, match="unfinished.*images 10.*images 20"):
        write_scenes(tmp_path / "begun", 20, sequences=0)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"")
    with pytest.raises(FileExistsError, match="not empty"):
        write_scenes(tmp_path / "photos", 20)
