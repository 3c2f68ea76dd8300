"""A frozen network beside the trained one, which objectives hold it to or distil."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain.backbones.timm_backbone import Features
from pretrain.modes import evaluating
from pretrain.names import check_choice
from pretrain.weights.filling import fill, weights_fingerprint
from pretrain.weights.start import read_start

#: How maps of another grid are brought to the one that is asked for. It is part of a method.
RESIZES = ("area", "bicubic", "antialiased")


@dataclass(frozen=True, kw_only=True)
class ReferenceSettings:
    """Which network is the reference.

    Attributes:
        backbone: registry dict with a ``start``; None = the trained backbone as the run begins.
        size: (H, W) that images are resized to for it; None = as they are. A twin view of another
            size (``ViewSpec.same_as``) holds more detail than a resized one.
        refresh_every: steps after which the target network takes its place, again and again; None
            = never. Only without ``backbone``.
        refreshes: most times that this happens.
    """

    backbone: dict[str, Any] | None = None
    size: tuple[int, int] | None = None
    refresh_every: int | None = None
    refreshes: int = 3

    def build(self) -> nn.Module | None:
        """Returns the network of ``backbone``, not yet filled; None without one."""
        return None if self.backbone is None else MODELS.build(dict(self.backbone))

    def __post_init__(self) -> None:
        if self.backbone is not None and not self.backbone.get("start"):
            raise ValueError(
                "reference.backbone: has no start, so its weights would be random; name them "
                "(start='timm:NAME.TAG' or a file)"
            )
        if self.refresh_every is None:
            return
        if self.backbone is not None:
            raise ValueError(
                f"reference.refresh_every={self.refresh_every}: the target takes the place of the "
                "trained backbone's own start alone; leave backbone out"
            )
        if self.refresh_every < 1 or self.refreshes < 1:
            raise ValueError(
                f"reference.refresh_every={self.refresh_every}, refreshes={self.refreshes}: must "
                "be at least 1"
            )


class Reference:
    """The frozen network: in evaluation mode, without gradient, in no optimiser.

    It is no module, so a model that holds it does not save it: a resumed run makes it anew, from
    the same start. Where it is refreshed, the model registers :attr:`network` and saves it.

    Args:
        settings: which network.
        network: it, built and not yet filled.

    Attributes:
        network: as above.
        normalisation: (mean, std), each (3, 1, 1), of its images; None = the batch's.
        licence: what its weights may be used for; None where they are the trained backbone's own.
        fingerprint: of its weights as it began; empty before.
    """

    def __init__(self, settings: ReferenceSettings, network: nn.Module) -> None:
        self.settings = settings
        self.network = network.requires_grad_(False).eval()
        self.normalisation: tuple[Tensor, Tensor] | None = None
        self.licence: str | None = None
        self.fingerprint = ""

    def begin(self, backbone: nn.Module) -> None:
        """Fills the network: with the trained backbone as it is now, or with its own start.

        Raises:
            ValueError, OSError: see :func:`pretrain.weights.start.read_start`; weights that do not
                fill the whole network.
        """
        if self.settings.backbone is None:
            self.network.load_state_dict(backbone.state_dict())
        else:
            found = read_start(self.network.start, self.network)
            # The file may hold a mask token more, where its network was trained with hidden cells.
            fill(self.network, found.state, prefix="", source=self.network.start)
            self.licence = found.licence
            if found.normalisation is not None:
                self.normalisation = _as_maps(found.normalisation)
        self.fingerprint = weights_fingerprint(self.network)

    def check_size(self, size: tuple[int, int]) -> None:
        """Raises a ValueError for views of (H, W) pixels that the network would not take."""
        if hasattr(self.network, "check_size"):
            self.network.check_size(self.settings.size or size)

    def __str__(self) -> str:
        if self.settings.backbone is None:
            every = self.settings.refresh_every
            until = "" if every is None else f", replaced by the target every {every:,} steps"
            return f"reference: the backbone as the run begins ({self.fingerprint}){until}"
        return (
            f"reference: {self.network.start} ({self.fingerprint}), licence of the weights: "
            f"{self.licence}"
        )

    def due(self, step: int) -> bool:
        """Tells whether the target takes its place after so many steps."""
        every = self.settings.refresh_every
        return every is not None and step % every == 0 and step // every <= self.settings.refreshes

    @torch.no_grad()
    def encode(
        self, images: Tensor, normalisation: tuple[Tensor, Tensor] | None = None
    ) -> Features:
        """Encodes a view (B, 3, H, W) that is normalised by ``normalisation``, (mean, std)."""
        self.network.to(images.device)
        if self.normalisation is not None and normalisation is not None:
            mean, std = normalisation
            own_mean, own_std = (value.to(images) for value in self.normalisation)
            images = (images * std + mean - own_mean) / own_std
        size = self.settings.size
        if size is not None and tuple(images.shape[-2:]) != tuple(size):
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        with evaluating(self.network):
            return self.network(images)


def resized(features: Tensor, grid: tuple[int, int], how: str) -> Tensor:
    """Returns maps (B, D, H, W) on another grid (h, w).

    Args:
        features: the maps. grid: wanted; the maps themselves if it is theirs.
        how: ``area`` = means over the cells' areas, ``bicubic``, or ``antialiased``: bicubic that
            takes all cells into account where the grid shrinks.

    Raises:
        ValueError: another ``how``.
    """
    check_choice("resize", how, RESIZES)
    if tuple(features.shape[-2:]) == tuple(grid):
        return features
    if how == "area":
        return F.interpolate(features, grid, mode="area")
    return F.interpolate(features, grid, mode="bicubic", antialias=how == "antialiased")


def _as_maps(normalisation: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(normalisation[key]).view(3, 1, 1) for key in ("mean", "std"))
    return mean, std
