"""The shared head of C4 detectors: the backbone's last stage and one more normalisation."""

from __future__ import annotations

from typing import Any

from mmcv.cnn import build_norm_layer
from mmdet.models.roi_heads.shared_heads import ResLayer
from mmengine.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class ResLayerExtraNorm(ResLayer):
    """mmdet's ``ResLayer`` (res5 on pooled regions), followed by a normalisation of its own
    weights.

    Stages behind a pretrained ResNet-50-C4 are normalised in every layer but end in a sum and a
    ReLU of any scale; the transfer protocol of MoCo, which PixPro's follows, therefore puts a
    BatchNorm behind res5. It is new: no pretrained weight belongs to it.

    Args:
        depth: of the ResNet: 18, 34, 50, 101 or 152.
        norm_cfg: normalisation of the stage and of the extra layer.
        norm_eval: keep the running statistics fixed, also in training; the protocol trains them.
        **options: ``stage``, ``stride``, ``dilation``, ``style``, ``init_cfg`` of mmdet's
            ``ResLayer``.
    """

    def __init__(
        self, depth: int, *, norm_cfg: dict[str, Any], norm_eval: bool = False, **options: Any
    ) -> None:
        super().__init__(depth, norm_cfg=norm_cfg, norm_eval=norm_eval, **options)
        last = list(getattr(self, f"layer{self.stage + 1}"))[-1]
        channels = last.conv2.out_channels * last.expansion
        self.norm = build_norm_layer(norm_cfg, channels)[1]

    def forward(self, regions: Tensor) -> Tensor:
        """Pooled regions (R, D, h, w) to (R, 2 D, h / stride, w / stride)."""
        return self.norm(super().forward(regions))
