"""From images to the unit vectors that the memory stores and is asked with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import require_directions
from benchmarks.data.pairs import LabelledBatch, PairSplit
from pretrain.structures import Photometric
from pretrain.views.photometric import Jitter, PhotometricSpec, sample
from pretrain.views.photometric_torch import apply_torch

# All four changes or none, at p = 0.5; the open re-implementation draws each of them at 0.5 by
# itself.
_JITTER = PhotometricSpec(
    jitter=Jitter(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1, p=0.5)
)


def encode(
    extractor: FeatureExtractor,
    batch: LabelledBatch,
    *,
    split: PairSplit,
    jitter_seed: int | None = None,
) -> Tensor:
    """Encodes a batch to unit-norm features (B, h, w, D) float32.

    Args:
        extractor: Gives the maps.
        batch: B images.
        split: Names the images in errors.
        jitter_seed: Jitters colours, each image by (seed, pass, image); None leaves them.

    Raises:
        ValueError: a zero or non-finite feature; names the image.
    """
    images = batch.images if jitter_seed is None else _jitter(batch, jitter_seed)
    features = extractor.maps(images).permute(0, 2, 3, 1)  # (B, h, w, D)
    norms = features.norm(dim=-1, keepdim=True)
    require_directions(norms, batch.ids, split.name)
    return features / norms.clamp_min(torch.finfo(features.dtype).tiny)


def _jitter(batch: LabelledBatch, seed: int) -> Tensor:
    """Jitters (B, 3, H, W) uint8 images to float32 in [0, 1], each by its own draw of (seed, pass,
    image).
    """
    generators = (np.random.default_rng([seed, 2, batch.repeat, image]) for image in batch.ids)
    drawn = [sample(_JITTER, generator) for generator in generators]
    return apply_torch(batch.images.contiguous(), Photometric.stack(drawn))
