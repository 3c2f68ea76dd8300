"""Training the decoder: images, schedule, steps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data.label_maps import IGNORE
from benchmarks.data.loading import ordered_map, resize_image, resize_mask, sample_keys
from benchmarks.data.pairs import PairSplit, RandomCrop
from benchmarks.frozen.decoder.network import DecoderNetwork, loss_of
from benchmarks.frozen.decoder.settings import Settings
from pretrain.progress import Progress

_CURVE = 100  # points of the loss curve that a record keeps


def train(
    network: DecoderNetwork,
    extractor: FeatureExtractor,
    split: PairSplit,
    *,
    settings: Settings,
    progress: Progress | None = None,
) -> list[float]:
    """Trains in place, in full precision.

    Args:
        network: on the extractor's device. extractor: normalises the images.
        split: train part. settings: the protocol.
        progress: called with ("train", steps done, steps).

    Returns:
        Mean losses over ``_CURVE`` equal runs of steps (fewer where there are fewer steps), in
        order.

    Raises:
        ValueError: a loss that is not finite; names the step.
    """
    optimiser = torch.optim.AdamW(parameter_groups(network, settings))
    scheduler = LambdaLR(
        optimiser, lambda step: learning_rate_share(step, settings.steps, settings.warmup)
    )
    network.train()
    losses: list[Tensor] = []
    for step, (images, masks) in enumerate(train_batches(split, settings)):
        loss = loss_of(network(extractor.normalise(images)), masks.to(extractor.device), IGNORE)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        scheduler.step()
        losses.append(loss.detach())
        last = step + 1 == settings.steps
        if last or (step + 1) % 50 == 0:  # reading a loss waits for the device
            if not torch.isfinite(torch.stack(losses[-50:])).all():
                raise ValueError(
                    f"step {step + 1}: the loss is not finite; try a smaller lr than {settings.lr}"
                )
        if progress:
            progress("train", step + 1, settings.steps)
    network.eval()
    parts = np.array_split(torch.stack(losses).double().cpu().numpy(), min(_CURVE, len(losses)))
    return [float(part.mean()) for part in parts]


def learning_rate_share(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate in step ``step`` (0 first): linear up over ``warmup``, then
    linear down to 0.
    """
    rising = max(1, round(warmup * steps))
    return min((step + 1) / rising, (steps - step) / max(1, steps - rising))


def parameter_groups(network: DecoderNetwork, settings: Settings) -> list[dict]:
    """AdamW's groups: head and upsamplers, backbone if it is trained, each with and without weight
    decay.
    """
    groups = []
    parts: list[tuple[nn.Module, float]] = [
        (network.head, settings.lr),
        (network.backbone, settings.backbone_lr),
    ]
    for module, lr in parts:
        trained = [p for p in module.parameters() if p.requires_grad]
        for decay, chosen in ((settings.weight_decay, True), (0.0, False)):
            parameters = [p for p in trained if (p.ndim > 1) == chosen]
            if parameters:
                groups.append(dict(params=parameters, lr=lr, weight_decay=decay))
    return groups


def train_batches(split: PairSplit, settings: Settings) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields images (B, 3, H, W) uint8 and masks (B, H, W), a permutation of the part per epoch,
    one batch per step.

    Crop and flip of an image follow from (seed, epoch, image) alone.
    """
    window: list[tuple[np.ndarray, np.ndarray]] = []
    needed = settings.steps * settings.images_per_step
    for view in ordered_map(
        lambda key: _view(split, key, settings),
        islice(sample_keys(len(split), settings.seed), needed),
        64,
    ):
        window.append(view)
        if len(window) == settings.images_per_step:
            images, masks = (np.stack(parts) for parts in zip(*window, strict=True))
            yield torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(masks)
            window = []


def _view(
    split: PairSplit, key: tuple[int, int], settings: Settings
) -> tuple[np.ndarray, np.ndarray]:
    image, mask = split.load(key[1])
    if settings.crop < 1:
        top, left, height, width = RandomCrop(scale=(settings.crop, 1.0), seed=settings.seed).box(
            *mask.shape, key
        )
        window = slice(top, top + height), slice(left, left + width)
        image, mask = np.ascontiguousarray(image[window]), mask[window]
    image, mask = resize_image(image, settings.size), resize_mask(mask, settings.size)
    if np.random.default_rng([settings.seed, 4, *key]).random() < settings.flip:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return image, mask
