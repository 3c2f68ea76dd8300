"""Which images of a part belong together, so that an interval over images draws them together.

Frames that are a moment apart show nearly the same: resampled one by one they make an interval that
is far too narrow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

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
