"""One name per tensor and numbers in it: what every reader of weights asks, and who asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.core.upsamplers import load_upsampler
from benchmarks.weights.checkpoint import Checkpoint
from heads.upsamplers.jbu import JBUStack
from pretrain.rescale import rescale
from pretrain.state_dicts import prefixed, refuse_non_finite, under, unwrapped

NAN = float("nan")


def test_names_of_wrappers_are_cut_out_wherever_they_stand() -> None:
    one = torch.ones(1)
    keys = {
        "module.conv1.weight": "conv1.weight",
        "backbone.module.bn.weight": "backbone.bn.weight",
        "a._fsdp_wrapped_module.0._orig_mod.bias": "a.0.bias",
        "modules.x": "modules.x",
        "last.module": "last.module",  # the name of a tensor
    }
    assert list(unwrapped(dict.fromkeys(keys, one))) == list(keys.values())
    with pytest.raises(ValueError, match="'a.x' and 'a.module.x' would both be 'a.x'"):
        unwrapped({"a.x": one, "a.module.x": one})


def test_a_prefix_is_cut_off_and_put_before() -> None:
    state = {"a.x": torch.ones(1), "a.b.y": torch.zeros(2)}
    assert under("a.", state | {"b.a.x": torch.ones(1)}).keys() == {"x", "b.y"}
    assert prefixed("a.", under("a.", state)) == state


def test_the_first_tensor_that_holds_no_number_is_named() -> None:
    state = {"step": torch.tensor(3), "w": torch.ones(4), "half": torch.ones(2).half()}
    refuse_non_finite(state, "x.pth")
    state["half"][1] = float("inf")
    with pytest.raises(
        ValueError, match="^x.pth: half holds 1 values of 2 that are NaN or infinite; "
    ):
        refuse_non_finite(state, "x.pth")
    state["w"][:3] = NAN
    message = "w holds 3 values of 4 that are NaN or infinite, and so do 1 other tensors"
    with pytest.raises(ValueError, match=message):
        refuse_non_finite(state, "x.pth")


def broken_levels(folder: Path) -> None:
    key = "objectives.0.levels.fpn.inner_blocks.0.0.weight"
    torch.save({"state_dict": {key: torch.tensor([1, NAN])}, "meta": {}}, folder / "x.pth")
    Checkpoint.read(folder / "x.pth").pyramid()


def broken_upsampler(folder: Path) -> None:
    stack = JBUStack(5, 4)
    name, first = next(iter(stack.named_parameters()))
    first.data.view(-1)[0] = NAN
    state = {f"upsampler.{key}": value for key, value in stack.state_dict().items()}
    content = dict(state_dict=state, meta=dict(upsampler=stack.config, backbone={}))
    torch.save(content, folder / "x.pth")
    load_upsampler(f"jbu:{folder}/x.pth")


def broken_rescaling(folder: Path) -> None:
    rescale({"weight": torch.tensor([[1, NAN]]), "bias": torch.ones(1)}, nn.Linear(2, 1))


@pytest.mark.parametrize("read", [broken_levels, broken_upsampler, broken_rescaling])
def test_readers_that_ask(read: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds 1 values of .* that are NaN or infinite"):
        read(tmp_path)
