"""NAVI (Jampani et al. 2023, arXiv 2306.09109): photos of objects with depth and cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.data.correspondences.pair import entries, values_of
from benchmarks.data.correspondences.view import View, rotation_of
from benchmarks.data.label_maps import DEPTH_MODES, read_raw
from pretrain.data.folders import visible
from pretrain.data.listings import read_json

WILD = "wild_set"
# Values are 65535 · 10 / millimetres: the files hold inverse depth.
_METRES = 65_535 * 10 / 1000


def read_navi(root: Path) -> list[View]:
    """Reads the views of all objects that have a ``wild_set`` and a ``multiview`` set or more, by
    object, set and name.

    Args:
        root: Folder of the objects.

    Raises:
        ValueError: no such object, a file that is missing or not of this layout; names it.
    """
    views = []
    for folder in visible(path for path in root.iterdir() if path.is_dir()):
        sets = [path for path in visible(folder.iterdir()) if (path / "annotations.json").is_file()]
        multiview = [path for path in sets if path.name.startswith("multiview")]
        wild = [path for path in sets if path.name == WILD]
        if wild and multiview:
            for collection in (*multiview, *wild):
                views += _collection(collection)
    if not views:
        raise ValueError(
            f"{root} holds no object with a {WILD} and a multiview set, each with annotations.json"
        )
    return views


def _collection(folder: Path) -> list[View]:
    """The views of one set, by name."""
    path, views = folder / "annotations.json", []
    content = read_json("layout 'navi'", path)
    if not isinstance(content, list):
        raise ValueError(f"{path} must be a list of cameras, found a {type(content).__name__}")
    for annotation in content:
        file, size, camera = entries(path, annotation, ("filename", "image_size", "camera"))
        turn, shift, focal = entries(path, camera, ("q", "t", "focal_length"))
        stem = Path(file).stem
        image, depth = folder / f"images/{stem}.jpg", folder / f"depth/{stem}.png"
        for part in (image, depth):
            if not part.is_file():
                raise ValueError(f"{part} is missing: {path} names it")
        with values_of(path):
            view = View(
                image,
                depth,
                folder.parent.name,
                folder.name,
                size=(int(size[0]), int(size[1])),
                focal=float(focal),
                rotation=rotation_of(np.array(turn)),
                translation=np.array(shift, np.float64).reshape(3) / 1000,
            )
        views.append(view)
    return sorted(views, key=lambda view: view.image.name)


def read_depth(path: Path) -> np.ndarray:
    """Reads a depth map (h, w) as float32 metres, 0 where not known.

    Raises:
        ValueError: not readable, or not one channel of 16 bits; names the file.
    """
    raw = read_raw(path, word="depth map", modes=DEPTH_MODES)
    if raw.dtype.kind == "f" or raw.dtype.itemsize < 2:
        raise ValueError(f"{path}: NAVI's depth is one channel of 16 bits, found {raw.dtype}")
    known = raw > 0
    return np.where(known, _METRES / np.where(known, raw, 1), 0).astype(np.float32)
