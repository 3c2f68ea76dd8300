"""Which numbers count as signs, and what is said about them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.hooks.diagnosis import Limits, describe_loss, find_signs, likely_knobs, loss_sign
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds
from pretrain.objectives.simclr import SimCLR
from pretrain.objectives.supcon import SupCon

HEALTHY = dict(
    vector_spread=0.5,
    cell_spread=0.8,
    cell_spread_within=0.6,
    vector_rank=40.0,
    cell_rank=90.0,
    vector_gap=0.05,
    cell_gap=0.1,
)
BLIND = Bounds(best=-4.0, collapsed=-4.0, random_start=0.0)
CONTRAST = Bounds(best=None, collapsed=4.8, random_start=4.8)


def knobs(bounds: Bounds, *, momentum: float = 0.99, images: int = 64, **kind: Any) -> list[str]:
    """Advice for a model of one objective of this kind."""
    objective = SimpleNamespace(**{"needs": Needs(), "temperature": None, **kind})
    return likely_knobs([objective], [bounds], momentum=momentum, lr=0.25, images=images)


def test_healthy_features_show_no_sign() -> None:
    assert find_signs(HEALTHY, Limits()) == {}
    assert find_signs({}, Limits()) == {}
    assert find_signs({name: float("nan") for name in HEALTHY}, Limits()) == {}


@pytest.mark.parametrize("name", HEALTHY)
def test_every_value_can_be_a_sign_and_be_switched_off(name: str) -> None:
    signs = find_signs({**HEALTHY, name: 0.001}, Limits())
    assert list(signs) == [name]
    assert find_signs({**HEALTHY, name: 0.001}, Limits(spread=0, rank=0, gap=0)) == {}


def test_flat_maps_are_reported_once_as_the_graver_sign() -> None:
    assert "cell_spread_within" not in find_signs(
        {**HEALTHY, "cell_spread": 0.0, "cell_spread_within": 0.0}, Limits()
    )


def test_illegal_limits_name_the_field() -> None:
    with pytest.raises(ValueError, match=r"limits\.rank=-1"):
        Limits(rank=-1)


def test_loss_at_its_collapsed_value() -> None:
    assert "equal features reach as well as good ones" in loss_sign(-3.82, BLIND, Limits())
    assert loss_sign(-3.7, BLIND, Limits()) is None
    assert "tell nothing apart" in loss_sign(4.79, CONTRAST, Limits())
    assert loss_sign(4.0, CONTRAST, Limits()) is None
    assert loss_sign(0.0, Bounds(), Limits()) is None


def test_losses_stand_beside_their_known_values() -> None:
    assert describe_loss(-1.5, BLIND) == "-1.5000 (best -4, collapsed -4, fresh 0)"
    assert describe_loss(2.0, Bounds()) == "2.0000"


def test_fast_momentum_and_small_batches_come_first() -> None:
    pixpro = Needs(target=("global",))
    assert "momentum is 0.5" in knobs(BLIND, needs=pixpro, momentum=0.5)[0]
    assert "predictor or propagation" in knobs(BLIND, needs=pixpro)[0]
    assert "BatchNorm sees 8 images" in knobs(BLIND, needs=pixpro, images=8)[0]


def test_every_loss_of_positives_and_negatives_has_a_temperature_to_ask_for() -> None:
    features = FeatureInfo({8: 4}, 4)
    for contrasting in (SimCLR(features), SupCon(features, temperature=0.2)):
        advice = likely_knobs([contrasting], [CONTRAST], momentum=0.99, lr=0.25, images=64)
        assert "temperature" in " ".join(advice)


def test_advice_fits_the_nature_of_the_objective() -> None:
    contrastive = " ".join(knobs(CONTRAST, temperature=0.1))
    assert "temperature" in contrastive and "0.25" in contrastive
    assert "momentum" not in contrastive and "predictor" not in contrastive
    supervised = " ".join(knobs(CONTRAST))
    assert "temperature" not in supervised and "learning rate" in supervised
