"""Dense structure of a network on fixed images: centre crops of a source, which nothing changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pretrain.data.dataset import ViewDataset
from pretrain.data.sources import Source
from pretrain.hooks.dense_structure import Structure, dimension, measure_group, spread_groups
from pretrain.modes import evaluating
from pretrain.structures import Batch, collate
from pretrain.views.recipe import ViewRecipe

SHARES = 4  # of the images; where they agree, other images would hardly have changed the order
_VIEW = "fixed"


@dataclass(frozen=True)
class MeterSettings:
    """What is measured.

    Attributes:
        images: how many, rounded down to whole groups.
        size: (H, W) of the crops in pixels.
        group: images whose cells are clustered together. clusters: of each group.
        rank_cells: cells that M_dim counts, equally many of each image.
        seed: of the places of cells and of the starts of k-means.
    """

    images: int
    size: tuple[int, int]
    group: int
    clusters: int
    rank_cells: int
    seed: int


@dataclass(frozen=True)
class Reading:
    """One network as measured.

    Attributes:
        structure: the parts of DSE.
        shares: class part and dimension on each of :data:`SHARES` shares of the images.
        cells: (n, D) float32 on the CPU, those that M_dim counts, at the same places every time.
    """

    structure: Structure
    shares: tuple[tuple[float, float], ...]
    cells: Tensor


class StructureMeter:
    """Reads the images once and measures any number of networks on them.

    Args:
        source: whose images are read, evenly spread over it; one that cannot be read is replaced
            as in training. Held as bytes: images · H · W · 3.
        settings: what is measured.

    Raises:
        ValueError: fewer images than a group. UnreadableData: of ``source``.

    Attributes:
        images: how many.
    """

    def __init__(self, source: Source, settings: MeterSettings) -> None:
        if len(source) < settings.group:
            raise ValueError(
                f"group={settings.group}: the source has {len(source)} images; use a smaller group"
            )
        self.settings = settings
        height, width = settings.size
        # The whole image does not fit the aspect, so the largest centred crop is taken.
        view = dict(size=settings.size, scale=(1.0, 1.0), ratio=(width / height,) * 2, flip=0.0)
        dataset = ViewDataset(source, ViewRecipe({_VIEW: [view]}))
        groups = spread_groups(len(source), images=settings.images, group=settings.group)
        self.images = groups.size
        self._batches: list[Batch] = []
        for numbers in groups.tolist():
            self._batches.append(collate([dataset[0, number] for number in numbers]))

    def facts(self) -> dict[str, Any]:
        """Plain values that say how and of what: equal ones make readings comparable."""
        digest = hashlib.sha256()
        for batch in self._batches:
            digest.update(batch.views[_VIEW].images.numpy())
        return dict(
            vars(self.settings), size=list(self.settings.size), pixels=digest.hexdigest()[:16]
        )

    @torch.no_grad()
    def read(
        self, network: nn.Module, preprocess: Callable[[Batch], dict[str, Batch]]
    ) -> Reading | None:
        """Measures a network in evaluation mode; None where a cell is not finite.

        Args:
            network: a backbone that gives :class:`pretrain.backbones.timm_backbone.Features`.
            preprocess: brings a batch to its device and normalises it.

        Raises:
            ValueError: a group has fewer cells than clusters.
        """
        own = self.settings
        each = -(-own.rank_cells // self.images)
        parts, drawn = [], []
        with evaluating(network):
            for number, batch in enumerate(self._batches):
                maps = network(preprocess(batch)["batch"].views[_VIEW].images[:, 0]).map()
                self._check(maps)
                if not maps.isfinite().all():
                    return None
                options = dict(clusters=own.clusters, each=each, seed=own.seed)
                group_parts, cells = measure_group(maps, number, **options)
                parts.append(group_parts)
                drawn.append(cells.float().cpu())
        structure = Structure(*np.mean(parts, 0).tolist(), dimension(torch.cat(drawn)))
        return Reading(structure, _shares(np.array(parts), drawn), torch.cat(drawn))

    def _check(self, maps: Tensor) -> None:
        cells = self.settings.group * maps.shape[2] * maps.shape[3]
        if self.settings.clusters > cells:
            raise ValueError(
                f"clusters={self.settings.clusters}: a group of {self.settings.group} images of "
                f"{self.settings.size} pixels has {cells} cells; use fewer clusters, larger images "
                "or a larger group"
            )


def _shares(parts: np.ndarray, drawn: list[Tensor]) -> tuple[tuple[float, float], ...]:
    """Class part and dimension of every share: groups that lie as far apart as can be.

    Args:
        parts: (groups, 2) M_inter and M_intra. drawn: cells (n, D) of each group.
    """
    if len(drawn) < SHARES:
        return ()
    shares = []
    for share in range(SHARES):
        inter, intra = parts[share::SHARES].mean(0).tolist()
        shares.append((inter - intra, dimension(torch.cat(drawn[share::SHARES]))))
    return tuple(shares)
