"""Folders of frames, and boxes tracked through them."""

from __future__ import annotations

import csv
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pretrain.data.decode import DecodeError, probe
from pretrain.data.folders import SourceError, expanded, list_images
from pretrain.data.listings import read_json
from pretrain.data.source_image import Box
from pretrain.data.sources import FilesBelow

COLUMNS = ("video", "track", "frame", "x1", "y1", "x2", "y2")
#: Above this numbers in file names are no times; sums of two times then stay below 2^63.
LATEST = 2**62 - 1


@dataclass(frozen=True)
class Video:
    """The frames of one video.

    Attributes:
        first: number of its first frame among the frames of all videos.
        times: (n,) int64, strictly ascending, in frames.
    """

    first: int
    times: np.ndarray


@dataclass(frozen=True)
class Tracks:
    """Tracked boxes, track by track and in each by time.

    Attributes:
        times: of each track, (n_i,) int64, strictly ascending.
        frames: (n,) int64, numbers of the frames among those of all videos.
        boxes: (n, 4) float64, x1, y1, x2, y2 in the frame's unit square.
        sizes: (n, 2) float64, H, W in pixels of the frames that the boxes are meant for.
    """

    times: tuple[np.ndarray, ...]
    frames: np.ndarray
    boxes: np.ndarray
    sizes: np.ndarray


def find_videos(
    root: Path, extensions: Sequence[str], exclude: Sequence[str] | str = ()
) -> tuple[list[str], dict[str, Video]]:
    """Lists the videos below a folder: every folder that holds images, ``root`` itself (called ".")
    included.

    Two frames of a video must not differ in their extension only, as an image and its mask do. The
    last number in a frame's file name is its time, if all frames of the video have different ones
    up to :data:`LATEST`; otherwise a frame's time is its place in the order of names.

    Returns:
        Paths of all frames relative to ``root``, video by video in their order, and the videos by
        name.

    Raises:
        SourceError: there is no image, two of one stem in a folder, or ``extensions`` or
            ``exclude`` are wrong.
    """
    folders: dict[str, list[str]] = defaultdict(list)
    advice = "put one folder of images for each video there"
    for name in list_images(
        "FramePairs", root, extensions=extensions, exclude=exclude, unit="frame", advice=advice
    ):
        folders[os.path.dirname(name).replace(os.sep, "/") or "."].append(name)
    names: list[str] = []
    videos: dict[str, Video] = {}
    for video in sorted(folders):
        _require_stems(folders[video])
        timed = _timed(folders[video])
        videos[video] = Video(len(names), np.array([time for time, _ in timed], dtype=np.int64))
        names.extend(name for _, name in timed)
    return names, videos


def _require_stems(names: list[str]) -> None:
    """Raises SourceError if two frames of a video differ in their extension only."""
    known: dict[str, str] = {}
    for name in names:
        first = known.setdefault(os.path.splitext(name)[0], name)
        if first is not name:
            raise SourceError(
                f"FramePairs: {first!r} and {name!r} are two frames of one name; is one a mask? "
                "Leave it out with source.exclude or source.extensions"
            )


def _timed(names: list[str]) -> list[tuple[int, str]]:
    """Returns (time, name) of a video's frames, by time."""
    numbers = [
        re.search(r"(\d+)\D*$", os.path.splitext(os.path.basename(name))[0]) for name in names
    ]
    times = [int(number[1]) for number in numbers if number]
    if len(set(times)) < len(names) or max(times) > LATEST:
        return list(enumerate(names))
    return sorted(zip(times, names, strict=True))


def read_tracks(path: str | Path, videos: dict[str, Video], files: FilesBelow) -> Tracks:
    """Reads boxes of regions through time.

    A csv file has a header and the columns of :data:`COLUMNS`, a json file is a list of objects
    with these keys. A frame is named by its time, see :func:`find_videos`; boxes are in pixels of
    the upright frame, whose size is taken from the first frame of each video (one file is read for
    each). Boxes are cut off at the frame's border.

    Args:
        files: the frames of all videos.

    Raises:
        SourceError: the file is missing, empty or no such list, or an entry is wrong: an unknown
            video or frame, a second box of a track in a frame, a box without area inside the frame.
    """
    path = expanded(path)
    rows = _read_rows(path)
    boxes: dict[tuple[str, str], dict[int, tuple[int, Box]]] = defaultdict(dict)
    sizes: dict[str, tuple[int, int]] = {}
    for number, row in enumerate(rows, 1):
        try:
            video, track, time = str(row["video"]), str(row["track"]), _whole(row["frame"])
            corners = tuple(float(row[key]) for key in COLUMNS[3:])
            place = _frame(videos, video, time)
            if video not in sizes:
                sizes[video] = _size(files, videos[video].first)
            if time in boxes[video, track]:
                raise ValueError(
                    f"track {track!r} of video {video!r} has two boxes in frame {time}"
                )
            boxes[video, track][time] = place, _unit(corners, sizes[video])
        except (KeyError, TypeError, ValueError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise SourceError(
                f"FramePairs: {path}, entry {number}: {reason}; an entry has "
                f"{', '.join(COLUMNS)}, boxes in pixels"
            ) from error
    times, table = [], []
    for (video, _), entries in sorted(boxes.items()):
        times.append(np.array(sorted(entries), dtype=np.int64))
        table += [(*entries[time], sizes[video]) for time in sorted(entries)]
    frames, corners, drawn = zip(*table, strict=True)
    return Tracks(
        times=tuple(times),
        frames=np.array(frames, dtype=np.int64),
        boxes=np.array(corners, dtype=np.float64),
        sizes=np.array(drawn, dtype=np.float64),
    )


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the entries of a tracks file, unchecked."""
    if not path.is_file():
        raise SourceError(f"FramePairs: tracks={path} does not exist; legal is a json or csv file")
    if path.suffix.lower() == ".csv":
        try:
            # Spreadsheets write a byte order mark.
            with open(path, newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, skipinitialspace=True)
                columns = Counter(reader.fieldnames or ())
                twice = [name for name, count in columns.items() if count > 1]
                if twice:
                    raise SourceError(
                        f"FramePairs: tracks={path} has two columns {twice[0]!r}; name each once"
                    )
                rows = list(reader)
        except (UnicodeDecodeError, csv.Error) as error:
            raise SourceError(
                f"FramePairs: tracks={path} is not a csv file in UTF-8: {error}"
            ) from error
    else:
        rows = read_json("FramePairs", path, hint=" (csv files end in .csv)")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise SourceError(
            f"FramePairs: tracks={path} holds no boxes; legal is a list of entries with "
            f"{', '.join(COLUMNS)} (csv: with this header)"
        )
    return rows


def _whole(value: Any) -> int:
    """Returns a whole number; raises ValueError for any other."""
    try:
        number = float(value) if isinstance(value, str) and "." in value else value
        if not isinstance(number, float) or number.is_integer():
            return int(number)
    except (TypeError, ValueError):
        pass
    raise ValueError(f"frame {value!r} is not a whole number")


def _frame(videos: dict[str, Video], name: str, time: int) -> int:
    """Returns the number of a video's frame among all frames. Raises ValueError: there is none."""
    if name not in videos:
        some = ", ".join(map(repr, list(videos)[:3]))
        raise ValueError(
            f"video {name!r} is not among the {len(videos)} videos of the folder ({some}, …)"
        )
    times = videos[name].times
    place = int(np.searchsorted(times, time))
    if place == len(times) or times[place] != time:
        raise ValueError(
            f"video {name!r} has no frame {time}; its {len(times)} frames are {times[0]} to "
            f"{times[-1]}"
        )
    return videos[name].first + place


def _size(files: FilesBelow, index: int) -> tuple[int, int]:
    """Returns (H, W) of a frame; raises ValueError if it cannot be read."""
    try:
        return probe(files.read(index))
    except (OSError, DecodeError) as error:
        raise ValueError(
            f"the video's first frame cannot be read: {files.name(index)}: {error}"
        ) from error


def _unit(corners: tuple[float, ...], size: tuple[int, int]) -> Box:
    """Returns a box in pixels, cut off at the frame, in the unit square; raises ValueError if
    nothing of it is left.
    """
    height, width = size
    x1, y1, x2, y2 = corners
    box = max(0.0, x1 / width), max(0.0, y1 / height), min(1.0, x2 / width), min(1.0, y2 / height)
    if not all(map(math.isfinite, corners)) or not (box[0] < box[2] and box[1] < box[3]):
        raise ValueError(f"the box {corners} has no area inside the frame of {width} × {height} px")
    return box
