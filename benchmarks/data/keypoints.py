"""Pairs of images whose keypoints correspond: semantic correspondence."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.base import LabelledData
from benchmarks.data.correspondences.folders import read_folders
from benchmarks.data.correspondences.pair import KeypointImage, PairSet, PointPair
from benchmarks.data.layout import Layout, Points
from benchmarks.data.layouts import LAYOUTS, layouts_with, require_root
from benchmarks.data.loading import fingerprint
from pretrain.data.decode import decode_file
from pretrain.files import sha256_of
from pretrain.names import check_choice


class KeypointPairs(LabelledData):
    """Image pairs with corresponding keypoints; nothing is fitted, so there is one part.

    Pairs are those that the data set lists. Where each image has a file of keypoints beside it,
    every ordered pair of two images of a folder is a pair.

    Args:
        root: Folder of the data set, or the folder around it.
        layout: One of those with keypoints in :mod:`benchmarks.data.layouts`: ``pfwillow`` (Ham et
            al. 2016, arXiv 1511.05065), ``spair``, ``pfpascal``, ``ap10k``, ``willow-list``.
        part: Of a layout with lists; empty takes its first, the test part.
        every: Take every n-th pair.
        per_category: Take at most so many pairs of each category, drawn; 0 = all.
        seed: Of this draw.
        viewpoint: Take the pairs of this difference of viewpoint only, 0, 1 or 2 (``spair``).
        allow_shared: Accept pairs of an image with its own copy; the protocol then counts these
            images (``shared_images``).

    Attributes:
        images: List of :class:`KeypointImage`.
        pairs: List of :class:`PointPair`, the order of results.
        relative_to: ``box`` or ``image``: what distances are shares of in this data set.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no pair; an image without keypoints or the reverse; two images of one name; a
            copy of an image in its subset; a file that is not readable; keypoints that are not
            finite, lie outside their image or whose number differs within a subset; an option that
            the layout does not know.
    """

    labels, word = "points", "keypoint"

    def __init__(
        self,
        root: str | Path,
        layout: str = "pfwillow",
        *,
        part: str = "",
        every: int = 1,
        per_category: int = 0,
        seed: int = 0,
        viewpoint: int | None = None,
        allow_shared: bool = False,
    ) -> None:
        check_choice("layout", layout, layouts_with(self.labels))
        self.root, self.layout = Path(root).expanduser(), layout
        if type(every) is not int or every < 1:
            raise ValueError(f"every={every!r} must be at least 1, a whole number")
        if type(per_category) is not int or per_category < 0:
            raise ValueError(f"per_category={per_category!r} must be 0 (all) or a whole number")
        check_choice("viewpoint", viewpoint, (None, 0, 1, 2))
        require_root(self.root)
        declared = LAYOUTS[layout]
        self.relative_to = declared.points.relative_to
        found, self._settings = _read(self.root, declared, part)
        self.images = found.images
        pairs = found.pairs if viewpoint is None else _of_viewpoint(found.pairs, viewpoint, layout)
        if per_category:
            pairs = _draw(pairs, per_category, seed)
            self._settings |= dict(per_category=per_category, seed=seed)
        if viewpoint is not None:
            self._settings["viewpoint"] = viewpoint
        self.pairs: list[PointPair] = pairs[::every]
        if not self.pairs:
            listed = self._settings.get("part")
            lack = "no two images with keypoints in one folder"
            raise ValueError(
                f"{self.root}: {f'no pair in part {listed!r}' if listed else lack}; layout "
                f"{layout!r} is {declared.points.about}"
            )
        self._settings |= dict(layout=layout, every=every, content=fingerprint(found.rows))
        if isinstance(declared.points, Points):
            self._settings |= _check_copies(self.images, allow_shared=allow_shared)
        else:
            self._settings["pair_list"] = self._pair_list()

    @property
    def scored_files(self) -> list[Path]:
        """See :class:`LabelledData`."""
        return [image.path for image in self.images]

    @property
    def protocol(self) -> dict[str, Any]:
        """See :class:`LabelledData`."""
        used = set(chain.from_iterable(pair.images for pair in self.pairs))
        return dict(**self._settings, images=len(used), pairs=len(self.pairs))

    @property
    def groups(self) -> list[int]:
        """The category of each pair, by its number: pairs of one category share images, as sources
        and as targets, so that only categories are drawn independently.
        """
        categories = [pair.category for pair in self.pairs]
        numbers = {category: number for number, category in enumerate(dict.fromkeys(categories))}
        return [numbers[category] for category in categories]

    def read(self, index: int) -> np.ndarray:
        """Reads image ``index`` as (H, W, 3) uint8 RGB.

        Raises:
            ValueError: not readable, or of another size than its annotation says; names the file.
        """
        image = self.images[index]
        pixels = decode_file(image.path)
        if pixels.shape[:2] != image.size:
            sizes = "{1} x {0}".format(*pixels.shape), "{1} x {0}".format(*image.size)
            raise ValueError(
                f"{image.path} has {sizes[0]} pixels, but its points were annotated on {sizes[1]}; "
                "use the original image"
            )
        return pixels

    def _pair_list(self) -> str:
        """Hash of the names of all pairs, in order."""
        rows = []
        for pair in self.pairs:
            rows.append((self.images[pair.source].name, self.images[pair.target].name))
        return fingerprint(rows)


def _read(root: Path, layout: Layout, part: str) -> tuple[PairSet, dict[str, Any]]:
    """All pairs of a part, and what the protocol says of the part."""
    if isinstance(layout.points, Points):
        if part:
            raise ValueError(f"part={part!r}: layout {layout.name!r} has no parts; leave it out")
        return read_folders(root, layout.points.files, layout.points.read), {}
    part = part or layout.points.parts[0]
    check_choice("part", part, layout.points.parts)
    inner = root / layout.inner
    return layout.points.read(inner if inner.is_dir() else root, part), dict(part=part)


def _of_viewpoint(pairs: list[PointPair], viewpoint: int, layout: str) -> list[PointPair]:
    """The pairs of one difference of viewpoint."""
    if any(pair.viewpoint is None for pair in pairs):
        raise ValueError(f"viewpoint={viewpoint}: layout {layout!r} does not annotate viewpoints")
    chosen = [pair for pair in pairs if pair.viewpoint == viewpoint]
    if not chosen:
        raise ValueError(f"viewpoint={viewpoint}: no pair of this part differs so in viewpoint")
    return chosen


def _draw(pairs: Iterable[PointPair], count: int, seed: int) -> list[PointPair]:
    """At most ``count`` pairs of each category: the first ones after a shuffle of its own by the
    seed, so that the draw of one category does not depend on the others.
    """
    categories: dict[str, list[PointPair]] = {}
    for pair in pairs:
        categories.setdefault(pair.category, []).append(pair)
    chosen = []
    for members in categories.values():
        random.Random(seed).shuffle(members)
        chosen.extend(members[:count])
    return chosen


def _check_copies(images: list[KeypointImage], *, allow_shared: bool) -> dict[str, int]:
    """Refuses an image and its copy in one folder, which would be a pair that asks nothing; returns
    what the protocol says about those that are accepted."""
    first: dict[tuple[str, str], Path] = {}
    copies = 0
    for image in images:
        key = image.folder, sha256_of(image.path)
        original = first.setdefault(key, image.path)
        if original is image.path:
            continue
        copies += 1
        if not allow_shared:
            raise ValueError(
                f"{image.path} is a copy of {original}, so the two make a trivial pair; delete "
                "one with its keypoints. If you mean it, set allow_shared=True; the record's "
                "protocol then says so"
            )
    return dict(shared_images=copies) if copies else {}
