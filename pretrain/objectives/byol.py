"""BYOL: the pooled online vector of one view predicts the target's of the other. An image-level
control, and PixPro's instance branch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from heads.projector import pixel_mlp, vector_mlp
from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.encodings import Encodings
from pretrain.names import check_choice
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective, target_copy
from pretrain.structures import Batch


def byol_loss(p: tuple[Tensor, Tensor], z: tuple[Tensor, Tensor]) -> Tensor:
    """Symmetric loss (2 − 2·cos(p¹, z²)) + (2 − 2·cos(p², z¹)), mean over the batch, within [0, 8].

    Args:
        p: online predictions of views 1 and 2, each (B, D). z: target projections, no gradient.
    """
    with no_autocast(p[0]):
        cosines = [
            F.cosine_similarity(full_precision(a), full_precision(b))
            for a, b in zip(p, z[::-1], strict=True)
        ]
        return (4 - 2 * (cosines[0] + cosines[1])).mean()


@MODELS.register_module()
class BYOL(Objective):
    """Bootstrap your own latent (Grill et al., NeurIPS 2020).

    Args:
        pool: "before": heads see the backbone's pooled vector (BYOL). "after": heads are 1×1
            convolutions on the deepest map and their output is pooled: the instance branch of
            PixPro's code, whose loss −2·cos per direction differs from this one by a constant only.
            Use it as a second objective beside ``PixPro``.
        hidden: width inside projector and predictor. dim: width of the projection.
        last_bias: whether projector and predictor end in a layer with bias; the authors' do not,
            PixPro's branch does.

    Raises:
        ValueError: unknown ``pool``; ``last_bias=False`` with ``pool="after"``.
    """

    needs = Needs(target=("global",))

    def __init__(
        self,
        features: FeatureInfo,
        *,
        pool: str = "before",
        hidden: int = 4096,
        dim: int = 256,
        last_bias: bool = True,
    ) -> None:
        super().__init__(features)
        check_choice("pool", pool, ("before", "after"))
        if pool == "after" and not last_bias:
            raise ValueError(
                "last_bias=False with pool='after': convolutions have a bias; leave one of the "
                "two out"
            )
        self.pool, self.stride = pool, features.pick(None)
        if pool == "before":
            self.projector = vector_mlp(features.vector, hidden, dim, last_bias=last_bias)
            self.predictor = vector_mlp(dim, hidden, dim, last_bias=last_bias)
        else:
            self.projector = pixel_mlp(features.channels[self.stride], hidden, dim)
            self.predictor = pixel_mlp(dim, hidden, dim)
        self.target_projector = target_copy(self.projector)

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Best and collapsed coincide: watch the features."""
        return Bounds(best=0.0, collapsed=0.0, random_start=4.0)

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """The projector follows; the predictor has no target."""
        return [(self.projector, self.target_projector)]

    def _input(self, view: Features) -> Tensor:
        return view.vector if self.pool == "before" else view.map(self.stride)

    @staticmethod
    def _pooled(x: Tensor) -> Tensor:
        return x.mean((2, 3)) if x.ndim == 4 else x

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``."""
        inputs = [self._input(view) for view in encode.online("global")[:2]]
        p = tuple(self._pooled(self.predictor(self.projector(x))) for x in inputs)
        with torch.no_grad():
            inputs = [self._input(view) for view in encode.target("global")[:2]]
            z = tuple(self._pooled(self.target_projector(x)) for x in inputs)
        return {"loss": byol_loss(p, z)}
