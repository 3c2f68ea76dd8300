"""Classifier, activation maps and masked images."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from heads.upsamplers.base import LinearUpsampler


@dataclass(frozen=True)
class Classifier:
    """Softmax(W·v + b) of a pooled vector v; what a standardisation subtracted and divided by is in
    W and b.

    Attributes:
        weight: (classes, C) float32.
        bias: (classes,) float32.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, vectors: Tensor) -> Tensor:
        """Scores (B, classes) of vectors (B, C)."""
        return torch.softmax(vectors @ self.weight.T + self.bias, dim=1)


class Pooled:
    """An extractor's low-resolution maps, whatever upsampler it has, and their means as its
    vectors.
    """

    def __init__(self, extractor: FeatureExtractor) -> None:
        self._low = copy.copy(extractor)
        self._low.upsampler = None
        self.device = extractor.device

    def maps(self, images: Tensor) -> Tensor:
        """(B, C, h, w) float32 of un-normalised images (B, 3, H, W)."""
        return self._low.maps(images)

    def vector(self, images: Tensor) -> Tensor:
        """(B, C) float32."""
        return self.maps(images).mean((2, 3))


@torch.inference_mode()
def activation_maps(
    extractor: FeatureExtractor, images: Tensor, *, maps: Tensor, weights: Tensor
) -> Tensor:
    """M, the map of one class per image.

    An upsampler that is linear in the features gets the finished low-resolution map, one channel in
    place of C.

    Args:
        extractor: Its upsampler is used; without one every pixel takes the value of the cell it
            lies in.
        images: (B, 3, H, W) float in [0, 1], un-normalised.
        maps: (B, C, h, w) their low-resolution features.
        weights: (B, C) weights of each image's class.

    Returns:
        (B, H, W) float32 in [0, 1]; all zero where no pixel speaks for the class.

    Raises:
        ValueError: features that are not finite.
    """
    size, grid = tuple(images.shape[-2:]), tuple(maps.shape[-2:])
    upsampler = getattr(extractor, "upsampler", None)
    if upsampler is None:
        activation = F.interpolate(_weighted(weights, maps), size=size, mode="nearest-exact")
    elif isinstance(upsampler, LinearUpsampler) and upsampler.foldable:
        folded, shift = upsampler.fold(weights, weights.new_zeros(len(weights)))
        parts = upsampler.filters(normalised(extractor, images), grid, size)
        activation = (
            upsampler.spread(parts, _weighted(folded, maps), size) + shift[:, None, None, None]
        )
    else:
        activation = _weighted(
            weights, upsampler.upsample(normalised(extractor, images), maps, size)
        )
    if not torch.isfinite(activation).all():
        raise ValueError("a class activation map is not finite; did training diverge?")
    positive = activation[:, 0].float().clamp_min(0)
    return positive / positive.amax((1, 2), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)


def masked(extractor: FeatureExtractor, images: Tensor, mask: Tensor) -> Tensor:
    """Fades images (B, 3, H, W), float in [0, 1], to the mean colour as far as ``mask`` (B, H, W)
    is below 1.
    """
    mean = _colour(extractor.mean, images)
    return mean + mask[:, None] * (images - mean)


def normalised(extractor: FeatureExtractor, images: Tensor) -> Tensor:
    """Images (B, 3, H, W), float in [0, 1], as the backbone sees them."""
    return (images - _colour(extractor.mean, images)) / _colour(extractor.std, images)


def _weighted(weights: Tensor, maps: Tensor) -> Tensor:
    """Σ_c w_bc F_bc as (B, 1, h, w)."""
    return torch.einsum("bc,bchw->bhw", weights, maps)[:, None]


def _colour(values: tuple[float, ...], like: Tensor) -> Tensor:
    return like.new_tensor(values).view(1, 3, 1, 1)
