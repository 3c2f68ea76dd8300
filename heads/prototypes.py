"""A head that tells how near features are to learned prototypes, as those of DINO and iBOT do."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast


def gelu_mlp(channels: int, hidden: int, out: int, *, layers: int = 3) -> nn.Sequential:
    """Builds an MLP over the last axis (…, channels) -> (…, out): (Linear, GELU) × (layers − 1),
    Linear, all with bias, weights drawn from a normal of deviation 0.02 cut at ±2, biases 0.

    Raises:
        ValueError: ``layers`` below 1.
    """
    if layers < 1:
        raise ValueError(f"layers={layers}: an MLP needs at least 1 layer")
    widths = [channels] + [hidden] * (layers - 1) + [out]
    modules: list[nn.Module] = []
    for index, (width_in, width_out) in enumerate(zip(widths, widths[1:], strict=False)):
        linear = nn.Linear(width_in, width_out)
        nn.init.trunc_normal_(linear.weight, std=0.02)
        nn.init.zeros_(linear.bias)
        modules += [linear, nn.GELU()] if index < layers - 1 else [linear]
    return nn.Sequential(*modules)


class PrototypeHead(nn.Module):
    """MLP, unit length, cosines with K unit prototypes: (…, D) -> logits (…, K) in [−1, 1].

    The gain of DINO's weight norm is fixed at 1 (its option ``norm_last_layer``), so the logits are
    cosines. For ViT-S (D = 384) 5.5 M parameters and 256 for each prototype: 16.8 M at K = 65,536.

    Args:
        channels: D. prototypes: K.
        hidden: width inside the MLP. bottleneck: width of the prototypes. layers: of the MLP.

    Attributes:
        prototypes: (K, bottleneck), of any length.

    Raises:
        ValueError: ``prototypes`` below 2, or as :func:`gelu_mlp`.
    """

    def __init__(
        self,
        channels: int,
        prototypes: int,
        *,
        hidden: int = 2048,
        bottleneck: int = 256,
        layers: int = 3,
    ) -> None:
        super().__init__()
        if prototypes < 2:
            raise ValueError(f"prototypes={prototypes}: a head tells at least 2 apart")
        self.mlp = gelu_mlp(channels, hidden, bottleneck, layers=layers)
        self.prototypes = nn.Parameter(torch.empty(prototypes, bottleneck))
        nn.init.trunc_normal_(self.prototypes, std=0.02)

    def forward(self, x: Tensor, *, hold: bool = False) -> Tensor:
        """Returns the logits.

        Args:
            x: (…, D) features.
            hold: the prototypes get a gradient of 0, as DINO has it in the first epoch. They still
                take part, so that no process waits for their gradient.
        """
        z = self.mlp(x)
        with no_autocast(z):
            z = F.normalize(full_precision(z), dim=-1)
            prototypes = full_precision(self.prototypes)
            if hold:
                z, prototypes = z + 0 * prototypes[0, 0], prototypes.detach()
            # Not F.normalize: a division's gradient goes over all K·256 numbers several times more.
            lengths = prototypes.norm(dim=1, keepdim=True).clamp_min(1e-12)
            unit = prototypes * lengths.reciprocal()
        return F.linear(z, unit)
