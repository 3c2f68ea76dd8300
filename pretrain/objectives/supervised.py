"""Supervised cross-entropy on image labels: the upper control of a comparison."""

from __future__ import annotations

import math
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
from pretrain.objectives.parts.reduce import mean_over_valid
from pretrain.structures import Batch


@MODELS.register_module()
class Supervised(Objective):
    """Linear classifier on the pooled vector, cross-entropy averaged over all views; images
    labelled −1 are left out.

    Args:
        num_classes: C. label_smoothing: share of the target spread evenly over all classes.

    Raises:
        ValueError: fewer than two classes.
    """

    needs = Needs(views=1, labels=True)

    def __init__(
        self, features: FeatureInfo, *, num_classes: int, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(features)
        if num_classes < 2:
            raise ValueError(f"num_classes={num_classes}: a classifier needs at least 2")
        self.num_classes, self.label_smoothing = num_classes, label_smoothing
        self.classifier = nn.Linear(features.vector, num_classes)

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Collapsed: ln C, equal scores for every class."""
        uniform = math.log(self.classifier.out_features)
        best = 0.0 if self.label_smoothing == 0 else None
        return Bounds(best=best, collapsed=uniform, random_start=uniform)

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss`` and ``top1``, the share of right answers among labelled views."""
        vectors = torch.stack([view.vector for view in encode.online("global")], 1)  # (B, V, D)
        with no_autocast(vectors):
            logits = self.classifier(full_precision(vectors)).flatten(0, 1)
        labels = batch.labels.repeat_interleave(vectors.shape[1])
        labelled = labels >= 0
        losses = F.cross_entropy(
            logits, labels, ignore_index=-1, label_smoothing=self.label_smoothing, reduction="none"
        )
        right = (logits.argmax(1) == labels).to(losses.dtype)
        return {"loss": mean_over_valid(losses, labelled), "top1": mean_over_valid(right, labelled)}
