"""Training a head: batches of views, the schedule, one optimiser step after another.

With several processes each takes an equal share of every batch; loss, gradients and BatchNorm are
those of the whole batch, so that their number changes nothing but the speed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.data.label_maps import IGNORE
from benchmarks.data.loading import ordered_map, sample_keys
from benchmarks.data.pairs import PairSplit
from benchmarks.frozen.linear_segmentation.encoding import Encoder
from benchmarks.frozen.linear_segmentation.head import LinearHead
from benchmarks.frozen.linear_segmentation.schedules import SCHEDULES, Course
from benchmarks.frozen.linear_segmentation.settings import Settings
from benchmarks.frozen.linear_segmentation.sliding import resize
from benchmarks.frozen.linear_segmentation.views import batch_coin, stacked, stream, train_view
from benchmarks.frozen.losses import LOOK, require_finite_losses
from pretrain.progress import Progress

_AHEAD = 8  # batches that are read while the device works
_DROPOUT = 4  # a stream of random numbers


@dataclass(frozen=True)
class TrainBatch:
    """One process's share of an iteration; may be empty where a batch is smaller than the number
    of processes.

    Attributes:
        images: (B, 3, H, W), as :func:`train_view` gives them.
        labels: (B, h, w) classes or ``IGNORE``.
        keys: (epoch, image) of each.
        views: equal for equal pixels; None where a view does not recur.
    """

    images: Tensor
    labels: Tensor
    keys: list[tuple[int, int]]
    views: list[Hashable | None]


def train(
    head: LinearHead,
    encoder: Encoder,
    split: PairSplit,
    *,
    settings: Settings,
    after: Callable[[int], None],
    distributed: bool = False,
    progress: Progress | None = None,
) -> Tensor:
    """Trains the head in place, in full precision.

    Args:
        head: on the encoder's device.
        encoder: makes its features.
        split: the train part.
        settings: the protocol.
        after: called with the number of iterations done after each of them, the head in
            evaluation mode.
        distributed: whether the processes of the default group share the work.
        progress: called with ("train", iterations done, in all).

    Returns:
        The loss of each iteration, (T,) float32.

    Raises:
        ValueError: a loss that is not finite; names the iteration.
    """
    course, factor = settings.course(len(split)), SCHEDULES[settings.schedule]
    optimiser = make_optimiser(head, settings)
    losses = torch.zeros(course.iterations, device=encoder.device)
    batches = train_batches(split, settings, encoder.extractor.mean, distributed=distributed)
    for done, batch in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * factor(done, course)
        optimiser.zero_grad(set_to_none=True)
        head.train()
        with torch.enable_grad():
            losses[done] = backward(head, encoder, batch, settings, distributed=distributed)
        optimiser.step()
        head.eval()
        last = done + 1 == course.iterations
        if last or (done + 1) % LOOK == 0:
            require_finite_losses(losses[: done + 1], settings.lr)
        if progress:
            progress("train", done + 1, course.iterations)
        after(done + 1)
    return losses


def make_optimiser(head: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW with β 0.9 and 0.999, or SGD; weight decay on every parameter."""
    common = dict(lr=settings.lr, weight_decay=settings.weight_decay)
    if settings.optimiser == "sgd":
        return torch.optim.SGD(head.parameters(), momentum=settings.momentum, **common)
    return torch.optim.AdamW(head.parameters(), **common)


def backward(
    head: LinearHead,
    encoder: Encoder,
    batch: TrainBatch,
    settings: Settings,
    *,
    distributed: bool,
) -> Tensor:
    """Sets the gradient of the loss of one iteration, and returns the loss: cross-entropy, mean
    over the labelled pixels of the whole batch; 0 where there are none.
    """
    labels = batch.labels.to(encoder.device).long()
    pixels = (labels != IGNORE).sum()
    if distributed:
        dist.all_reduce(pixels)
    if batch.keys:
        views = batch.views
        encoded = encoder.encode(batch.images, views, recurs=None not in views)
        kept = kept_channels(batch.keys, encoded.features.shape[1], settings)
        scores = encoder.scores(head, encoded, None if kept is None else kept.to(encoder.device))
        scores = resize(scores, tuple(labels.shape[1:]))
        loss = F.cross_entropy(scores, labels, ignore_index=IGNORE, reduction="sum")
    else:  # 0, with gradients of 0; BatchNorm waits for every process
        loss = head(torch.zeros(0, head.classify.in_channels, 1, 1, device=encoder.device)).sum()
    loss = loss / pixels.clamp_min(1)
    loss.backward()
    loss = loss.detach()
    if distributed:
        for parameter in head.parameters():
            dist.all_reduce(parameter.grad)
        dist.all_reduce(loss)
    return loss


def kept_channels(keys: list[tuple[int, int]], channels: int, settings: Settings) -> Tensor | None:
    """(B, C) float32: 1 for the channels that dropout keeps of each image; None without dropout."""
    if not settings.dropout:
        return None
    drawn = np.zeros((len(keys), channels), np.float32)
    for row, key in zip(drawn, keys, strict=True):
        row[:] = stream(settings, _DROPOUT, *key).random(channels) >= settings.dropout
    return torch.from_numpy(drawn)


def train_batches(
    split: PairSplit, settings: Settings, mean: tuple[float, ...], *, distributed: bool = False
) -> Iterator[TrainBatch]:
    """Yields this process's share of every iteration, in order.

    Args:
        split: the train part.
        settings: the protocol.
        mean: (3,) colour in [0, 1] that padding gets.
        distributed: whether there are other processes.
    """
    fill = np.array(mean, np.float32)
    rank, world = (dist.get_rank(), dist.get_world_size()) if distributed else (0, 1)

    def load(numbered: tuple[int, list[tuple[int, int]]]) -> TrainBatch:
        iteration, keys = numbered
        coin = batch_coin(settings, iteration) if settings.flip_by == "batch" else None
        return _batch(split, keys[rank::world], fill=fill, coin=coin, settings=settings)

    course = settings.course(len(split))
    steps = enumerate(iteration_keys(len(split), settings, course))
    yield from ordered_map(load, steps, ahead=_AHEAD)


def iteration_keys(
    images: int, settings: Settings, course: Course
) -> Iterator[list[tuple[int, int]]]:
    """Yields (epoch, image) of every sample of each iteration: a permutation of the images per
    epoch. Its last images, if they fill no batch, are a smaller one, or are left out
    (``drop_last``); where the length is one in iterations and they are not left out, the next epoch
    fills it.
    """
    runs_on = settings.length_in == "iterations" and not settings.drop_last
    done, keys = 0, []
    for number, key in enumerate(sample_keys(images, settings.seed), start=1):
        if done == course.iterations:
            return
        keys.append(key)
        whole = len(keys) == settings.images_per_step
        ends = number % images == 0 and not runs_on
        if whole or (ends and not settings.drop_last):
            yield keys
            done += 1
        if whole or ends:
            keys = []


def _batch(
    split: PairSplit,
    keys: list[tuple[int, int]],
    *,
    fill: np.ndarray,
    coin: bool | None,
    settings: Settings,
) -> TrainBatch:
    recurs = settings.train_view in ("centre", "squash")
    pairs, views = [], []
    for key in keys:
        image, labels, mirrored = train_view(
            *split.load(key[1]), key=key, fill=fill, settings=settings
        )
        mirrored = mirrored if coin is None else coin
        if mirrored:
            image, labels = image[:, ::-1], labels[:, ::-1]
        pairs.append((image, labels))
        views.append(("train", key[1], mirrored) if recurs else None)
    if not pairs:
        side = settings.mask_side
        labels = torch.zeros((0, *((side, side) if side else settings.size)), dtype=torch.int16)
        return TrainBatch(torch.zeros(0, 3, *settings.size), labels, [], [])
    return TrainBatch(*stacked(pairs), keys, views)
