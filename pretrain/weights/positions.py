"""Position tables of ViTs, brought to another grid."""

from __future__ import annotations

from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn


def resized_positions(table: Tensor, model: nn.Module) -> Tensor | None:
    """Resizes a table bicubically, as timm does, to the grid of a ViT; entries of tokens without a
    place stay.

    Args:
        table: (1, P + N, D) of a square grid of N patches, P tokens in front.
        model: timm's, with ``pos_embed`` and ``patch_embed``.

    Returns:
        (1, P + H·W, D) float32; None where ``table`` is none of a square grid, or of another width.
    """
    wanted = getattr(model, "pos_embed", None)
    if wanted is None or table.ndim != 3 or table.shape[-1] != wanted.shape[-1]:
        return None
    grid = model.patch_embed.grid_size
    prefix = wanted.shape[1] - grid[0] * grid[1]
    side = round(max(table.shape[1] - prefix, 0) ** 0.5)
    if side < 1 or side * side + prefix != table.shape[1]:
        return None
    return resample_abs_pos_embed(table.float(), list(grid), num_prefix_tokens=prefix)
