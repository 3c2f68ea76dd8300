"""Pairs of an image and a label map: batches, what stays in memory, what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.data import pairs as pairs_module
from benchmarks.data.pairs import PairSplit, RandomCrop


class Greys(PairSplit):
    """Label maps that are grey images; white counts nowhere."""

    lacking, cure = "pixel is dark: all maps", "are white; check masks="
    resize_option = "resize_greys"

    def read_labels(self, path: Path) -> np.ndarray:
        return np.asarray(Image.open(path)).astype(np.int16)

    def counts(self, labels: np.ndarray) -> np.ndarray:
        return labels < 255


def write_pairs(root: Path, count: int, *, value: int = 7) -> list[tuple[Path, Path]]:
    """Images of 6 x 8 pixels; label map k is full of ``value`` + k."""
    pairs = []
    for number in range(count):
        image, mask = root / f"i{number}.png", root / f"m{number}.png"
        colours = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(colours).save(image)
        Image.fromarray(np.full((6, 8), value + number, np.uint8)).save(mask)
        pairs.append((image, mask))
    return pairs


def test_taken_pairs_come_in_the_order_asked_for(tmp_path: Path) -> None:
    split = Greys(write_pairs(tmp_path, 4), root=tmp_path)
    batch = split.take(np.array([2, 0, 2]), (3, 4))
    assert batch.ids == [2, 0, 2] and batch.repeat == 0
    assert batch.images.shape == (3, 3, 3, 4) and batch.images.dtype == torch.uint8
    assert batch.masks[:, 0, 0].tolist() == [9, 7, 9] and batch.masks.dtype == torch.int16
    assert torch.equal(batch.images[0], batch.images[2])
    whole = next(split.batches((3, 4), 4))
    assert torch.equal(whole.images[[2, 0]], batch.images[:2])


def test_small_parts_stay_in_memory_and_large_ones_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    class Counted(Greys):
        def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            reads.append(index)
            return super().load(index)

    split = Counted(write_pairs(tmp_path, 2), root=tmp_path)
    for _ in range(2):
        list(split.batches((6, 8), 2))
    assert sorted(reads) == [0, 1]
    list(split.batches((3, 4), 2))  # another size is read anew
    assert sorted(reads) == [0, 0, 1, 1]
    needed = 2 * 6 * 8 * (3 + Counted.label_bytes)
    for limit, expected in ((needed, 2), (needed - 1, 4)):
        monkeypatch.setattr(pairs_module, "CACHE_BYTES", limit)
        reads.clear()
        other = Counted(write_pairs(tmp_path, 2), root=tmp_path)
        for _ in range(2):
            list(other.batches((6, 8), 2))
        assert len(reads) == expected


def test_a_pass_with_crops_decodes_each_file_once(tmp_path: Path) -> None:
    split = Greys(write_pairs(tmp_path, 3), root=tmp_path)
    batches = list(split.batches((4, 4), 2, passes=3, crop=RandomCrop(seed=1)))
    assert [(batch.ids, batch.repeat) for batch in batches] == [
        *(([0, 1], repeat) for repeat in range(3)),
        *(([2], repeat) for repeat in range(3)),
    ]
    assert split.batch_count(2) == 2 and split.batch_count(3) == 1


def test_the_part_without_a_label_is_named(tmp_path: Path) -> None:
    split = Greys(write_pairs(tmp_path, 2, value=254), root=tmp_path)
    path, labels = split.require_labels("val")
    assert path.name == "m0.png" and (labels == 254).all()
    white = Greys(write_pairs(tmp_path, 1, value=255), root=tmp_path)
    message = r"no pixel is dark: all maps of the val part \(1, the first of .*i0\.png\) are white"
    with pytest.raises(ValueError, match=message):
        white.require_labels("val")


def test_maps_of_another_size_are_refused_or_resized_unless_they_lie_across(tmp_path: Path) -> None:
    (image, mask), *_ = write_pairs(tmp_path, 1)
    Image.fromarray(np.full((3, 4), 5, np.uint8)).save(mask)
    with pytest.raises(ValueError, match=r"is 4x3 pixels.*by resize_greys=True \(nearest label\)"):
        Greys([(image, mask)], root=tmp_path).load(0)
    resized = Greys([(image, mask)], root=tmp_path, resize_labels=True)
    assert (resized.load(0)[1] == np.full((6, 8), 5)).all()
    Image.fromarray(np.full((8, 6), 5, np.uint8)).save(mask)  # a turn that the image has not made
    with pytest.raises(ValueError, match=r"is 6x8 pixels.*image's size$"):
        resized.load(0)


def test_a_fingerprint_holds_names_below_the_root_and_sizes(tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    inside = write_pairs(root, 1)
    outside = write_pairs(tmp_path, 1)
    split = Greys([*inside, *outside], root=root)
    rows = []
    for (image, mask), name in zip([*inside, *outside], ("i0.png", "../i0.png"), strict=True):
        rows.append(f"{name}\t{image.stat().st_size}\t{mask.stat().st_size}")
    assert split.fingerprint == hashlib.sha256("\n".join(rows).encode()).hexdigest()[:12]


def test_a_crop_depends_on_seed_pass_and_image_alone() -> None:
    crop = RandomCrop(seed=4)
    assert crop.box(60, 80, (1, 7)) == RandomCrop(seed=4).box(60, 80, (1, 7))
    boxes = {crop.box(60, 80, key) for key in ((0, 7), (1, 7), (0, 8))}
    assert len(boxes | {RandomCrop(seed=5).box(60, 80, (0, 7))}) == 4
    assert RandomCrop(scale=(4.0, 4.0)).box(60, 80, (0, 0)) == (0, 0, 60, 80)  # ten tries that fail
