"""The objects of the generated data set "scenes" in COCO's layout."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data.prepare.coco import PARTS
from benchmarks.data.prepare.folders import place, write_classes
from pretrain.data.folders import visible
from pretrain.data.listings import read_json
from pretrain.progress import Progress


def write_scene_objects(root: Path, target: Path, progress: Progress | None = None) -> str:
    """Writes ``{train,val}2017/*.jpg`` and ``annotations/instances_{train,val}2017.json``, all of
    them hard links.

    Args:
        root: What ``pixelpretext make-scenes`` wrote.
        target: An existing folder.
        progress: Called as ("images", images done, images in all).

    Returns:
        How many images and instances were written, as text.
    """
    images = {part: visible((root / "images" / part).iterdir()) for part in PARTS}
    total, done, counts = sum(map(len, images.values())), 0, []
    for part, folder in PARTS.items():
        file = root / f"instances_{part}.json"
        place(file, target / "annotations" / f"instances_{folder}.json")
        for image in images[part]:
            place(image, target / folder / image.name)
            done += 1
            if progress is not None:
                progress("images", done, total)
        content = read_json("scenes_detection", file)
        instances = len(content["annotations"])
        counts.append(f"{part}: {len(images[part])} images, {instances} instances")
    write_classes(target, [category["name"] for category in content["categories"]])
    return "; ".join(counts)
