"""Training and applying a linear head on frozen features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.kept import Kept
from benchmarks.data.pairs import LabelledBatch, PairSplit
from benchmarks.frozen.losses import LOOK, require_finite_losses
from benchmarks.frozen.surfaces.schedules import Schedule
from benchmarks.frozen.surfaces.settings import Settings
from benchmarks.frozen.surfaces.views import scored_batches
from pretrain.progress import Progress

_INITIAL_STD = 0.01  # of the convolution's weights; its bias starts at 0


class LinearHead(nn.Module):
    """BatchNorm (optional), a 1×1 convolution and bilinear enlargement, in this order.

    A 1×1 convolution of enlarged features is the enlarged convolution, so only its outputs are
    enlarged; BatchNorm's statistics are those of the features' own grid.

    Args:
        channels: C of the features.
        outputs: K.
        settings: ``batch_norm``, ``enlarge`` and the seed of the initial weights.
    """

    def __init__(self, channels: int, outputs: int, settings: Settings) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels) if settings.batch_norm else nn.Identity()
        self.read = nn.Conv2d(channels, outputs, 1)
        generator = torch.Generator().manual_seed(settings.seed)
        weight = torch.randn(self.read.weight.shape, generator=generator) * _INITIAL_STD
        self.read.weight.data.copy_(weight)
        nn.init.zeros_(self.read.bias)
        self.enlarge = settings.enlarge

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, K, h · enlarge, w · enlarge)."""
        outputs = self.read(self.norm(features))
        if self.enlarge == 1:
            return outputs
        return F.interpolate(
            outputs, scale_factor=self.enlarge, mode="bilinear", align_corners=False
        )


#: The loss of a group of images: outputs (B, K, h, w), labels (B, H, W, …), step.
Loss = Callable[[Tensor, Tensor, int], Tensor]


def make_head(extractor: FeatureExtractor, outputs: int, settings: Settings) -> LinearHead:
    """Makes a head for a network's features; one black image tells how many channels they have.

    Raises:
        ValueError: the network refuses the size of the images.
    """
    for size in dict.fromkeys((settings.size, settings.crop_size or settings.frame_size)):
        black = torch.zeros(1, 3, *size, dtype=torch.uint8)
        channels = encode(extractor, black).shape[1]
    return LinearHead(channels, outputs, settings).to(extractor.device)


def encode(extractor: FeatureExtractor, images: Tensor, *, recurs: bool = True) -> Tensor:
    """Features (B, C, h, w) of images (B, 3, H, W) uint8, as a head may be trained on them."""
    # A copy made outside of inference mode may be saved for the backward pass.
    return extractor.maps(images, recurs=recurs).clone()


def fit(
    head: LinearHead,
    extractor: FeatureExtractor,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    settings: Settings,
    loss: Loss,
    look: Callable[[int], None] | None = None,
    look_every: int = 1,
    progress: Progress | None = None,
) -> float:
    """Trains the head, in place and in full precision.

    Args:
        head: Changed.
        extractor: Gives the features.
        batches: Images (B, 3, h, w) uint8 and labels (B, h, w, …), one batch per step.
        settings: Optimiser and schedule.
        loss: Of ``images_per_loss`` images; groups are averaged.
        look: Called with the number of steps done every so many steps and after the last.
        look_every: Steps between looks.
        progress: Called with ("train", steps done, steps).

    Returns:
        The loss, mean over the last tenth of the steps.

    Raises:
        ValueError: a loss that is not finite; names the step.
    """
    schedule = _schedule(settings)
    optimiser = torch.optim.AdamW(head.parameters(), weight_decay=settings.weight_decay)
    losses = torch.zeros(settings.steps, device=extractor.device)
    head.train()
    for step, (images, labels) in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
            group["betas"] = (schedule.momentum(step), settings.beta2)
        features = encode(extractor, images, recurs=False)
        labels = labels.to(extractor.device)
        with torch.enable_grad():
            value = _grouped(loss, head(features), labels, step=step, size=settings.images_per_loss)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
        if settings.clip:
            nn.utils.clip_grad_norm_(head.parameters(), settings.clip)
        optimiser.step()
        losses[step] = value.detach()
        done = step + 1
        if done % LOOK == 0 or done == settings.steps:
            require_finite_losses(losses[:done], settings.lr)
        if look and (done % look_every == 0 or done == settings.steps):
            look(done)
            head.train()
        if progress:
            progress("train", done, settings.steps)
    head.eval()
    return float(losses[-max(1, len(losses) // 10) :].mean())


def on_image(
    maps: Tensor,
    size: tuple[int, int],
    *,
    extractor: FeatureExtractor,
    settings: Settings,
    bicubic: bool = False,
) -> Tensor:
    """Brings maps (B, K, h, w) to the size (H, W) of the images that they belong to.

    Args:
        maps: Of the features' area, padding included.
        size: (H, W) in pixels.
        extractor: Says where its cells lie.
        settings: ``padded``.
        bicubic: Bicubically with the corners' centres aligned, instead of bilinearly.

    Returns:
        (B, K, H, W).
    """
    cells_of = getattr(extractor, "cells", None)  # stand-ins for a network never pad
    padded, (top, left) = tuple(size), (0, 0)
    if cells_of is not None and settings.padded == "cut":
        cells = cells_of(size)
        padded, (top, left) = cells.padded, cells.before
    mode = dict(mode="bilinear", align_corners=False)
    if bicubic:
        mode = dict(mode="bicubic", align_corners=True)
    resized = F.interpolate(maps, size=padded, **mode)
    return resized[:, :, top : top + size[0], left : left + size[1]]


@torch.no_grad()
def predict(
    head: LinearHead,
    extractor: FeatureExtractor,
    split: PairSplit,
    *,
    settings: Settings,
    decode: Callable[[Tensor], Tensor],
    unmirror: Callable[[Tensor], Tensor],
    kept: Kept,
    progress: Progress | None = None,
) -> Iterator[tuple[Tensor, LabelledBatch]]:
    """Yields predictions (B, K', H, W) of all images of a split in order, with their batch.

    Args:
        head: Trained; put into eval mode.
        extractor: Gives the features.
        split: The part that is scored.
        settings: Size, mirrored test images, batch.
        decode: Outputs (B, K, h, w) -> predictions (B, K', H, W) at the images' size.
        unmirror: Predictions of mirrored images, turned back in space, -> those of the images.
        kept: Features of this split from an earlier prediction.
        progress: Called with ("score", batches done, batches).
    """
    head.eval()
    total = split.batch_count(settings.batch_size)
    for done, batch in enumerate(scored_batches(split, settings), start=1):
        prediction = decode(head(_features(extractor, batch.images, (done, False), kept)))
        if settings.flip_test:
            flipped = batch.images.flip(-1)
            mirrored = decode(head(_features(extractor, flipped, (done, True), kept)))
            prediction = (prediction + unmirror(mirrored.flip(-1))) / 2
        yield prediction, batch
        if progress:
            progress("score", done, total)


def _features(
    extractor: FeatureExtractor, images: Tensor, key: tuple[int, bool], kept: Kept
) -> Tensor:
    """Those of one batch, (number, mirrored), encoded for the first prediction only."""
    held = kept.get(key)
    if held is None:
        held = (encode(extractor, images),)
        kept.put(key, held)
    return held[0]


def _grouped(loss: Loss, outputs: Tensor, labels: Tensor, *, step: int, size: int) -> Tensor:
    """Mean of the losses of groups of ``size`` images."""
    pairs = zip(outputs.split(size), labels.split(size), strict=True)
    return torch.stack([loss(*pair, step) for pair in pairs]).mean()


def _schedule(settings: Settings) -> Schedule:
    return Schedule(
        settings.schedule,
        settings.lr,
        settings.steps,
        settings.warmup_steps,
        warmup_from=settings.warmup_from,
        floor=settings.floor,
        beta1=settings.beta1,
    )
