"""Maps of a dense objective that can learn on a feature pyramid as well as on one stage of the
backbone. An objective of one map needs nothing of it: ``stride = features.pick(stride)`` when it is
built, ``view.map(stride)`` when it runs.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from pretrain.backbones.timm_backbone import FeatureInfo, Features


class Levels(nn.Module):
    """Picks maps from a backbone's features, through an FPN if asked.

    Args:
        features: what the backbone gives.
        stride: the one stage to use; None takes the deepest. Must be None with ``pyramid``.
        pyramid: ``dict(strides=(8, 16, 32), channels=256, extra=True, head_convs=0)``: an FPN
            (torchvision's) over these stages with one more level by max-pooling if ``extra`` (P3–P5
            and P6 by default, our choice: the paper leaves the levels open), then ``head_convs``
            3×3 convolutions with ReLU shared by all levels, so that the tower of a dense head can
            be pretrained too.

    Raises:
        ValueError: unknown key in ``pyramid``, both ``stride`` and ``pyramid`` given, or a stride
            the backbone lacks.
    """

    def __init__(
        self,
        features: FeatureInfo,
        *,
        stride: int | None = None,
        pyramid: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if pyramid is None:
            self.strides = (features.pick(stride),)
            self.channels = features.channels[self.strides[0]]
            return
        settings = {"strides": (8, 16, 32), "channels": 256, "extra": True, "head_convs": 0}
        unknown = set(pyramid) - set(settings)
        if unknown or stride is not None:
            cause = (
                f"unknown keys {sorted(unknown)}" if unknown else f"stride={stride} given as well"
            )
            raise ValueError(
                f"pyramid={pyramid}: {cause}; it takes {sorted(settings)} and replaces stride"
            )
        settings.update(pyramid)
        self.strides = tuple(sorted(features.pick(s) for s in settings["strides"]))
        self.channels = settings["channels"]
        self.fpn = FeaturePyramidNetwork(
            [features.channels[s] for s in self.strides],
            self.channels,
            extra_blocks=LastLevelMaxPool() if settings["extra"] else None,
        )
        self.head_convs = nn.Sequential()
        for _ in range(settings["head_convs"]):
            self.head_convs.append(nn.Conv2d(self.channels, self.channels, 3, padding=1))
            self.head_convs.append(nn.ReLU())

    def forward(self, features: Features) -> list[Tensor]:
        """Returns the maps (B, channels, h, w), finest first."""
        maps = {str(s): features.map(s) for s in self.strides}
        if not hasattr(self, "fpn"):
            return list(maps.values())
        return [self.head_convs(level) for level in self.fpn(maps).values()]
