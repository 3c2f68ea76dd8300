"""Pairs of views of one object: the same points from two sides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.data.base import LabelledData
from benchmarks.data.correspondences.navi import WILD, read_depth
from benchmarks.data.correspondences.view import View, relative_pose, rotation_angle
from benchmarks.data.layouts import LAYOUTS, layouts_with, require_root
from benchmarks.data.loading import file_size, fingerprint
from pretrain.data.decode import decode_file
from pretrain.names import check_choice

_PARTNERS = ("multiview", "wild")
_SAME = 1e-6  # degrees: an image and itself


@dataclass(frozen=True, eq=False)
class ViewPair:
    """Two views of one object.

    Attributes:
        source, target: their numbers.
        rotation: (3, 3), translation: (3,) in metres; they take points from the source's camera
            frame to the target's.
        angle: of the rotation, in degrees.
    """

    source: int
    target: int
    rotation: np.ndarray
    translation: np.ndarray
    angle: float


class ViewPairs(LabelledData):
    """Every n-th photo of an object in the wild, each with one other view of it, drawn evenly among
    those that are turned against it by more than 0 and at most ``max_angle`` degrees.

    Args:
        root: Folder of the objects, or the folder around it.
        layout: ``navi``.
        every: Take every n-th of the photos in the wild; partners are drawn before.
        partners: Where they are drawn from: ``multiview``, the sets of photos in one place, or
            ``wild``, the other photos in the wild.
        max_angle: In degrees.
        seed: Of the draw.

    Attributes:
        views: List of :class:`View`.
        pairs: List of :class:`ViewPair`, the order of results.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: an illegal option, no pair, a file that is missing or not of the layout.
    """

    labels, word = "views", "view"

    def __init__(
        self,
        root: str | Path,
        layout: str = "navi",
        *,
        every: int = 4,
        partners: str = "multiview",
        max_angle: float = 120.0,
        seed: int = 8,
    ) -> None:
        check_choice("layout", layout, layouts_with(self.labels))
        check_choice("partners", partners, _PARTNERS)
        if type(every) is not int or every < 1:
            raise ValueError(f"every={every!r} must be at least 1, a whole number")
        if not 0 < max_angle <= 180:
            raise ValueError(f"max_angle={max_angle} must be above 0 and at most 180 degrees")
        self.root, self.layout = Path(root).expanduser(), layout
        require_root(self.root)
        inner = self.root / LAYOUTS[layout].inner
        self.views = LAYOUTS[layout].views.read(inner if inner.is_dir() else self.root)
        self.pairs = _draw(self.views, partners, max_angle=max_angle, seed=seed, every=every)
        if not self.pairs:
            raise ValueError(
                f"{self.root}: no view is turned by at most max_angle={max_angle} degrees against "
                f"a photo of the {WILD} (every={every}, partners={partners!r})"
            )
        self._settings = dict(layout=layout, every=every, partners=partners)
        self._settings |= dict(max_angle=float(max_angle), seed=seed)

    @property
    def scored_files(self) -> list[Path]:
        """See :class:`LabelledData`."""
        return [view.image for view in self.views]

    @property
    def protocol(self) -> dict[str, Any]:
        """See :class:`LabelledData`."""
        rows, names = [], []
        for view in self.views:
            camera = (*view.rotation.ravel(), *view.translation, view.focal)
            sizes = file_size(view.image), file_size(view.depth)
            rows.append((view.name, *sizes, *(f"{number:.9g}" for number in camera)))
        for pair in self.pairs:
            names.append((self.views[pair.source].name, self.views[pair.target].name))
        counts = dict(pairs=len(self.pairs), objects=len(set(self.groups)))
        return (
            self._settings | counts | dict(content=fingerprint(rows), pair_list=fingerprint(names))
        )

    @property
    def groups(self) -> list[int]:
        """The object of each pair, by its number."""
        objects = [self.views[pair.source].object for pair in self.pairs]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(objects))}
        return [numbers[name] for name in objects]

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Reads a view: image (H, W, 3) uint8 RGB and depth (h, w) float32 metres, 0 unknown.

        Raises:
            ValueError: not readable, or an image of another size than its camera's; names the file.
        """
        view = self.views[index]
        image = decode_file(view.image)
        if image.shape[:2] != view.size:
            raise ValueError(
                f"{view.image} has {image.shape[1]} x {image.shape[0]} pixels, its camera "
                f"{view.size[1]} x {view.size[0]}; use the original image"
            )
        return image, read_depth(view.depth)


def _draw(
    views: list[View], partners: str, *, max_angle: float, seed: int, every: int
) -> list[ViewPair]:
    """The pairs: a partner is drawn for every photo in the wild, then every n-th photo is kept."""
    objects: dict[str, list[int]] = {}
    for index, view in enumerate(views):
        if (view.collection == WILD) == (partners == "wild"):
            objects.setdefault(view.object, []).append(index)
    generator = torch.Generator().manual_seed(seed)
    drawn: list[ViewPair | None] = []
    for index, view in enumerate(views):
        if view.collection == WILD:
            near = []
            for other in objects[view.object]:
                pair = _pair(views, index, other)
                if other != index and _SAME < pair.angle <= max_angle:
                    near.append(pair)
            choice = torch.multinomial(torch.ones(len(near)), 1, generator=generator) if near else 0
            drawn.append(near[int(choice)] if near else None)
    return [pair for pair in drawn[::every] if pair is not None]


def _pair(views: list[View], source: int, target: int) -> ViewPair:
    rotation, translation = relative_pose(views[source], views[target])
    return ViewPair(source, target, rotation, translation, rotation_angle(rotation))
