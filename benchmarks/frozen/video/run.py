"""The benchmark: every video followed from its first mask, and scored as DAVIS does.

J is the region's intersection over union and F the boundary's F measure, of every object on every
frame but the first and the last one, both as means over frames and then over all objects of all
videos; J&F is their mean. Recall is the share of frames above one half, decay what is lost from the
first quarter of the frames to the last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import grid_of, require_directions, require_grid
from benchmarks.core.record import Metric
from benchmarks.data.loading import ordered_map, resize_mask
from benchmarks.data.videos import Video, VideoFolder, resize_frame
from benchmarks.frozen.baselines import ColourPosition, run_stand_in
from benchmarks.frozen.video.propagation import Context, Rule, carry, to_mask
from benchmarks.frozen.video.scores import contour, decay, region, share_above_half
from pretrain.progress import Progress

METRICS = ("J_and_F", "J", "F", "J_recall", "J_decay", "F_recall", "F_decay")


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network. The defaults are DINO's
    (Caron et al. 2021, arXiv 2104.14294).
    """

    # of frames as the network sees them, in pixels; None = their own size
    short_side: int | None = 480
    long_multiple: int = 64  # the long side is cut down to a multiple; both to whole cells
    last_frames: int = 7  # n: those before the next one that give their labels, beside the first
    # before there are so many, copies of the first frame stand in their places
    copies: bool = False
    radius: int = 12  # of the neighbourhood, in cells
    # square: at most so many rows and columns away; disc: closer than the radius
    shape: str = "square"
    first_everywhere: bool = False  # the first frame is compared without a neighbourhood
    neighbours: int = 5  # k, of all frames together
    ties: bool = True  # cells as similar as the k-th one are kept, too; else exactly k
    temperature: float = 0.1  # τ of exp(cosine / τ)
    # every object's soft mask is brought to 0 … 1 before the largest is taken
    stretch: bool = True
    batch_size: int = speed_only(4)  # frames encoded at once

    def __post_init__(self) -> None:
        for name in ("short_side", "long_multiple", "batch_size"):
            value = getattr(self, name)
            if not (value is None and name == "short_side") and value < 1:
                raise ValueError(f"{name}={value!r} must be at least 1")
        if self.last_frames < 0:
            raise ValueError(f"last_frames={self.last_frames!r} must be 0 or more")
        self.rule()

    def rule(self) -> Rule:
        """How labels are carried."""
        return Rule(
            neighbours=self.neighbours,
            temperature=self.temperature,
            radius=self.radius,
            shape=self.shape,
            first_everywhere=self.first_everywhere,
            ties=self.ties,
        )

    def input_size(self, frame: tuple[int, int], multiple: int) -> tuple[int, int]:
        """(H, W) of what the network sees of a frame.

        Args:
            frame: its (H, W).
            multiple: both sides are cut down to a multiple of it.

        Raises:
            ValueError: nothing is left.
        """
        scale = (self.short_side or min(frame)) / min(frame)
        long = 0 if frame[0] > frame[1] else 1
        sides = [int(side * scale + 1e-9) for side in frame]
        sides[long] -= sides[long] % self.long_multiple
        sides = [side - side % multiple for side in sides]
        if min(sides) < 1:
            raise ValueError(
                f"short_side={self.short_side}, long_multiple={self.long_multiple}: of a frame of "
                f"{frame[0]} x {frame[1]} pixels nothing is left in cells of {multiple} pixels; "
                "use a larger short_side or a smaller long_multiple"
            )
        return sides[0], sides[1]


def run(
    extractor: FeatureExtractor,
    data: VideoFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Runs mask propagation: ``METRICS`` in percent; counts hold them object by object.

    Raises:
        ValueError: a frame too small, a feature that is zero or not finite (named frame).
    """
    tally = VideoTally(data)
    done, total = 0, sum(len(video) - 2 for video in data.videos)
    for video in data.videos:
        for number, mask in enumerate(track(extractor, video, settings), start=1):
            tally.add(video, number, mask)
            done += 1
            if progress:
                progress("propagate", done, total)
    return tally.result(dict(stride=extractor.stride))


def track(extractor: FeatureExtractor, video: Video, settings: Settings) -> Iterator[np.ndarray]:
    """Yields the masks (H, W) uint8 of all frames that are scored, from the second to the last but
    one, in the frames' own size.
    """
    first, rule = video.mask(0), settings.rule()
    size = settings.input_size(first.shape, extractor.map_stride)
    grid = grid_of(size, extractor.stride)
    frames = _encoded(extractor, video, size=size, batch_size=settings.batch_size)
    given = torch.from_numpy(resize_mask(first, grid)).long()
    labels = F.one_hot(given, video.objects + 1).movedim(-1, 0).float()
    features = next(frames)
    require_grid(features.shape[1:], grid, extractor.stride)
    context = Context(
        features,
        labels.to(features.device),
        last=settings.last_frames,
        copies=settings.copies,
    )
    for features in frames:
        labels = carry(features, context, rule)
        context.add(features, labels)
        mask = to_mask(labels, size, stretch=settings.stretch)
        yield resize_mask(mask.cpu().numpy().astype(np.uint8), first.shape)


def _encoded(
    extractor: FeatureExtractor, video: Video, *, size: tuple[int, int], batch_size: int
) -> Iterator[Tensor]:
    """Yields unit features (D, h, w) of all frames but the last one, which is not scored."""
    count = len(video) - 1
    loaded = ordered_map(
        lambda number: resize_frame(video.frame(number), size), range(count), 2 * batch_size
    )
    for start in range(0, count, batch_size):
        numbers = range(start, min(start + batch_size, count))
        pixels = np.stack([next(loaded) for _ in numbers])
        maps = extractor.maps(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        require_directions(maps.norm(dim=1), numbers, lambda number: str(video.frames[number]))
        yield from F.normalize(maps, dim=1)


class VideoTally:
    """Scores masks frame by frame; holds two numbers for each object and frame.

    Args:
        data: the videos.
    """

    def __init__(self, data: VideoFolder) -> None:
        self._scores: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for video, number in data.objects:
            self._scores[video.name, number] = []

    def add(self, video: Video, frame: int, predicted: np.ndarray) -> None:
        """Scores the mask (H, W) of a frame, whose values are numbers of objects.

        Raises:
            ValueError: a mask of another size, or an object that the first mask does not have.
        """
        true = video.mask(frame)
        if predicted.shape != true.shape or predicted.max() > video.objects:
            raise ValueError(
                f"{video.frames[frame]}: the predicted mask is {predicted.shape} with objects up "
                f"to {predicted.max()}; legal is {true.shape} with at most {video.objects}, as in "
                "the first mask"
            )
        for number in range(1, video.objects + 1):
            masks = predicted == number, true == number
            self._scores[video.name, number].append((region(*masks), contour(*masks)))

    def result(self, facts: dict[str, Any]) -> Result:
        """``METRICS`` in percent, and the same of every object."""
        table: dict[str, list[Any]] = dict(image=list(range(len(self._scores))))
        rows = []
        for scores in self._scores.values():
            j, f = 100 * np.array(scores).T  # (frames,) each
            row = dict(J_and_F=(j.mean() + f.mean()) / 2, J=j.mean(), F=f.mean())
            for name, values in dict(J=j, F=f).items():
                row[f"{name}_recall"] = 100 * share_above_half(values / 100)
                row[f"{name}_decay"] = decay(values)
            rows.append(row)
        metrics = {}
        for name in METRICS:
            table[name] = [float(row[name]) for row in rows]
            better = "lower" if name.endswith("decay") else "higher"
            metrics[name] = Metric(float(np.mean(table[name])), "%", better)
        names, numbers = zip(*self._scores, strict=True)
        frames = [len(scores) for scores in self._scores.values()]
        counts = dict(per_image=table, video=list(names), object=list(numbers), frames=frames)
        return Result(metrics, counts, facts=facts)


def _still(
    data: VideoFolder, settings: Settings, *, stride: int, progress: Progress | None = None
) -> Result:
    """The first mask, for every frame."""
    tally = VideoTally(data)
    for done, video in enumerate(data.videos, start=1):
        first = video.mask(0)
        for number in range(1, len(video) - 1):
            tally.add(video, number, first)
        if progress:
            progress("score", done, len(data.videos))
    return tally.result(dict(stride=stride))


def _colour_position(
    data: VideoFolder, settings: Settings, *, stride: int, progress: Progress | None = None
) -> Result:
    """Propagation with mean colour and position of a patch as its feature."""
    network = ColourPosition(stride)
    return run_stand_in(run, network, data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name="video",
    about="masks of objects carried through a video",
    settings=Settings,
    run=run,
    data=VideoFolder,
    metrics=METRICS,
    quick=dict(short_side=240),
    baselines=dict(still=_still, colour_position=_colour_position),
    baseline_needs=("stride",),
    upsampled_stride=8,
)
