"""Label maps, polygons and instances agree with what was drawn."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from pretrain.data.scenes import CLASSES, GROUND, IGNORE
from pretrain.data.scenes.annotations import find_instances
from pretrain.data.scenes.layout import (
    sample_scene,
    scene_rng,
    surface_at,
)
from pretrain.data.scenes.render import render_frame

IMAGES, SIZE, SEED, SEQUENCES = 70, 96, 3, 3


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def drawn(split: str, index: int, seed: int = SEED):
    scene = sample_scene(scene_rng(seed, split, "image", index))
    return scene, render_frame(scene, 0, SIZE)


def test_files_have_the_modes_and_sizes_of_their_layouts(scenes: Path):
    for split in ("train", "val"):
        names = {p.stem for p in (scenes / "images" / split).iterdir()}
        for folder, mode in (("images", "RGB"), ("annotations", "L"), ("depth", "I;16")):
            files = list((scenes / folder / split).iterdir())
            assert {p.stem for p in files} == names
            for path in files:
                with Image.open(path) as picture:
                    assert (picture.mode, picture.size) == (mode, (SIZE, SIZE))
        assert sorted(p.name for p in (scenes / "crops" / split).iterdir()) == sorted(
            c.name for c in CLASSES
        )
        for path in (scenes / "crops" / split).rglob("*.jpg"):
            assert Image.open(path).size == (SIZE, SIZE)


def test_label_maps_hold_all_classes_and_few_ignored_pixels(scenes: Path):
    labels = np.stack([read(p) for p in (scenes / "annotations" / "train").iterdir()])
    share = np.bincount(labels.ravel(), minlength=GROUND + 1) / labels.size
    assert len(share) == GROUND + 1
    assert 0 < share[IGNORE] < 0.03
    assert 0.35 < share[GROUND] < 0.7
    assert share[1:GROUND].min() > 0.02


def test_coco_polygons_agree_with_the_label_maps(scenes: Path):
    coco = COCO(scenes / "instances_val.json")
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == [c.name for c in CLASSES]
    overlaps = []
    for image in coco.loadImgs(coco.getImgIds()):
        labels = read(scenes / "annotations" / "val" / image["file_name"].replace(".jpg", ".png"))
        assert labels.shape == (image["height"], image["width"])
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        # Classes are drawn without repetition, so a class of the label map is one object.
        assert {a["category_id"] for a in annotations} == set(np.unique(labels)) - {IGNORE, GROUND}
        for a in annotations:
            mask, truth = coco.annToMask(a).astype(bool), labels == a["category_id"]
            known = labels != IGNORE
            overlaps.append((mask & truth & known).sum() / ((mask | truth) & known).sum())
            assert a["iscrowd"] == 0
            assert a["area"] == pytest.approx(mask.sum(), rel=0.1, abs=6)
            rows, columns = np.nonzero(mask)
            x, y, width, height = a["bbox"]
            drawn_box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            beyond = np.array([x, y, x + width, y + height]) - drawn_box
            outward = beyond * [-1, -1, 1, 1]
            # Tips of stars and triangles that are thinner than a pixel are in the box and not in
            # the mask.
            assert outward.min() > -1 and outward.max() < 3
    assert len(overlaps) > 50
    assert min(overlaps) > 0.9 and np.mean(overlaps) > 0.97


def test_visible_parts_have_no_holes():
    for index in range(30):
        scene, frame = drawn("train", index)
        for instance in find_instances(scene, frame):
            mask = (frame.samples == instance.number).astype(np.uint8)
            contours, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
            holes = [c for c, node in zip(contours, tree[0], strict=True) if node[3] >= 0]
            assert sum(map(cv2.contourArea, holes)) < 9  # one pixel


def test_drawn_instances_are_those_of_the_geometry():
    scene = sample_scene(scene_rng(0, "val", "sequence", 1), moving=True)
    at = (np.arange(SIZE) + 0.5) / SIZE
    grid = np.stack(np.meshgrid(at, at), -1)
    for frame in (0, 4):
        picture = render_frame(scene, frame, SIZE)
        clear = ~picture.mixed
        assert (picture.instances == surface_at(scene, frame, grid))[clear].mean() > 0.999
