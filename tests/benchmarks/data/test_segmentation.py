"""Layouts, pairing, label values, resizing, and errors that say what is wrong."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.data import SegmentationFolder
from benchmarks.data.coco_coarse import COARSE
from benchmarks.data.label_maps import IGNORE
from benchmarks.data.loading import centre_crop, resize_image, resize_mask
from benchmarks.data.pairs import RandomCrop


def put(path: Path, values: Any, palette: bool = False) -> None:
    """Writes an image: (h, w, 3) RGB, or a mask (h, w), as a palette image if told."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, np.uint8))
    if palette:
        image.putpalette(
            [255 - i // 3 for i in range(768)]
        )  # colours that do not reveal the indices
    image.save(path)


IMAGE = np.full((4, 4, 3), 90)
SHADE = {
    "train": 0,
    "training": 0,
    "train2017": 0,
}  # images of val are brighter: parts may not share one
# layout -> (image, mask, raw mask values, what they must become, C); {} is train or val
CASES = {
    "ade20k": ("images/{}/a.jpg", "annotations/{}/a.png", [0, 1, 2, 150], [IGNORE, 0, 1, 149], 150),
    "camvid": ("{}/a.jpg", "{}annot/a.png", [0, 3, 10, 11], [0, 3, 10, IGNORE], 11),
    "voc": (
        "JPEGImages/{}a.jpg",
        "SegmentationClass/{}a.png",
        [0, 1, 20, 255],
        [0, 1, 20, IGNORE],
        21,
    ),
    "coco-stuff": (
        "images/{}/a.jpg",
        "annotations/{}/a.png",
        [0, 12, 181, 255],
        [0, 11, 170, IGNORE],
        171,
    ),
    "coco-stuff-27": (
        "images/{}/a.jpg",
        "annotations/{}/a.png",
        [12, 91, 181, 255],
        [8, 17, 24, IGNORE],
        27,
    ),
    "cityscapes": (
        "leftImg8bit/{0}/ulm/ulm_0_{0}_leftImg8bit.png",
        "gtFine/{0}/ulm/ulm_0_{0}_gtFine_labelIds.png",
        [7, 33, 19, 29],
        [0, 18, 6, IGNORE],
        19,
    ),
    "scenes": ("images/{}/a.jpg", "annotations/{}/a.png", [0, 1, 2, 3], [IGNORE, 0, 1, 2], 3),
}
WORDS = {
    "ade20k": ("training", "validation"),
    "coco-stuff": ("train2017", "val2017"),
    "coco-stuff-27": ("train2017", "val2017"),
}


def make_layout(root: Path, layout: str) -> None:
    image, mask, raw, _, _ = CASES[layout]
    for word in WORDS.get(layout, ("train", "val")):
        put(root / image.format(word), IMAGE + SHADE.get(word, 20))
        put(root / mask.format(word), np.tile(raw, (4, 1)), palette=layout == "voc")
        if layout == "voc":
            listing = root / "ImageSets" / "Segmentation" / f"{word}.txt"
            listing.parent.mkdir(parents=True, exist_ok=True)
            listing.write_text(f"{word}a\n")
            put(root / "JPEGImages" / "unlabelled.jpg", IMAGE)  # VOC has many images without a mask
    if layout == "scenes":
        (root / "scenes.json").write_text(
            json.dumps({"labels": {"names": ["ignore", "disc", "star", "ground"]}})
        )


@pytest.mark.parametrize("layout", CASES)
def test_layouts(layout: str, tmp_path: Path) -> None:
    make_layout(tmp_path, layout)
    data = SegmentationFolder(tmp_path, layout)
    image, labels = data.val.load(0)
    assert image.shape == (4, 4, 3) and labels[0].tolist() == CASES[layout][3]
    assert (data.classes, len(data.train), len(data.val)) == (CASES[layout][4], 1, 1)
    assert len(data.class_names) == data.classes


def test_cityscapes_evaluates_19_of_34_numbers_from_all_cities(tmp_path: Path) -> None:
    make_layout(tmp_path, "cityscapes")
    put(tmp_path / "leftImg8bit/train/bonn/bonn_7_leftImg8bit.png", np.full((1, 34, 3), 90))
    put(tmp_path / "gtFine/train/bonn/bonn_7_gtFine_labelIds.png", np.arange(34)[None])
    for other in ("labelTrainIds", "color", "instanceIds"):  # lie beside, are no masks of ours
        put(tmp_path / f"gtFine/train/bonn/bonn_7_gtFine_{other}.png", np.zeros((1, 34)))
    data = SegmentationFolder(tmp_path, "cityscapes")
    assert [Path(data.train.name(i)).parent.name for i in range(2)] == ["bonn", "ulm"]
    labels = data.train.load(0)[1][0]
    # From the data set's own table of labels: the ids that it does not ignore in evaluation, by
    # train id.
    assert [int(np.flatnonzero(labels == c).item()) for c in range(19)] == [
        7,
        8,
        11,
        12,
        13,
        17,
        *range(19, 29),
        31,
        32,
        33,
    ]
    assert (labels == IGNORE).sum() == 15
    assert (data.class_names[0], data.class_names[13], data.class_names[18]) == (
        "road",
        "car",
        "bicycle",
    )


def test_converted_coco_masks_and_inner_folders(tmp_path: Path) -> None:
    for word in WORDS["coco-stuff"]:
        put(tmp_path / f"images/{word}/a.jpg", IMAGE + SHADE.get(word, 20))
        put(tmp_path / f"annotations/{word}/a_labelTrainIds.png", np.full((4, 4), 170))
    assert (SegmentationFolder(tmp_path, "coco-stuff").val.load(0)[1] == 170).all()
    coarse = SegmentationFolder(tmp_path, "coco-stuff-27")
    assert (coarse.val.load(0)[1] == 24).all() and coarse.classes == 27
    make_layout(tmp_path / "outer" / "seg_camvid", "camvid")
    assert len(SegmentationFolder(tmp_path / "outer", "camvid").train) == 1


def test_coarse_classes_of_coco() -> None:
    """Ranges of objects and single categories of stuff, from the published list."""
    expected = {0: 9, 1: 11, 8: 11, 9: 8, 14: 8, 15: 7, 24: 7, 25: 6, 32: 6, 33: 10, 42: 10}
    expected |= {43: 5, 50: 5, 51: 2, 60: 2, 61: 3, 70: 3, 71: 0, 76: 0, 77: 1, 82: 1, 83: 4, 90: 4}
    expected |= {91: 17, 93: 22, 100: 13, 119: 26, 169: 14, 170: 18, 176: 18, 177: 26, 181: 24}
    assert {category: COARSE[category] for category in expected} == expected
    assert len(COARSE) == 182 and set(COARSE) == set(range(27))


def test_kept_ignored_class(tmp_path: Path) -> None:
    make_layout(tmp_path, "ade20k")
    data = SegmentationFolder(tmp_path, "ade20k", keep_ignored=True)
    assert data.classes == data.val.classes == 151
    assert data.val.load(0)[1][0].tolist() == [150, 0, 1, 149]


def test_real_camvid(shared_data: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(shared_data / "seg_camvid.tar", tmp_path, filter="data")
    data = SegmentationFolder(tmp_path, "camvid", every=(50, 50))
    assert (len(data.train), len(data.val)) == (8, 3)
    batch = next(data.val.batches((48, 64), 2))
    assert batch.images.shape == (2, 3, 48, 64) and set(batch.masks.unique().tolist()) <= set(
        range(-1, 11)
    )


def test_batches_in_order_parts_and_passes(toy_data: Any) -> None:
    split = toy_data().train
    whole = list(split.batches((16, 16), 4))
    assert [b.ids for b in whole] == [[0, 1, 2, 3], [4, 5]]
    assert whole[0].images.dtype == torch.uint8 and whole[0].masks.dtype == torch.int16
    again = list(split.batches((16, 16), 4, part=(1, 2)))
    assert [b.ids for b in again] == [[4, 5]] and torch.equal(again[0].images, whole[1].images)
    crop = RandomCrop(seed=3)
    twice = list(split.batches((16, 16), 4, passes=2, crop=crop))
    assert [(b.ids[0], b.repeat) for b in twice] == [(0, 0), (0, 1), (4, 0), (4, 1)]
    assert not torch.equal(twice[0].images, twice[1].images)
    assert torch.equal(
        twice[2].images, next(split.batches((16, 16), 4, part=(1, 2), passes=2, crop=crop)).images
    )


def test_random_crops_stay_inside_and_use_their_range() -> None:
    crop = RandomCrop(seed=0)
    boxes = np.array([crop.box(60, 80, (0, i)) for i in range(300)])
    assert (
        (boxes[:, 0] + boxes[:, 2] <= 60).all()
        and (boxes[:, 1] + boxes[:, 3] <= 80).all()
        and (boxes >= 0).all()
    )
    area = boxes[:, 2] * boxes[:, 3] / 4800
    assert area.min() > 0.48 and area.max() <= 1 and area.std() > 0.1
    compat = RandomCrop(scale=(0.5, 2.0), seed=0)
    whole = sum(compat.box(60, 80, (0, i)) == (0, 0, 60, 80) for i in range(300))
    assert whole > sum(crop.box(60, 80, (0, i)) == (0, 0, 60, 80) for i in range(300))


def test_mask_resizing_takes_the_label_under_the_centre() -> None:
    mask = np.arange(6).reshape(1, 6)
    assert resize_mask(mask, (1, 3)).tolist() == [
        [1, 3, 5]
    ]  # centres at 1, 3, 5: the pixel starting there
    assert resize_mask(mask, (2, 12))[1].tolist() == np.repeat(np.arange(6), 2).tolist()
    assert resize_mask(mask, (1, 2)).tolist() == [[1, 4]]


def test_image_resizing_does_not_alias_and_keeps_position() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = resize_image(stripes, (8, 8))
    assert abs(int(small[..., 0].mean()) - 128) < 3 and small.std() < 12
    half = np.zeros((64, 64, 3), np.uint8)
    half[:, 32:] = 255
    assert (resize_image(half, (8, 8))[:, :3] < 20).all() and (
        resize_image(half, (8, 8))[:, 5:] > 235
    ).all()
    assert centre_crop(half, 32, 0.5).shape == (32, 32, 3)
    assert (centre_crop(half, 32, 0.5)[:, :15] == 0).all() and (
        centre_crop(half, 32, 0.5)[:, 17:] == 255
    ).all()


def crop_of_the_whole(
    image: np.ndarray, size: int, fraction: float, resample: Image.Resampling
) -> np.ndarray:
    """The whole image enlarged, then cut: what :func:`centre_crop` is to ordinary images, to the
    bit.
    """
    height, width = image.shape[:2]
    short = max(size, round(size / fraction))
    scale = short / min(height, width)
    height, width = max(short, round(height * scale)), max(short, round(width * scale))
    whole = np.asarray(Image.fromarray(image).resize((width, height), resample))
    top, left = (height - size) // 2, (width - size) // 2
    return whole[top : top + size, left : left + size]


@pytest.mark.parametrize(
    "resample", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS]
)
def test_long_images_are_cut_before_they_are_enlarged(
    resample: Image.Resampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for shape in ((50, 70), (70, 50), (64, 64), (9, 400), (400, 9), (1, 300), (301, 2), (300, 1)):
        image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        for size, fraction in ((32, 0.875), (33, 1.0), (16, 0.5)):
            expected = crop_of_the_whole(image, size, fraction, resample)
            monkeypatch.setattr("benchmarks.data.loading._MOST_PIXELS", 1 << 24)
            assert (
                centre_crop(image, size, fraction, resample=resample) == expected
            ).all()  # ordinary: to the bit
            monkeypatch.setattr("benchmarks.data.loading._MOST_PIXELS", 0)
            cut = centre_crop(image, size, fraction, resample=resample)
            assert np.abs(cut.astype(int) - expected).max() <= 1, (shape, size, fraction)


def test_a_row_of_pixels_takes_little_memory() -> None:
    """1 x 30,000 pixels: the enlarged whole would have 2 gigapixels."""
    row = np.zeros((1, 30_000, 3), np.uint8)
    row[:, 15_000:] = 255
    for image in (row, row.transpose(1, 0, 2)):
        tracemalloc.start()
        square = centre_crop(image, 224, 0.875)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert square.shape == (224, 224, 3) and peak < 10 << 20


def test_lists_of_names_choose_images_and_show_in_the_protocol(
    toy_data: Any, tmp_path: Path
) -> None:
    few = tmp_path / "few.txt"
    few.write_text("004\n001\n")
    chosen, whole = toy_data(names=(str(few), None)), toy_data()
    assert [Path(chosen.train.name(i)).stem for i in range(len(chosen.train))] == ["001", "004"]
    assert len(chosen.val) == len(whole.val)
    assert chosen.protocol["train_images"] == 2
    assert chosen.protocol["train_content"] != whole.protocol["train_content"]
    assert (
        chosen.protocol.keys() == whole.protocol.keys()
    )  # hashes of sets without lists stay what they were
    few.write_text("004\n077\n")
    with pytest.raises(
        ValueError, match=r"few.txt': 1 of its 2 names are not in split 'train': \['077'\]"
    ):
        toy_data(names=(str(few), None))
    few.write_text("")
    with pytest.raises(ValueError, match="at least one"):
        toy_data(names=(str(few), None))
    with pytest.raises(FileNotFoundError, match="no list nowhere.txt"):
        toy_data(names=(None, "nowhere.txt"))


def test_fingerprint_follows_content_not_place(
    toy_root: Path, toy_data: Any, tmp_path: Path
) -> None:
    options = dict(images="images/{split}", masks="masks/{split}", classes=3, ignore=255)
    shutil.copytree(toy_root, tmp_path / "copy")
    copied = SegmentationFolder(tmp_path / "copy", "plain", **options)
    assert copied.protocol == toy_data().protocol
    assert str(tmp_path) not in json.dumps(copied.protocol)
    put(tmp_path / "copy" / "masks" / "val" / "000.png", np.zeros((40, 48)))
    changed = SegmentationFolder(tmp_path / "copy", "plain", **options).protocol
    assert changed["val_content"] != copied.protocol["val_content"]
    assert changed["train_content"] == copied.protocol["train_content"]
    assert toy_data(every=(2, 1)).protocol != toy_data().protocol
    # The same files with other meanings are other data.
    other = toy_data(classes=None, values=(2, 1, 0)).protocol
    assert other != toy_data().protocol != toy_data(ignore=[255, 254]).protocol


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda r: (r / "valannot/a.png").unlink(),
            r"1 images .* and 0 masks .* 1 images without mask \['a'\]",
        ),
        (lambda r: put(r / "valannot/b.png", np.zeros((4, 4))), r"1 masks without image \['b'\]"),
        (
            lambda r: put(r / "valannot/a.png", np.full((4, 4), 77)),
            r"a\.png holds the values \[77\], which are",
        ),
        (
            lambda r: put(r / "valannot/a.png", np.zeros((4, 5))),
            r"a\.png is 5x4 pixels, its image .* is 4x4",
        ),
        (
            lambda r: put(r / "valannot/a.png", IMAGE),
            r"a\.png is a RGB image; a mask must be one channel",
        ),
        (lambda r: (r / "valannot/a.png").write_bytes(b"x"), "not readable as a mask"),
        (lambda r: (r / "val/a.jpg").write_bytes(b"x"), r"val/a\.jpg: "),
        (
            lambda r: shutil.rmtree(r / "valannot"),
            r"no folder .*valannot with the masks of split 'val'; .* holds ",
        ),
        (
            lambda r: [p.unlink() for p in (r / "val/a.jpg", r / "valannot/a.png")],
            "no image with a mask",
        ),
    ],
)
def test_errors_name_file_and_cure(change: Any, message: str, tmp_path: Path) -> None:
    make_layout(tmp_path, "camvid")
    change(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        SegmentationFolder(tmp_path, "camvid").val.load(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(layout="camvit"), "layout='camvit' is not one of .* did you mean 'camvid'"),
        (dict(layout="camvid", classes=3), r"options \['classes'\] belong to layout='plain'"),
        (dict(layout="plain", images="x"), r"needs .*; missing \['classes', 'masks'\]"),
        (dict(layout="scenes"), "scenes.json is missing"),
        (dict(layout="camvid", every=(0, 1)), r"every=\(0, 1\): must be"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        SegmentationFolder(tmp_path, **arguments)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"labels": {"names": null}}'])
def test_a_damaged_table_of_contents_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "scenes.json").write_text(text)
    with pytest.raises(ValueError, match="scenes.json (is not valid json|names no labels)"):
        SegmentationFolder(tmp_path, "scenes")


def test_a_home_folder_may_be_written_as_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_layout(tmp_path / "data", "camvid")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (
        SegmentationFolder("~/data", "camvid").protocol
        == SegmentationFolder(tmp_path / "data", "camvid").protocol
    )
