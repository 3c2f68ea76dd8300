"""Predicting and scoring the validation part: windows, several scales, mirror images."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.core.scores import SegmentationTally
from benchmarks.data.loading import ordered_map
from benchmarks.data.pairs import PairSplit, View
from benchmarks.frozen.linear_segmentation.encoding import Encoder
from benchmarks.frozen.linear_segmentation.head import LinearHead
from benchmarks.frozen.linear_segmentation.settings import Settings
from benchmarks.frozen.linear_segmentation.sliding import (
    Window,
    largest_class,
    resize,
    slide,
    windows_of,
)
from benchmarks.frozen.linear_segmentation.views import scored_view, short_sided
from pretrain.progress import Progress

_AHEAD = 16  # images that are read while the device works


@torch.no_grad()
def score(
    head: LinearHead,
    encoder: Encoder,
    split: PairSplit,
    *,
    classes: int,
    settings: Settings,
    distributed: bool = False,
    progress: Progress | None = None,
) -> SegmentationTally:
    """Counts right and wrong pixels of a part.

    Args:
        head: in evaluation mode.
        encoder: makes its features.
        split: the part.
        classes: outputs of the head.
        settings: the protocol.
        distributed: whether the processes of the default group share the images; all get the
            counts of all.
        progress: called with ("score", images done, in all).

    Raises:
        ValueError: a class score that is not finite; names the image.
    """
    tally = SegmentationTally(classes)
    rank, world = (dist.get_rank(), dist.get_world_size()) if distributed else (0, 1)
    ids = range(rank, len(split), world)
    for index, image, view in read_views(split, ids, settings):
        predicted = predict(head, encoder, (image, view), index=index, settings=settings)
        if predicted is None:
            raise ValueError(
                f"{split.name(index)}: a predicted class score is not finite; did training diverge?"
            )
        tally.add(predicted, torch.from_numpy(view[1]).to(predicted.device), index)
        if progress:
            progress("score", index + 1, len(split))
    if distributed:
        tally.gather(encoder.device)
    return tally


def read_views(
    split: PairSplit, ids: range, settings: Settings
) -> Iterator[tuple[int, np.ndarray, View]]:
    """Yields the number of each image, the image as it was read (h, w, 3) uint8, and its view of
    test with the label map it is scored by.
    """

    def load(index: int) -> tuple[int, np.ndarray, View]:
        image, labels = split.load(index)
        view, labels = scored_view(image, labels, settings)
        return index, image, (view, np.ascontiguousarray(labels))

    yield from ordered_map(load, ids, ahead=_AHEAD)


def predict(
    head: LinearHead,
    encoder: Encoder,
    pair: tuple[np.ndarray, View],
    *,
    index: int,
    settings: Settings,
) -> Tensor | None:
    """Classes of the pixels of one image, (H, W) int64, H and W those of its label map; None where
    a score is not finite.

    Scores of one view are compared as they are. Those of several, at other scales or mirrored, are
    resized to the label map first, made probabilities of classes and averaged.
    """
    image, (view, labels) = pair
    total: Tensor | None = None
    rounds = [(scale, flip) for scale in settings.scales for flip in (False, settings.flip_test)]
    rounds = list(dict.fromkeys(rounds))
    for scale, flip in rounds:
        shown = view if scale == 1 else short_sided(image, settings, scale)
        pixels = torch.from_numpy(
            np.array(shown[:, ::-1] if flip else shown)
        )  # Pillow's are read-only
        name = ("val", index, scale, flip) if settings.evaluations > 1 else None
        scores = scores_of_image(
            head, encoder, pixels.permute(2, 0, 1), name=name, settings=settings
        )
        if not torch.isfinite(scores).all():
            return None
        scores = scores.flip(-1) if flip else scores
        if len(rounds) == 1:
            return largest_class(scores, labels.shape)
        probabilities = resize(scores[None], labels.shape)[0].softmax(0)
        total = probabilities if total is None else total.add_(probabilities)
    return total.argmax(0)


def scores_of_image(
    head: LinearHead,
    encoder: Encoder,
    image: Tensor,
    *,
    name: tuple[Hashable, ...] | None,
    settings: Settings,
) -> Tensor:
    """Class scores (K, H, W) of one image (3, H, W) uint8, in windows where its view has them.

    Args:
        name: of the view, for keeping its features; None: keep nothing.
    """
    size = tuple(image.shape[1:])
    stride = settings.window_stride if settings.test_view == "own" else 0
    windows = windows_of(size, settings.size, stride, small=settings.small_images)

    def scores_of(part: list[Window]) -> Tensor:
        pixels = torch.stack([window.of(image) for window in part])
        keys = [None if name is None else (*name, window) for window in part]
        return encoder.scores(head, encoder.encode(pixels, keys, recurs=True))

    return slide(size, windows, scores_of, at_once=settings.batch_size)
