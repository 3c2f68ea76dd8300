"""Encodings of a batch, computed when first asked for and shared by all objectives of the step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from pretrain.backbones.second_norms import SecondNorms, recomputes
from pretrain.backbones.timm_backbone import Features
from pretrain.structures import Batch


class Encodings:
    """Lazy online and target encodings of one batch.

    Each view goes through the network on its own, so that BatchNorm statistics are per view, as in
    the papers.

    Args:
        batch: normalised batch.
        online: trained backbone.
        target: its EMA follower, or None if no objective asked for one.
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
                "normalisation unknown: pass Encodings(…, normalisation=(mean, std))"
            )
        return self._normalisation

    def online(
        self, group: str, images: Tensor | None = None, *, norm: str = "clean", frozen: bool = False
    ) -> list[Features]:
        """Returns the online features of every view of a group.

        Args:
            group: name of a view group in the batch.
            images: (B, V, 3, H, W) other pixels to encode in place of the group's own (same
                geometry); not cached.
            norm: "clean", or "adversarial" for the second set of BatchNorms; only with ``images``.
            frozen: evaluation mode: BatchNorms use their running statistics and leave them, no
                dropout; only with ``images``.

        Raises:
            ValueError: unknown ``norm``, ``norm`` or ``frozen`` without ``images``, or ``frozen``
                with a network that recomputes activations, which would happen in training mode.
            RuntimeError: there is no second set, because no objective declared
                ``needs_adversarial_norm``.
        """
        if norm not in ("clean", "adversarial"):
            raise ValueError(f"norm={norm!r}: must be 'clean' or 'adversarial'")
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
        """Returns the target features of every view of a group, without gradient.

        Raises:
            RuntimeError: there is no target network, because no objective declared
                ``needs_target``.
        """
        if self._target is None:
            raise RuntimeError(
                "no target network: set needs_target = True on the objective that calls "
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

    def _route(self, norm: str) -> object:
        """Returns the context in which the online network uses the wanted BatchNorms."""
        if norm == "clean":
            return nullcontext()
        if self._second_norms is None:
            raise RuntimeError(
                "no second BatchNorms: set needs_adversarial_norm = True on the objective that asks"
            )
        return self._second_norms.within(self._online)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for the duration of a ``with`` block; every module gets its own mode back."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
