"""Class folders: given and drawn splits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data import ClassFolder
from benchmarks.data.class_folder import stratified_split


def test_drawn_split_is_stratified_disjoint_and_seeded() -> None:
    labels = np.repeat(np.arange(4), [2, 5, 10, 40])
    kept, held = stratified_split(labels, 0.2, 0)
    assert np.bincount(labels[held]).tolist() == [1, 1, 2, 8]
    assert sorted([*kept, *held]) == list(range(57))
    assert np.array_equal(held, stratified_split(labels, 0.2, 0)[1])
    assert not np.array_equal(held, stratified_split(labels, 0.2, 1)[1])
    assert np.bincount(labels[stratified_split(labels, 0.99, 0)[0]]).tolist() == [1, 1, 1, 1]  # one always stays
    with pytest.raises(ValueError, match="class 1 has one image"):
        stratified_split(np.array([0, 0, 1]), 0.5, 0)
    with pytest.raises(ValueError, match="held_back=1"):
        stratified_split(labels, 1, 0)


def test_given_folders_are_taken(image_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(image_folder, tmp_path / "train")
    for name in ("green", "red"):  # val may lack a class; labels stay those of train
        shutil.copytree(image_folder / name, tmp_path / "val" / name)
    data = ClassFolder(tmp_path)
    assert (len(data.train), len(data.val), data.classes) == (24, 16, 3)
    assert data.val.labels.tolist() == [1] * 8 + [2] * 8
    assert "held_back" not in data.protocol
    shutil.copytree(image_folder / "red", tmp_path / "val" / "violet")
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
