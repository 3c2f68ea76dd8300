"""Raw values of masks: every format gives the same labels; what a mask may not hold is named with
the cure.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.data import SegmentationFolder
from benchmarks.data.label_maps import IGNORE, check_label_map, class_numbers, read_raw, value_table

RAW = np.array([[0, 1, 2], [255, 2, 1]], np.uint8)


def save_pgm(path: Path, raw: np.ndarray, largest: int) -> None:
    """Binary PGM with a comment; ``largest`` is what the header calls white."""
    head = f"P5\n# of a tool\n{raw.shape[1]} {raw.shape[0]}\n{largest}\n".encode()
    path.write_bytes(head + raw.astype(">u2" if largest > 255 else "u1").tobytes())


WRITERS: dict[str, Callable[[Path], None]] = {
    "grey.png": lambda p: Image.fromarray(RAW).save(p),
    "palette.png": lambda p: _palette(p),
    "sixteen.png": lambda p: Image.fromarray(RAW.astype(np.uint16)).save(p),
    "signed.tif": lambda p: Image.fromarray(RAW.astype(np.int32)).save(p),
    "float.tif": lambda p: Image.fromarray(RAW.astype(np.float32)).save(p),
    "a.bmp": lambda p: Image.fromarray(RAW).save(p),
    "full.pgm": lambda p: save_pgm(p, RAW, 255),
    "wide.pgm": lambda p: save_pgm(p, RAW, 300),  # Pillow would stretch 300 to 65535
    "a.npy": lambda p: np.save(p, RAW.astype(np.int64)),
    "axis.npy": lambda p: np.save(p, RAW[None].astype(np.float64)),
}


def _palette(path: Path) -> None:
    image = Image.fromarray(RAW)
    image.putpalette([255 - i // 3 for i in range(768)])
    image.save(path)


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_labels(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    labels = class_numbers(tmp_path / name, value_table((0, 1, 2), (255,)), advice="")
    assert labels.dtype == np.int16 and labels.tolist() == [[0, 1, 2], [IGNORE, 2, 1]]


def test_values_outside_the_table_are_no_class(tmp_path: Path) -> None:
    """Before, -1 counted as 0 and 70,000 as 65,535."""
    table = value_table((0, 1), (65_535,))
    for value in (-1, 70_000, 2_000_000_000):
        np.save(tmp_path / "a.npy", np.array([[0, value]]))
        with pytest.raises(
            ValueError, match=rf"a\.npy holds the values \[{value}\], which are neither a class"
        ):
            class_numbers(tmp_path / "a.npy", table, advice="x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.array([[0.5, 1]]), "holds fractions or NaN"),
        (np.array([[np.nan, 1]]), "holds fractions or NaN"),
        (np.array([[np.inf, 1]]), "holds fractions or NaN"),
        (
            np.zeros((2, 2, 3)),
            r"holds \(2, 2, 3\) values of float64; expected are \(height, width\) numbers",
        ),
        (np.array([["a"]]), "expected are .* numbers"),
        (np.array([[None]]), "not readable as a mask"),
    ],
)
def test_arrays_that_are_no_mask(content: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", content)
    with pytest.raises(ValueError, match=rf"a\.npy:? .*{message}|a\.npy {message}"):
        class_numbers(tmp_path / "a.npy", value_table((0, 1)), advice="")


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\x89PNG\r\n\x1a\n123", b"P5 3 2 255\n12", b"\0" * 100]
)
def test_broken_files_are_one_sentence(content: bytes, tmp_path: Path) -> None:
    for name in ("a.png", "a.npy", "a.pgm"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: not readable as a mask \(.+\)"):
            read_raw(tmp_path / name)


def test_a_mask_over_the_limit_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(tmp_path / "a.png")
    save_pgm(tmp_path / "a.pgm", np.zeros((40, 40)), 100)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(
        ValueError, match=r"a\.png: not readable as a mask \(.*exceeds limit of 200 pixels"
    ):
        read_raw(tmp_path / "a.png")
    monkeypatch.setattr("benchmarks.data.label_maps.MAX_PIXELS", 100)
    with pytest.raises(ValueError, match=r"a\.pgm has 40 x 40 pixels, more than the limit of 100"):
        read_raw(tmp_path / "a.pgm")


def test_one_map_is_checked_without_a_data_set(tmp_path: Path) -> None:
    mask, image = tmp_path / "m.png", tmp_path / "i.jpg"
    Image.fromarray(RAW).save(mask)
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(image)
    check_label_map(mask, values=(0, 1, 2, 255), image=image)
    with pytest.raises(
        ValueError,
        match=r"m\.png holds the values \[255\], which are neither .*; remap to 0,1,2,255",
    ):
        check_label_map(mask, values=range(3), advice="remap to {values}")
    Image.fromarray(np.zeros((2, 4, 3), np.uint8)).save(image)
    with pytest.raises(ValueError, match=r"m\.png is 3x2 pixels, its image .* is 4x2"):
        check_label_map(mask, values=(0, 1, 2, 255), image=image)
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(mask)
    with pytest.raises(ValueError, match=r"m\.png is a RGB image; a mask must be one channel"):
        check_label_map(mask, values=(0,))
    image.write_bytes(b"x")
    Image.fromarray(RAW).save(mask)
    with pytest.raises(ValueError, match=r"i\.jpg: "):
        check_label_map(mask, values=(0, 1, 2, 255), image=image)


def make(
    root: Path, masks: dict[str, np.ndarray], *, size: tuple[int, int] = (4, 6), **options: Any
) -> Any:
    """One image and mask per part, opened as a plain layout."""
    for number, (part, mask) in enumerate(masks.items()):
        for kind in ("img", "lab"):
            (root / kind / part).mkdir(parents=True, exist_ok=True)
        pixels = np.full((*size, 3), 10 + 50 * number, np.uint8)
        Image.fromarray(pixels).save(root / "img" / part / "a.png")
        Image.fromarray(mask.astype(np.uint8)).save(root / "lab" / part / "a.png")
    return SegmentationFolder(root, "plain", images="img/{split}", masks="lab/{split}", **options)


def grey(*values: int) -> np.ndarray:
    """A mask of 4 x 6 pixels that holds these values."""
    return np.resize(np.array(values), (4, 6))


@pytest.mark.parametrize("values", [(0, 255), (0, 128, 255)])
def test_masks_of_grey_levels(values: tuple[int, ...], tmp_path: Path) -> None:
    masks = {"train": grey(*values), "val": grey(*values)}
    text = ",".join(map(str, values))
    with pytest.raises(
        ValueError, match=f"holds the values .*255.* write values={text} instead of classes="
    ):
        make(tmp_path, masks, classes=len(values))
    data = make(tmp_path, masks, values=values)  # as the message says
    assert data.classes == len(values) and data.class_names == tuple(map(str, range(len(values))))
    assert sorted(set(data.val.load(0)[1].ravel().tolist())) == list(range(len(values)))
    assert data.protocol["values"] == values
    one = make(tmp_path, masks, values=values[:-1], ignore=255).val.load(0)[1]
    assert (one == IGNORE).sum() == (masks["val"] == 255).sum()


def test_layouts_of_others_are_pointed_at_plain(tmp_path: Path) -> None:
    make(tmp_path / "camvid", dict(train=grey(0, 255), val=grey(0, 255)), values=(0, 255))
    for part in ("train", "val"):
        (tmp_path / "camvid/img" / part).rename(tmp_path / "camvid" / part)
        (tmp_path / "camvid/lab" / part).rename(tmp_path / "camvid" / f"{part}annot")
    with pytest.raises(
        ValueError, match="is layout= the right one.*layout='plain' .* values=0,255"
    ):
        SegmentationFolder(tmp_path / "camvid", "camvid")


def test_classes_that_never_occur_are_told_once(tmp_path: Path) -> None:
    """Masks of 0 and 255 with ignore=255: class 1 never occurs, and the mean IoU of any network is
    100.
    """
    masks = dict(train=grey(0, 255), val=grey(0, 255))
    with pytest.warns(
        UserWarning, match=r"1 of 2 classes occur in none of the 1 masks, .*a\.png: 1\. Nothing"
    ):
        data = make(tmp_path, masks, classes=2, ignore=255)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(data.val.batches((4, 4), 1))
        make(tmp_path, masks, values=(0, 255))


def test_a_single_class_is_told(tmp_path: Path) -> None:
    masks = dict(train=grey(0, 255), val=grey(0, 255))
    with pytest.warns(UserWarning, match="one class, so any network scores 100 %"):
        make(tmp_path, masks, classes=1, ignore=255)


def test_masks_of_another_size_than_their_image(tmp_path: Path) -> None:
    masks = dict(train=grey(0, 1), val=grey(0, 1))
    with pytest.raises(
        ValueError, match=r"is 6x4 pixels, its image .* is 12x8; .* given it by resize_masks=True"
    ):
        make(tmp_path, masks, size=(8, 12), classes=2)
    data = make(tmp_path, masks, size=(8, 12), classes=2, resize_masks=True)
    image, labels = data.val.load(0)
    assert image.shape[:2] == labels.shape == (8, 12)
    assert (labels == masks["val"].repeat(2, 0).repeat(2, 1)).all()
    assert data.protocol["resize_masks"] is True
    assert "resize_masks" not in make(tmp_path, masks, size=(4, 6), classes=2).protocol
    with pytest.raises(
        ValueError, match=r"is 6x4 pixels, its image .* is 8x12; .* must have its image's size$"
    ):
        make(tmp_path, masks, size=(12, 8), classes=2, resize_masks=True)  # lies across it


def test_a_part_in_which_nothing_counts_is_refused(tmp_path: Path) -> None:
    for part in ("train", "val"):
        masks = dict(train=grey(0, 1), val=grey(0, 1)) | {part: grey(255)}
        with pytest.raises(
            ValueError,
            match=rf"no pixel is labelled: all masks of the {part} part \(1, the first of",
        ):
            make(tmp_path / part, masks, classes=2, ignore=255)
