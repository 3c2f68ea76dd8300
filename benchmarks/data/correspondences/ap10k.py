"""AP-10K (Yu et al. 2021, arXiv 2108.12617) as pairs of animals.

The pairs are those of Zhang et al. 2024 (arXiv 2311.17034) as far as they are described: they
publish a program, no list, and its pairs depend on the order in which folders are listed. Here
names are sorted, so that the pairs are the same everywhere; the protocol holds a hash of their
list. How many pairs they draw across species and families is not known to us: ``_ACROSS`` is ours.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations, product
from pathlib import Path

import numpy as np

from benchmarks.data.correspondences.pair import ImageList, PairSet, PointPair, entries, values_of
from pretrain.data.listings import read_json

_FILES = ("train", "test", "val")  # of split 1, merged in this order
_SEED = 42
_LEAST = 3  # points that an image, and a pair, must have
_TEST, _VAL = 30, 20  # the last images of a species, and those before them
_ACROSS = dict(species=400, families=30)  # pairs of a family, and of two families
PARTS = tuple(
    f"{part}{across}"
    for part in ("test", "val", "trn")
    for across in ("", "_cross_species", "_cross_family")
)


@dataclass(frozen=True)
class _Animal:
    """The one animal of an image.

    Attributes:
        file: name of the image. size: (H, W) in pixels.
        points: (17, 2) x, y in pixels. seen: (17,) bool.
        box: (height, width) in pixels.
    """

    file: str
    size: tuple[int, int]
    species: str
    family: str
    points: np.ndarray
    seen: np.ndarray
    box: tuple[float, float]


def read_ap10k(root: Path, part: str) -> PairSet:
    """Makes the pairs of a part.

    Images of one animal with 3 visible points or more, crowds left out; of each species, by file
    name, the last 30 are ``test``, the 20 before them ``val``, the others ``trn``. A pair shares 3
    visible points or more. ``test``: every two images of a species; ``test_cross_species``: 400
    drawn in each family, of two species; ``test_cross_family``: 30 drawn of every two families.

    Args:
        root: Folder of ``annotations`` and ``data``.
        part: One of ``PARTS``.

    Raises:
        ValueError: a file that is missing or not of this layout; names it.
    """
    name, _, across = part.partition("_cross_")
    species: dict[str, list[_Animal]] = {}
    for animal in sorted(_animals(root), key=lambda animal: animal.file):
        species.setdefault(animal.species, []).append(animal)
    held = _TEST + _VAL
    taken = dict(test=slice(-_TEST, None), val=slice(-held, -_TEST), trn=slice(0, -held))[name]
    chosen = {key: species[key][taken] for key in sorted(species)}
    images, pairs = ImageList(), []
    for category, source, target in _pairs(chosen, across):
        shared = source.seen & target.seen
        ids = []
        for animal in (source, target):
            ids.append(images.number(root / "data" / animal.file, animal.species, animal.size))
        points = source.points[shared], target.points[shared]
        pairs.append(PointPair(*ids, *points, target.box, category))
    return images.complete(pairs)


def _animals(root: Path) -> Iterator[_Animal]:
    """The animals of all images that show one with enough points."""
    for name in _FILES:
        path = root / "annotations" / f"ap10k-{name}-split1.json"
        if not path.is_file():
            raise ValueError(f"{path} is missing: pairs are made of all three parts of split 1")
        content = read_json("layout 'ap10k'", path)
        images, marks, kinds = entries(path, content, ("images", "annotations", "categories"))
        with values_of(path):
            kinds = {kind["id"]: kind for kind in kinds}
            marks_of: dict[int, list[dict]] = {}
            for mark in marks:
                marks_of.setdefault(mark["image_id"], []).append(mark)
            alone = []
            for image in images:
                own = marks_of.get(image["id"], [])
                if len(own) == 1 and not own[0].get("iscrowd", 0):
                    alone.append((image, own[0]))
        for image, mark in alone:
            animal = _animal(path, image, mark, kinds)
            if animal.seen.sum() >= _LEAST:
                yield animal


def _animal(path: Path, image: dict, mark: dict, kinds: dict[int, dict]) -> _Animal:
    keypoints, box, kind = entries(path, mark, ("keypoints", "bbox", "category_id"))
    file, height, width = entries(path, image, ("file_name", "height", "width"))
    species, family = entries(path, kinds.get(kind), ("name", "supercategory"))
    with values_of(path):
        table = np.asarray(keypoints, np.float64).reshape(-1, 3)  # x, y, visibility 0, 1 or 2
        size, sides = (int(height), int(width)), (float(box[3]), float(box[2]))
    return _Animal(file, size, species, family, table[:, :2], table[:, 2] > 0, sides)


def _pairs(chosen: dict[str, list[_Animal]], across: str) -> Iterator[tuple[str, _Animal, _Animal]]:
    """(category, source, target) of the part's pairs."""
    if not across:
        for species, animals in chosen.items():
            for source, target in combinations(animals, 2):
                if _fit(source, target):
                    yield species, source, target
        return
    draw = random.Random(_SEED)
    families: dict[str, dict[str, list[_Animal]]] = {}
    for species, animals in chosen.items():
        if animals:
            families.setdefault(animals[0].family, {})[species] = animals
    if across == "species":
        for family in sorted(families):
            both = []
            for first, second in combinations(families[family].values(), 2):
                both.extend(product(first, second))
            yield from _drawn(family, both, _ACROSS["species"], draw)
        return
    members = {}
    for family in sorted(families):
        members[family] = list(chain.from_iterable(families[family].values()))
    for first, second in combinations(members, 2):
        both = list(product(members[first], members[second]))
        yield from _drawn(f"{first}-{second}", both, _ACROSS["families"], draw)


def _drawn(
    category: str, both: list[tuple[_Animal, _Animal]], count: int, draw: random.Random
) -> Iterator[tuple[str, _Animal, _Animal]]:
    """At most ``count`` of the pairs that share enough points, without replacement."""
    draw.shuffle(both)
    left = count
    for source, target in both:
        if left and _fit(source, target):
            left -= 1
            yield category, source, target


def _fit(source: _Animal, target: _Animal) -> bool:
    return int((source.seen & target.seen).sum()) >= _LEAST
