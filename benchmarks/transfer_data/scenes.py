"""The generated data set "scenes" in ADE20K's and COCO's layouts."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.transfer_data.coco import PARTS
from benchmarks.transfer_data.folders import Progress, place, write_classes
from benchmarks.transfer_data.segmentation import write_ade


def write_scenes_transfer(root: Path, target: Path, progress: Progress | None = None) -> str:
    """Writes both layouts below ``target``; images and COCO files are hard links.

    The C object classes and the ground are classes of segmentation, the objects alone those of detection.

    Args:
        root: What ``tools/make_scenes.py`` wrote.
        target: An existing folder.
        progress: Called with (images done, images in all).

    Returns:
        How many images were written, in words.
    """
    names = write_ade(root, "scenes", target, progress)
    counts = []
    for part, folder in PARTS.items():
        coco = root / f"instances_{part}.json"
        place(coco, target / "annotations" / f"instances_{folder}.json")
        images = sorted((root / "images" / part).iterdir())
        for image in images:
            place(image, target / folder / image.name)
        counts.append(f"{part}: {len(images)} images")
    objects = [category["name"] for category in json.loads(coco.read_text())["categories"]]
    write_classes(target, segmentation=names, detection=objects)
    return "; ".join(counts)
