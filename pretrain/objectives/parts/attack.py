"""An adversary that changes pixels of a batch so that an objective's loss rises, and what the
objective then sees.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from pretrain.backbones.timm_backbone import Features
from pretrain.encodings import BatchEncodings
from pretrain.modes import evaluating
from pretrain.objectives.parts.base import Objective
from pretrain.structures import Batch, Views
from pretrain.terms import total_loss

T = TypeVar("T")
# Pixel gradients of a mean over many images lie below float16's smallest number; only their signs
# matter.
FP16_SCALE = 1024.0


@dataclass(frozen=True)
class Attack:
    """Steps along the sign of the loss's gradient, within an L∞ ball around the start and within
    [0, 1].

    Attributes:
        epsilon: radius, in 1/255 of the range of pixels.
        step_size: length of a step, likewise.
        steps: number of steps.
        random_start: begin at a point drawn uniformly from the ball, with torch's global generator.
    """

    epsilon: float
    step_size: float
    steps: int
    random_start: bool = False

    def __call__(
        self,
        start: Tensor,
        loss_of: Callable[[Tensor], Tensor],
        normalisation: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Raises the loss.

        All images of the batch are attacked at once: each one's step depends on the others through
        the loss. Where the gradient is 0 or not a number, the pixel keeps its value.

        Args:
            start: (B, n, 3, H, W) normalised pixels.
            loss_of: the loss, a scalar, of such pixels.
            normalisation: mean and std, each (3, 1, 1), of ``start``.

        Returns:
            The changed pixels, without gradient, and the loss where the attack began.

        Raises:
            RuntimeError: the loss does not depend on these pixels.
        """
        mean, std = normalisation
        radius, step = (value / 255 / std for value in (self.epsilon, self.step_size))
        with torch.no_grad():
            lowest = torch.maximum(start - radius, (0 - mean) / std)
            highest = torch.minimum(start + radius, (1 - mean) / std)
            pixels = start.detach()
            if self.random_start:
                pixels = (pixels + radius * (2 * torch.rand_like(pixels) - 1)).clamp(
                    lowest, highest
                )
        before = None
        for _ in range(self.steps):
            loss, gradient = _slope(pixels, loss_of)
            before = loss if before is None else before
            with torch.no_grad():
                pixels = (pixels + step * gradient.nan_to_num(nan=0.0).sign()).clamp(
                    lowest, highest
                )
        return pixels, before


def _slope(pixels: Tensor, loss_of: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Returns the loss and its gradient with respect to the pixels (times a positive constant), no
    other gradient.
    """
    half = torch.is_autocast_enabled(pixels.device.type) and (
        torch.get_autocast_dtype(pixels.device.type) == torch.float16
    )
    with torch.enable_grad():
        pixels = pixels.detach().requires_grad_()
        loss = loss_of(pixels)
        gradient = None
        if loss.requires_grad:
            (gradient,) = torch.autograd.grad(
                loss * (FP16_SCALE if half else 1.0), pixels, allow_unused=True
            )
    if gradient is None:
        raise RuntimeError(
            "the loss does not depend on the attacked pixels: the objective reads other views, "
            "or it sends no gradient to the second of a pair (then attacked_first=True)"
        )
    return loss.detach(), gradient


@dataclass(frozen=True)
class Layout:
    """Which views an objective sees in place of a group's own.

    Attributes:
        kept: indices of views with their own pixels. attacked: indices of views whose pixels are
            changed.
        attacked_first: whether the attacked views stand before the kept ones.
    """

    kept: tuple[int, ...]
    attacked: tuple[int, ...]
    attacked_first: bool = False

    @property
    def views(self) -> tuple[int, ...]:
        """Indices of all of them, in order."""
        return tuple(self.ordered(self.kept, self.attacked))

    def ordered(self, kept: Sequence[T], attacked: Sequence[T]) -> list[T]:
        """Returns what belongs to the kept and to the attacked views as one list."""
        return [*attacked, *kept] if self.attacked_first else [*kept, *attacked]


class ChangedEncodings:
    """Encodings, as objectives know them, in which one group consists of kept views and views with
    changed pixels.

    Only what the online network sees is changed; target features are those of the clean views.

    Args:
        encode: encodings of the clean batch; all other groups come from it.
        group: the changed group.
        layout: its views.
        kept: features of the kept views.
        pixels: (B, n, 3, H, W) normalised, of the attacked views.
        norm, frozen: how changed pixels are encoded, see
            :meth:`pretrain.encodings.BatchEncodings.online`.
        known: features of ``pixels``, if they were encoded before.
    """

    def __init__(
        self,
        encode: BatchEncodings,
        group: str,
        layout: Layout,
        kept: list[Features],
        pixels: Tensor,
        *,
        norm: str,
        frozen: bool,
        known: list[Features] | None = None,
    ) -> None:
        self._encode, self._group, self._layout, self._kept = encode, group, layout, kept
        self._pixels, self._norm, self._frozen = pixels, norm, frozen
        self.known = known
        self.progress, self.epoch = encode.progress, encode.epoch

    @property
    def changed(self) -> list[Features]:
        """Features of the changed pixels, encoded when first asked for."""
        if self.known is None:
            self.known = self._encode.online(
                self._group, self._pixels, norm=self._norm, frozen=self._frozen
            )
        return self.known

    def with_kept(self, layout: Layout, kept: list[Features]) -> ChangedEncodings:
        """Returns the same changed views, with the same features, together with other kept ones."""
        other = copy.copy(self)
        other._layout, other._kept, other.known = layout, kept, self.changed
        return other

    def online(self, group: str, images: Tensor | None = None) -> list[Features]:
        """Returns the features of every view; images given for the changed group (by objectives
        that hide parts of them) are encoded as changed pixels are.

        Raises:
            RuntimeError: such images, and some views of the group are kept: which ones are the
                changed ones?
        """
        if group != self._group:
            return self._encode.online(group, images)
        if images is None:
            return self._layout.ordered(self._kept, self.changed)
        if self._kept:
            raise RuntimeError(
                "an objective that encodes images of its own can only be attacked with "
                "source='both'"
            )
        return self._encode.online(group, images, norm=self._norm, frozen=self._frozen)

    def target(self, group: str) -> list[Features]:
        """Returns the target features of the clean views."""
        features = self._encode.target(group)
        return features if group != self._group else [features[view] for view in self._layout.views]


def changed_batch(batch: Batch, group: str, layout: Layout, pixels: Tensor) -> Batch:
    """Returns the batch with a group's views laid out anew, the attacked ones with ``pixels`` (B,
    n, 3, H, W) in place of their own. Geometry, labels and ids are those of the clean views."""
    clean = batch.views[group]
    parts = layout.ordered([clean.images[:, layout.kept]] if layout.kept else [], [pixels])
    images = torch.cat(parts, 1) if layout.kept else pixels
    geometry = None if clean.geometry is None else clean.geometry[:, layout.views]
    return replace(batch, views={**batch.views, group: Views(images, geometry, None)})


class AttackedLoss:
    """An objective's loss as a function of the pixels of some views, what the adversary raises.

    Kept views are encoded in the same way as the attacked ones and are constants. ``frozen`` puts
    encoder and heads into evaluation mode.

    Args:
        objective: whose loss terms are added up.
        batch, encode: clean.
        layout: the attacked views and those they are compared with.
        reference: features of the kept views; None if these are the attacked ones at the start of
            the attack.
        norm, frozen: see :class:`ChangedEncodings`.
    """

    def __init__(
        self,
        objective: Objective,
        batch: Batch,
        encode: BatchEncodings,
        *,
        layout: Layout,
        reference: list[Features] | None,
        norm: str,
        frozen: bool,
    ) -> None:
        self._objective, self._batch, self._encode = objective, batch, encode
        self._layout, self._reference, self._norm, self._frozen = layout, reference, norm, frozen

    def __call__(self, pixels: Tensor, features: list[Features] | None = None) -> Tensor:
        """Returns the loss, a scalar; ``features`` are those of ``pixels`` if they are known."""
        check_whole(self._objective)
        group, layout = self._objective.needs.attacked, self._layout
        route = dict(norm=self._norm, frozen=self._frozen)
        changed = ChangedEncodings(self._encode, group, layout, [], pixels, known=features, **route)
        if self._reference is None:
            self._reference = detached(changed.changed)
        if self._reference:
            changed = changed.with_kept(layout, self._reference)
        with evaluating(self._objective) if self._frozen else nullcontext():
            return total_loss(
                self._objective(changed_batch(self._batch, group, layout, pixels), changed)
            )


def check_whole(module: nn.Module) -> None:
    """Checks that the backward pass of an attack left a module's parameters as the forward pass
    needs them.

    Raises:
        RuntimeError: they were sharded again, which FSDP does after every backward pass.
    """
    if any(hasattr(parameter, "device_mesh") for parameter in module.parameters()):
        raise RuntimeError(
            "engine.strategy='fsdp' shards the parameters again after the attack's backward "
            "pass: use strategy='ddp'"
        )


def detached(features: list[Features]) -> list[Features]:
    """Returns the features as constants."""
    return [view.each(Tensor.detach) for view in features]
