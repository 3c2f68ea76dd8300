"""Layers of a network in the order of its forward pass, and what goes through them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.analysis.images import evenly_spread, read_images
from benchmarks.analysis.misalignment import patches
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data.class_folder import ClassSplit
from pretrain.progress import Progress

WEIGHTED = (nn.Conv2d, nn.Linear)
_PREFIX = "model."  # TimmBackbone keeps timm's network there


def layers_of(
    extractor: FeatureExtractor, kinds: tuple[type[nn.Module], ...], size: int
) -> dict[str, nn.Module]:
    """Name -> layer of these kinds, those that a black image passes, in the order in which it does.

    Args:
        extractor: the network.
        kinds: classes of modules.
        size: side of the image in pixels.
    """
    found = {}
    for name, module in extractor.backbone.named_modules():
        if isinstance(module, kinds):
            found[name.removeprefix(_PREFIX)] = module
    passed: list[str] = []
    with watching(found, lambda name, inputs, output: passed.append(name)):
        extractor.vector(torch.zeros(1, 3, size, size))
    return {name: found[name] for name in dict.fromkeys(passed)}


def numbered(layers: Mapping[str, nn.Module], number: int) -> tuple[str, nn.Module]:
    """Name and layer of a number, 1 for the first.

    Raises:
        ValueError: there is none; says how many there are.
    """
    if not 1 <= number <= len(layers):
        raise ValueError(
            f"layer={number}: the network has {len(layers)} layers with weights that an image "
            "passes; legal is 1, the first, to that number"
        )
    return list(layers.items())[number - 1]


@contextmanager
def watching(
    layers: Mapping[str, nn.Module], see: Callable[[str, Tensor, Tensor], Any]
) -> Iterator[None]:
    """Calls ``see(name, input, output)`` whenever a layer has run, for the duration of a ``with``
    block.
    """
    handles = []
    for name, module in layers.items():

        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Tensor, name: str = name) -> None:
            see(name, inputs[0], output)

        handles.append(module.register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def units_of(name: str, layer: nn.Module) -> Tensor:
    """(n, d) float64 units of a layer on the CPU, each flattened as :func:`inputs_of` flattens its
    inputs.

    Raises:
        ValueError: a grouped convolution, whose filters do not see the same inputs.
    """
    if getattr(layer, "groups", 1) != 1:
        raise ValueError(
            f"layer {name!r} is a convolution in {layer.groups} groups: its filters do not share "
            "their inputs, so they have no common covariance; choose another layer"
        )
    return layer.weight.detach().double().cpu().flatten(1)


def inputs_of(layer: nn.Module, seen: Tensor) -> Iterable[Tensor]:
    """What the units of a layer see of its input: (n, d), in pieces.

    A convolution's patches lie at all places, without padding, as far as they overlap. Where its
    own do not, as in a patch embedding, they are those that it sees.
    """
    if isinstance(layer, nn.Linear):
        return [seen.flatten(0, -2)]
    stride = (1, 1)
    if all(step >= side for step, side in zip(layer.stride, layer.kernel_size, strict=True)):
        stride = layer.stride
    return patches(seen, layer.kernel_size, dilation=layer.dilation, stride=stride)


@dataclass(frozen=True)
class Shown:
    """Images that networks are shown.

    Attributes:
        split: part of the data that they are of; None where only the size matters.
        images: at most so many, evenly spread.
        size: side of the square in pixels.
        crop_fraction: the shorter side is resized to size / crop_fraction, then the centre is cut.
        batch_size: images at once.
    """

    split: ClassSplit | None
    images: int
    size: int
    crop_fraction: float
    batch_size: int


def show_images(
    encode: Callable[[Tensor], Any], shown: Shown, *, progress: Progress | None = None
) -> int:
    """Hands the images on, (B, 3, H, W) uint8; returns how many.

    Raises:
        ValueError: an image cannot be read; names the file.
    """
    chosen = evenly_spread(len(shown.split), shown.images)
    for start in range(0, len(chosen), shown.batch_size):
        part = chosen[start : start + shown.batch_size]
        encode(read_images(shown.split, part, size=shown.size, crop_fraction=shown.crop_fraction))
        if progress:
            progress("encode", start + len(part), len(chosen))
    return len(chosen)
