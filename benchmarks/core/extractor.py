"""A frozen backbone as every benchmark sees it: un-normalised images in, feature maps and vectors
out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.core.features import Cells, FeatureSettings, Reading
from benchmarks.core.kept import KeptMaps
from benchmarks.core.maps import grid_of
from benchmarks.core.network import load_network
from benchmarks.core.place_removal import Removal, load_removal
from benchmarks.core.sizes import refused_sizes
from benchmarks.core.subject import describe_upsampler
from pretrain.modes import evaluating
from pretrain.specs import parse_spec
from pretrain.weights.filling import LoadReport, weights_fingerprint
from pretrain.weights.layouts import IMAGENET

# Of features at the image's size at once: what an upsampler may make on its way.
_PIECE_BYTES = 256 << 20


class FeatureExtractor:
    """Frozen features: eval mode, no gradient, BatchNorm statistics fixed.

    Args:
        backbone: Module that turns normalised (B, 3, H, W) into ``Features``, with an ``info``.
        mean: Normalisation, RGB in [0, 1].
        std: The same.
        spec: What the user called it; stands in tables.
        weights: ``online`` or ``target``.
        map_stride: Which map of the pyramid ``maps`` gives; None = the deepest.
        report: What was loaded; None for a network that never was in a file.
        pyramid: Weights of a feature pyramid that was trained with the network, keys from ``fpn.``
            and ``head_convs.``.
        licence: What the weights may be used for; None where nobody says.
        upsampler: Called as ``upsampler.upsample(image, features, output_size)`` after the
            backbone, with the normalised image.
        task_stride: Pixels per value that the task asks for: ``maps`` gives one feature for them
            behind an upsampler, and probes bring their logits to this grid without one, too.
        samples_seen: Images shown in its pretraining, as its checkpoint says; None: it does not.
        stated_colours: Whether the user gave mean and std.

    Attributes:
        map_stride: Pixels per cell of the network's own map.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        mean: tuple[float, ...] = IMAGENET["mean"],
        std: tuple[float, ...] = IMAGENET["std"],
        spec: str = "given",
        weights: str = "online",
        map_stride: int | None = None,
        report: LoadReport | None = None,
        pyramid: Mapping[str, Tensor] | None = None,
        licence: str | None = None,
        upsampler: Any = None,
        task_stride: int = 1,
        samples_seen: int | None = None,
        stated_colours: bool = False,
    ) -> None:
        self.backbone = backbone
        self.spec, self.weights, self.report = spec, weights, report
        self.pyramid, self.licence = dict(pyramid or {}), licence
        self.upsampler, self.task_stride = upsampler, task_stride
        self.samples_seen, self.stated_colours = samples_seen, stated_colours
        self._reading: Reading | None = None
        self._kept: KeptMaps | None = None
        self.removal: Removal | None = None
        self.map_stride = backbone.info.pick(map_stride)
        self.device = next(backbone.parameters()).device
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))

    @classmethod
    def load(
        cls, spec: str, weights: str = "online", device: torch.device | str = "cpu"
    ) -> FeatureExtractor:
        """Builds an extractor from a spec.

        Args:
            spec: ``PATH.pth`` (a checkpoint of ours; one in a layout of
                :mod:`pretrain.weights.layouts`, ``?layout=NAME`` where several fit; or any state
                dict with ``?backbone=TIMM_NAME``), ``timm:NAME`` (timm's pretrained weights) or
                ``random:NAME`` (fresh weights, same for the same ``?seed=``), followed by
                ``?key=value&…``: ``weights``, ``seed``, ``map_stride``, ``mean`` and ``std`` (three
                numbers, for a file that does not say how images were normalised),
                ``without_place`` (see :mod:`benchmarks.core.place_removal`), or an option of the
                network such as ``output_stride=8``.
            weights: ``online`` or ``target`` where a file holds both; ``?weights=`` overrides it.
            device: Where it runs.

        Raises:
            ValueError, FileNotFoundError: see :func:`benchmarks.core.network.load_network`.
        """
        backbone, known = load_network(spec, weights)
        backbone = backbone.to(device=device, memory_format=torch.channels_last)
        extractor = cls(backbone.eval(), **known)
        removal = parse_spec(spec)[1].get("without_place")
        return extractor if removal is None else extractor.without_place(load_removal(removal))

    def through(self, upsampler: Any, task_stride: int) -> FeatureExtractor:
        """The same network, not copied, behind another upsampler (None: on its own grid), for a
        task that asks for a value per ``task_stride`` pixels.

        An upsampler with ``bind``, as the implicit one, gets the network: it encodes views of an
        image itself.
        """
        other = copy.copy(self)
        other.task_stride = task_stride
        return other._behind(upsampler)

    def keeping(self, kept: KeptMaps) -> FeatureExtractor:
        """The same network, not copied, that encodes an image once for all its copies behind
        upsamplers.

        Args:
            kept: empty.
        """
        other = copy.copy(self)
        other._kept = kept
        return other

    def reading(self, settings: FeatureSettings) -> FeatureExtractor:
        """The same network, not copied, whose maps and vectors are exactly those that the settings
        name.

        Raises:
            ValueError: the network does not have what the settings ask for.
        """
        if self.map_stride != max(self.backbone.info.channels):
            raise ValueError(
                f"map_stride={self.map_stride} and layers={settings.layers} both choose a map; "
                "leave map_stride out"
            )
        other = copy.copy(self)
        other._reading, other._kept = Reading(self.backbone, settings), None
        other.map_stride = other._reading.stride
        return other._behind(self.upsampler)

    def coloured(self, mean: Sequence[float], std: Sequence[float]) -> FeatureExtractor:
        """The same network, not copied, whose images are normalised by these RGB values."""
        other = copy.copy(self)
        other.mean, other.std = tuple(map(float, mean)), tuple(map(float, std))
        other._kept = None
        return other._behind(self.upsampler)

    def without_place(self, removal: Removal) -> FeatureExtractor:
        """The same network, not copied, whose maps pass through a removal of place.

        Raises:
            ValueError: the removal was made for another network.
        """
        other = copy.copy(self)
        other.removal, other._kept = removal, None
        return other._behind(self.upsampler)

    @property
    def feature_settings(self) -> FeatureSettings | None:
        """What :meth:`reading` was given; None: the network's own map and vector."""
        return None if self._reading is None else self._reading.settings

    def require_whole(self, reader: str) -> None:
        """Does nothing if the network is read as it is.

        Args:
            reader: what passes over :class:`FeatureSettings`, as it opens the message.

        Raises:
            ValueError: features were chosen by :meth:`reading`.
        """
        if self._reading is not None:
            raise ValueError(
                f"{reader} reads the network's own stages: layers, norm, positions and padding "
                "cannot be chosen for it; leave the features' settings out"
            )

    def cells(self, size: tuple[int, int]) -> Cells:
        """Says where the cells of the network's own grid lie on images of (H, W) pixels, and which
        of them are padding.

        Raises:
            ValueError: a size that is no multiple of the stride, unless the features' settings name
                a rule of padding.
        """
        if self._reading is not None:
            return self._reading.cells(size)
        return Cells(size, grid_of(size, self.map_stride), (0, 0), size)

    @property
    def stride(self) -> int:
        """Pixels per cell of ``maps``."""
        return self.map_stride if self.upsampler is None else self.task_stride

    @property
    def channels(self) -> int:
        """C of ``maps``."""
        if self._reading is not None:
            return self._reading.channels
        return self.backbone.info.channels[self.map_stride]

    @torch.inference_mode()
    def maps(self, images: Tensor, *, recurs: bool = True) -> Tensor:
        """Encodes (B, 3, H, W) uint8, or float in [0, 1], as they are, to (B, C, h, w) float32;
        images that do not recur, such as random crops, are never kept.
        """
        features = self.encode(images, recurs=recurs)
        if self.upsampler is None:
            return features
        height, width = images.shape[-2:]
        if self._reading is not None and self.cells((height, width)).padded != (height, width):
            raise ValueError(
                f"images of {height} × {width} pixels are padded (pad="
                f"{self._reading.settings.pad!r}): an upsampler would place their features "
                "wrongly; choose a size of whole patches"
            )
        size = height // self.task_stride, width // self.task_stride
        # At most a piece passes through the image's own size, as a stack of fixed factors does on
        # its way to any grid.
        piece = max(1, _PIECE_BYTES // (4 * features.shape[1] * height * width))
        parts = zip(self.normalise(images).split(piece), features.split(piece), strict=True)
        return torch.cat([self.upsampler.upsample(*part, size).float() for part in parts])

    @torch.no_grad()
    def encode(self, images: Tensor, *, recurs: bool = True) -> Tensor:
        """As :meth:`maps` without the upsampler: (B, C, h, w) float32 on the network's own grid."""
        if self._kept is None or not recurs:
            return self.features(self.normalise(images))
        return self._kept.maps(images, partial(self.encode, recurs=False), self.device)

    @torch.no_grad()
    def features(self, normalised: Tensor) -> Tensor:
        """:meth:`encode` of images (B, 3, H, W) that are normalised already."""
        with self._frozen(normalised):
            if self._reading is not None:
                maps = self._reading.maps(normalised).float()
            else:
                maps = self.backbone(normalised).map(self.map_stride).float()
        if self.removal is None:
            return maps
        return self.removal.clean(maps, tuple(normalised.shape[-2:]))

    @torch.inference_mode()
    def vector(self, images: Tensor) -> Tensor:
        """Encodes (B, 3, H, W) uint8, or float in [0, 1], un-normalised, to (B, C) float32."""
        normalised = self.normalise(images)
        with self._frozen(normalised):
            if self._reading is not None:
                return self._reading.vector(normalised).float()
            return self.backbone(normalised).vector.float()

    def check_size(self, size: tuple[int, int]) -> None:
        """Encodes one black image of (H, W) pixels, so that a refusal shows before any work.

        Raises:
            ValueError: the network does not take this size, see :func:`refused_sizes`.
        """
        self.vector(torch.zeros(1, 3, *size))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the network's weights as they are when it is first asked for."""
        return weights_fingerprint(self.backbone)

    def describe(self) -> dict[str, Any]:
        """Says which network this is, as plain values for ``Record.subject``."""
        info = self.backbone.info
        described: dict[str, Any] = dict(
            spec=self.spec,
            weights=self.weights,
            backbone=getattr(self.backbone, "config", {}),
            stride=self.stride,
            map_channels=self.channels,
            vector_channels=info.vector,
            mean=self.mean,
            std=self.std,
            fingerprint=self.fingerprint,
        )
        if self.feature_settings is not None:
            described["features"] = self.feature_settings.describe()
        if self.removal is not None:
            described["without_place"] = self.removal.describe()
        if self.licence is not None:
            described["licence"] = self.licence
        if self.upsampler is not None:
            described["upsampler"] = describe_upsampler(self.upsampler)
        if self.samples_seen is not None:
            described["samples_seen"] = self.samples_seen
        if self.report is not None:
            described["keys"] = self.report.counts
        return described

    def normalise(self, images: Tensor) -> Tensor:
        """Turns images as :meth:`maps` takes them into the backbone's input (B, 3, H, W) float32,
        on its device.

        Raises:
            ValueError: another shape.
        """
        return normalise(images, self.mean, self.std, self.device)

    @contextmanager
    def _frozen(self, normalised: Tensor) -> Iterator[None]:
        """What encoding images (B, 3, H, W) takes: evaluation mode, refusals as sentences."""
        with evaluating(self.backbone), refused_sizes(self.backbone, normalised):
            yield

    def _behind(self, upsampler: Any) -> FeatureExtractor:
        """Puts an upsampler behind this copy, whose removal of place begins anew."""
        if self.removal is not None:
            plain = copy.copy(self)
            plain.removal = None
            self.removal = self.removal.bind(plain)
        if hasattr(upsampler, "bind"):
            upsampler = copy.copy(upsampler).bind(self.features)
        self.upsampler = upsampler
        return self


def normalise(
    images: Tensor, mean: Sequence[float], std: Sequence[float], device: torch.device
) -> Tensor:
    """Turns images (B, 3, H, W) uint8, or float in [0, 1], into (B, 3, H, W) float32 on ``device``,
    channels last.

    Raises:
        ValueError: another shape.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be (B, 3, H, W), found {tuple(images.shape)}")
    images = images.to(device)
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    colours = torch.tensor([list(mean), list(std)]).view(2, 1, 3, 1, 1) * scale
    mean_map, std_map = colours.to(device, non_blocking=True)
    return ((images.float() - mean_map) / std_map).contiguous(memory_format=torch.channels_last)
