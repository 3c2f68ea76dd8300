"""SPair-71k (Min et al. 2019, arXiv 1908.10543): two objects of one class, seen unlike."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data.correspondences.pair import (
    ImageList,
    PairSet,
    PointPair,
    as_points,
    entries,
    values_of,
)
from pretrain.data.listings import read_json, read_lines

_KEYS = (
    "src_imname trg_imname src_kps trg_kps trg_bndbox src_imsize trg_imsize category "
    "viewpoint_variation"
).split()


def read_spair(root: Path, part: str) -> PairSet:
    """Reads the pairs that ``Layout/large/PART.txt`` lists, in its order, each from its own file.

    Points are those of the pair's file, which both images show; the box is the target's.

    Args:
        root: Folder of ``Layout``, ``PairAnnotation`` and ``JPEGImages``.
        part: ``test``, ``val`` or ``trn``.

    Raises:
        ValueError: a file that is missing or not of this layout; names it.
    """
    folder = root / "PairAnnotation" / part
    images, pairs = ImageList(), []
    for name in read_lines(root / "Layout" / "large" / f"{part}.txt"):
        path = folder / f"{name}.json"
        if not path.is_file():
            raise ValueError(
                f"{path} is missing: Layout/large/{part}.txt names it. Some programs cannot unpack "
                "names with a colon"
            )
        pairs.append(_pair(path, root, images))
    return images.complete(pairs)


def _pair(path: Path, root: Path, images: ImageList) -> PointPair:
    """The pair of one file."""
    values = dict(zip(_KEYS, entries(path, read_json("layout 'spair'", path), _KEYS), strict=True))
    points = [as_points(path, values[f"{side}_kps"]) for side in ("src", "trg")]
    with values_of(path):
        category, viewpoint = str(values["category"]), int(values["viewpoint_variation"])
        left, top, right, bottom = map(float, values["trg_bndbox"])
        sizes, files = [], []
        for side in ("src", "trg"):
            width, height = values[f"{side}_imsize"][:2]
            sizes.append((int(height), int(width)))
            files.append(root / "JPEGImages" / category / values[f"{side}_imname"])
    numbers = []
    for file, size in zip(files, sizes, strict=True):
        numbers.append(images.number(file, category, size))
    return PointPair(*numbers, *points, (bottom - top, right - left), category, viewpoint)
