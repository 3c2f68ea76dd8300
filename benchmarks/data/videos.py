"""Videos whose frames have masks of objects: the first one is given, the others are to be found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.data.base import LabelledData
from benchmarks.data.label_maps import ENDINGS, check_size, read_raw
from benchmarks.data.layouts import LAYOUTS, layouts_with, require_root
from benchmarks.data.loading import file_size, fingerprint, resize_image
from pretrain.data.decode import decode_file
from pretrain.data.folders import is_image, visible
from pretrain.names import check_choice

_VOID = 255  # of DAVIS' masks: neither an object nor scored, hence background
_LEAST_FRAMES = 3  # the first and the last one are not scored


@dataclass(frozen=True)
class Video:
    """One video.

    Attributes:
        name: of its sequence.
        frames: image files in order.
        masks: of the same frames.
        objects: their number, the largest in the first mask; objects are 1, 2, …
        binary: whether every value above 0 of a mask is object 1.
    """

    name: str
    frames: tuple[Path, ...]
    masks: tuple[Path, ...]
    objects: int
    binary: bool = False

    def __len__(self) -> int:
        return len(self.frames)

    def frame(self, number: int) -> np.ndarray:
        """Reads a frame as (H, W, 3) uint8 RGB.

        Raises:
            ValueError: not readable, or another size than the first frame's; names the file.
        """
        pixels = decode_file(self.frames[number])
        if number and pixels.shape[:2] != (first := self.mask(0).shape):
            raise ValueError(
                f"{self.frames[number]} has {pixels.shape[0]} x {pixels.shape[1]} pixels, the "
                f"first mask of its video {first[0]} x {first[1]}; all must be of one size"
            )
        return pixels

    def mask(self, number: int) -> np.ndarray:
        """Reads a mask as (H, W) uint8: 0 background, else the object.

        Raises:
            ValueError: not readable, or it holds no whole numbers below 256; names the file.
        """
        return _objects(self.masks[number], binary=self.binary)


class VideoFolder(LabelledData):
    """Videos with masks of objects; there is no train part, nothing is fitted.

    Args:
        root: Folder of the data set (DAVIS: the one around ``JPEGImages`` and ``Annotations``, or
            the folder around that).
        layout: ``davis2017`` (Pont-Tuset et al. 2017, arXiv 1704.00675), or ``sequence``: one
            video by the options below.
        split: Part of the data set, a list of ``davis2017``.
        only: Take these sequences only, a list of them or one text with commas.
        frames: Folder of the video's frames below the root (``sequence``).
        masks: Folder of its masks, which have the names of the frames.
        binary: Every value above 0 of a mask is the one object (``sequence``): masks of 0 and 255.
            Otherwise values are numbers of objects and 255 is background.

    Attributes:
        videos: in the order of the list.

    Raises:
        FileNotFoundError: a folder or list is missing.
        ValueError: a frame without a mask or the reverse, fewer than three frames, no object in the
            first mask, or an illegal option.
    """

    labels, word = "videos", "video"

    def __init__(
        self,
        root: str | Path,
        layout: str = "davis2017",
        *,
        split: str = "val",
        only: str | Sequence[str] = (),
        frames: str | None = None,
        masks: str | None = None,
        binary: bool = False,
    ) -> None:
        check_choice("layout", layout, layouts_with(self.labels))
        root = Path(root).expanduser()
        require_root(root)
        options = dict(frames=frames, masks=masks, binary=binary or None)
        given = {key: value for key, value in options.items() if value is not None}
        self._settings: dict[str, Any] = dict(layout=layout)
        if layout == "sequence":
            self.root, self.videos = root, [_one_video(root, given)]
            self._settings |= dict(binary=binary)
        else:
            if given:
                raise ValueError(
                    f"options {sorted(given)} belong to layout='sequence', not to {layout!r}"
                )
            self.root, self.videos = _listed_videos(root, layout, split)
            self._settings |= dict(split=split)
        self._choose(only)
        rows = []
        for video in self.videos:
            for pair in zip(video.frames, video.masks, strict=True):
                rows.append((video.name, pair[0].name, *map(file_size, pair)))
        self._settings |= dict(content=fingerprint(rows))

    @property
    def objects(self) -> list[tuple[Video, int]]:
        """What is scored: every object of every video, in order."""
        numbered = []
        for video in self.videos:
            numbered += [(video, number) for number in range(1, video.objects + 1)]
        return numbered

    @property
    def scored_files(self) -> list[Path]:
        """See :class:`LabelledData`."""
        return list(chain.from_iterable(video.frames for video in self.videos))

    @property
    def groups(self) -> list[int]:
        """The video of each of :attr:`objects`, by its number."""
        groups = []
        for number, video in enumerate(self.videos):
            groups += [number] * video.objects
        return groups

    @property
    def protocol(self) -> dict[str, Any]:
        """See :class:`LabelledData`."""
        counts = dict(videos=len(self.videos), objects=len(self.objects))
        return self._settings | counts | dict(frames=sum(map(len, self.videos)))

    def picture(self, index: int, settings: Any) -> np.ndarray:
        """See :class:`LabelledData`; a square, since videos differ in shape."""
        side = settings.short_side or 480
        return resize_image(decode_file(self.scored_files[index]), (side, side))

    @classmethod
    def arguments(cls, layout: str, root: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """See :class:`LabelledData`."""
        if not LAYOUTS[layout].has(cls.labels):
            return None
        return dict(root=root, layout=layout) | dict(options)

    def _choose(self, only: str | Sequence[str]) -> None:
        names = only.split(",") if isinstance(only, str) and only else tuple(only)
        for name in names:
            check_choice("only", name, [video.name for video in self.videos])
        if names:
            self.videos = [video for video in self.videos if video.name in names]
            self._settings |= dict(only=[video.name for video in self.videos])


def resize_frame(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes (h, w, 3) uint8 to ``size`` (H, W) bilinearly without antialiasing, as OpenCV does:
    what published numbers of propagation were had with.
    """
    if image.shape[:2] == tuple(size):
        return image
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)


def _listed_videos(root: Path, layout: str, split: str) -> tuple[Path, list[Video]]:
    """The folder that the data set really starts at, and the videos of a part's list."""
    declared = LAYOUTS[layout]
    if not (root / declared.images).is_dir() and (root / declared.inner).is_dir():
        root = root / declared.inner
    listing = root / declared.listing.format(split=split)
    if not listing.is_file():
        raise FileNotFoundError(
            f"split={split!r}: {listing} is missing; it lists the sequences of the part, one a line"
        )
    names = listing.read_text(encoding="utf-8").split()
    if not names:
        raise ValueError(f"{listing} lists no sequence")
    folders = root / declared.images, root / declared.videos.files
    return root, [_video(name, *(folder / name for folder in folders)) for name in names]


def _one_video(root: Path, options: Mapping[str, Any]) -> Video:
    """The video of the layout ``sequence``."""
    for key in ("frames", "masks"):
        if key not in options:
            raise ValueError(f"layout='sequence' lacks {key}=, a folder below {root}; add it")
    folders = (root / options[key] for key in ("frames", "masks"))
    return _video(Path(options["frames"]).name, *folders, binary=options.get("binary", False))


def _video(name: str, frames: Path, masks: Path, *, binary: bool = False) -> Video:
    """Pairs the frames of a folder with the masks of another one by their names."""
    images = {path.stem: path for path in _visible_files(frames) if is_image(path)}
    labels = {path.stem: path for path in _visible_files(masks) if path.suffix.lower() in ENDINGS}
    for present, other, folder, word in (
        (images, labels, masks, "mask"),
        (labels, images, frames, "frame"),
    ):
        missing = sorted(present.keys() - other.keys())
        if missing:
            raise ValueError(
                f"{folder}: {len(missing)} of {len(present)} {word}s are missing, the first: "
                f"{missing[:3]}; a frame and its mask have one name"
            )
    if len(images) < _LEAST_FRAMES:
        raise ValueError(
            f"{frames} holds {len(images)} frames; at least {_LEAST_FRAMES} are needed, since the "
            "first and the last one are not scored"
        )
    stems = sorted(images)
    paths = tuple(images[stem] for stem in stems), tuple(labels[stem] for stem in stems)
    first = _objects(paths[1][0], binary=binary)
    check_size(first, paths[1][0], size=decode_file(paths[0][0]).shape[:2], image=paths[0][0])
    if not first.any():
        raise ValueError(
            f"{paths[1][0]}: the first mask shows no object; values are numbers of objects and 255 "
            "is background. binary=True of layout='sequence' makes one object of all values above 0"
        )
    return Video(name, *paths, int(first.max()), binary)


def _visible_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    return list(visible(folder.iterdir()))


def _objects(path: Path, *, binary: bool) -> np.ndarray:
    """Reads a mask as (H, W) uint8 numbers of objects."""
    raw = read_raw(path)
    if binary:
        return (raw > 0).astype(np.uint8)
    if raw.dtype.kind not in "bu" or raw.max() > _VOID:
        raise ValueError(
            f"{path} holds {raw.dtype} values up to {raw.max()}; numbers of objects are whole and "
            f"below {_VOID}, which is background"
        )
    return np.where(raw == _VOID, 0, raw).astype(np.uint8)
