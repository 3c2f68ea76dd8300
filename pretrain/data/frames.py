"""Pairs of frames of one video: a representation may ignore what moves and changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from mmengine.registry import DATASETS

from pretrain.data.folders import EXTENSIONS, SourceError, require_folder
from pretrain.data.source_image import SourceImage, widened
from pretrain.data.sources import FilesBelow
from pretrain.data.videos import LATEST, Tracks, find_videos, read_tracks


class Series:
    """Series of times, one behind another in one array, and the pairs in each that are far enough
    apart.

    Args:
        times: of each series, strictly ascending whole numbers.
        min_gap: smallest distance in time of a pair. max_gap: largest.
    """

    def __init__(self, times: Iterable[np.ndarray], min_gap: int, max_gap: int) -> None:
        series = list(times)
        self.times = np.concatenate(series)
        lengths = [len(times) for times in series]
        self.ends = np.cumsum(lengths)
        self.starts = self.ends - lengths
        self.min_gap, self.max_gap = min_gap, max_gap
        self.has_partner = np.concatenate([np.add(*self._partners(t, t)[:2]) > 0 for t in series])

    def _partners(
        self, times: np.ndarray, now: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Returns how many partners lie before and after the times ``now``, and where either begin
        in ``times``.
        """
        earliest, latest = (
            np.searchsorted(times, now - self.max_gap),
            np.searchsorted(times, now + self.max_gap + 1),
        )
        before, after = (
            np.searchsorted(times, now - self.min_gap + 1),
            np.searchsorted(times, now + self.min_gap),
        )
        return before - earliest, latest - after, earliest, after

    def partner(self, position: int, share: float) -> int:
        """Returns a partner of an entry that has one, all equally likely if ``share`` ~ U[0, 1)."""
        number = int(np.searchsorted(self.ends, position, side="right"))
        start, end = self.starts[number], self.ends[number]
        earlier, later, earliest, after = self._partners(
            self.times[start:end], self.times[position]
        )
        step = int(share * (earlier + later))
        return int(start + (earliest + step if step < earlier else after + step - earlier))


@DATASETS.register_module()
class FramePairs:
    """Two frames of a video at a distance in time, or one tracked region at both times. There are
    no labels.

    Every folder below ``root`` that holds images is one video. A sample is one frame, its first
    source image; the second is drawn anew in each epoch among the frames of the video at least
    ``min_gap`` and at most ``max_gap`` away, before or after. Frames without such a partner are no
    samples. A frame's time is the last number in its file name (see
    :func:`pretrain.data.videos.find_videos`), so a hole in the numbering does not shorten a
    distance.

    With ``tracks`` the source images are the boxes of one region at two such times, grown by
    ``margin``; if several tracks pass through the frame, one is drawn. If none does that has a box
    at another such time, they are whole frames.

    Geometry: the unit squares of the two source images are identified. For whole frames this holds
    as far as the camera and the scene stand still. For tracked regions the box is the common
    square, so equal places in both boxes correspond as far as the object neither turns nor changes
    its shape.

    Args:
        root: Folder of the videos.
        min_gap: Frames, at least 1.
        max_gap: Frames; None: no limit.
        tracks: Json or csv file of boxes, see :func:`pretrain.data.videos.read_tracks`; None: whole
            frames only.
        margin: Added to each side of a tracked box, as a share of its width or height; cut off at
            the border.
        extensions: What counts as a frame, case ignored.
        exclude: Names of files and folders to leave out at any depth, or paths below ``root``, with
            ``*`` for any characters: ``["masks"]`` where each video has its masks beside its
            frames.

    Raises:
        SourceError: no video, nothing that ``exclude`` fits, one too short for ``min_gap``, or
            tracks that are empty, wrong, or name a video or a frame that is not there.
        ValueError: a number is out of range.
    """

    classes = None

    def __init__(
        self,
        root: str | Path,
        *,
        min_gap: int = 5,
        max_gap: int | None = None,
        tracks: str | Path | None = None,
        margin: float = 0.1,
        extensions: Sequence[str] = EXTENSIONS,
        exclude: Sequence[str] | str = (),
    ) -> None:
        if min_gap < 1 or (max_gap is not None and max_gap < min_gap):
            raise ValueError(
                f"FramePairs: min_gap={min_gap}, max_gap={max_gap}; legal is 1 <= min_gap <= "
                "max_gap"
            )
        if not 0 <= margin < math.inf:
            raise ValueError(f"FramePairs: margin={margin}; legal is a number from 0 on")
        folder = require_folder("FramePairs", root)
        names, videos = find_videos(folder, extensions, exclude)
        self.margin = margin
        self._files = FilesBelow(folder, names, None, classes=None)
        longest = max(int(video.times[-1] - video.times[0]) for video in videos.values())
        gaps = min_gap, max(longest, min_gap) if max_gap is None else min(max_gap, LATEST)
        self._frames = Series([video.times for video in videos.values()], *gaps)
        self._require_pairs(list(videos), folder)
        self._counts = {name: len(video.times) for name, video in videos.items()}
        self._anchors = np.flatnonzero(self._frames.has_partner)
        self._tracks: Tracks | None = None
        if tracks is not None:
            self._tracks = read_tracks(tracks, videos, self._files)
            self._regions = Series(self._tracks.times, *gaps)
            self._order_entries(Path(tracks))

    def _require_pairs(self, videos: list[str], folder: Path) -> None:
        """Raises SourceError if a video has no two frames far enough apart."""
        frames = self._frames
        spans = zip(videos, frames.starts, frames.ends, strict=True)
        short = [
            f"{name!r} ({b - a} frames)"
            for name, a, b in spans
            if not frames.has_partner[a:b].any()
        ]
        if short:
            raise SourceError(
                f"FramePairs: {len(short)} of {len(videos)} videos below {folder} have no two "
                f"frames that are {frames.min_gap} to {frames.max_gap} frames apart: "
                f"{', '.join(short[:3])}{', …' * (len(short) > 3)}; lower source.min_gap, or "
                "take them out"
            )

    def _order_entries(self, path: Path) -> None:
        """Sorts the boxes that have a partner by frame, for bisection."""
        entries = np.flatnonzero(self._regions.has_partner)
        if not len(entries):
            raise SourceError(
                f"FramePairs: tracks={path}: none of its {len(self._regions.ends)} tracks has "
                f"two boxes that are {self._regions.min_gap} to {self._regions.max_gap} frames "
                "apart; lower source.min_gap, or leave source.tracks out"
            )
        self._entries = entries[np.argsort(self._tracks.frames[entries], kind="stable")]
        self._entry_frames = self._tracks.frames[self._entries]

    def __len__(self) -> int:
        return len(self._anchors)

    def video_counts(self) -> dict[str, int]:
        """Number of frames of each video by its name, in the order of names."""
        return dict(self._counts)

    def read(self, index: int) -> bytes:
        """The encoded bytes of the sample's first frame. Raises OSError if they cannot be read."""
        return self._files.read(int(self._anchors[index]))

    def name(self, index: int) -> str:
        """Path of the sample's first frame."""
        return self._files.name(int(self._anchors[index]))

    def label(self, index: int) -> None:
        """None: there are no labels."""

    def source_images(self, index: int, rng: np.random.Generator) -> tuple[SourceImage, ...]:
        """The sample's frame, or a region of it, and a partner; takes two uniforms from ``rng``."""
        which, share = rng.random(2).tolist()
        frame = int(self._anchors[index])
        if self._tracks is not None:
            first, end = np.searchsorted(self._entry_frames, (frame, frame + 1))
            if first < end:
                entry = int(self._entries[first + int(which * (end - first))])
                partner = self._regions.partner(entry, share)
                return self._region(entry), self._region(partner)
        return self._whole(frame), self._whole(self._frames.partner(frame, share))

    def _whole(self, frame: int) -> SourceImage:
        return SourceImage(self._files.name(frame), lambda: self._files.read(frame), number=frame)

    def _region(self, entry: int) -> SourceImage:
        frame = int(self._tracks.frames[entry])
        box = widened(tuple(self._tracks.boxes[entry].tolist()), self.margin)
        size = tuple(self._tracks.sizes[entry].tolist())
        return SourceImage(
            self._files.name(frame), lambda: self._files.read(frame), box, number=frame, size=size
        )
