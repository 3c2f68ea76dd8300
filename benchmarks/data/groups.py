"""Which images of a part belong together, so that an interval over images draws them together.

Frames that are a moment apart show nearly the same: resampled one by one they make an interval that
is far too narrow.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pretrain.data.listings import read_json
from pretrain.files import atomic_write

GROUPS_FILE = "groups.json"

_FRAME = re.compile(r"(.+)_[a-zA-Z]?(\d+)")  # 0016E5_07959, Seq05VD_f00030: video and frame


def frame_blocks(files: Sequence[Path]) -> list[int]:
    """Blocks of neighbouring frames of one video, √n long for n images.

    Longer blocks are more nearly independent, shorter ones more numerous; √n of each is in between.
    Every video is cut into blocks of nearly equal length, none longer than ⌈√n⌉.

    Args:
        files: images named VIDEO_NUMBER; any other name is a video of its own.

    Returns:
        The number of each file's block, from 0 in order of video and frame.
    """
    videos: dict[str, list[tuple[int, int]]] = {}
    for index, path in enumerate(files):
        match = _FRAME.fullmatch(path.stem)
        video, frame = (match[1], int(match[2])) if match else (path.stem, 0)
        videos.setdefault(video, []).append((frame, index))
    longest = math.ceil(math.sqrt(len(files)))
    blocks, first = [0] * len(files), 0
    for video in sorted(videos):
        frames = sorted(videos[video])
        count = math.ceil(len(frames) / longest)
        for place, (_, index) in enumerate(frames):
            blocks[index] = first + place * count // len(frames)
        first += count
    return blocks


def write_groups(folder: Path, groups: Mapping[str, int]) -> None:
    """Writes ``groups.json`` into prepared data.

    Args:
        folder: of the data.
        groups: name of a scored image, without ending -> number of its group.
    """
    atomic_write(folder / GROUPS_FILE, json.dumps(dict(groups), indent=1) + "\n")


def read_groups(folder: Path, files: Sequence[Path]) -> list[int] | None:
    """The group of every image, by the ``groups.json`` of prepared data.

    Args:
        folder: of the data.
        files: the scored images, in order.

    Returns:
        None where the folder has no such file: every image stands for itself.

    Raises:
        ValueError: an image without a group.
    """
    path = folder / GROUPS_FILE
    if not path.is_file():
        return None
    groups = read_json("groups", path)
    missing = next((file.name for file in files if file.stem not in groups), None)
    if missing is not None:
        raise ValueError(
            f"{path} has no group for {missing}: prepare the data again, or delete the file, and "
            "every image stands for itself"
        )
    return [groups[file.stem] for file in files]
