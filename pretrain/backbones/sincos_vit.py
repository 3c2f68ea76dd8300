"""Plain ViTs whose positions are a fixed sine-cosine table and whose patch embedding may stay as it
was drawn.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from mmengine.registry import MODELS
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from pretrain.backbones.positions import require_factor, use_factor
from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.names import check_choice


@MODELS.register_module()
class SinCosViT(TimmBackbone):
    """A timm ViT initialised and frozen as MoCo v3 and CIM do it; keys, features and options as
    ``TimmBackbone``.

    Position table: two-dimensional sine-cosine table of the grid of a whole image (``img_size``),
    zero for the class token, not trained, resized bicubically for inputs of another size. So a
    small crop gets the whole image's layout, not its own place in it. Patch embedding: uniform
    within ±√(6 / (3p² + D)), zero bias, and with ``freeze_patches`` not trained. Linear layers:
    Xavier-uniform, zero bias (query, key and value count as one matrix);
    class token: normal with deviation 0.02.

    Args:
        name: timm name of a plain ViT.
        freeze_patches: keep the patch embedding at its initial values.
        position_resize: how the table follows inputs of another size. ``timm``: with antialiasing.
            ``factor``: without it and by the factor (cells + 0.1) / (cells of the table), as CIM's
            released code does. Equal at the table's own size; at 4 × 4 of 14 × 14 cells they differ
            by 0.083 (ViT-Ti) to 0.073 (ViT-B), root mean square, of 0.708.
        **options: as in ``TimmBackbone``.

    Attributes:
        shared_with_target: parameters that a target copies after every step instead of averaging
            them: the class token.

    Raises:
        ValueError: no plain ViT, one without positions, or ``pretrained`` (its weights would be
            drawn anew).
    """

    def __init__(
        self, name: str, freeze_patches: bool = True, position_resize: str = "timm", **options: Any
    ) -> None:
        check_choice("position_resize", position_resize, ("timm", "factor"))
        if options.get("pretrained"):
            raise ValueError(
                "pretrained=True: this backbone draws all weights itself; take TimmBackbone"
            )
        super().__init__(name, **options)
        self._config = dict(self._config, type="SinCosViT", freeze_patches=freeze_patches)
        if position_resize != "timm":  # networks without the option keep their identity in records
            self._config["position_resize"] = position_resize
        model = self.model
        if not isinstance(model, VisionTransformer) or model.pos_embed is None:
            raise ValueError(
                f"backbone name={name!r}: SinCosViT takes plain ViTs with positions, "
                "vit_base_patch16_224"
            )
        self.shared_with_target = () if model.cls_token is None else ("model.cls_token",)
        self._initialise(model)
        model.pos_embed.requires_grad_(False)
        model.patch_embed.requires_grad_(not freeze_patches)
        if position_resize == "factor":
            require_factor(model, f"position_resize='factor': {name!r}")
            use_factor(model)

    @staticmethod
    @torch.no_grad()
    def _initialise(model: VisionTransformer) -> None:
        """Draws the weights and writes the table."""
        for module in model.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        patches = model.patch_embed.proj
        bound = math.sqrt(6 / (math.prod(patches.weight.shape[1:]) + model.embed_dim))
        nn.init.uniform_(patches.weight, -bound, bound)
        if patches.bias is not None:
            nn.init.zeros_(patches.bias)
        if model.cls_token is not None:
            nn.init.normal_(model.cls_token, std=0.02)
        table = build_sincos2d_pos_embed(list(model.patch_embed.grid_size), model.embed_dim)
        model.pos_embed.zero_()
        model.pos_embed[:, model.pos_embed.shape[1] - len(table) :] = table
