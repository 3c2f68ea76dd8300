"""Training a read-out on frozen features: AdamW, warm-up, a cosine per step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.data.pairs import LabelledBatch
from benchmarks.frozen.probe.images import ProbeImages
from benchmarks.frozen.probe.losses import Loss
from benchmarks.frozen.probe.readout import OwnGrid
from benchmarks.frozen.probe.settings import Settings
from pretrain.progress import Progress


class LinearProbe(nn.Module):
    """o = scale · (P·(F − μ)/σ + β) + shift, per pixel.

    Args:
        mean: μ (C,).
        std: σ (C,).
        outputs: K.
        scale: Of the outputs, from what the labels vary by.
        shift: Of the outputs.
        initial_std: Of the outputs before training (were features independent), see :class:`Loss`.
        seed: Of the initial P.
    """

    def __init__(
        self,
        mean: Tensor,
        std: Tensor,
        outputs: int,
        *,
        scale: float = 1.0,
        shift: float = 0.0,
        initial_std: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(outputs, len(mean), generator=generator) * (
            initial_std / math.sqrt(len(mean))
        )
        self.weight = nn.Parameter(weight.to(mean.device))
        self.bias = nn.Parameter(torch.zeros(outputs, device=mean.device))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.scale, self.shift = scale, shift

    def on_features(self) -> tuple[Tensor, Tensor]:
        """Weight (K, C) and bias (K,) for features that are not standardised; differentiable."""
        weight = self.weight / self.std
        bias = self.bias - weight @ self.mean
        return self.scale * weight, self.scale * bias + self.shift


def labels_at(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes label maps (B, H, W) to ``size`` (h, w): a cell takes the label under its centre."""

    def under_centres(old: int, new: int) -> Tensor:
        return ((torch.arange(new, device=masks.device) + 0.5) * old / new).long()

    rows, columns = map(under_centres, masks.shape[1:], size)
    return masks[:, rows][:, :, columns]


def fit(
    probe: LinearProbe,
    images: ProbeImages,
    *,
    readout: OwnGrid,
    loss: Loss,
    size: tuple[int, int],
    settings: Settings,
    progress: Progress | None = None,
) -> float:
    """Trains the probe, in place.

    Args:
        probe: Changed.
        images: The train part.
        readout: Where P meets the upsampler.
        loss: What is minimised.
        size: (H', W') of the read-out's outputs; labels are resized to it.
        settings: Schedule and seed.
        progress: Called with ("train", step, steps).

    Returns:
        The loss, mean over the last tenth of the steps.

    Raises:
        ValueError: the loss is not finite.
    """
    steps = settings.steps(len(images))
    rate = settings.lr / math.sqrt(probe.weight.shape[1])
    optimiser = torch.optim.AdamW(probe.parameters(), lr=rate, weight_decay=settings.weight_decay)
    losses = []
    with torch.enable_grad():
        for step, ids in enumerate(_order(len(images), settings, steps)):
            for group in optimiser.param_groups:
                group["lr"] = rate * schedule(step, steps, settings.warmup)
            optimiser.zero_grad()
            value = backward(probe, images, ids=ids, readout=readout, loss=loss, size=size)
            losses.append(value)
            if not math.isfinite(losses[-1]):
                raise ValueError(
                    f"the probe's loss is {losses[-1]} at step {step + 1}; choose a smaller lr"
                )
            optimiser.step()
            if progress:
                progress("train", step + 1, steps)
    last = losses[-max(1, steps // 10) :]
    return sum(last) / len(last)


def schedule(step: int, steps: int, warmup: float) -> float:
    """Factor of the learning rate at a step, 0 first: a linear rise over the share ``warmup``,
    times a cosine to 0.
    """
    return (
        min(1.0, (step + 1) / max(1.0, warmup * steps))
        * 0.5
        * (1 + math.cos(math.pi * step / steps))
    )


def backward(
    probe: LinearProbe,
    images: ProbeImages,
    *,
    ids: Sequence[int],
    readout: OwnGrid,
    loss: Loss,
    size: tuple[int, int],
) -> float:
    """Adds the gradient of one step's loss to the probe's parameters; returns the loss.

    The images pass a few at a time; the read-out is folded, and its gradient unfolded, once for all
    of them.
    """
    folded = readout.fold(*probe.on_features())
    weight, bias = (tensor.detach().requires_grad_() for tensor in folded)
    labels = labels_at(images.masks(ids), size)
    totals, value, start = loss.totals(labels), 0.0, 0
    for piece in images.pieces(ids, readout):
        end = start + len(piece.features)
        outputs = readout.apply(piece.features, piece.prepared, weight=weight, bias=bias)
        part = loss(outputs, labels[start:end], totals)
        part.backward()
        value, start = value + float(part.detach()), end
    torch.autograd.backward(folded, (weight.grad, bias.grad))
    return value


@torch.no_grad()
def predict(
    probe: LinearProbe,
    images: ProbeImages,
    *,
    readout: OwnGrid,
    batch_size: int,
    progress: Progress | None = None,
) -> Iterator[tuple[Tensor, LabelledBatch]]:
    """Yields outputs (B, K, H', W') of all images in order, a few at a time."""
    weight, bias = readout.fold(*probe.on_features())
    for start in range(0, len(images), batch_size):
        ids = range(start, min(start + batch_size, len(images)))
        for piece in images.pieces(ids, readout):
            outputs = readout.apply(piece.features, piece.prepared, weight=weight, bias=bias)
            yield outputs, piece.batch
        if progress:
            progress("evaluate", ids.stop, len(images))


def _order(count: int, settings: Settings, steps: int) -> Iterator[list[int]]:
    """Yields the images of each step: epoch after epoch, each a permutation of its own."""
    epoch, done = 0, 0
    while True:
        order = np.random.default_rng([settings.seed, epoch]).permutation(count)
        for start in range(0, count, settings.images_per_step):
            if done == steps:
                return
            yield order[start : start + settings.images_per_step].tolist()
            done += 1
        epoch += 1
