"""The contract between an objective and the engine."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.needs import Needs
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

    def known(self) -> dict[str, float]:
        """Returns those that are known by the names that logs give them."""
        named = {"best": self.best, "collapsed": self.collapsed, "fresh": self.random_start}
        return {name: value for name, value in named.items() if value is not None}


class Objective(nn.Module):
    """Base of all objectives: a module with its own heads that turns encodings into unweighted loss
    terms.

    Attributes:
        needs: views, networks and labels; of the class, or of one instance where a setting decides.
        temperature: τ of a loss that tells positives from negatives, which the advice after a
            collapse asks for; None for other losses.

    Args:
        features: what the backbone gives; heads take their widths from it.
    """

    needs = Needs()
    temperature: float | None = None

    def __init__(self, features: FeatureInfo) -> None:
        super().__init__()
        self.features = features

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Returns known values of this objective's loss for a batch.

        Args:
            batch: one that :meth:`forward` was given, normalised or not.
            terms: what it returned; entries that are minimised may have a weight.
        """
        return Bounds()

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns {name: scalar}: names containing "loss" are minimised, others are only logged
        (:func:`pretrain.terms.is_loss`).

        Changes nothing that lasts, BatchNorm statistics aside: an attack calls it several times in
        a step.
        """
        raise NotImplementedError

    def update_memory(self, batch: Batch, encode: Encodings) -> None:
        """Updates what is kept from step to step (queues, learned negatives), without gradient;
        called once per micro-batch in training, after all losses. The encodings asked for so far
        cost nothing.
        """

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Returns (online, target) modules whose targets follow by EMA; the engine adds the
        backbones' own pair.
        """
        return []


def target_copy(online: nn.Module) -> nn.Module:
    """Returns a copy that will follow ``online`` by EMA: equal weights, no gradient, its own
    BatchNorm buffers.
    """
    return copy.deepcopy(online).requires_grad_(False)
