"""Toy data in the layouts of ADE20K, Cityscapes, VOC and COCO, and the transfer libraries or a
reason to skip.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from benchmarks.mm import libraries

SIZE = (96, 128)  # height, width of every toy image
SHADES = np.random.default_rng(7).integers(40, 216, (256, 3))  # colour of each label


@pytest.fixture(scope="session")
def transfer_libraries() -> None:
    """mmcv, mmsegmentation and mmdet, imported and registered; tests that use it are skipped where
    one is missing.
    """
    lacking = libraries.missing()
    if lacking:
        pytest.skip(f"{', '.join(lacking)} not installed: bash tools/setup.sh transfer")
    libraries.require()


def label_map(rng: np.random.Generator, classes: int) -> np.ndarray:
    """Returns blocks of 16 x 16 pixels, each of one of ``classes`` labels from 0, (H, W) uint8."""
    return np.kron(
        rng.integers(0, classes, (SIZE[0] // 16, SIZE[1] // 16)), np.ones((16, 16))
    ).astype(np.uint8)


def picture(rng: np.random.Generator, labels: np.ndarray) -> Image.Image:
    """Returns an image whose colours tell the labels (H, W), with noise."""
    noisy = SHADES[labels] + rng.integers(-20, 20, (*labels.shape, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def save(image: Image.Image, path: Path) -> None:
    """Writes an image, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def write_pairs(
    root: Path, images: str, labels: str, *, names: list[str], classes: int, seed: int
) -> None:
    """Writes an image and its label map for each name; ``images`` and ``labels`` are paths with a
    ``{}`` for it.
    """
    rng = np.random.default_rng(seed)
    for name in names:
        mask = label_map(rng, classes)
        save(picture(rng, mask), root / images.format(name))
        save(Image.fromarray(mask), root / labels.format(name))


@pytest.fixture(scope="session")
def ade_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ADE20K's layout: 6 training and 2 validation images, labels 0 (other) to 150."""
    root = tmp_path_factory.mktemp("ade20k")
    for split, count in (("training", 6), ("validation", 2)):
        names = [f"ADE_{split}_{index:08d}" for index in range(count)]
        places = f"images/{split}/{{}}.jpg", f"annotations/{split}/{{}}.png"
        write_pairs(root, *places, names=names, classes=151, seed=count)
    return root


@pytest.fixture(scope="session")
def cityscapes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cityscapes' layout with training ids: 6 training and 2 validation images of two cities,
    labels 0 to 18.
    """
    root = tmp_path_factory.mktemp("cityscapes")
    for split, city, count in (("train", "aachen", 6), ("val", "munster", 2)):
        names = [f"{city}_{index:06d}_000019" for index in range(count)]
        image, label = (
            f"leftImg8bit/{split}/{city}/{{}}_leftImg8bit.png",
            f"gtFine/{split}/{city}/{{}}",
        )
        write_pairs(
            root, image, f"{label}_gtFine_labelTrainIds.png", names=names, classes=19, seed=count
        )
    return root


@pytest.fixture(scope="session")
def voc_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``VOCdevkit``: 2007 and 2012, each with boxes (trainval and test); 2012 also with label maps,
    own and extra ones.

    3 images a list; label maps hold 0 to 20, boxes are of the classes dog and cat.
    """
    root = tmp_path_factory.mktemp("voc") / "VOCdevkit"
    for year in ("VOC2007", "VOC2012"):
        lists = {"trainval": 0, "test": 3, "train": 6, "aug": 9, "val": 12}
        for part, first in lists.items():
            names = [f"2008_{index:06d}" for index in range(first, first + 3)]
            folder = "SegmentationClassAug" if part == "aug" else "SegmentationClass"
            places = "JPEGImages/{}.jpg", f"{folder}/{{}}.png"
            write_pairs(root / year, *places, names=names, classes=21, seed=first)
            for kind in ("Main", "Segmentation"):
                listed = root / year / "ImageSets" / kind / f"{part}.txt"
                listed.parent.mkdir(parents=True, exist_ok=True)
                listed.write_text("\n".join(names) + "\n")
            for name in names:
                _write_voc_boxes(root / year / "Annotations" / f"{name}.xml", name)
    return root


def _write_voc_boxes(path: Path, name: str) -> None:
    """Two objects; the second is marked difficult."""
    tree = ElementTree.Element("annotation")
    size = ElementTree.SubElement(tree, "size")
    for tag, value in (("width", SIZE[1]), ("height", SIZE[0]), ("depth", 3)):
        ElementTree.SubElement(size, tag).text = str(value)
    ElementTree.SubElement(tree, "filename").text = f"{name}.jpg"
    for label, difficult, corners in (("dog", 0, (9, 9, 56, 72)), ("cat", 1, (65, 17, 120, 88))):
        thing = ElementTree.SubElement(tree, "object")
        ElementTree.SubElement(thing, "name").text = label
        ElementTree.SubElement(thing, "difficult").text = str(difficult)
        box = ElementTree.SubElement(thing, "bndbox")
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            ElementTree.SubElement(box, tag).text = str(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(tree).write(path)


@pytest.fixture(scope="session")
def coco_root(tmp_path_factory: pytest.TempPathFactory, transfer_libraries: None) -> Path:
    """COCO 2017's layout: 6 training and 2 validation images, all 80 categories listed, two objects
    in each image.
    """
    root = tmp_path_factory.mktemp("coco")
    for split, count in (("train2017", 6), ("val2017", 2)):
        rng = np.random.default_rng(count)
        content: dict[str, Any] = dict(images=[], annotations=[], categories=_coco_categories())
        for index in range(count):
            file, mask = f"{index:012d}.jpg", np.zeros(SIZE, np.uint8)
            content["images"].append(dict(id=index, file_name=file, height=SIZE[0], width=SIZE[1]))
            for category, (x, y, w, h) in ((1, (8, 8, 48, 64)), (18, (64, 16, 56, 72))):
                x, y = x + int(rng.integers(0, 8)), y + int(rng.integers(0, 8))
                mask[y : y + h, x : x + w] = category
                outline = [x, y, x + w, y, x + w, y + h, x, y + h]
                content["annotations"].append(
                    dict(
                        id=len(content["annotations"]) + 1,
                        image_id=index,
                        category_id=category,
                        bbox=[x, y, w, h],
                        area=w * h,
                        iscrowd=0,
                        segmentation=[outline],
                    )
                )
            save(picture(rng, mask), root / split / file)
        path = root / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return root


def _coco_categories() -> list[dict[str, Any]]:
    """COCO's 80 names with their numbers, which leave gaps (mmdet looks classes up by name)."""
    from mmdet.datasets import CocoDataset

    gaps = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    numbers = [number for number in range(1, 91) if number not in gaps]
    return [
        dict(id=n, name=name)
        for n, name in zip(numbers, CocoDataset.METAINFO["classes"], strict=True)
    ]
