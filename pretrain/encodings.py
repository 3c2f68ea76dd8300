"""Encodings of a batch, computed when first asked for and shared by all objectives of the step."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from pretrain.backbones.second_norms import SecondNorms, recomputes
from pretrain.backbones.timm_backbone import Features
from pretrain.modes import evaluating
from pretrain.names import check_choice
from pretrain.structures import Batch


class Encodings(Protocol):
    """What an objective sees of the networks: features of every view of a group."""

    def online(self, group: str, images: Tensor | None = None) -> list[Features]:
        """Returns the trained network's features.

        Args:
            group: name of a view group in the batch.
            images: (B, V, 3, H, W) other pixels to encode in place of the group's own (same
                geometry).
        """

    def target(self, group: str) -> list[Features]:
        """Returns the target network's features, without gradient."""


class BatchEncodings:
    """Lazy online and target encodings of one batch.

    Each view goes through the network on its own, so that BatchNorm statistics are per view, as in
    the papers.

    Args:
        batch: normalised batch.
        online: trained backbone.
        target: its EMA copy, or None if no objective asked for one.
        second_norms: the online network's BatchNorms for adversarial images, or None if no
            objective asked for them.
        normalisation: mean and std, each (3, 1, 1), of pixels in [0, 1], that the views were
            normalised with.
    """

    def __init__(
        self,
        batch: Batch,
        online: nn.Module,
        target: nn.Module | None,
        *,
        second_norms: SecondNorms | None = None,
        normalisation: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self._batch, self._online, self._target = batch, online, target
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

    def online(
        self, group: str, images: Tensor | None = None, *, norm: str = "clean", frozen: bool = False
    ) -> list[Features]:
        """See :meth:`Encodings.online`; features of other pixels are not kept.

        Args:
            group: as there. images: as there.
            norm: "clean", or "adversarial" for the second set of BatchNorms; only with ``images``.
            frozen: evaluation mode: BatchNorms use their running statistics and leave them, no
                dropout; only with ``images``.

        Raises:
            ValueError: unknown ``norm``, ``norm`` or ``frozen`` without ``images``, or ``frozen``
                with a network that recomputes activations, which would happen in training mode.
            RuntimeError: there is no second set, because no objective declared
                ``Needs(second_norms=True)``.
        """
        check_choice("norm", norm, ("clean", "adversarial"))
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

    def encoded(self, group: str) -> list[Features] | None:
        """Returns each view's pooled vector and deepest online map, detached, if some objective
        asked for this group.

        The group's own pixels if they were encoded, else the images last given for it. Finer maps
        are left out: kept until the next step, they would hold most of the activations' memory.
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
