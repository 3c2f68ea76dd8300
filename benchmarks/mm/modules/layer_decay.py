"""Layer-wise learning rates for timm networks inside mmsegmentation and mmdet."""

from __future__ import annotations

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from pretrain.engine.layer_decay import learning_rate_scales, split_groups
from pretrain.engine.optim import parameter_groups


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class TimmLayerDecay(DefaultOptimWrapperConstructor):
    """A learning rate for each layer of a ``TimmBackbone``; neck and heads learn at the full rate.

    A layer k below the heads learns at ``lr * layer_decay ** k``: of a ViT-B the last block has k =
    1, patch embedding, positions and class token k = 13, as in the fine-tuning recipes of BEiT and
    MAE. Numbers of layers and weight decay are those of classification
    (``pretrain.engine.layer_decay``, ``parameter_groups``): none for tensors of one dimension,
    anywhere in the model, and for a ViT's tokens and positions. Frozen parameters stay out.

    Args:
        optim_wrapper_cfg: as of mmengine's default constructor; its optimizer needs ``lr`` and
            ``weight_decay``.
        paramwise_cfg: ``dict(layer_decay=…)`` in (0, 1]; 1 gives every layer the full rate.

    Raises:
        ValueError: another option or none, no ``lr`` or ``weight_decay``; when called: a value
            outside (0, 1], or a model without a timm network.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        if set(self.paramwise_cfg) != {"layer_decay"}:
            raise ValueError(
                f"paramwise_cfg={self.paramwise_cfg}: TimmLayerDecay takes dict(layer_decay=0.65)"
            )
        if self.base_lr is None or self.base_wd is None:
            raise ValueError(
                f"optimizer={self.optimizer_cfg}: TimmLayerDecay needs lr and weight_decay in it"
            )

    def add_params(self, params: list[dict], module: nn.Module, **kwargs: object) -> None:
        """Appends a group for each pair of learning rate and weight decay to ``params``."""
        scales = learning_rate_scales(module, self.paramwise_cfg["layer_decay"])
        for group in split_groups(parameter_groups(module, self.base_wd), scales):
            rate = self.base_lr * group["lr_scale"]
            params.append(dict(params=group["params"], lr=rate, weight_decay=group["weight_decay"]))
