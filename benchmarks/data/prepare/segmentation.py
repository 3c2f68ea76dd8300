"""Any segmentation data set that frozen evaluation reads, rewritten in ADE20K's layout."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.data.groups import write_groups
from benchmarks.data.layouts import find_layout
from benchmarks.data.pairing import part_pairs
from benchmarks.data.parts import check_parts
from benchmarks.data.prepare.folders import place, require_new, write_classes
from benchmarks.data.segmentation import SegmentationSplit
from pretrain.data.decode import decode_file
from pretrain.progress import Progress

_PARTS = {"train": "training", "val": "validation"}
_MOST = 254  # with reduce_zero_label mmsegmentation takes class 255 (254 behind it) for ignored


def write_ade(root: Path, target: Path, progress: Progress | None = None, *, layout: str) -> str:
    """Writes ``images/{training,validation}/*.jpg`` and ``annotations/{training,validation}/*.png``
    below ``target``.

    Where the layout knows which scored images belong together, ``groups.json`` says so. Masks are
    8-bit: 0 counts nowhere, 1..C are the classes (``reduce_zero_label=True``). JPEG
    images are hard links to the originals, others are written as JPEG of quality 95. A file in a
    folder of its own (Cityscapes) gets the folder's name in front.

    Args:
        root: The data set.
        target: An existing folder.
        progress: Called as ("images", pairs done, pairs in all).
        layout: One of those of ``SegmentationFolder``; where it tells no names, classes are called
            by their numbers.

    Returns:
        How many pairs were written, as text.

    Raises:
        FileNotFoundError, ValueError: the data set is not as its layout says, its parts share
            images, it has more than 254 classes, or two files that would get one name.
    """
    root, own = find_layout(root, layout, labels="masks")
    masks = own.masks
    classes = masks.count
    if classes > _MOST:
        raise ValueError(
            f"{root}: {classes} classes; one byte per pixel holds at most {_MOST} of them"
        )
    parts = part_pairs(root, own)
    train, val = (list(map(itemgetter(0), pairs)) for pairs in parts)
    cure = "remove them from one part before fine-tuning"
    check_parts(train, val, allow_shared=False, cure=cure)
    total, done = sum(map(len, parts)), 0
    for name, pairs in zip(_PARTS.values(), parts, strict=True):
        reader = SegmentationSplit(pairs, masks, root=root, keep_ignored=False)
        (target / "annotations" / name).mkdir(parents=True)
        for image, mask in pairs:
            stem = _stem(image, grouped=own.grouped)
            _place_jpeg(image, target / "images" / name / f"{stem}.jpg")
            # IGNORE is -1: class c becomes c + 1 and ignored pixels 0.
            labels = (reader.read_labels(mask) + 1).astype(np.uint8)
            Image.fromarray(labels).save(target / "annotations" / name / f"{stem}.png")
            done += 1
            if progress is not None:
                progress("images", done, total)
    write_classes(target, masks.names or tuple(map(str, range(classes))))
    if own.groups is not None:
        names = [_stem(image, grouped=own.grouped) for image in val]
        write_groups(target, dict(zip(names, own.groups(val), strict=True)))
    return f"train: {len(train)} images, val: {len(val)} images, {classes} classes"


def _stem(image: Path, *, grouped: bool) -> str:
    return f"{image.parent.name}_{image.stem}" if grouped else image.stem


def _place_jpeg(source: Path, target: Path) -> None:
    if source.suffix.lower() in (".jpg", ".jpeg"):
        place(source, target)
        return
    require_new(target, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(decode_file(source)).save(target, quality=95, subsampling=0)
