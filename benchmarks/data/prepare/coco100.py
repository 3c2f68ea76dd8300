"""A hundred images of COCO with panoptic labels, as boxes and masks of the 80 object classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.prepare.coco import PARTS, CocoFile, run_lengths
from benchmarks.data.prepare.folders import place, write_classes
from pretrain.data.decode import DecodeError, open_image
from pretrain.data.listings import read_json
from pretrain.progress import Progress

_PANOPTIC = "panoptic_segmentation/annotations/panoptic_train2017"
_SEED = 0
_HELD_BACK = 0.2


def write_coco100(root: Path, target: Path, progress: Progress | None = None) -> str:
    """Writes ``{train,val}2017/*.jpg`` (hard links) and
    ``annotations/instances_{train,val}2017.json``.

    All of the images come from COCO's train part; a fifth of them, drawn by lot, becomes the val
    part. A segment of an object class is an instance whose mask is the segment's pixels, in a
    run-length code. Ids of images and classes are COCO's own.

    Args:
        root: Holds ``images/train2017`` and ``panoptic_segmentation/annotations``.
        target: An existing folder.
        progress: Called as ("images", images done, images in all).

    Returns:
        How many instances were written, as text.

    Raises:
        ValueError: two images of one id, two label images of one image, an image without labels, or
            a segment that has no pixel in the label image; names the file.
    """
    labels = read_json("coco100", root / f"{_PANOPTIC}.json")
    _unique(labels["images"], "id")
    categories = []
    for row in labels["categories"]:
        if row["isthing"]:
            categories.append({key: row[key] for key in ("id", "name", "supercategory")})
    held = _drawn([row["id"] for row in labels["images"]])
    files = {part: CocoFile(categories) for part in PARTS}
    segments = _unique(labels["annotations"], "image_id")
    bare = [image["file_name"] for image in labels["images"] if image["id"] not in segments]
    if bare:
        raise ValueError(f"{len(bare)} images have no panoptic labels, the first is {bare[0]!r}")
    for done, image in enumerate(labels["images"], start=1):
        part = "val" if image["id"] in held else "train"
        name = image["file_name"]
        place(root / "images" / "train2017" / name, target / PARTS[part] / name)
        files[part].add_image(image["id"], name, (image["height"], image["width"]))
        _add_segments(files[part], root / _PANOPTIC, segments[image["id"]])
        if progress is not None:
            progress("images", done, len(labels["images"]))
    for part, file in files.items():
        file.write(target, part)
    write_classes(target, [category["name"] for category in categories])
    counts = []
    for part, file in files.items():
        counts.append(f"{part}: {len(file.images)} images, {len(file.annotations)} instances")
    return "; ".join(counts)


def _unique(rows: list[dict[str, Any]], key: str) -> dict[Any, dict[str, Any]]:
    """Returns the rows by ``key``; raises ValueError if one comes twice."""
    by_key: dict[Any, dict[str, Any]] = {}
    for row in rows:
        first = by_key.setdefault(row[key], row)
        if first is not row:
            raise ValueError(
                f"{key} {row[key]!r} comes twice, for {first['file_name']!r} and "
                f"{row['file_name']!r}"
            )
    return by_key


def _drawn(ids: list[int]) -> set[int]:
    """The ids of the val part; they depend on the ids alone, not on their order."""
    order = np.random.default_rng(_SEED).permutation(sorted(ids))
    return set(order[: round(_HELD_BACK * len(ids))].tolist())


def _add_segments(file: CocoFile, folder: Path, row: dict[str, Any]) -> None:
    path = folder / row["file_name"]
    try:
        colours = np.array(open_image(path.read_bytes())).astype(np.int64)
    except DecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    numbers = colours @ [1, 256, 65_536]  # (h, w): COCO's panoptic code
    known = {category["id"] for category in file.categories}
    for segment in row["segments_info"]:
        if segment["category_id"] not in known:
            continue
        mask = numbers == segment["id"]
        if not mask.any():
            raise ValueError(
                f"{row['file_name']}: segment {segment['id']} has no pixel in the label image"
            )
        file.add_instance(
            row["image_id"],
            segment["category_id"],
            box=_bounds(mask),
            area=int(mask.sum()),
            segmentation=run_lengths(mask),
            crowd=bool(segment["iscrowd"]),
        )


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """x, y, width, height in pixels of the smallest box around a mask (h, w)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1
