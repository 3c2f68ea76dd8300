"""Data that comparisons write for themselves."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from benchmarks.compare.names import PlanError
from benchmarks.compare.prepare import prepare
from benchmarks.data.prepare.fetched import FETCHED
from benchmarks.data.prepare.for_comparison import (
    PUBLISHED,
    prepare_caltech101,
    prepare_folders,
    split_classes,
)
from benchmarks.data.prepare.originals import BACKGROUND, ORIGINALS

CALTECH, CAMVID = ORIGINALS["caltech101"].packed, ORIGINALS["camvid"].packed


def write_archive(path: Path, names: list[str]) -> None:
    """Writes a tar whose files hold their own names."""
    with tarfile.open(path, "w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))


@pytest.fixture
def mirror(tmp_path: Path) -> str:
    """Two small packed originals in the layout of the real ones."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    photos = [
        f"{CALTECH}/{c}/image_{i:04d}.jpg" for c in ("ant", "bass", BACKGROUND) for i in range(10)
    ]
    write_archive(folder / f"{CALTECH}.tar", photos)
    write_archive(folder / f"{CAMVID}.tar", [f"{CAMVID}/train/1.jpg", f"{CAMVID}/trainannot/1.png"])
    return str(folder)


def files(folder: Path) -> set[str]:
    """Paths of all files below a folder."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_photos_are_unpacked_and_split_without_overlap(mirror: str, tmp_path: Path) -> None:
    out = tmp_path / "caltech101"
    prepare_caltech101(out=str(out), mirror=mirror, held_back=0.2)
    train, val = files(out / "train"), files(out / "val")
    assert len(train) == 16 and len(val) == 4 and not train & val
    classes = [{name.split("/")[0] for name in part} for part in (train, val)]
    assert classes == [{"ant", "bass"}] * 2
    prepare_caltech101(out=str(tmp_path / "again"), mirror=mirror, held_back=0.2)
    assert files(tmp_path / "again/val") == val
    prepare_folders("camvid", out=str(tmp_path / "camvid"), mirror=mirror)
    assert files(tmp_path / "camvid") == {"train/1.jpg", "trainannot/1.png", "origin.json"}
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"mirror", "caltech101", "again", "camvid"}  # nothing half done or unpacked


def test_data_that_are_there_are_left_alone(
    mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXELPRETEXT_MIRROR", mirror)
    out = tmp_path / "caltech101"
    prepare({"caltech101": dict(out=str(out))})
    (out / "mine.txt").write_text("kept")
    prepare({"caltech101": dict(out=str(out))})
    assert (out / "mine.txt").exists()
    (out / "origin.json").unlink()  # now nobody knows what this is
    with pytest.raises(PlanError, match="holds something other than prepared data: delete it"):
        prepare({"caltech101": dict(out=str(out))})
    assert (out / "mine.txt").exists()


def test_another_share_is_refused_and_not_taken_for_the_same_data(
    mirror: str, tmp_path: Path
) -> None:
    given = dict(out=str(tmp_path / "photos"), mirror=mirror)
    prepare_caltech101(**given, held_back=0.2)
    with pytest.raises(ValueError, match=r"was made with held_back=0.2, not 0.4: delete it"):
        prepare_caltech101(**given, held_back=0.4)
    for share in (0, 1, 1.5):
        with pytest.raises(ValueError, match=f"held_back = {share} must lie between 0 and 1"):
            prepare_caltech101(**given, held_back=share)


def test_a_mirror_that_lacks_the_data_names_the_place_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXELPRETEXT_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(PlanError, match=r"nowhere; name the mirror's folder by --mirror or PIXEL"):
        prepare({"camvid": dict(out=str(tmp_path / "camvid"))})
    assert not (tmp_path / "camvid").exists()


def test_the_real_mirror_gives_the_photos_of_our_numbers(shared_data: Path, tmp_path: Path) -> None:
    """The held-back photos are those that all results were judged on."""
    prepare_caltech101(out=str(tmp_path / "photos"), mirror=str(shared_data))
    train, val = files(tmp_path / "photos/train"), files(tmp_path / "photos/val")
    assert (len(train), len(val)) == (2806, 717)
    assert (
        sha256("\n".join(sorted(val)).encode()).hexdigest()
        == "22748b27bfe80dbb52387b8574fee07e488b7ecaad37d7dda9b32eb15daa4d1e"
    )


def test_scenes_are_written_once_and_another_request_is_refused(tmp_path: Path) -> None:
    request = dict(out=str(tmp_path / "scenes"), images=5, size=32)
    prepare({"scenes": request})
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "scenes").rglob("*.jpg")}
    prepare({"scenes": request})
    assert before and before == {
        p: p.stat().st_mtime_ns for p in (tmp_path / "scenes").rglob("*.jpg")
    }
    with pytest.raises(PlanError, match="prepare scenes: "):
        prepare({"scenes": {**request, "images": 10}})


def test_the_lot_of_images_is_that_of_before_and_leaves_dot_files_out(tmp_path: Path) -> None:
    """The val images are those of commit 3f8b577; what archives of macOS leave beside images is
    none.
    """
    for name in ("a", "b"):
        (tmp_path / "all" / name).mkdir(parents=True)
        for file in (*(f"{i}.jpg" for i in range(10)), "._0.jpg", ".DS_Store"):
            (tmp_path / "all" / name / file).write_text("x")
    (tmp_path / "all" / ".cache").mkdir()
    assert split_classes(tmp_path / "all", tmp_path / "out", 0.3) == (14, 6)
    val = tmp_path / "out" / "val"
    drawn = sorted(str(path.relative_to(val)) for path in val.rglob("*.jpg"))
    assert drawn == ["a/1.jpg", "a/2.jpg", "a/6.jpg", "b/0.jpg", "b/2.jpg", "b/9.jpg"]


def test_sets_and_tracks_of_scenes_are_written_for_a_comparison(tmp_path: Path) -> None:
    videos, tracks = tmp_path / "videos", tmp_path / "tracks.json"
    steps = dict(
        scenes=dict(out=str(videos), images=5, size=32, sequences=2),
        tracks=dict(out=str(tracks), sequences=str(videos / "sequences/train")),
    )
    prepare(steps)
    before = tracks.read_bytes()
    prepare(steps)
    assert tracks.read_bytes() == before and b'"video": "seq_0000"' in before
    with pytest.raises(PlanError, match="prepare tracks: .*holds no seq_"):
        prepare(dict(tracks=dict(out=str(tracks), sequences=str(tmp_path / "none"))))


def test_the_command_lists_and_makes_what_is_published(
    mirror: str,
    tmp_path: Path,
    run_tool: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_tool("prepare_data") == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if line[:3].strip() and line[0] == " "]
    assert listed == [*PUBLISHED, *FETCHED] and {"caltech101", "camvid", "pacs"} <= set(listed)
    options = ["--out", tmp_path / "real", "--mirror", mirror, "--held-back", 0.5]
    assert run_tool("prepare_data", "caltech101", "camvid", *options) == 0
    assert len(files(tmp_path / "real" / "caltech101" / "val")) == 10
    assert (tmp_path / "real" / "camvid" / "train" / "1.jpg").is_file()
    assert run_tool("prepare_data", "scenes", *options) == 2
    assert "unknown data set: 'scenes'" in capsys.readouterr().err
