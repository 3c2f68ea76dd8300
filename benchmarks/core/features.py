"""Which features of a frozen network a benchmark reads: layers, norm, class token, positions,
padding.

Published protocols differ in these, and each difference moves their numbers. A network that is read
without settings gives what timm's own call gives; :meth:`FeatureExtractor.reading` gives what the
settings say, or refuses.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain.backbones.final_norm import final_norm, normalise_map
from pretrain.backbones.positions import factor_positions, require_factor
from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.names import check_choice


@dataclass(frozen=True)
class FeatureSettings:
    """What is read of a network.

    Attributes:
        layers: blocks of a ViT, stages of any other network, counted from 0, negative from the end,
            from the first to the last. The map holds their channels one after the other.
        norm: each layer passes the network's final norm. In networks of stages only the last stage
            has one, earlier ones stay as they are. A network without a final norm is refused.
        class_token: ``concatenate``: the class token of each layer, normed as its map is, follows
            the map's channels in every cell. ``none``: the map alone.
        vector: ``timm``: the network's own pooling (the mean of the patches for DINOv3's ViTs).
            ``class_token``: that of the last of ``layers``.
        positions: how a table of positions follows the input's size. ``timm``: as the network does
            it itself, in timm bicubically with antialiasing. ``factor``: without it and by the
            factor (cells + 0.1) / (cells of the table), the rule of DINO and of DINOv2 without
            registers. Other networks refuse it.
        pad: what happens to images that are not whole patches (or steps of the deepest stride).
            ``refuse``: an error. ``corner``: zeros, after normalisation, right and below.
            ``centre``: zeros on both sides, the larger half right and below, as in DINOv2's
            evaluation. :meth:`FeatureExtractor.cells` marks the cells that are padding.
        stride: pixels per cell of the map: every layer is resized to it bilinearly with
            antialiasing, before the norm, as DINOv3's evaluation brings its ConvNeXts to 16.
            None: the network's own.

    Raises:
        ValueError: an illegal value.
    """

    layers: Sequence[int] = (-1,)
    norm: bool = True
    class_token: str = "none"
    vector: str = "timm"
    positions: str = "timm"
    pad: str = "refuse"
    stride: int | None = None

    def __post_init__(self) -> None:
        numbers = isinstance(self.layers, list | tuple) and all(
            type(layer) is int for layer in self.layers
        )
        if not numbers or not self.layers:
            raise ValueError(
                f"layers={self.layers!r} must be one or more whole numbers, as (-1,) for the last"
            )
        object.__setattr__(self, "layers", tuple(self.layers))
        if type(self.norm) is not bool:
            raise ValueError(f"norm={self.norm!r} must be True or False")
        check_choice("class_token", self.class_token, ("none", "concatenate"))
        check_choice("vector", self.vector, ("timm", "class_token"))
        check_choice("positions", self.positions, ("timm", "factor"))
        check_choice("pad", self.pad, ("refuse", "corner", "centre"))
        if self.stride is not None and (type(self.stride) is not int or self.stride < 1):
            raise ValueError(f"stride={self.stride!r} must be a whole number of pixels, or None")

    def describe(self) -> dict[str, Any]:
        """The settings as plain values of JSON."""
        return asdict(self) | dict(layers=list(self.layers))


@dataclass(frozen=True)
class Cells:
    """Where the cells of a map lie on the image that it was made of.

    Attributes:
        image: its (H, W) in pixels.
        grid: (h, w) of the map.
        before: pixels of padding (above, left of) the image.
        padded: (H, W) with all padding; the map covers this area evenly.
    """

    image: tuple[int, int]
    grid: tuple[int, int]
    before: tuple[int, int]
    padded: tuple[int, int]

    def centres(self) -> tuple[Tensor, Tensor]:
        """Centres of the rows (h,) and columns (w,) of cells, float64, in pixels of the image whose
        first pixel reaches from 0 to 1.
        """
        axes = zip(self.grid, self.padded, self.before, strict=True)
        rows, columns = (
            (torch.arange(count, dtype=torch.float64) + 0.5) * (length / count) - before
            for count, length, before in axes
        )
        return rows, columns

    def padding(self) -> Tensor:
        """(h, w) bool: True for cells that are padding, because their centre is not on the image;
        to be left out of every score.
        """
        outside = [
            (centres < 0) | (centres >= length)
            for centres, length in zip(self.centres(), self.image, strict=True)
        ]
        return outside[0][:, None] | outside[1]

    def pad(self, images: Tensor) -> Tensor:
        """Puts zeros around images (B, 3, H, W) that are normalised already."""
        (top, left), (height, width) = self.before, self.padded
        if self.padded == self.image:
            return images
        bottom, right = height - self.image[0] - top, width - self.image[1] - left
        return F.pad(images, (left, right, top, bottom))


class Reading:
    """A network read by :class:`FeatureSettings`.

    Args:
        backbone: a :class:`TimmBackbone`, shared, not copied.
        settings: what is read.

    Attributes:
        settings: as given.
        stride: pixels per cell of the map.
        channels: D of the map.

    Raises:
        ValueError: the network does not have what the settings ask for.
    """

    def __init__(self, backbone: nn.Module, settings: FeatureSettings) -> None:
        if not isinstance(backbone, TimmBackbone) or backbone.out_indices is not None:
            raise ValueError(
                f"{type(backbone).__name__}: layers, norm and positions can be chosen for networks "
                "of timm alone (TimmBackbone, without out_indices)"
            )
        self.settings, self._backbone, self._model = settings, backbone, backbone.model
        self._name = backbone.config["name"]
        stages = backbone.stages
        self._layers = _resolved(settings.layers, len(stages), self._name)
        self._step = max(stage["reduction"] for stage in stages)
        # timm resamples the table of RADIO's plain ViTs once, when it loads their weights.
        radio = "_radio_" in self._name and isinstance(self._model, VisionTransformer)
        self._only_size = backbone.own_size if radio else None
        self.stride = settings.stride or self._common_stride(stages)
        self._tokens = self._class_tokens()
        if not self._tokens:
            self._require_tokens()
        self._norms = self._norms_of(stages)
        copies = 2 if settings.class_token == "concatenate" else 1
        self.channels = copies * sum(stages[layer]["num_chs"] for layer in self._layers)
        if settings.positions == "factor":
            require_factor(self._model, f"positions='factor': {self._name}")

    def cells(self, size: tuple[int, int]) -> Cells:
        """Says where the cells of images of (H, W) pixels lie.

        Raises:
            ValueError: sides that are no multiples of the patch, unless ``pad`` says what to do.
        """
        missing = [-side % self._step for side in size]
        if any(missing) and self.settings.pad == "refuse":
            near = " × ".join(str(max(1, round(n / self._step)) * self._step) for n in size)
            raise ValueError(
                f"images of {size[0]} × {size[1]} pixels: {self._name} takes multiples of "
                f"{self._step}, the nearest is {near}; set it by size=, or let zeros fill the last "
                "patches with pad='corner' or pad='centre'"
            )
        centre = self.settings.pad == "centre"
        before = tuple(lack // 2 if centre else 0 for lack in missing)
        padded = tuple(side + lack for side, lack in zip(size, missing, strict=True))
        if self._only_size not in (None, padded):
            own = " × ".join(map(str, self._only_size))
            raise ValueError(
                f"images of {padded[0]} × {padded[1]} pixels: {self._name} follows RADIO's rule of "
                f"positions at {own} alone; take naflex{self._name}, or build it for these images "
                f"by ?img_size={padded}"
            )
        grid = tuple(max(1, side // self.stride) for side in padded)
        return Cells(tuple(size), grid, before, padded)

    def maps(self, normalised: Tensor) -> Tensor:
        """Encodes normalised images (B, 3, H, W) to (B, C, h, w) float.

        Raises:
            ValueError: a size that :meth:`cells` refuses, or maps of another grid.
        """
        cells = self.cells(tuple(normalised.shape[-2:]))
        outputs = self._outputs(cells.pad(normalised), self._layers)
        parts = []
        for (features, token), norm in zip(outputs, self._norms, strict=True):
            features = self._resized(features, cells.grid)
            parts.append(features if norm is None else normalise_map(norm, features))
            if self.settings.class_token == "concatenate":
                token = token if norm is None else norm(token)
                parts.append(token[:, :, None, None].expand(-1, -1, *cells.grid))
        return torch.cat(parts, 1)

    def vector(self, normalised: Tensor) -> Tensor:
        """Encodes normalised images (B, 3, H, W) to (B, C) float.

        Raises:
            ValueError: a size that :meth:`cells` refuses.
        """
        padded = self.cells(tuple(normalised.shape[-2:])).pad(normalised)
        if self.settings.vector == "timm":
            with self._positions():
                return self._backbone(padded).vector
        ((_, token),) = self._outputs(padded, self._layers[-1:])
        return token if self._norms[-1] is None else self._norms[-1](token)

    def _outputs(
        self, padded: Tensor, layers: tuple[int, ...]
    ) -> list[tuple[Tensor, Tensor | None]]:
        """Raw maps (B, D, h, w) of layers, with their class tokens (B, D) where they are read."""
        extra = dict(return_prefix_tokens=True) if self._tokens else {}
        with self._positions():
            outputs = self._model.forward_intermediates(
                padded, indices=list(layers), stop_early=True, intermediates_only=True, **extra
            )
        if not self._tokens:
            return [(features, None) for features in outputs]
        return [(features, prefix[:, 0]) for features, prefix in outputs]

    def _positions(self) -> AbstractContextManager[None]:
        by_factor = self.settings.positions == "factor"
        return factor_positions(self._model) if by_factor else nullcontext()

    def _resized(self, features: Tensor, grid: tuple[int, int]) -> Tensor:
        """Brings a map to the grid, if ``stride`` was asked for."""
        shape = tuple(features.shape[-2:])
        if shape == grid:
            return features
        if self.settings.stride is None:
            raise ValueError(
                f"{self._name} gives maps of {shape[0]} × {shape[1]} cells where its stride "
                f"{self.stride} promises {grid[0]} × {grid[1]}: its cells have no known place in "
                "the image; choose another network"
            )
        return F.interpolate(features, grid, mode="bilinear", antialias=True)

    def _common_stride(self, stages: Sequence[dict[str, Any]]) -> int:
        strides = [stages[layer]["reduction"] for layer in self._layers]
        if len(set(strides)) > 1:
            raise ValueError(
                f"layers={self.settings.layers}: those of {self._name} have strides {strides}; "
                "bring them to one by stride="
            )
        return strides[0]

    def _class_tokens(self) -> bool:
        """Whether class tokens are read and there are any."""
        asked = "concatenate" == self.settings.class_token or "class_token" == self.settings.vector
        owner = getattr(self._model, "embeds", self._model)  # NaFlex's ViTs keep it one floor down
        options = inspect.signature(self._model.forward_intermediates).parameters
        there = getattr(owner, "cls_token", None) is not None
        return asked and there and "return_prefix_tokens" in options

    def _require_tokens(self) -> None:
        settings = self.settings
        if settings.class_token == "concatenate":
            raise ValueError(
                f"class_token='concatenate': {self._name} has no class token; take 'none'"
            )
        if settings.vector == "class_token":
            raise ValueError(f"vector='class_token': {self._name} has no class token; take 'timm'")

    def _norms_of(self, stages: Sequence[dict[str, Any]]) -> list[nn.Module | None]:
        """The norm of each layer that is read."""
        if not self.settings.norm:
            return [None] * len(self._layers)
        last = len(stages) - 1
        norm = final_norm(self._model, stages[last]["num_chs"])
        if norm is None:
            raise ValueError(
                f"norm=True: timm keeps no norm of {self._name} that fits its last map; read it "
                "with norm=False"
            )
        same = len({stage["reduction"] for stage in stages}) == 1  # blocks: the norm fits them all
        return [norm if same or layer == last else None for layer in self._layers]


def _resolved(layers: Sequence[int], count: int, name: str) -> tuple[int, ...]:
    """Layers counted from 0.

    Raises:
        ValueError: one that there is not, or an order that is not from the first to the last.
    """
    if not all(-count <= layer < count for layer in layers):
        raise ValueError(
            f"layers={tuple(layers)}: {name} has layers 0 to {count - 1} (or -{count} to -1)"
        )
    resolved = tuple(layer % count for layer in layers)
    if list(resolved) != sorted(set(resolved)):
        raise ValueError(
            f"layers={tuple(layers)}: name each layer of {name} once, from the first to the last"
        )
    return resolved
