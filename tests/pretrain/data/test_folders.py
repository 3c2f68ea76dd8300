"""The one rule for folders: what is an image, what is left out, which folders are classes."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import pytest

from pretrain.data.folders import PartsError, SourceError, is_image, is_part, visible
from pretrain.data.frames import FramePairs
from pretrain.data.sources import ImageFolder


def make_files(root: Path, *names: str) -> Path:
    """Files whose content is their own name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def names(source: ImageFolder, root: Path) -> list[str]:
    return [os.path.relpath(source.name(i), root) for i in range(len(source))]


def test_dot_files_are_no_images(tmp_path: Path) -> None:
    assert is_image("a/x.PNG") and is_image(Path("x.jpg"))
    assert not is_image("a/._x.png") and not is_image(".x.jpg") and not is_image("x.txt")
    make_files(tmp_path, "cat/1.jpg", "cat/._1.jpg", "dog/2.jpg", "dog/.DS_Store", ".Trash/3.jpg")
    assert names(ImageFolder(tmp_path), tmp_path) == ["cat/1.jpg", "dog/2.jpg"]
    assert [path.name for path in visible((tmp_path / "cat").iterdir())] == ["1.jpg"]


def test_order_of_clean_folders_is_that_of_paths(tmp_path: Path) -> None:
    """Protocol hashes depend on it: sorted by the whole path, so "a-b" comes before "a/"."""
    make_files(tmp_path, "a/2.jpg", "a/10.jpg", "a-b/1.jpg", "B/1.jpg", "a/sub/0.jpg")
    order = ["B/1.jpg", "a-b/1.jpg", "a/10.jpg", "a/2.jpg", "a/sub/0.jpg"]
    assert names(ImageFolder(tmp_path), tmp_path) == order
    assert ImageFolder(tmp_path).classes == ("B", "a", "a-b")


@pytest.mark.parametrize("target", ["self", "missing", "."])
def test_links_that_lead_nowhere_or_to_themselves(tmp_path: Path, target: str) -> None:
    make_files(tmp_path, "a.jpg", "b/c.jpg")
    (tmp_path / "self").symlink_to(target)
    assert names(ImageFolder(tmp_path), tmp_path) == ["a.jpg", "b/c.jpg"]
    if target != ".":
        with pytest.raises(
            SourceError, match="root=.*self is a link to (self|missing), which leads nowhere"
        ):
            ImageFolder(tmp_path / "self")


def test_home_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``Path.expanduser`` would raise a RuntimeError."""
    monkeypatch.setenv("HOME", str(tmp_path))
    make_files(tmp_path, "photos/1.jpg")
    assert len(ImageFolder("~/photos")) == 1
    with pytest.raises(SourceError, match="root=~nobody-of-this-name/photos does not exist"):
        ImageFolder("~nobody-of-this-name/photos")


def test_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(
        SourceError, match=f"ImageFolder: folder {tmp_path} cannot be listed: Permission denied"
    ):
        ImageFolder(tmp_path)


@pytest.mark.parametrize(
    "name", ["train", "Val", "valid", "VALIDATION", "test", "training", "testing", "val2017"]
)
def test_words_for_parts(name: str) -> None:
    assert is_part(name)


@pytest.mark.parametrize(
    "name", ["trains", "dog", "valley", "contest", "train_station", "n01440764", "2017"]
)
def test_other_words(name: str) -> None:
    assert not is_part(name)


@pytest.mark.parametrize(
    "parts", [("train", "test"), ("Training", "valid"), ("train_set", "test_set")]
)
def test_parts_are_no_classes(tmp_path: Path, parts: tuple[str, str]) -> None:
    make_files(tmp_path, *(f"{part}/{name}/1.jpg" for part in parts for name in ("cat", "dog")))
    with pytest.raises(PartsError, match="parts of a data set, not classes") as caught:
        ImageFolder(tmp_path)
    assert f"source.root={tmp_path / parts[0]}" in str(
        caught.value
    ) and "source.labels=False" in str(caught.value)
    assert (
        caught.value.parts == tuple(sorted(parts)) == pickle.loads(pickle.dumps(caught.value)).parts
    )
    assert len(ImageFolder(tmp_path, labels=False)) == 4
    assert ImageFolder(tmp_path / parts[0]).classes == ("cat", "dog")


def test_a_part_beside_other_folders(tmp_path: Path) -> None:
    make_files(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "extra/1.jpg")
    with pytest.raises(PartsError, match="'train'"):
        ImageFolder(tmp_path)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    make_files(tmp_path, "train/1.jpg", "bus/1.jpg")
    assert ImageFolder(tmp_path).classes == ("bus", "train")


def test_why_there_are_no_classes(tmp_path: Path) -> None:
    make_files(tmp_path, "cat/1.jpg", "dog/1.jpg", "cover.jpg")
    assert ImageFolder(tmp_path).classes is None
    with pytest.raises(
        SourceError, match=r"labels=True, .* 1 of its images lies in .*, the first is 'cover.jpg'"
    ):
        ImageFolder(tmp_path, labels=True)
    assert ImageFolder(tmp_path, labels=True, exclude=["cover.jpg"]).classes == ("cat", "dog")
    with pytest.raises(SourceError, match="all images of .* lie in one folder, 'cat'"):
        ImageFolder(make_files(tmp_path / "one", "cat/1.jpg"), labels=True)
    with pytest.raises(SourceError, match="all 1 images lie in .*cat itself"):
        ImageFolder(tmp_path / "cat", labels=True)
    assert ImageFolder(tmp_path / "cat", labels=False).unlabelled == "labels=False"


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("masks", []),
        ("masks/", []),
        (["mask?"], []),
        (["*.png"], []),
        (["masks/*"], ["photos/masks/3.png"]),
        (["photos/masks"], ["masks/1.png", "masks/2.png"]),
    ],
)
def test_exclude(tmp_path: Path, exclude: str | list[str], left: list[str]) -> None:
    make_files(
        tmp_path, "photos/1.jpg", "photos/2.jpg", "masks/1.png", "masks/2.png", "photos/masks/3.png"
    )
    source = ImageFolder(tmp_path, labels=False, exclude=exclude)
    assert names(source, tmp_path) == sorted(["photos/1.jpg", "photos/2.jpg", *left])


def test_exclude_that_fits_nothing(tmp_path: Path) -> None:
    make_files(tmp_path, "photos/1.jpg", "masks/1.png")
    for make in (ImageFolder, FramePairs):
        with pytest.raises(
            SourceError, match=re.escape("exclude='mask' fits no file and no folder")
        ):
            make(tmp_path, exclude="mask")
        for wrong in ([3], [""], "/"):
            with pytest.raises(SourceError, match="legal are names and paths"):
                make(tmp_path, exclude=wrong)


def test_masks_beside_frames_are_no_video(tmp_path: Path) -> None:
    frames = [
        f"street/{kind}{i}.{end}"
        for kind, end in (("", "jpg"), ("masks/", "png"))
        for i in range(8)
    ]
    make_files(tmp_path, *frames)
    assert len(FramePairs(tmp_path, min_gap=1)) == 16
    source = FramePairs(tmp_path, min_gap=1, exclude=["masks"])
    assert [os.path.relpath(source.name(i), tmp_path) for i in range(8)] == frames[:8]
