"""The second rule by which position tables of plain ViTs follow the size of the input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

# What the released code of DINO, DINOv2 and CIM adds to the number of cells, so that rounding never
# makes a table one cell too small.
_SPARE = 0.1


def require_factor(model: nn.Module, where: str) -> None:
    """Does nothing if a network's positions can follow the input by :func:`resized_by_factor`.

    Args:
        model: timm network.
        where: option, value and network, as they open the message.

    Raises:
        ValueError: it has no table, or one of another form.
    """
    table = getattr(model, "pos_embed", None)
    if not isinstance(model, VisionTransformer) or not isinstance(table, nn.Parameter):
        raise ValueError(
            f"{where} is no plain ViT with a position table (rotary positions are computed for "
            "every size, there is nothing to choose); take 'timm'"
        )
    if not model.dynamic_img_size:
        raise ValueError(f"{where} takes one size alone; leave dynamic_img_size on")
    if model.num_prefix_tokens != (model.cls_token is not None) or model.no_embed_class:
        raise ValueError(
            f"{where} has register tokens, or a class token without a position: networks of this "
            "form were trained with the rule 'timm'; take 'timm'"
        )


def use_factor(model: VisionTransformer) -> None:
    """Makes a network resize its table by :func:`resized_by_factor` from now on."""
    model._pos_embed = MethodType(_add_positions, model)


@contextmanager
def factor_positions(model: VisionTransformer) -> Iterator[None]:
    """As :func:`use_factor`, for the duration of a ``with`` block."""
    before = model.__dict__.get("_pos_embed")
    use_factor(model)
    try:
        yield
    finally:
        if before is None:
            del model._pos_embed
        else:
            model._pos_embed = before


def resized_by_factor(table: Tensor, own: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Resizes a position table bicubically, without antialiasing, as the released code of DINO,
    DINOv2 (without registers) and CIM does.

    Args:
        table: (1, H·W, D) float.
        own: its grid (H, W).
        grid: (h, w) of the result. Coordinates follow from the factors (h + 0.1) / H and (w + 0.1)
            / W, not from the sizes.

    Returns:
        (1, h·w, D), dtype of ``table``; the table itself if the grid is its own.
    """
    if grid == own:
        return table
    exact = table.to(torch.promote_types(table.dtype, torch.float32))
    maps = exact.unflatten(1, own).permute(0, 3, 1, 2)
    factors = tuple((new + _SPARE) / old for new, old in zip(grid, own, strict=True))
    maps = F.interpolate(maps, scale_factor=factors, mode="bicubic", align_corners=False)
    return maps.flatten(2).transpose(1, 2).to(table.dtype)


def _add_positions(model: VisionTransformer, patches: Tensor) -> Tensor:
    """Takes the place of timm's method: tokens (B, P + h·w, D) of embedded patches (B, h, w, D),
    positions added."""
    grid = (patches.shape[1], patches.shape[2])
    tokens = patches.flatten(1, 2)
    prefix = model.num_prefix_tokens
    if prefix:
        # Not len(): an exported network takes any batch.
        tokens = torch.cat([model.cls_token.expand(tokens.shape[0], -1, -1), tokens], 1)
    table = resized_by_factor(model.pos_embed[:, prefix:], tuple(model.patch_embed.grid_size), grid)
    return model.pos_drop(tokens + torch.cat([model.pos_embed[:, :prefix], table], 1))
