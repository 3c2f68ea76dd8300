"""Checkpoints of others are read, and no file reaches Python's own functions over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from benchmarks.weights.checkpoint import fill, find_state, read_checkpoint
from pretrain.engine import checkpoints


class Reference:
    """Is pickled as an attribute of ``owner``, looked up at loading."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name = owner, name

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.owner, self.name)


readers = pytest.mark.parametrize(
    "read", [read_checkpoint, checkpoints.read_checkpoint], ids=["benchmarks", "engine"]
)


@readers
def test_the_logs_of_mmengine_are_read(
    read: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    hub = MessageHub("test_weights")
    hub.update_scalar("loss", 2.0)
    torch.save(dict(message_hub=hub.state_dict()), tmp_path / "x.pth")
    assert read(tmp_path / "x.pth")["message_hub"]["log_scalars"]["loss"].mean() == 2


@readers
@pytest.mark.parametrize(
    ("owner", "name"), [(HistoryBuffer, "__init__"), (getattr, "__self__"), (torch.Tensor, "min")]
)
def test_attributes_of_anything_else_are_refused(
    read: Callable[[Path], dict[str, Any]], owner: Any, name: str, tmp_path: Path
) -> None:
    torch.save(dict(x=Reference(owner, name)), tmp_path / "x.pth")
    with pytest.raises(ValueError, match="asks for attribute"):
        read(tmp_path / "x.pth")


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
