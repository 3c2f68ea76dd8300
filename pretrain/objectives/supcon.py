"""SupCon: the pooled vectors of all views of one class attract, those of other classes repel."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision
from heads.projector import start_linear_layers, vector_mlp
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective
from pretrain.objectives.parts.supcon_loss import ContrastOptions, supcon_loss
from pretrain.ranges import check_positive
from pretrain.structures import Batch


@MODELS.register_module()
class SupCon(Objective):
    """Supervised contrastive learning (Khosla et al., NeurIPS 2020) on every view of the group, one
    or more.

    Images labelled −1 have their own views as positives only, so a partly labelled source trains
    semi-supervised.

    Args:
        hidden: width inside the projector; None takes the backbone's. dim: width of the projection.
        layers: of the projector; 1 is a single linear layer without bias. projector_norm: False is
            the paper's MLP, linear layers with bias and ReLU; True puts BatchNorms inside and at
            its end, as in SimCLR.
        head_start: how the projector's linear layers start, see
            :func:`heads.projector.start_linear_layers`: "normal" in the authors' ImageNet script,
            "torch" in their CIFAR code.
        normalise_encoder: whether vectors are brought to unit length before the projector.
        temperature, form, denominator, anchors, max_positives, chunk: see
            :class:`~pretrain.objectives.parts.supcon_loss.ContrastOptions`.
        loss_scale: what the loss is multiplied by; the paper takes τ. The log's ``unscaled`` is
            without it.

    Raises:
        ValueError: an illegal value.
    """

    needs = Needs(views=1, any_views=True, labels=True)

    def __init__(
        self,
        features: FeatureInfo,
        *,
        hidden: int | None = None,
        dim: int = 128,
        layers: int = 2,
        projector_norm: bool = False,
        head_start: str = "torch",
        normalise_encoder: bool = False,
        temperature: float = 0.1,
        form: str = "out",
        denominator: str = "all",
        anchors: str = "all",
        max_positives: int | None = None,
        chunk: int | None = None,
        loss_scale: float = 1.0,
    ) -> None:
        super().__init__(features)
        check_positive(loss_scale=loss_scale)
        self.loss_scale, self.normalise_encoder = loss_scale, normalise_encoder
        self.temperature = temperature
        self.options = ContrastOptions(
            temperature, form, denominator, anchors, max_positives, chunk
        )
        make = vector_mlp if projector_norm else _plain_mlp
        last = dict(last_norm=True) if projector_norm else {}
        self.projector = make(
            features.vector, hidden or features.vector, dim, layers=layers, **last
        )
        start_linear_layers(self.projector, head_start)

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Collapsed: log of the denominator's size, mean over the batch; fresh: about the same."""
        collapsed = self.loss_scale * float(terms["collapsed"])
        return Bounds(best=None, collapsed=collapsed, random_start=collapsed)

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``, and to be logged ``unscaled``, the loss before ``loss_scale``,
        ``anchors``, the number of anchors that count, ``positives``, the mean number of positives,
        and ``collapsed``, the unscaled loss of equal features."""
        contrast = supcon_loss(self.project(encode, "global"), batch.labels, self.options)
        return {
            "loss": self.loss_scale * contrast.loss,
            "unscaled": contrast.loss,
            "anchors": contrast.anchors,
            "positives": contrast.positives,
            "collapsed": contrast.collapsed,
        }

    def project(self, encode: Encodings, group: str) -> Tensor:
        """Returns the projections (B, V, dim) of a group, not normalised."""
        vectors = [view.vector for view in encode.online(group)]
        if self.normalise_encoder:
            vectors = [F.normalize(full_precision(vector), dim=1) for vector in vectors]
        return torch.stack([self.projector(vector) for vector in vectors], 1)


def _plain_mlp(channels: int, hidden: int, out: int, *, layers: int) -> nn.Sequential:
    """(B, channels) -> (B, out): Linear, ReLU, …, Linear with bias; one layer alone is without
    bias.
    """
    if layers < 1:
        raise ValueError(f"layers={layers}: an MLP needs at least 1 layer")
    widths = [channels] + [hidden] * (layers - 1) + [out]
    modules: list[nn.Module] = []
    for index in range(layers):
        modules.append(nn.Linear(widths[index], widths[index + 1], bias=layers > 1))
        if index < layers - 1:
            modules.append(nn.ReLU(inplace=True))
    return nn.Sequential(*modules)
