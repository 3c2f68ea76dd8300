"""From a backbone to scores: what is pooled, and the linear layer behind it."""

from __future__ import annotations

from timm.layers import trunc_normal_
from torch import Tensor, nn

from heads.precision import full_precision, no_autocast
from pretrain.backbones.timm_backbone import Features, TimmBackbone

POOLINGS = ("mean", "network")
#: What timm's networks keep behind their last map, next to a classifier; the mean of that map has
#: no use for it.
_BEHIND = ("norm", "fc_norm", "attn_pool", "head")
HEAD_STD = 2e-5  # of the linear layer's first weights, as in CIM's released fine-tuning


class PooledHead(nn.Module):
    """Pooled vector → LayerNorm where the mean leaves out the network's own → linear, in float32.

    ``mean``: the mean over the last map, before the network's last norm; a ViT's class token stays
    in the blocks and out of the mean. Networks whose own last norm is so left out (ViT, ConvNeXt,
    Swin) get a new LayerNorm behind the mean; a ResNet has none and gets none. ``network``: timm's
    own pooling and norm.

    Args:
        backbone: becomes what the pooling needs, in place: for ``mean`` it gives its last map
            alone, and parameters behind that map are frozen (they take no part in the loss).
        classes: C.
        pooling: ``mean`` or ``network``.

    Raises:
        ValueError: another pooling, or fewer than two classes.
    """

    def __init__(self, backbone: TimmBackbone, classes: int, pooling: str = "mean") -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling={pooling!r}: must be one of {', '.join(POOLINGS)}")
        if classes < 2:
            raise ValueError(f"classes={classes}: a classifier needs at least 2")
        self.pooling = pooling
        width, normalised = backbone.info.vector, False
        if pooling == "mean":
            width = backbone.info.channels[max(backbone.info.channels)]
            normalised = leave_out_the_end(backbone)
            stages = backbone.model.feature_info
            backbone.out_indices = (len(stages if isinstance(stages, list) else stages.info) - 1,)
        self.norm = nn.LayerNorm(width, eps=1e-6) if normalised else nn.Identity()
        self.linear = nn.Linear(width, classes)
        trunc_normal_(self.linear.weight, std=HEAD_STD)
        nn.init.zeros_(self.linear.bias)

    def forward(self, encoded: Features | tuple[Tensor, ...]) -> Tensor:
        """Returns logits (B, C) float32 of what the backbone gives."""
        return self.score(self.pool(encoded))

    def pool(self, encoded: Features | tuple[Tensor, ...]) -> Tensor:
        """Returns the pooled vector (B, D) of what the backbone gives."""
        return encoded.vector if self.pooling == "network" else encoded[-1].mean((2, 3))

    def score(self, pooled: Tensor) -> Tensor:
        """Returns logits (B, C) float32 of pooled vectors (B, D)."""
        with no_autocast(pooled):
            return self.linear(self.norm(full_precision(pooled)))


def leave_out_the_end(backbone: TimmBackbone) -> bool:
    """Freezes what lies behind the backbone's last map; returns whether that was anything."""
    left_out = False
    for name in _BEHIND:
        part = getattr(backbone.model, name, None)
        for parameter in part.parameters() if isinstance(part, nn.Module) else ():
            parameter.requires_grad_(False)
            left_out = True
    return left_out
