"""What readers of keypoint pairs return, and what they share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.loading import file_size
from pretrain.data.decode import DecodeError, probe

# Share of an image's longer side that a point of a published list may lie outside: lists are taken
# as they are, but a point far outside belongs to another image, or to another size of this one.
_FAR = 0.1


@dataclass(frozen=True)
class KeypointImage:
    """One image of pairs.

    Attributes:
        path: of the image. folder: the subset, class or species it belongs to.
        size: (H, W) in pixels, upright.
    """

    path: Path
    folder: str
    size: tuple[int, int]

    @property
    def name(self) -> str:
        """What the image is called in content keys."""
        return f"{self.folder}/{self.path.name}"


@dataclass(frozen=True, eq=False)
class PointPair:
    """Two images and the points that both show: row k of each marks the same part of an object.

    Attributes:
        source, target: numbers of the images.
        source_points, target_points: (K, 2) float64 x, y in pixels, the image's corner at (0, 0).
        box: (height, width) in pixels of the object's box in the target; None: not known.
        category: what averages over categories are taken of.
        viewpoint: how much the viewpoint differs, 0 (little) to 2; None: not annotated.
    """

    source: int
    target: int
    source_points: np.ndarray
    target_points: np.ndarray
    box: tuple[float, float] | None
    category: str
    viewpoint: int | None = None

    @property
    def images(self) -> tuple[int, int]:
        """(source, target)."""
        return self.source, self.target


@dataclass(frozen=True)
class PairSet:
    """What a layout's reader returns.

    Attributes:
        images: all of them, by number.
        pairs: in the order of the data set.
        rows: what the content key is made of.
    """

    images: list[KeypointImage]
    pairs: list[PointPair]
    rows: list[tuple[str, ...]]


@dataclass
class ImageList:
    """Numbers images as they come up in a list of pairs, each once."""

    images: list[KeypointImage] = field(default_factory=list)
    _numbers: dict[Path, int] = field(default_factory=dict)

    def number(self, path: Path, folder: str, size: tuple[int, int] | None = None) -> int:
        """The number of an image.

        Args:
            path, folder, size: as in :class:`KeypointImage`; without a size the file's header is
                read.

        Raises:
            ValueError: the file is missing, or no image whose size can be read.
        """
        if path not in self._numbers:
            if not path.is_file():
                raise ValueError(f"{path} is missing: the list of pairs names it")
            self._numbers[path] = len(self.images)
            self.images.append(KeypointImage(path, folder, size or size_of(path)))
        return self._numbers[path]

    def complete(self, pairs: list[PointPair]) -> PairSet:
        """These images with their pairs; the content key is made of both.

        Raises:
            ValueError: points that are not finite or lie far outside their image, an image paired
                with itself, a pair without points.
        """
        rows = []
        for image in self.images:
            rows.append((image.name, file_size(image.path)))
        for pair in pairs:
            self._check(pair)
            points = np.concatenate([pair.source_points, pair.target_points])
            names = self.images[pair.source].name, self.images[pair.target].name
            rows.append((*names, points.tobytes().hex(), str(pair.box), str(pair.viewpoint)))
        return PairSet(self.images, pairs, rows)

    def _check(self, pair: PointPair) -> None:
        source, target = self.images[pair.source], self.images[pair.target]
        if source is target or not len(pair.source_points):
            what = "an image paired with itself" if source is target else "a pair without points"
            raise ValueError(f"{source.path} and {target.path}: {what}")
        if pair.source_points.shape != pair.target_points.shape:
            shapes = pair.source_points.shape, pair.target_points.shape
            raise ValueError(
                f"{source.path} and {target.path}: points of the shapes {shapes[0]} and "
                f"{shapes[1]}; each image must have every point of the pair"
            )
        check_points(pair.source_points, source, slack=_FAR * max(source.size))
        check_points(pair.target_points, target, slack=_FAR * max(target.size))


def check_points(
    points: np.ndarray, image: KeypointImage, *, slack: float, where: object = None
) -> None:
    """Refuses points that are no numbers or lie outside their image.

    Args:
        points: (K, 2) x, y in pixels.
        image: they are on.
        slack: pixels that they may lie outside.
        where: they were read; by default the image.

    Raises:
        ValueError: names the file and the first such point.
    """
    height, width = image.size
    low, high = -slack, np.array([width, height]) + slack
    wrong = ~((points >= low) & (points <= high)).all(1)  # also those that are NaN
    if wrong.any():
        raise ValueError(
            f"{where or image.path}: keypoint {points[wrong][0].tolist()} lies outside its image "
            f"of {width} x {height} pixels (upright)"
        )


def size_of(path: Path) -> tuple[int, int]:
    """(H, W) of an image by its header.

    Raises:
        ValueError: not readable; names the file.
    """
    try:
        return probe(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path}: {error}") from error


def extent(points: np.ndarray) -> tuple[float, float]:
    """(height, width) in pixels of the box around points (K, 2), which stands for an object's box
    that is not annotated.
    """
    width, height = np.ptp(points, axis=0)
    return float(height), float(width)


@contextmanager
def values_of(path: Path) -> Iterator[None]:
    """Turns what Python says of values of another kind into a sentence.

    Raises:
        ValueError: a value that is no number, list or object where there must be one; names the
            file.
    """
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise ValueError(f"{path} is not of this layout, or damaged: {error!r}") from error


def entries(path: Path, content: Any, keys: Iterable[str]) -> list[Any]:
    """The values of an object of a json file.

    Raises:
        ValueError: it is no object or lacks one of the keys; names the file and the key.
    """
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            raise ValueError(f"{path} has no entry {key!r}; is it of this layout, and complete?")
    return [content[key] for key in keys]


def as_points(path: Path, values: Any) -> np.ndarray:
    """(K, 2) float64 of a list of [x, y].

    Raises:
        ValueError: anything else; names the file.
    """
    try:
        points = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: points must be a list of [x, y]: {error}") from error
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"{path}: points must be a list of [x, y]; found shape {points.shape}")
    return points
