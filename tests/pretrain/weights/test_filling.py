"""Weights find their places in a network; what would leave part of it random is refused."""

from __future__ import annotations

import pytest
import timm
import torch

from pretrain.weights.filling import fill, find_state


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return timm.create_model("test_resnet", num_classes=0)


def test_names_of_wrappers_are_cut_out_wherever_they_stand(network: torch.nn.Module) -> None:
    state = {}
    for key, value in network.state_dict().items():
        state["backbone.module." + key.replace("layer1.", "layer1._orig_mod.")] = value + 1
    fill(network, find_state(dict(state_dict=state)), source="x.pth")
    for key, value in network.state_dict().items():
        wrapped = "backbone.module." + key.replace("layer1.", "layer1._orig_mod.")
        assert torch.equal(value, state[wrapped]) or "num_batches" in key


def test_two_networks_that_fit_are_refused(network: torch.nn.Module) -> None:
    own = {key: value.clone() for key, value in network.state_dict().items()}
    both = {f"encoder.{key}": value for key, value in own.items()}
    both |= {f"encoder_k.{key}": value + 1 for key, value in own.items()}
    with pytest.raises(
        ValueError, match="two networks that fit, at 'encoder.' and at 'encoder_k.'"
    ):
        fill(network, both, source="x.pth")
    with pytest.raises(
        ValueError, match="'module.a.weight' and 'a.weight' would both be 'a.weight'"
    ):
        find_state({"module.a.weight": torch.zeros(1), "a.weight": torch.ones(1)})
    assert all(torch.equal(own[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, network: torch.nn.Module) -> None:
    state = {f"backbone.{key}": v.clone() for key, v in network.state_dict().items()}
    state["backbone.layer2.0.bn1.running_var"][1] = value
    words = (
        r"x.pth: backbone.layer2.0.bn1.running_var holds 1 values of 48 that are NaN or infinite"
    )
    with pytest.raises(ValueError, match=words):
        fill(network, state, source="x.pth")
