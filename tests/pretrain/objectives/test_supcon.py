"""SupCon as an objective: options, labels, what is logged, and its kinship to SimCLR."""

from __future__ import annotations

import math

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.encodings import BatchEncodings
from pretrain.objectives.parts.supcon_loss import ContrastOptions, supcon_loss
from pretrain.objectives.simclr import SimCLR
from pretrain.objectives.supcon import SupCon
from pretrain.structures import Batch, Views

INFO = FeatureInfo({8: 6}, 6)


class Pooling(nn.Module):
    """The mean colour and its square as features: no weights."""

    def forward(self, images: torch.Tensor) -> Features:
        mean = images.mean((2, 3))
        return Features({8: images}, torch.cat([mean, mean.square()], 1))


def inputs(views: int, labels: torch.Tensor | None) -> tuple[Batch, BatchEncodings]:
    """Six images of noise."""
    images = torch.randn(6, views, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    batch = Batch({"global": Views(images, torch.zeros(6, views, 2, 3))}, labels, torch.arange(6))
    return batch, BatchEncodings(batch, Pooling(), None)


def linear_layers(objective: SupCon) -> list[nn.Linear]:
    return [m for m in objective.projector if isinstance(m, nn.Linear)]


@pytest.mark.parametrize("views", [1, 2, 3])
def test_any_number_of_views(views: int) -> None:
    torch.manual_seed(0)
    objective = SupCon(INFO, hidden=8, dim=5, loss_scale=0.1)
    labels = torch.tensor([0, 0, 1, -1, 1, 1])
    batch, encode = inputs(views, labels)
    actual = objective(batch, encode)
    expected = supcon_loss(objective.project(encode, "global"), labels, ContrastOptions(0.1))
    assert torch.allclose(actual["loss"], 0.1 * expected.loss) and torch.allclose(
        actual["unscaled"], expected.loss
    )
    assert actual["anchors"] == 6 * views - (
        views == 1
    )  # alone, the unlabelled image has no positive
    assert actual["positives"] == pytest.approx(
        (2 * (2 * views - 1) + 3 * (3 * views - 1) + views - 1) / 6
    )
    assert [name for name in actual if "loss" in name] == ["loss"]


def test_several_labels_per_image() -> None:
    objective = SupCon(INFO, hidden=8, dim=5)
    shared = torch.tensor([[1, 0], [1, 1], [0, 1], [0, 0], [0, 0], [1, 0]], dtype=torch.bool)
    actual = objective(*inputs(1, shared))
    assert (actual["anchors"], actual["positives"]) == (4, (2 + 3 + 1 + 2) / 6)


def test_without_known_labels_it_is_simclr() -> None:
    torch.manual_seed(0)
    simclr = SimCLR(INFO, hidden=8, dim=5, temperature=0.2)
    supcon = SupCon(INFO, hidden=8, dim=5, temperature=0.2, projector_norm=True)
    supcon.projector.load_state_dict(simclr.projector.state_dict())
    actual = [objective(*inputs(2, torch.full((6,), -1)))["loss"] for objective in (simclr, supcon)]
    assert torch.allclose(*actual)
    actual[0].backward(), actual[1].backward()
    for one, other in zip(simclr.parameters(), supcon.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-6)


def test_bounds_are_on_the_scale_of_the_loss() -> None:
    objective = SupCon(INFO, hidden=8, dim=5, loss_scale=0.5)
    batch, encode = inputs(2, torch.tensor([0, 0, 1, 1, 2, 2]))
    terms = objective(batch, encode)
    assert terms["collapsed"].item() == pytest.approx(math.log(11))
    assert objective.bounds(batch, terms).collapsed == pytest.approx(0.5 * math.log(11))


def test_projectors() -> None:
    mlp, deep, linear = (SupCon(INFO, hidden=8, dim=5, layers=n).projector for n in (2, 3, 1))
    assert [type(m).__name__ for m in mlp] == ["Linear", "ReLU", "Linear"]
    assert [(m.in_features, m.out_features) for m in deep if isinstance(m, nn.Linear)] == [
        (6, 8),
        (8, 8),
        (8, 5),
    ]
    assert len(linear) == 1 and linear[0].bias is None and mlp[0].bias is not None
    normed = SupCon(INFO, hidden=8, dim=5, projector_norm=True).projector
    assert [type(m).__name__ for m in normed] == [
        "Linear",
        "BatchNorm1d",
        "ReLU",
        "Linear",
        "BatchNorm1d",
    ]
    assert linear_layers(SupCon(INFO))[0].out_features == INFO.vector  # hidden=None


def test_encoder_output_of_unit_length() -> None:
    torch.manual_seed(0)
    objective = SupCon(INFO, layers=1, dim=5, normalise_encoder=True)
    batch, encode = inputs(2, torch.tensor([0, 0, 1, 1, 2, 2]))
    vector = encode.online("global")[0].vector
    expected = objective.projector(vector / vector.norm(dim=1, keepdim=True))
    assert torch.allclose(objective.project(encode, "global")[:, 0], expected)


def test_options_reach_the_loss_from_a_config() -> None:
    options = dict(
        temperature=0.2, form="in", denominator="one", anchors="one", max_positives=2, chunk=4
    )
    objective = MODELS.build(dict(type="SupCon", features=INFO, hidden=8, dim=5, **options))
    assert objective.options == ContrastOptions(**options)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(loss_scale=0), "loss_scale=0"),
        (dict(layers=0), "layers=0"),
        (dict(form="mid"), "form="),
    ],
)
def test_illegal_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SupCon(INFO, **options)
