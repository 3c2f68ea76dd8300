"""Data that comparisons write for themselves."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from benchmarks.compare.names import PlanError
from benchmarks.compare.prepare import prepare
from benchmarks.data.prepare.for_comparison import (
    BACKGROUND,
    CALTECH,
    CAMVID,
    prepare_real,
    split_classes,
)


def write_archive(path: Path, names: list[str]) -> None:
    """Writes a tar whose files hold their own names."""
    with tarfile.open(path, "w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    """Two small archives in the layout of the real ones."""
    folder = tmp_path / "shared" / "data"
    folder.mkdir(parents=True)
    photos = [
        f"{CALTECH}/{c}/image_{i:04d}.jpg" for c in ("ant", "bass", BACKGROUND) for i in range(10)
    ]
    write_archive(folder / f"{CALTECH}.tar", photos)
    write_archive(folder / f"{CAMVID}.tar", [f"{CAMVID}/train/1.jpg", f"{CAMVID}/trainannot/1.png"])
    return folder


def files(folder: Path) -> set[str]:
    """Paths of all files below a folder."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_real_photos_are_unpacked_and_split_without_overlap(archives: Path, tmp_path: Path) -> None:
    prepare_real(out=str(tmp_path / "real"), archives=str(archives), held_back=0.2)
    train, val = files(tmp_path / "real/caltech101/train"), files(tmp_path / "real/caltech101/val")
    assert len(train) == 16 and len(val) == 4 and not train & val
    assert (
        {name.split("/")[0] for name in train}
        == {name.split("/")[0] for name in val}
        == {"ant", "bass"}
    )
    assert files(tmp_path / "real/camvid") == {"train/1.jpg", "trainannot/1.png"}
    prepare_real(out=str(tmp_path / "again"), archives=str(archives), held_back=0.2)
    assert files(tmp_path / "again/caltech101/val") == val


def test_complete_data_is_left_alone_and_half_of_it_is_made_again(
    archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXELPRETEXT_SHARED", str(archives.parent))
    out = tmp_path / "real"
    prepare({"real": dict(out=str(out))})
    (out / "mine.txt").write_text("kept")
    prepare({"real": dict(out=str(out))})
    assert (out / "mine.txt").exists()
    (out / "complete.txt").unlink()
    prepare({"real": dict(out=str(out))})
    assert not (out / "mine.txt").exists() and (out / "complete.txt").exists()


def test_another_share_is_refused_and_not_taken_for_the_same_data(
    archives: Path, tmp_path: Path
) -> None:
    given = dict(out=str(tmp_path / "real"), archives=str(archives))
    prepare_real(**given, held_back=0.2)
    with pytest.raises(
        ValueError, match=r"16 train, 4 val \(held_back=0.2\).*, not held_back=0.4: delete it"
    ):
        prepare_real(**given, held_back=0.4)
    for share in (0, 1, 1.5):
        with pytest.raises(ValueError, match=f"held_back = {share} must lie between 0 and 1"):
            prepare_real(**given, held_back=share)


def test_missing_archives_name_the_place_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXELPRETEXT_SHARED", str(tmp_path / "nowhere"))
    with pytest.raises(PlanError, match=r"nowhere/data\. Set PIXELPRETEXT_SHARED"):
        prepare({"real": dict(out=str(tmp_path / "real"))})


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
