"""The contract between an objective and the engine."""

from __future__ import annotations

import copy
from typing import NamedTuple

from torch import Tensor, nn

from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.structures import Batch


class Bounds(NamedTuple):
    """Values of an objective's loss worth knowing beside the measured one; None where no value is
    known.

    Attributes:
        best: the least the loss can be.
        collapsed: its value when all features are the same.
        random_start: its value, about, for a fresh network.
    """

    best: float | None = None
    collapsed: float | None = None
    random_start: float | None = None


class Objective(nn.Module):
    """Base of all objectives: a module with its own heads that turns encodings into unweighted loss
    terms.

    Class attributes:
        reads: view groups it needs; checked against the recipe before the run starts.
        views_per_group: how many views of each group it needs. needs_target: whether it calls
        ``encode.target`` and so needs an EMA copy of the backbone. needs_labels: whether the source
        must carry labels. needs_adversarial_norm: whether it calls ``encode.online(…,
        norm="adversarial")`` and so needs a second set of
            the backbone's BatchNorms.
        takes_any_views: whether it works on any number of views from ``views_per_group`` on; the
            others use the first ``views_per_group`` ones.
        attacked: group whose pixels an adversary may change: one that the online network sees.

    Args:
        features: what the backbone gives; heads take their widths from it.
    """

    reads: tuple[str, ...] = ("global",)
    views_per_group: int = 2
    needs_target: bool = False
    needs_labels: bool = False
    needs_adversarial_norm: bool = False
    takes_any_views: bool = False
    attacked: str = "global"

    def __init__(self, features: FeatureInfo) -> None:
        super().__init__()
        self.features = features

    @property
    def bounds(self) -> Bounds:
        """Known values of this objective's loss."""
        return Bounds()

    @property
    def online_groups(self) -> tuple[str, ...]:
        """Those of ``reads`` that it calls ``encode.online`` for; hooks can look at their features."""
        return self.reads

    @property
    def target_groups(self) -> tuple[str, ...]:
        """Those of ``reads`` that it calls ``encode.target`` for."""
        return self.reads if self.needs_target else ()

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns {name: scalar}: names containing "loss" are minimised, others are only logged.

        Changes nothing that lasts, BatchNorm statistics aside: an attack calls it several times in
        a step.
        """
        raise NotImplementedError

    def remember(self, batch: Batch, encode: Encodings) -> None:
        """Updates what is kept from step to step (queues), without gradient; called once per
        micro-batch in training, after all losses. The encodings asked for so far cost nothing."""

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Returns (online, target) modules whose targets follow by EMA; the engine adds the
        backbones' own pair.
        """
        return []


def follower(online: nn.Module) -> nn.Module:
    """Returns a copy that will follow ``online`` by EMA: equal weights, no gradient, its own
    BatchNorm buffers.
    """
    return copy.deepcopy(online).requires_grad_(False)
