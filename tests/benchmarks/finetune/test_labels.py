"""Fractions are balanced and seeded; lists are read in every published form; mistakes are named."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data import ClassFolder
from benchmarks.finetune.labels import Labels, balanced, choose_labels, read_list
from pretrain.data import FileList


def test_every_class_gives_its_share_and_at_least_one() -> None:
    labels = np.repeat(np.arange(5), [1300, 732, 40, 3, 1])
    for fraction in (0.01, 0.1, 0.5):
        found = np.bincount(labels[balanced(labels, fraction, 0)], minlength=5)
        assert found.tolist() == [max(1, round(fraction * n)) for n in (1300, 732, 40, 3, 1)]
    assert np.array_equal(balanced(labels, 1.0, 0), np.arange(len(labels)))


def test_seeded_and_nested() -> None:
    labels = np.repeat(np.arange(4), 100)
    small, large = balanced(labels, 0.1, 3), balanced(labels, 0.4, 3)
    assert np.array_equal(small, balanced(labels, 0.1, 3)) and set(small) < set(large)
    assert not np.array_equal(small, balanced(labels, 0.1, 4))
    positions = [tuple(part % 100) for part in np.split(small, 4)]
    assert len(set(positions)) == 4  # classes are drawn independently


def test_draws_are_uniform() -> None:
    labels = np.zeros(10, np.int64)
    counts = sum(np.bincount(balanced(labels, 0.3, seed), minlength=10) for seed in range(2000))
    assert counts.sum() == 6000 and abs(counts - 600).max() < 5 * np.sqrt(2000 * 0.3 * 0.7)


def test_the_list_written_is_a_source_and_can_be_read_back(
    split_folder: Path, tmp_path: Path
) -> None:
    data = ClassFolder(split_folder)
    labels = choose_labels(data, fraction=0.25, seed=1)
    path = labels.write(tmp_path)
    source = FileList(path, root=split_folder)
    assert len(source) == 6 and [source.label(i) for i in range(6)] == [0, 0, 1, 1, 2, 2] == list(
        labels.numbers
    )
    assert all(data.class_names[source.label(i)] in source.name(i) for i in range(6))
    again = choose_labels(data, file=path)
    assert (again.names, again.fingerprint) == (labels.names, labels.fingerprint)
    assert labels.protocol == dict(
        fraction=0.25, fraction_seed=1, images=6, list=labels.fingerprint
    )
    whole = choose_labels(data)
    assert (
        whole.protocol == dict(images=24, list=whole.fingerprint)
        and whole.fingerprint != labels.fingerprint
    )


def test_held_back_images_are_not_in_the_list(image_folder: Path) -> None:
    data = ClassFolder(image_folder)
    names = choose_labels(data).names
    held = {data.val.name(i)[len(str(image_folder)) + 1 :] for i in range(len(data.val))}
    assert len(names) == len(data.train) and not held & set(names)


@pytest.mark.parametrize(
    "form",
    [
        "train/red/red_3.jpg",
        "red/red_3.jpg",
        "red_3.jpg",
        "red_3",
        "red/red_3",
        "red_3.jpg\tanything",
    ],
)
def test_published_forms_of_a_line(split_folder: Path, tmp_path: Path, form: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"blue_0.jpg\n\n{form}\n")
    assert choose_labels(ClassFolder(split_folder), file=path).names == (
        "train/blue/blue_0.jpg",
        "train/red/red_3.jpg",
    )


NAMES = ["train/a/1.jpg", "train/a/2.jpg", "train/b/1.jpg", "train/c/7.jpg", "train/c/7.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("3.jpg\na/1.jpg\n", r"1 of 2 lines name no training image \(3.jpg\)"),
        ("1.jpg\n", "fits 2 training images, 'train/a/1.jpg', 'train/b/1.jpg'; write class folder"),
        (
            "c/7\n",
            "fits 2 training images, 'train/c/7.jpg', 'train/c/7.png'; write class folder and "
            "extension",
        ),
        (
            "a/1.jpg,0\na/2.jpg,1\n",
            "2 of 2 lines name no training image .* a comma separates nothing",
        ),
        ("a/1.jpg\ntrain/a/1.jpg\n", "'train/a/1.jpg' is listed 2 times"),
    ],
)
def test_mistakes_in_lists(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_list(tmp_path / "list.txt", NAMES)


def test_byte_order_mark_and_names_that_are_not_utf8(tmp_path: Path) -> None:
    odd = os.fsdecode(b"train/b/caf\xe9.jpg")
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa/1.jpg\r\nb/caf\xe9.jpg\r\n")
    assert read_list(tmp_path / "list.txt", [*NAMES, odd]).tolist() == [0, 5]
    labels = Labels((NAMES[0], odd), (0, 1), {})
    assert b"train/b/caf\xe9.jpg\t1\n" in labels.write(tmp_path).read_bytes()


@pytest.mark.parametrize("name", ["a/1.jpg ", "a/1\n.jpg"])
def test_names_that_no_list_can_hold(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot hold a name with a line end or outer blanks"):
        Labels((name, "b/1.jpg"), (0, 1), {}).write(tmp_path)


def test_mistakes_in_the_choice(split_folder: Path, tmp_path: Path) -> None:
    data = ClassFolder(split_folder)
    for fraction in (0, 1.5, -0.1):
        with pytest.raises(ValueError, match=r"fraction=.*above 0 and at most 1"):
            choose_labels(data, fraction=fraction)
    with pytest.raises(ValueError, match="seed=-1"):
        choose_labels(data, fraction=0.5, seed=-1)
    with pytest.raises(FileNotFoundError, match="nowhere.txt"):
        choose_labels(data, file=tmp_path / "nowhere.txt")
    with pytest.raises(ValueError, match="give one of the two"):
        choose_labels(data, fraction=0.5, file=tmp_path / "x")
    (tmp_path / "one.txt").write_text("red_1.jpg\nred_2.jpg\n")
    with pytest.raises(ValueError, match="2 labelled images of one class"):
        choose_labels(data, file=tmp_path / "one.txt")
