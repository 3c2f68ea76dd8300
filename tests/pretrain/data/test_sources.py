"""Sources: order, labels, and what they say when there is nothing to read."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
from mmengine.registry import DATASETS

from pretrain.data.sources import (
    NO_LABEL,
    CocoImages,
    FileList,
    FileNames,
    ImageFolder,
    Source,
    SourceError,
)


def make_files(root: Path, *names: str) -> Path:
    """Files whose content is their own name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def names(source: Source, root: Path) -> list[str]:
    return [os.path.relpath(source.name(i), root) for i in range(len(source))]


# ---- ImageFolder


def test_flat_folder_is_sorted_and_unlabelled(tmp_path: Path) -> None:
    make_files(tmp_path, "b.jpg", "a.PNG", "c.jpeg", "10.jpg", "9.jpg", "sub/d.jpg", "e/f.jpg")
    make_files(tmp_path, "notes.txt", ".hidden.jpg", ".cache/g.jpg")
    source = DATASETS.build(dict(type="ImageFolder", root=str(tmp_path)))
    assert names(source, tmp_path) == [
        "10.jpg",
        "9.jpg",
        "a.PNG",
        "b.jpg",
        "c.jpeg",
        "e/f.jpg",
        "sub/d.jpg",
    ]
    assert source.classes is None and source.label(0) is None
    assert source.read(3) == b"b.jpg"
    assert isinstance(source, Source)


def test_class_per_folder(tmp_path: Path) -> None:
    make_files(
        tmp_path, "dog/2.jpg", "dog/deep/1.jpg", "cat/x.jpg", "empty/readme.txt", ".cache/y.jpg"
    )
    source = ImageFolder(tmp_path)
    assert source.classes == ("cat", "dog")
    assert [(n, source.label(i)) for i, n in enumerate(names(source, tmp_path))] == [
        ("cat/x.jpg", 0),
        ("dog/2.jpg", 1),
        ("dog/deep/1.jpg", 1),
    ]
    assert ImageFolder(tmp_path, labels=False).classes is None


def test_one_folder_is_no_class(tmp_path: Path) -> None:
    source = ImageFolder(make_files(tmp_path, "train2017/1.jpg", "train2017/2.jpg"))
    assert source.classes is None and source.label(0) is None and len(source) == 2


def test_extensions(tmp_path: Path) -> None:
    make_files(tmp_path, "a.jpg", "b.raw")
    assert names(ImageFolder(tmp_path, extensions=[".RAW"]), tmp_path) == ["b.raw"]
    for wrong in ("jpg", ["jpg"]):
        with pytest.raises(SourceError, match="extensions="):
            ImageFolder(tmp_path, extensions=wrong)


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    make_files(tmp_path / "store", "x/1.jpg")
    make_files(tmp_path / "root", "y/2.jpg")
    (tmp_path / "root" / "x").symlink_to(tmp_path / "store" / "x")
    (tmp_path / "root" / "y" / "up").symlink_to(tmp_path / "root")
    source = ImageFolder(tmp_path / "root")
    assert {"x/1.jpg", "y/2.jpg"} <= set(names(source, tmp_path / "root"))
    assert len(source) == 2


@pytest.mark.parametrize("content", [(), ("notes.txt", "a/labels.npy", "plain")])
def test_folder_without_images(tmp_path: Path, content: tuple[str, ...]) -> None:
    make_files(tmp_path, *content)
    with pytest.raises(SourceError) as caught:
        ImageFolder(tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message and ".jpg" in message and "source.root" in message
    assert ("3 other files (.npy, .txt, no extension)" if content else "no file at all") in message


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_root_that_is_no_folder(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "images"
    if kind == "file":
        root.write_text("")
    for make in (
        lambda: ImageFolder(root),
        lambda: FileList(make_files(tmp_path, "l.txt") / "l.txt", root=root),
        lambda: CocoImages(tmp_path / "c.json", root=root),
    ):
        with pytest.raises(
            SourceError, match="is a file" if kind == "file" else "does not exist"
        ) as caught:
            make()
        assert str(root) in str(caught.value)


def test_names_survive_pickling_and_odd_bytes(tmp_path: Path) -> None:
    odd = [os.fsdecode(b"caf\xe9.jpg"), "ünï.jpg", "a b\tc.jpg"]  # the first is not valid UTF-8
    make_files(tmp_path, "plain.jpg")
    try:
        for name in odd:
            (tmp_path / name).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system refuses such names")
    source = pickle.loads(pickle.dumps(ImageFolder(tmp_path)))
    assert set(names(source, tmp_path)) == {"plain.jpg", *odd}
    assert all(source.read(i) for i in range(4))


def test_file_names_out_of_range() -> None:
    listed = FileNames(["a", "", "ccc"])
    assert [listed[i] for i in range(3)] == ["a", "", "ccc"]
    for index in (-1, 3):
        with pytest.raises(IndexError, match="legal are 0 to 2"):
            listed[index]


# ---- FileList


def test_file_list_keeps_its_order(tmp_path: Path) -> None:
    make_files(tmp_path, "b.jpg", "my dog.jpg", "sub/a.jpg")
    listing = tmp_path / "list.txt"
    listing.write_text("sub/a.jpg\n\nb.jpg\r\nmy dog.jpg\n")
    source = FileList(listing, root=tmp_path)
    assert names(source, tmp_path) == ["sub/a.jpg", "b.jpg", "my dog.jpg"]
    assert source.classes is None and source.label(1) is None
    listing.write_text(f"{tmp_path}/b.jpg\n")
    assert FileList(listing).read(0) == b"b.jpg"  # absolute paths need no root


def test_file_list_with_labels(tmp_path: Path) -> None:
    make_files(tmp_path, "b.jpg", "my dog.jpg")
    listing = tmp_path / "list.txt"
    listing.write_text("my dog.jpg 2\nb.jpg\t0\n")
    source = FileList(listing, root=tmp_path)
    assert names(source, tmp_path) == ["my dog.jpg", "b.jpg"]
    assert [source.label(i) for i in range(2)] == [2, 0] and source.classes == ("0", "1", "2")


def test_file_list_errors(tmp_path: Path) -> None:
    listing = make_files(tmp_path, "a.jpg") / "list.txt"
    with pytest.raises(SourceError, match="does not exist"):
        FileList(listing)
    with pytest.raises(SourceError, match="is a folder"):
        FileList(tmp_path)
    listing.write_text("\n \n")
    with pytest.raises(SourceError, match="is empty"):
        FileList(listing)
    listing.write_text("a.jpg 1\nb.jpg\n")
    with pytest.raises(SourceError, match="1 of 2 lines .* 'b.jpg'"):
        FileList(listing, root=tmp_path)
    listing.write_text("wrong/a.jpg\n")
    with pytest.raises(SourceError, match=r"wrong/a.jpg does not exist; set root"):
        FileList(listing, root=tmp_path)


def test_file_list_with_a_byte_order_mark_and_odd_bytes(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.jpg")
    make_files(tmp_path, "a.jpg")
    listing = tmp_path / "list.txt"
    listing.write_bytes(b"\xef\xbb\xbfa.jpg\r\ncaf\xe9.jpg\r\n")
    assert names(FileList(listing, root=tmp_path), tmp_path) == ["a.jpg", odd]
    listing.write_text("a.jpg\n", encoding="utf-16")
    with pytest.raises(SourceError, match="UTF-16"):
        FileList(listing, root=tmp_path)


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        (
            "a.jpg 0\nb.jpg 2000000000\n",
            "'b.jpg' has the label 2000000000; legal are .* 0 to 999999",
        ),
        (f"a.jpg {'9' * 5000}\n", "legal are the numbers of classes"),
        ("a.jpg 0\nb.jpg 1\na.jpg 2\n", "'a.jpg' has two labels, 0 and 2"),
        ("path,label\na.jpg,0\n", "a comma separates nothing: write a tab"),
        ("a.jpg,0\nb.jpg,1\n", "a comma separates nothing: write a tab"),
    ],
)
def test_lists_that_mean_something_else(tmp_path: Path, text: str, texts: str) -> None:
    make_files(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(SourceError, match=texts):
        FileList(tmp_path / "list.txt", root=tmp_path)


def test_an_image_may_be_listed_several_times(tmp_path: Path) -> None:
    make_files(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "list.txt").write_text("a.jpg 1\nb.jpg 0\na.jpg 1\n")
    assert [FileList(tmp_path / "list.txt", root=tmp_path).label(i) for i in range(3)] == [1, 0, 1]


# ---- CocoImages


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Three images listed out of order: one with several instances, one with a crowd only, one with
    nothing.
    """
    make_files(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg")
    content = dict(
        images=[
            dict(id=7, file_name="c.jpg"),
            dict(id=9, file_name="a.jpg"),
            dict(id=8, file_name="b.jpg"),
        ],
        categories=[dict(id=90, name="zebra"), dict(id=3, name="dog"), dict(id=5, name="cat")],
        annotations=[
            dict(id=1, image_id=9, category_id=3, area=10.0, bbox=[0, 0, 9, 9]),
            dict(id=2, image_id=9, category_id=90, area=30.0, bbox=[0, 0, 9, 9]),
            dict(
                id=3, image_id=9, category_id=5, bbox=[0, 0, 5, 6]
            ),  # area 30 by its box: a tie with zebra
            dict(id=4, image_id=7, category_id=3, area=99.0, iscrowd=1),
        ],
    )
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return path


def test_coco_is_sorted_by_file_name(coco: Path) -> None:
    source = CocoImages(coco, coco.parent / "images")
    assert names(source, coco.parent / "images") == ["a.jpg", "b.jpg", "c.jpg"]
    assert source.classes is None and source.label(0) is None


def test_coco_label_of_the_largest_instance(coco: Path) -> None:
    source = CocoImages(coco, coco.parent / "images", label="largest")
    assert source.classes == ("dog", "cat", "zebra")
    assert [source.label(i) for i in range(3)] == [1, NO_LABEL, NO_LABEL]


def test_coco_errors(coco: Path) -> None:
    images = coco.parent / "images"
    with pytest.raises(SourceError, match="label='biggest'; legal are None and 'largest'"):
        CocoImages(coco, images, label="biggest")
    with pytest.raises(SourceError, match="nothing.json does not exist"):
        CocoImages(coco.parent / "nothing.json", images)
    with pytest.raises(SourceError, match=r"a.jpg does not exist; set root"):
        CocoImages(coco, coco.parent)
    content = json.loads(coco.read_text())
    for change, texts in (
        (dict(images=[]), "lists no image"),
        (dict(images=[dict(id=1)]), "file_name"),
        (dict(categories=[]), "category_id 3, not in 'categories'"),
        (dict(categories=[dict(name="dog")]), "each of 'categories' needs id and name"),
        (
            dict(annotations=[dict(image_id=9, bbox=[0, 0, 9, 9])]),
            "needs image_id, category_id, and area or bbox",
        ),
        (dict(annotations=None), "no list 'annotations'"),
    ):
        coco.write_text(json.dumps(content | change))
        with pytest.raises(SourceError, match=texts):
            CocoImages(coco, images, label="largest")
    for text in ("{", "[]"):
        coco.write_text(text)
        with pytest.raises(SourceError, match="json"):
            CocoImages(coco, images)
