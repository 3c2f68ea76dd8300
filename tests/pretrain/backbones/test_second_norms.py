"""The second set of BatchNorms: complete, apart from the first, out of the network after use."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from pretrain.backbones.second_norms import MOMENTUM, SecondNorms
from pretrain.encodings import BatchEncodings
from pretrain.geometry import identity
from pretrain.structures import Batch, Views

BACKBONE = dict(type="TimmBackbone", name="test_resnet")


def encodings(seed: int = 0) -> tuple[BatchEncodings, nn.Module, SecondNorms, torch.Tensor]:
    torch.manual_seed(seed)
    network = MODELS.build(dict(BACKBONE)).train()
    twins = SecondNorms(network)
    images = torch.randn(4, 2, 3, 32, 32)
    batch = Batch({"global": Views(images, identity().expand(4, 2, 2, 3))}, None, torch.arange(4))
    return BatchEncodings(batch, network, None, second_norms=twins), network, twins, images


def buffers(module: nn.Module) -> list[torch.Tensor]:
    return [b.clone() for b in module.buffers()]


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_every_norm_has_a_twin_also_in_shortcuts() -> None:
    _, network, twins, _ = encodings()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert any(
        "downsample" in name for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)
    )
    assert len(norms) == len(twins.norms) > 0
    assert {norm.momentum for norm in twins.norms} == {MOMENTUM}


def test_each_route_moves_its_own_buffers_only() -> None:
    encode, network, twins, images = encodings()
    clean, other = buffers(network), buffers(twins)
    encode.online("global", images=images, norm="adversarial")
    assert same(buffers(network), clean) and not same(buffers(twins), other)
    other = buffers(twins)
    encode.online("global", images=images)
    assert not same(buffers(network), clean) and same(buffers(twins), other)


def test_frozen_moves_nothing_and_restores_the_mode() -> None:
    encode, network, twins, images = encodings()
    before = buffers(network) + buffers(twins)
    for norm in ("clean", "adversarial"):
        encode.online("global", images=images, norm=norm, frozen=True)
    assert same(buffers(network) + buffers(twins), before)
    assert all(module.training for module in network.modules())


def test_gradients_go_to_the_twins_and_the_network_is_itself_again_after_an_error() -> None:
    encode, network, twins, images = encodings()
    own = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    encode.online("global", images=images, norm="adversarial")[0].vector.sum().backward()
    assert all(norm.weight.grad is not None for norm in twins.norms)
    assert all(norm.weight.grad is None for norm in own)
    with pytest.raises(KeyError), twins.within(network):
        raise KeyError
    assert all(
        a is b
        for a, b in zip(
            own, (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)), strict=True
        )
    )


def test_a_network_without_batch_norm_has_one_set() -> None:
    for recomputed in (False, True):  # there is no wrong set to use
        options = dict(name="test_vit", img_size=32, checkpoint_activations=recomputed)
        assert len(SecondNorms(MODELS.build(dict(type="TimmBackbone", **options))).norms) == 0


def test_recomputing_activations_is_refused() -> None:
    """In the backward pass the network's own set is back in its place."""
    with pytest.raises(ValueError, match="checkpoint_activations=True"):
        SecondNorms(MODELS.build(dict(BACKBONE, checkpoint_activations=True)))
    encode, _, _, images = encodings()
    encode._online.model.set_grad_checkpointing()
    with pytest.raises(ValueError, match="leave evaluation mode"):
        encode.online("global", images=images, frozen=True)


def test_asking_for_a_set_that_is_not_there_is_an_error() -> None:
    encode, network, _, images = encodings()
    with pytest.raises(RuntimeError, match="second_norms=True"):
        BatchEncodings(encode._batch, network, None).online(
            "global", images=images, norm="adversarial"
        )
    with pytest.raises(ValueError, match="norm='robust'"):
        encode.online("global", images=images, norm="robust")
    with pytest.raises(ValueError, match="only for given images"):
        encode.online("global", frozen=True)
