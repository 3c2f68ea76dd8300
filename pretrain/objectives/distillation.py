"""Distillation of cells: an adapter predicts a frozen network's cells and vector from one's own."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective
from pretrain.objectives.parts.held import Held, HeldViews
from pretrain.objectives.parts.reduce import sum_over_processes
from pretrain.ranges import check_not_negative, check_share
from pretrain.structures import Batch


def distillation_loss(x: Tensor, y: Tensor, smooth: float = 0.1) -> Tensor:
    """(1 − smooth) · mean(1 − cos(x, y)) + smooth · mean smooth-l1(x − y), whose bend is at 1.

    Args:
        x: (n, D) predictions. y: (n, D) what they should be, standardised.
        smooth: share of the second term, which alone sees lengths.

    Returns:
        Scalar, 0 for x = y; a plain mean, exact under data-parallel averaging with n equal on all
        processes.
    """
    with no_autocast(x):
        x, y = full_precision(x), full_precision(y)
        turned = 1 - F.cosine_similarity(x, y, dim=1).mean()
        return (1 - smooth) * turned + smooth * F.smooth_l1_loss(x, y)


class RunningScale(nn.Module):
    """Standardises features: (y − μ)/σ, with the running mean μ of each channel and one σ for all
    channels, the root of their mean variance; over the rows of all processes.

    The present batch always counts, so the first one is standardised as well; nothing lasting
    changes before :meth:`update`. Batches weigh equally until 1/(1 − momentum) of them have come.

    Args:
        dim: D. momentum: weight of the old values from then on.

    Attributes:
        mean: (D,) float32. variance, steps: 0-d float32, σ² and the batches so far. Saved with the
            weights.
    """

    mean: Tensor
    variance: Tensor
    steps: Tensor

    def __init__(self, dim: int, momentum: float = 0.99) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("steps", torch.zeros(()))
        self._next: tuple[Tensor, Tensor] | None = None

    @torch.no_grad()
    def forward(self, y: Tensor) -> Tensor:
        """Returns y (n, D) standardised; in evaluation mode by what is kept alone."""
        with no_autocast(y):
            y = full_precision(y)
            mean, variance = self.mean.to(y.dtype), self.variance.to(y.dtype)
            if self.training:
                mean, variance = self._next = self._moved(y, mean, variance)
            return (y - mean) / variance.sqrt().clamp_min(1e-6)  # features that are all the same

    @torch.no_grad()
    def update(self) -> None:
        """Keeps the mean and the deviation that :meth:`forward` used last; once a step."""
        if self._next is None:
            return
        # Replaced, not written to: the losses of this step may still need the old ones.
        self.mean, self.variance = (new.to(self.mean) for new in self._next)
        self.steps = self.steps + 1
        self._next = None

    def _moved(self, y: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance moved towards those of y (n, D) of all processes."""
        sums = sum_over_processes(torch.cat([y.sum(0), y.new_tensor([len(y)])]))
        count = sums[-1]
        own = sums[:-1] / count
        own_variance = sum_over_processes((y - own).square().sum()) / (count * len(own))
        weight = (1 / (self.steps + 1)).clamp_min(1 - self.momentum).to(y.dtype)
        between = weight * (1 - weight) * (own - mean).square().mean()
        return torch.lerp(mean, own, weight), torch.lerp(variance, own_variance, weight) + between


def best_constant(y: Tensor) -> Tensor:
    """Returns for all rows of y (n, D) the one prediction of the least mean 1 − cos: the mean of
    the unit rows, (n, D).
    """
    return F.normalize(y, dim=1).mean(0).expand_as(y)


@MODELS.register_module()
class Distillation(Objective):
    """Dense distillation of the model's ``reference`` into any network (our own form).

    loss = cells + vector_weight · (1 − cos of the vectors), where ``cells`` is
    :func:`distillation_loss` of linearly adapted cells and the frozen network's, and both of its
    targets are standardised (:class:`RunningScale`).

    Args:
        stride: stride of the maps; None = each network's deepest.
        twins: group of views, each ``dict(size=…, same_as=("global", index))``, that the frozen
            network sees in place of ``global``.
        resize: how the frozen network's maps come to the trained one's grid: ``area``,
            ``bicubic``, ``antialiased``.
        smooth: share of smooth-l1 in the loss of cells.
        vector_weight: weight of the vectors.
        momentum: weight of the old mean and deviation of the frozen network's features.

    Raises:
        ValueError: a stride that one of the networks lacks, another ``resize``, ``smooth`` or
            ``momentum`` outside [0, 1], a negative ``vector_weight``.
    """

    needs = Needs(reference=("global",), views=1, any_views=True)

    def __init__(
        self,
        features: FeatureInfo,
        *,
        stride: int | None = None,
        twins: str | None = None,
        resize: str = "area",
        smooth: float = 0.1,
        vector_weight: float = 1.0,
        momentum: float = 0.99,
    ) -> None:
        super().__init__(features)
        check_share(smooth=smooth, momentum=momentum)
        check_not_negative(vector_weight=vector_weight)
        self.smooth, self.vector_weight = smooth, vector_weight
        self.views = HeldViews(features, stride=stride, twins=twins, resize=resize)
        self.needs = self.views.needs
        frozen = features.reference or features
        width = frozen.channels[self.views.frozen_stride]
        self.adapter = nn.Linear(features.channels[self.views.stride], width)
        self.scale = RunningScale(width, momentum)
        if vector_weight:
            self.vector_adapter = nn.Linear(features.vector, frozen.vector)
            self.vector_scale = RunningScale(frozen.vector, momentum)

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Collapsed: the constant predictor's loss on this batch."""
        return Bounds(best=0.0, collapsed=float(terms["constant"]))

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``, its parts ``cells`` and ``vector``, and ``constant``: the loss of the
        best constant prediction, which a student must beat to have learned anything of an image.
        """
        views = self.views.read(encode)
        target = self.scale(torch.cat([_rows(view.y) for view in views]))
        cells = distillation_loss(self._predicted(views), target, self.smooth)
        constant = distillation_loss(best_constant(target), target, self.smooth)
        if not self.vector_weight:
            return {"loss": cells, "cells": cells, "constant": constant}
        target = self.vector_scale(torch.cat([view.frozen.vector for view in views]))
        own = self.vector_adapter(torch.cat([view.own.vector for view in views]))
        vector = distillation_loss(own, target, smooth=0)
        constant = constant + self.vector_weight * distillation_loss(
            best_constant(target), target, smooth=0
        )
        loss = cells + self.vector_weight * vector
        return {"loss": loss, "cells": cells, "vector": vector, "constant": constant}

    def update_memory(self, batch: Batch, encode: Encodings) -> None:
        """Moves the means and deviations."""
        self.scale.update()
        if self.vector_weight:
            self.vector_scale.update()

    def _predicted(self, views: list[Held]) -> Tensor:
        """Adapted cells of the trained network, (V·B·N, D')."""
        return self.adapter(torch.cat([_rows(view.x) for view in views]))


def _rows(features: Tensor) -> Tensor:
    """The cells of a map (B, D, h, w), one a row: (B·N, D)."""
    return features.movedim(1, -1).flatten(0, 2)
