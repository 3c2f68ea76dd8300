"""Small originals in the layouts of the real ones: scenes, and an archive of each real set."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pretrain.data.scenes import write_scenes

CELL = """<annotation><size><width>40</width><height>30</height></size>{}</annotation>"""
THING = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"
    "</bndbox></object>"
)


def image_bytes(pixels: np.ndarray, kind: str) -> bytes:
    """An encoded image of (h, w) or (h, w, 3) uint8 pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    """Writes a tar of these files."""
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def camvid() -> dict[str, bytes]:
    """Three train pairs and a val pair of 12 x 16 pixels; column x of a mask has the value x mod 12
    (11: void).
    """
    rng, mask = np.random.default_rng(0), np.tile(np.arange(16) % 12, (12, 1)).astype(np.uint8)
    files = {}
    for part, stem in (("train", "a"), ("train", "b"), ("train", "c"), ("val", "d")):
        files[f"seg_camvid/{part}/{stem}.jpg"] = image_bytes(
            rng.integers(0, 256, (12, 16, 3), np.uint8), "JPEG"
        )
        files[f"seg_camvid/{part}annot/{stem}.png"] = image_bytes(mask, "PNG")
    return files


def bccd() -> dict[str, bytes]:
    """Four train images and a val image of 30 x 40 pixels, each with a cell that fills it and a
    platelet; the first train image has two boxes without area besides."""
    empty = THING.format("RBC", 7, 7, 7, 7) + THING.format("RBC", 7, 7, 9, 7)
    files = {"det_bccd/LICENSE": b"MIT"}
    for grey, stem in enumerate(("B1", "B2", "B3", "B4", "B5"), start=99):  # no image twice
        things = THING.format("WBC", 1, 1, 40, 30) + THING.format("Platelets", 11, 6, 16, 9)
        xml = CELL.format(things + (empty if stem == "B1" else ""))
        files[f"det_bccd/BCCD/Annotations/{stem}.xml"] = xml.encode()
        files[f"det_bccd/BCCD/JPEGImages/{stem}.jpg"] = image_bytes(
            np.full((30, 40, 3), grey, np.uint8), "JPEG"
        )
    files["det_bccd/BCCD/ImageSets/Main/train.txt"] = b"B1\nB2\nB3\nB4\n"
    files["det_bccd/BCCD/ImageSets/Main/val.txt"] = b"B5\n"
    return files


def coco100() -> dict[str, bytes]:
    """Ten images of 8 x 10 pixels: a person of 2 x 3 pixels with a hole, a crowd of zebras, sky (no
    object).
    """
    numbers = np.full((8, 10), 3)
    numbers[1:4, 2:4] = 70_000  # beyond two of the three bytes
    numbers[2, 2] = 3
    numbers[6:, 5:] = 300
    colours = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65_536], axis=-1).astype(
        np.uint8
    )
    segments = [
        dict(id=70_000, category_id=1, iscrowd=0),
        dict(id=300, category_id=24, iscrowd=1),
        dict(id=3, category_id=187, iscrowd=0),
    ]
    names = {1: ("person", 1), 24: ("zebra", 1), 187: ("sky", 0)}
    categories = [dict(id=i, name=n, isthing=t, supercategory="all") for i, (n, t) in names.items()]
    images = [dict(id=10 * i, file_name=f"{10 * i:04d}.jpg", height=8, width=10) for i in range(10)]
    rows = [
        dict(image_id=10 * i, file_name=f"{10 * i:04d}.png", segments_info=segments)
        for i in range(10)
    ]
    root = "multi_coco_train100"
    labels = f"{root}/panoptic_segmentation/annotations/panoptic_train2017"
    files = {
        f"{labels}.json": json.dumps(
            dict(categories=categories, images=images, annotations=rows)
        ).encode()
    }
    for image in images:
        files[f"{root}/images/train2017/{image['file_name']}"] = image_bytes(
            np.zeros((8, 10, 3), np.uint8), "JPEG"
        )
        files[f"{labels}/{image['file_name'][:-4]}.png"] = image_bytes(colours, "PNG")
    return files


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of small archives of the three real sets."""
    folder = tmp_path_factory.mktemp("archives")
    for name, files in (
        ("seg_camvid", camvid()),
        ("det_bccd", bccd()),
        ("multi_coco_train100", coco100()),
    ):
        write_tar(folder / f"{name}.tar", files)
    return folder


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten drawn scenes of 48 pixels."""
    folder = tmp_path_factory.mktemp("drawn") / "scenes"
    write_scenes(str(folder), 10, size=48, seed=0, sequences=0, workers=1)
    return folder


@pytest.fixture(scope="session")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, archives: Path, scenes: Path
) -> tuple[Path, dict[str, str]]:
    """All sets in their new layouts, and what was said of each."""
    from benchmarks.data.prepare import SETS, prepare_sets

    out = tmp_path_factory.mktemp("prepared") / "transfer"
    return out, prepare_sets(SETS, out, scenes=scenes, mirror=str(archives))
