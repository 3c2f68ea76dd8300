"""Correlation decoders: from tokens of a context and of exemplars to one map per exemplar that says
where it lies.
"""

from __future__ import annotations

import torch
from timm.layers import build_sincos2d_pos_embed
from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast


class _Block(nn.Module):
    """x ← x + correlate(LN(x), LN(z)), one LN for both; then x ← x + MLP(LN(x)) with a hidden width
    of 4·width.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width, eps=1e-6),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
        )

    def forward(
        self, x: Tensor, z: Tensor, grids: tuple[tuple[int, int], tuple[int, int]]
    ) -> Tensor:
        """Updates context tokens.

        Args:
            x: (B, K or 1, N, width) context tokens, 1 where they do not differ by exemplar yet.
            z: (B, K or 1, M, width) exemplar tokens, 1 where every map sees all of them.
            grids: (h, w) of the context's and of one exemplar's map.

        Returns:
            (B, K, N, width).
        """
        x = x + self.correlate(self.norm(x), self.norm(z), grids)
        return x + self.mlp(x)

    def correlate(
        self, x: Tensor, z: Tensor, grids: tuple[tuple[int, int], tuple[int, int]]
    ) -> Tensor:
        """Returns the update of normalised context tokens by normalised exemplar tokens, shapes as
        in forward.
        """
        raise NotImplementedError


class CrossAttentionBlock(_Block):
    """Every context token attends to all tokens of an exemplar: global, wherever in it they lie.
    3,152,384 parameters at a width of 512."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width)
        self.heads = heads
        self.query, self.key, self.value, self.project = (nn.Linear(width, width) for _ in range(4))

    def correlate(
        self, x: Tensor, z: Tensor, grids: tuple[tuple[int, int], tuple[int, int]]
    ) -> Tensor:
        """Cost O(B·K·N·M·width); queries are computed once per image as long as x is the same for
        all exemplars.
        """
        per_image = max(x.shape[1], z.shape[1])
        q, k, v = (
            layer(tokens)
            .unflatten(3, (self.heads, -1))
            .transpose(2, 3)
            .expand(-1, per_image, -1, -1, -1)
            .flatten(0, 1)
            for layer, tokens in ((self.query, x), (self.key, z), (self.value, z))
        )
        out = F.scaled_dot_product_attention(q, k, v)  # (B·K, heads, N, width / heads)
        return self.project(out.transpose(1, 2).flatten(2).unflatten(0, (-1, per_image)))


class ConvolutionBlock(_Block):
    """The exemplar's map slides over the context's, channel by channel: local, and only at the
    exemplar's own scale.

    Channel c of the update at p is Σ_j q_c(p + j) · k_c(j) / √M over the M cells j of the exemplar,
    zeros outside the context; the exemplar's cell of index (h//2, w//2) lies on p.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.query, self.key, self.project = (nn.Linear(width, width) for _ in range(3))

    def correlate(
        self, x: Tensor, z: Tensor, grids: tuple[tuple[int, int], tuple[int, int]]
    ) -> Tensor:
        """Memory O(B·N·M·width) for the context's windows; time O(B·K·N·M·width)."""
        grid, (height, width) = grids
        maps = self.query(x).flatten(0, 1).transpose(1, 2).unflatten(2, grid)
        above, left = height // 2, width // 2
        maps = F.pad(maps, (left, width - 1 - left, above, height - 1 - above))
        windows = (
            F.unfold(maps, (height, width))
            .unflatten(1, (-1, height * width))
            .unflatten(0, x.shape[:2])
        )
        kernels = self.key(z) / (height * width) ** 0.5
        if x.shape[1] == 1:
            return self.project(torch.einsum("bcjn,bkjc->bknc", windows[:, 0], kernels))
        return self.project(torch.einsum("bkcjn,bkjc->bknc", windows, kernels))


class CorrelationDecoder(nn.Module):
    """Says for every cell of a context whether an exemplar shows it.

    One linear layer brings both sides to ``width``; the context's tokens get a fixed sine-cosine
    table of their grid, the exemplar's get none. Blocks update the context's tokens, which do not
    see each other; a last LayerNorm and a linear layer give two classes per cell. A class token of
    the context would be one more query that no other token sees and whose output nobody reads, so
    it is left out; those of exemplars are keys.

    Args:
        channels: D of the tokens.
        width: inside the decoder, a multiple of 4.
        heads: of the attention; divides ``width``.
        depth: number of blocks.
        correlation: "cross_attention" or "convolution" (patch tokens only).
        joint: 0 decodes every exemplar alone. K > 0: the map of each of exactly K exemplars is
            decoded in sight of all of them; a learned vector per exemplar, added to its tokens and
            to the queries of its map, tells which one is asked for. Only with "cross_attention".

    Raises:
        ValueError: a setting out of range, or ``joint`` with "convolution".
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int = 512,
        heads: int = 16,
        depth: int = 1,
        correlation: str = "cross_attention",
        joint: int = 0,
    ) -> None:
        super().__init__()
        if width < 4 or width % 4 or width % max(heads, 1) or heads < 1:
            raise ValueError(
                f"width={width}, heads={heads}: width must be a multiple of 4 and of heads"
            )
        if depth < 1 or joint < 0:
            raise ValueError(
                f"depth={depth}, joint={joint}: depth must be at least 1, joint at least 0"
            )
        if correlation not in ("cross_attention", "convolution"):
            raise ValueError(
                f"correlation={correlation!r}: must be 'cross_attention' or 'convolution'"
            )
        if joint and correlation == "convolution":
            raise ValueError(
                f"joint={joint}: only with correlation='cross_attention'; a kernel is one "
                "exemplar's"
            )
        self.width, self.joint, self.attends = width, joint, correlation == "cross_attention"
        self.embed = nn.Linear(channels, width)
        self.blocks = nn.ModuleList(
            CrossAttentionBlock(width, heads) if self.attends else ConvolutionBlock(width)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.predict = nn.Linear(width, 2)
        # CIM's released code draws the last layer from N(0, 1): its first loss is 39 to 96 instead
        # of 5 to 7.
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        # As large as an entry of the position table.
        self.index = nn.Parameter(0.7 * torch.randn(joint, 1, width)) if joint else None

    def forward(self, context: Tensor, exemplars: Tensor, prefix: Tensor | None = None) -> Tensor:
        """Decodes, in float32 at least.

        Args:
            context: (B, D, h, w) map. exemplars: (B, K, D, h', w') maps.
            prefix: (B, K, P, D) further tokens of the exemplars, such as a class token; unused by
                "convolution".

        Returns:
            (B, K, 2, h, w) scores of "not shown" and "shown".

        Raises:
            ValueError: ``joint`` is set and there are not that many exemplars.
        """
        if self.joint and exemplars.shape[1] != self.joint:
            raise ValueError(
                f"joint={self.joint}: the batch holds {exemplars.shape[1]} exemplars per image"
            )
        grids = tuple(context.shape[2:]), tuple(exemplars.shape[3:])
        with no_autocast(context):
            x = self.embed(full_precision(context).flatten(2).transpose(1, 2))[
                :, None
            ]  # (B, 1, N, width)
            x = x + build_sincos2d_pos_embed(
                list(grids[0]), self.width, device=x.device, dtype=x.dtype
            )
            z = full_precision(exemplars).flatten(3).transpose(2, 3)
            if prefix is not None and self.attends:
                z = torch.cat([full_precision(prefix), z], 2)
            z = self.embed(z)  # (B, K, M, width)
            if self.index is not None:
                x = x + self.index
                z = (z + self.index).flatten(1, 2)[:, None]
            for block in self.blocks:
                x = block(x, z, grids)
            scores = self.predict(self.norm(x))  # (B, K, N, 2)
        return scores.transpose(2, 3).unflatten(3, grids[0])
