"""Encodings of a batch, computed when first asked for and shared by all objectives of the step."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from pretrain.backbones.second_norms import SecondNorms, recomputes
from pretrain.backbones.timm_backbone import Features
from pretrain.masking import Masking
from pretrain.modes import evaluating
from pretrain.names import check_choice
from pretrain.reference import Reference, resized
from pretrain.structures import Batch


class Encodings(Protocol):
    """What an objective sees of the networks: features of every view of a group.

    Attributes:
        progress: share of the run's steps that are done, in [0, 1].
        epoch: passes over the data that are done.
    """

    progress: float
    epoch: float

    def online(
        self, group: str, images: Tensor | None = None, *, mask: Tensor | None = None
    ) -> list[Features]:
        """Returns the trained network's features.

        Args:
            group: name of a view group in the batch.
            images: (B, V, 3, H, W) other pixels to encode in place of the group's own (same
                geometry).
            mask: (B, V, h, w) bool, cells to hide from the network, as :meth:`mask` gives them.
        """

    def mask(self, group: str) -> Tensor:
        """Returns which cells of a group's views are hidden in this step, (B, V, h, w) bool, True =
        hidden; the same tensor for all objectives.
        """

    def hidden_cells(self, group: str) -> Tensor:
        """Returns the numbers of the hidden cells of :meth:`mask` among all B · V · h · w, (n,)
        int64, ascending.

        Masks are drawn on the CPU, so that n is known there: indexing by ``mask`` itself would wait
        for the device.
        """

    def target(self, group: str) -> list[Features]:
        """Returns the target network's features, without gradient."""

    def reference(
        self, group: str, *, grid: tuple[int, int] | None = None, resize: str = "area"
    ) -> list[Features]:
        """Returns the frozen network's features, without gradient.

        Args:
            group: name of a view group in the batch.
            grid: (h, w) that all maps are brought to; None = as they are.
            resize: how, see :func:`pretrain.reference.resized`.
        """


class BatchEncodings:
    """Lazy online and target encodings of one batch.

    Each view goes through the network on its own, so that BatchNorm statistics are per view, as in
    the papers.

    Args:
        batch: normalised batch.
        online: trained backbone.
        target: its EMA copy, or None if no objective asked for one.
        reference: the frozen network, or None if no objective asked for one.
        masking: draws the cells that are hidden; None: nobody asks for them.
        second_norms: the online network's BatchNorms for adversarial images, or None if no
            objective asked for them.
        normalisation: mean and std, each (3, 1, 1), of pixels in [0, 1], that the views were
            normalised with.
        progress, epoch: see :class:`Encodings`.
    """

    def __init__(
        self,
        batch: Batch,
        online: nn.Module,
        target: nn.Module | None,
        *,
        reference: Reference | None = None,
        masking: Masking | None = None,
        second_norms: SecondNorms | None = None,
        normalisation: tuple[Tensor, Tensor] | None = None,
        progress: float = 0.0,
        epoch: float = 0.0,
    ) -> None:
        self._batch, self._online, self._target = batch, online, target
        self._reference, self._masking = reference, masking
        self._masks: dict[str, Tensor] = {}
        self._hidden_cells: dict[str, Tensor] = {}
        self.progress, self.epoch = progress, epoch
        self._second_norms, self._normalisation = second_norms, normalisation
        self._cache: dict[tuple[str, str], list[Features]] = {}
        self._latest: dict[str, list[Features]] = {}

    @property
    def normalisation(self) -> tuple[Tensor, Tensor]:
        """Mean and std, each (3, 1, 1), that turned pixels in [0, 1] into the views' values.

        Raises:
            RuntimeError: nobody said which.
        """
        if self._normalisation is None:
            raise RuntimeError(
                "normalisation unknown: pass BatchEncodings(…, normalisation=(mean, std))"
            )
        return self._normalisation

    def mask(self, group: str) -> Tensor:
        """See :meth:`Encodings.mask`.

        Raises:
            RuntimeError: nothing draws masks, because no objective declared a masked group.
        """
        if self._masking is None:
            raise RuntimeError(
                "no masks: name the group in Needs(masked=…) of the objective that calls "
                "encode.mask"
            )
        if group not in self._masks:
            images = self._batch.views[group].images
            grid = self._online.patch_grid(tuple(images.shape[-2:]))
            drawn = self._masking.draw(*images.shape[:2], grid=grid)
            cells = drawn.flatten().nonzero()[:, 0]
            self._masks[group] = drawn.to(images.device, non_blocking=True)
            self._hidden_cells[group] = cells.to(images.device, non_blocking=True)
        return self._masks[group]

    def hidden_cells(self, group: str) -> Tensor:
        """See :meth:`Encodings.hidden_cells`."""
        self.mask(group)
        return self._hidden_cells[group]

    def online(
        self,
        group: str,
        images: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        norm: str = "clean",
        frozen: bool = False,
    ) -> list[Features]:
        """See :meth:`Encodings.online`; features of other pixels are not kept, those of other masks
        than the group's own neither.

        Args:
            group: as there. images: as there. mask: as there; not together with ``images``.
            norm: "clean", or "adversarial" for the second set of BatchNorms; only with ``images``.
            frozen: evaluation mode: BatchNorms use their running statistics and leave them, no
                dropout; only with ``images``.

        Raises:
            ValueError: unknown ``norm``, ``norm`` or ``frozen`` without ``images``, ``mask`` with
                them, or ``frozen`` with a network that recomputes activations, which would happen
                in training mode.
            RuntimeError: there is no second set, because no objective declared
                ``Needs(second_norms=True)``.
        """
        check_choice("norm", norm, ("clean", "adversarial"))
        if mask is not None:
            if images is not None:
                raise ValueError("images and mask: cells are hidden of the group's own images")
            return self._hidden(group, mask)
        if images is None:
            if norm != "clean" or frozen:
                raise ValueError(f"norm={norm!r}, frozen={frozen}: only for given images")
            if ("online", group) not in self._cache:
                self._cache["online", group] = [
                    self._online(v) for v in self._batch.views[group].images.unbind(1)
                ]
            return self._cache["online", group]
        if frozen and recomputes(self._online):
            raise ValueError(
                "backbone.checkpoint_activations=True: recomputation would leave evaluation mode"
            )
        with self._route(norm), evaluating(self._online) if frozen else nullcontext():
            self._latest[group] = [self._online(view) for view in images.unbind(1)]
        return self._latest[group]

    def _hidden(self, group: str, mask: Tensor) -> list[Features]:
        """Features of a group's own images with cells hidden."""
        own = mask is self._masks.get(group)
        if own and ("masked", group) in self._cache:
            return self._cache["masked", group]
        images = self._batch.views[group].images.unbind(1)
        pairs = zip(images, mask.unbind(1), strict=True)
        features = [self._online(view, hidden) for view, hidden in pairs]
        if own:
            self._cache["masked", group] = features
        self._latest[group] = features
        return features

    def target(self, group: str) -> list[Features]:
        """See :meth:`Encodings.target`.

        Raises:
            RuntimeError: there is no target network, because no objective declared a group that it
                encodes.
        """
        if self._target is None:
            raise RuntimeError(
                "no target network: name the group in Needs(target=…) of the objective that calls "
                "encode.target"
            )
        if ("target", group) not in self._cache:
            with torch.no_grad():
                self._cache["target", group] = [
                    self._target(v) for v in self._batch.views[group].images.unbind(1)
                ]
        return self._cache["target", group]

    def reference(
        self, group: str, *, grid: tuple[int, int] | None = None, resize: str = "area"
    ) -> list[Features]:
        """See :meth:`Encodings.reference`; encoded once, whatever the grids that are asked for.

        Raises:
            RuntimeError: there is no reference, because no objective declared a group that it
                encodes.
        """
        if self._reference is None:
            raise RuntimeError(
                "no reference network: name the group in Needs(reference=…) of the objective that "
                "calls encode.reference"
            )
        if ("reference", group) not in self._cache:
            encode = functools.partial(self._reference.encode, normalisation=self._normalisation)
            views = self._batch.views[group].images.unbind(1)
            self._cache["reference", group] = list(map(encode, views))
        features = self._cache["reference", group]
        if grid is None:
            return features
        on_grid = []
        for view in features:
            maps = {stride: resized(cells, grid, resize) for stride, cells in view.pyramid.items()}
            on_grid.append(replace(view, pyramid=maps))
        return on_grid

    def encoded(self, group: str) -> list[Features] | None:
        """Returns each view's pooled vector and deepest online map, detached, if some objective
        asked for this group.

        The group's own pixels if they were encoded, else the images last given for it, or its own
        with cells hidden. Finer maps are left out: kept until the next step, they would hold most
        of the activations' memory.
        """
        features = self._cache.get(("online", group), self._latest.get(group))
        if features is None:
            return None
        return [Features({max(f.pyramid): f.map().detach()}, f.vector.detach()) for f in features]

    def _route(self, norm: str) -> AbstractContextManager:
        """Returns the context in which the online network uses the wanted BatchNorms."""
        if norm == "clean":
            return nullcontext()
        if self._second_norms is None:
            raise RuntimeError(
                "no second BatchNorms: set Needs(second_norms=True) on the objective that asks"
            )
        return self._second_norms.within(self._online)
