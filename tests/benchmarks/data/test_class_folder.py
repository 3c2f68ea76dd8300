"""Class folders: given and drawn splits."""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.data import ClassFolder
from benchmarks.data.class_parts import stratified_split
from benchmarks.data.loading import fingerprint
from pretrain.data import ImageFolder


def write_anew(source: str, target: str) -> None:
    """Copies an image with other bytes, since two parts may not share a file."""
    Image.open(source).save(target, quality=50)


def test_drawn_split_is_stratified_disjoint_and_seeded() -> None:
    labels = np.repeat(np.arange(4), [2, 5, 10, 40])
    kept, held = stratified_split(labels, 0.2, 0)
    assert np.bincount(labels[held]).tolist() == [1, 1, 2, 8]
    assert sorted([*kept, *held]) == list(range(57))
    assert np.array_equal(held, stratified_split(labels, 0.2, 0)[1])
    assert not np.array_equal(held, stratified_split(labels, 0.2, 1)[1])
    assert np.bincount(labels[stratified_split(labels, 0.99, 0)[0]]).tolist() == [
        1,
        1,
        1,
        1,
    ]  # one always stays
    with pytest.raises(ValueError, match="class 1 has one image"):
        stratified_split(np.array([0, 0, 1]), 0.5, 0)
    with pytest.raises(ValueError, match="class 'dog' has one image, of which no share"):
        stratified_split(np.array([0, 0, 1]), 0.5, 0, names=("cat", "dog"))
    with pytest.raises(ValueError, match="held_back=1"):
        stratified_split(labels, 1, 0)


def test_given_folders_are_taken(image_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(image_folder, tmp_path / "train")
    for name in ("green", "red"):  # val may lack a class; labels stay those of train
        shutil.copytree(image_folder / name, tmp_path / "val" / name, copy_function=write_anew)
    data = ClassFolder(tmp_path)
    assert (len(data.train), len(data.val), data.classes) == (24, 16, 3)
    assert data.val.labels.tolist() == [1] * 8 + [2] * 8
    assert "held_back" not in data.protocol
    shutil.copytree(image_folder / "red", tmp_path / "val" / "violet", copy_function=write_anew)
    with pytest.raises(ValueError, match=r"lacks: \['violet'\]"):
        ClassFolder(tmp_path)


def test_batches_and_errors(image_folder: Path, tmp_path: Path) -> None:
    data = ClassFolder(image_folder, every=(2, 1))
    batches = list(data.train.batches(16, 4, crop_fraction=0.875))
    assert [len(ids) for _, ids in batches] == [4, 4, 1] and batches[0][0].shape == (4, 3, 16, 16)
    with pytest.raises(ValueError, match=r"every=\(0, 1\) must be"):
        ClassFolder(image_folder, every=(0, 1))
    with pytest.raises(ValueError, match="no class folders"):
        ClassFolder(image_folder / "red")
    shutil.copytree(image_folder, tmp_path / "broken")
    (tmp_path / "broken" / "red" / "000.jpg").write_bytes(b"\xff\xd8\xff broken")
    broken = ClassFolder(tmp_path / "broken")
    with pytest.raises(ValueError, match=r"red/000\.jpg: "):
        for split in (broken.train, broken.val):
            list(split.batches(16, 4, crop_fraction=1.0))


@pytest.mark.parametrize(
    "parts", [("train", "test"), ("train", "Val"), ("train", "valid"), ("training", "validation")]
)
def test_parts_by_other_names_are_refused(
    image_folder: Path, tmp_path: Path, parts: tuple[str, str]
) -> None:
    shutil.copytree(image_folder, tmp_path / parts[0])
    shutil.copytree(image_folder, tmp_path / parts[1], copy_function=write_anew)
    with pytest.raises(ValueError, match="parts of a data set, not classes") as caught:
        ClassFolder(tmp_path)
    options = dict(train=parts[0], val=parts[1])
    assert f"?train={parts[0]}&val={parts[1]}" in str(caught.value)
    assert ("has a folder 'train' but no 'val'" in str(caught.value)) == (parts[0] == "train")
    data = ClassFolder(tmp_path, **options)  # as the message says
    assert data.classes == 3 and data.protocol["val"] == parts[1]


def test_a_named_part_that_is_missing(image_folder: Path, tmp_path: Path) -> None:
    """Before, the two class folders train and test would have been split by lot."""
    for part in ("train", "test"):
        shutil.copytree(image_folder, tmp_path / part)
    with pytest.raises(
        ValueError,
        match=r"no folder 'valid' \(train='train', val='valid'\); it holds 'test', 'train'",
    ):
        ClassFolder(tmp_path, val="valid")
    with pytest.raises(ValueError, match="all images of .* lie in one folder, 'train'"):
        shutil.rmtree(tmp_path / "test")
        ClassFolder(tmp_path)


def test_reasons_name_image_and_class(image_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(image_folder, tmp_path / "data")
    (tmp_path / "data" / "violet").mkdir()
    shutil.copy(image_folder / "red" / "000.jpg", tmp_path / "data" / "violet")
    with pytest.raises(ValueError, match="class 'violet' has one image"):
        ClassFolder(tmp_path / "data")
    shutil.copy(image_folder / "red" / "000.jpg", tmp_path / "data" / "cover.jpg")
    with pytest.raises(ValueError, match="no class folders.* 'cover.jpg'"):
        ClassFolder(tmp_path / "data")


def test_classes_that_every_leaves_without_train_images_are_told(image_folder: Path) -> None:
    with pytest.warns(
        UserWarning, match="2 of 3 classes have no train image with every=18: 'green', 'red'"
    ):
        assert set(ClassFolder(image_folder, every=(18, 1)).train.labels.tolist()) == {0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ClassFolder(image_folder, every=(2, 1))


def test_names_that_are_not_utf8(image_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(image_folder, tmp_path / "data")
    odd = os.fsdecode(b"caf\xe9.jpg")
    try:
        write_anew(str(image_folder / "red" / "000.jpg"), str(tmp_path / "data" / "red" / odd))
    except OSError:
        pytest.skip("this file system refuses such names")
    data = ClassFolder(tmp_path / "data")
    keys = [part.key(i) for part in (data.train, data.val) for i in range(len(part))]
    assert len(data.train) + len(data.val) == 25 and f"red/{odd}" in keys
    assert data.protocol["train_content"] != ClassFolder(image_folder).protocol["train_content"]


def test_fingerprints_of_other_names_stay() -> None:
    rows = [("a/ünï.jpg", "12"), ("b c.png", "7")]
    text = "a/ünï.jpg\t12\nb c.png\t7"
    assert fingerprint(rows) == hashlib.sha256(text.encode()).hexdigest()[:12]
    assert fingerprint([(os.fsdecode(b"\xe9"),)]) == hashlib.sha256(b"\xe9").hexdigest()[:12]


def test_order_and_content_keys_of_clean_folders_stay(tmp_path: Path) -> None:
    """Values of commit 3f8b577, before there was one rule for folders: protocol hashes of records
    depend on them.
    """
    names = (
        "b/2.jpg",
        "b/10.jpg",
        "a-b/1.png",
        "a/sub/0.jpg",
        "a/1.JPG",
        "a-b/é 2.jpg",
        "a/z.webp",
        "b/3.jpg",
    )
    for size, name in enumerate(names, 1):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    for extra in ("a/._1.JPG", "b/.DS_Store", "a/notes.txt"):  # neither then nor now
        (tmp_path / extra).write_bytes(b"x")
    data = ClassFolder(tmp_path)
    counts = dict(
        every=[1, 1], held_back=0.2, split_seed=0, classes=3, train_images=5, val_images=3
    )
    assert data.protocol == counts | dict(train_content="cf39ec069edd", val_content="b5852be07592")
    source = ImageFolder(tmp_path)
    order = [os.path.relpath(source.name(i), tmp_path) for i in range(8)]
    assert order == [names[i] for i in (2, 5, 4, 3, 6, 1, 0, 7)]
    assert [source.label(i) for i in range(8)] == [1, 1, 0, 0, 0, 2, 2, 2] and data.class_names == (
        "a",
        "a-b",
        "b",
    )
