"""The trained network's maps beside a frozen one's, view by view and cell by cell: what objectives
read that hold a network to a reference or distil one.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.encodings import Encodings
from pretrain.names import check_choice
from pretrain.needs import Needs
from pretrain.reference import RESIZES


@dataclass(frozen=True)
class Held:
    """One view as both networks see it.

    Attributes:
        own, frozen: what the trained and the frozen network make of it, the frozen one's maps on
            the grid of the trained one's.
        x: (B, D, h, w) map of the trained network. y: (B, D', h, w) of the frozen one.
    """

    own: Features
    frozen: Features
    x: Tensor
    y: Tensor


class HeldViews:
    """Pairs the views of ``global``, of the trained network, with the frozen network's.

    Args:
        features: what both networks give.
        stride: stride of the maps; None = each network's deepest.
        twins: group of views that the frozen network sees in place of ``global``: the same crops,
            clean or larger; None = ``global`` itself.
        resize: how the frozen network's maps come to the trained one's grid, see
            :func:`pretrain.reference.resized`.

    Attributes:
        needs: of an objective that reads these views.

    Raises:
        ValueError: a stride that one of the networks lacks, or another ``resize``.
    """

    def __init__(
        self, features: FeatureInfo, *, stride: int | None, twins: str | None, resize: str
    ) -> None:
        check_choice("resize", resize, RESIZES)
        self.stride = features.pick(stride)
        self.frozen_stride = (features.reference or features).pick(stride)
        self.group, self.resize = twins or "global", resize
        pairs = () if twins is None else ((twins, "global"),)
        self.needs = Needs(reference=(self.group,), twins=pairs, views=1, any_views=True)

    def read(self, encode: Encodings) -> list[Held]:
        """Returns every view of ``global``."""
        online = encode.online("global")
        grid = tuple(online[0].map(self.stride).shape[-2:])
        reference = encode.reference(self.group, grid=grid, resize=self.resize)
        views = []
        for own, frozen in zip(online, reference, strict=True):
            views.append(Held(own, frozen, own.map(self.stride), frozen.map(self.frozen_stride)))
        return views
