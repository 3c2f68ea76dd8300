"""Adversarial: the specification's vectors on a linear encoder, and the properties of attack and
update.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain.backbones.second_norms import SecondNorms
from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.encodings import BatchEncodings
from pretrain.engine.check import register_all
from pretrain.geometry import identity
from pretrain.objectives.adversarial import Adversarial
from pretrain.objectives.instance_discrimination import instance_loss
from pretrain.objectives.parts.attack import Attack, AttackedLoss, check_whole
from pretrain.objectives.parts.base import Objective, target_copy
from pretrain.objectives.simclr import nt_xent
from pretrain.structures import Batch, Views

register_all()

# Three images of one pixel, in normalised units; pixels in [0, 1] are −2 … 2 here, and 0.03 is a
# change of 1.9125/255.
X_I = [[1, 0.2, -0.3], [-0.4, 0.9, 0.5], [0.3, -0.8, 1.1]]
X_J = [[0.8, 0.1, -0.1], [-0.5, 0.7, 0.9], [0.5, -0.6, 1.0]]
MEAN, STD = 0.5, 0.25
EPSILON = 0.03 * STD * 255
NT_XENT = dict(type="SimCLR", temperature=0.5)
PLAIN = dict(type="InstanceDiscrimination", temperature=0.5)
RESNET = dict(type="TimmBackbone", name="test_resnet")


@MODELS.register_module(force=True)
class PositiveTerm(Objective):
    """Minus the cosine of the two views of an image."""

    def forward(self, batch: Batch, encode: BatchEncodings) -> dict[str, Tensor]:
        a, b = (view.vector for view in encode.online("global"))
        return {"loss": -F.cosine_similarity(a, b).mean()}


@MODELS.register_module(force=True)
class FirstViewLearns(Objective):
    """Minus the dot product of the two views' vectors, the second view held constant."""

    def forward(self, batch: Batch, encode: BatchEncodings) -> dict[str, Tensor]:
        a, b = (view.vector for view in encode.online("global"))
        return {"loss": -(a * b.detach()).sum(1).mean()}


class LinearEncoder(nn.Module):
    """z = W x of the only pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1, 0.5, -0.5], [0, 1, 0.5]], dtype=torch.float64))

    def forward(self, images: Tensor) -> Features:
        maps = torch.einsum("dc,bchw->bdhw", self.weight, images)
        return Features({1: maps}, maps.mean((2, 3)))


def normalisation(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return torch.full((3, 1, 1), MEAN, dtype=dtype), torch.full((3, 1, 1), STD, dtype=dtype)


def linear(options: dict[str, Any]) -> tuple[Adversarial, Batch, BatchEncodings]:
    """Returns an Adversarial whose inner head is the identity, the vectors' batch and its
    encodings.
    """
    wrapper = Adversarial(FeatureInfo({1: 2}, 2), **options)
    wrapper.objective.projector = nn.Identity()
    images = torch.tensor([X_I, X_J], dtype=torch.float64).transpose(0, 1)[..., None, None]
    batch = Batch({"global": Views(images, identity().expand(3, 2, 2, 3))}, None, torch.arange(3))
    network = LinearEncoder()
    encode = BatchEncodings(
        batch,
        network,
        None,
        second_norms=SecondNorms(network),
        normalisation=normalisation(torch.float64),
    )
    return wrapper, batch, encode


def resnet(
    options: dict[str, Any], seed: int = 0
) -> tuple[Adversarial, Batch, Callable[[], BatchEncodings], nn.Module]:
    """Returns an Adversarial in training on a small ResNet, a batch, a maker of its encodings, and
    the ResNet.
    """
    torch.manual_seed(seed)
    network = MODELS.build(dict(RESNET)).train()
    wrapper = Adversarial(network.info, **options).train()
    twins = SecondNorms(network) if wrapper.needs.second_norms else None
    images = (torch.rand(4, 2, 3, 32, 32) - MEAN) / STD
    geometry = identity().expand(4, 2, 2, 3)
    batch = Batch({"global": Views(images, geometry)}, torch.arange(4), torch.arange(4))
    target = target_copy(network)
    pixels = normalisation(torch.float32)
    network.twins = [twins]  # in a list: no part of the network

    def encodings() -> BatchEncodings:
        return BatchEncodings(batch, network, target, second_norms=twins, normalisation=pixels)

    return wrapper, batch, encodings, network


def attacked_loss(wrapper: Adversarial, batch: Batch, encode: BatchEncodings) -> AttackedLoss:
    return wrapper.attacked_loss(batch, encode, wrapper.layout(2))


@pytest.mark.parametrize("norm", ["second", "shared"])
@pytest.mark.parametrize(
    "inner, source, clean, before, after, total",
    [
        (NT_XENT, "anchor", 0.283982, 0.251689, 0.264210, 0.548192),
        (NT_XENT, "other", 0.283982, 0.283982, 0.326803, 0.610785),
        (PLAIN, "anchor", 0.151500, 0.134131, 0.141071, 0.292570),
        (PLAIN, "other", 0.151500, 0.151500, 0.172841, 0.324340),
    ],
)
def test_vectors(
    norm: str, inner: dict, source: str, clean: float, before: float, after: float, total: float
) -> None:
    wrapper, batch, encode = linear(
        dict(objective=inner, source=source, norm=norm, epsilon=EPSILON)
    )
    terms = {name: value.item() for name, value in wrapper(batch, encode).items()}
    expected = dict(
        loss=clean, before=before, after=after, adversarial_loss=after, attacked=1, delta=EPSILON
    )
    assert terms == pytest.approx(expected, abs=6e-7)
    assert terms["loss"] + terms["adversarial_loss"] == pytest.approx(total, abs=1.1e-6)


@pytest.mark.parametrize("inner", [NT_XENT, PLAIN])
@pytest.mark.parametrize(
    "source, signs",
    [
        ("anchor", [[-1, 1, 1], [1, 1, -1], [-1, 1, 1]]),
        ("other", [[-1, 1, 1], [-1, -1, 1], [-1, 1, 1]]),
    ],
)
def test_signs_of_the_step(inner: dict, source: str, signs: list[list[int]]) -> None:
    wrapper, batch, encode = linear(dict(objective=inner, source=source, epsilon=EPSILON))
    start = batch.views["global"].images[:, [int(source == "other")]]
    pixels, _ = wrapper.attack(start, attacked_loss(wrapper, batch, encode), encode.normalisation)
    assert torch.equal((pixels - start).sign().flatten(1), torch.tensor(signs, dtype=torch.float64))
    assert torch.allclose((pixels - start).abs(), torch.tensor(0.03, dtype=torch.float64))


def test_gradient_of_the_vectors() -> None:
    wrapper, batch, encode = linear(dict(objective=NT_XENT))
    pixels = batch.views["global"].images[:, :1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(attacked_loss(wrapper, batch, encode)(pixels), pixels)
    expected = [
        [-0.003110, 0.076191, 0.040428],
        [0.010263, 0.006917, -0.004239],
        [-0.043906, 0.092204, 0.079032],
    ]
    assert torch.allclose(
        gradient.flatten(1), torch.tensor(expected, dtype=torch.float64), atol=6e-7
    )


def test_at_the_anchor_only_the_negatives_push() -> None:
    wrapper, batch, encode = linear(dict(objective=dict(type="PositiveTerm")))
    pixels = batch.views["global"].images[:, :1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(attacked_loss(wrapper, batch, encode)(pixels), pixels)
    assert gradient.abs().max() < 1e-8


def test_each_image_is_attacked_through_all_of_them() -> None:
    def gradient(change: float) -> Tensor:
        wrapper, batch, encode = linear(dict(objective=NT_XENT, source="other"))
        batch.views["global"].images[1] += change
        pixels = batch.views["global"].images[:, 1:2].clone().requires_grad_()
        return torch.autograd.grad(attacked_loss(wrapper, batch, encode)(pixels), pixels)[0]

    assert not torch.allclose(gradient(0.0)[0], gradient(0.3)[0])


def test_steps_stay_within_epsilon_and_within_the_range_of_pixels() -> None:
    torch.manual_seed(0)
    pixels = torch.rand(5, 1, 3, 4, 4, dtype=torch.float64)
    pixels[0], pixels[1] = 0.0, 1.0
    mean = torch.tensor([0.5, 0.4, 0.3], dtype=torch.float64).view(3, 1, 1)
    std = torch.tensor([0.2, 0.25, 0.3], dtype=torch.float64).view(3, 1, 1)
    slope = torch.randn(5, 1, 3, 4, 4, dtype=torch.float64)
    slope[2] = 0
    for attack in (Attack(8, 8, 1), Attack(8, 2, 7, random_start=True)):
        actual, before = attack((pixels - mean) / std, lambda x: (x * slope).sum(), (mean, std))
        actual = actual * std + mean
        assert actual.min() >= -1e-12 and actual.max() <= 1 + 1e-12 and before.ndim == 0
        assert (actual - pixels).abs().max() <= 8 / 255 + 1e-12
    actual, _ = Attack(8, 8, 1)((pixels - mean) / std, lambda x: (x * slope).sum(), (mean, std))
    expected = (pixels + 8 / 255 * slope.sign()).clamp(0, 1)
    assert torch.allclose(actual * std + mean, expected)
    assert torch.equal(actual[2], ((pixels - mean) / std)[2])  # no gradient, not changed by a bit


def test_gradients_that_are_no_numbers_change_nothing() -> None:
    start = torch.zeros(2, 1, 3, 2, 2)
    slope = torch.ones_like(start)
    slope[0], slope[1, 0, 0] = float("nan"), float("inf")
    actual, _ = Attack(4, 4, 1)(start, lambda x: (x * slope).sum(), normalisation(torch.float32))
    assert torch.equal(actual[0], start[0]) and torch.allclose(
        actual[1], torch.tensor(4 / 255 / STD)
    )


def test_half_precision_does_not_swallow_small_gradients() -> None:
    """1e-8 is 0 in float16; in fp16 runs the loss is scaled before its gradient is taken."""
    start = torch.zeros(1, 1, 3, 2, 2)

    def loss(pixels: Tensor) -> Tensor:
        return (pixels.half().float() * 1e-8).sum()

    actual, _ = Attack(4, 4, 1)(start, loss, normalisation(torch.float32))
    assert torch.equal(actual, start)
    with torch.autocast("cpu", torch.float16):
        actual, _ = Attack(4, 4, 1)(start, loss, normalisation(torch.float32))
    assert torch.allclose(actual, torch.tensor(4 / 255 / STD))


def test_sharded_parameters_are_refused() -> None:
    layer = nn.Linear(2, 2)
    check_whole(layer)
    layer.weight.device_mesh = "as a sharded parameter has"
    with pytest.raises(RuntimeError, match="engine.strategy='fsdp'"):
        check_whole(layer)


def test_a_loss_that_knows_its_first_view_only() -> None:
    """It holds the second view constant: attacked there, it does not rise."""
    inner = dict(type="FirstViewLearns")
    wrapper, batch, encode = linear(dict(objective=inner))
    with pytest.raises(RuntimeError, match="attacked_first=True"):
        wrapper(batch, encode)
    wrapper, batch, encode = linear(
        dict(objective=inner, attacked_first=True, source="other", epsilon=EPSILON)
    )
    terms = wrapper(batch, encode)
    x_i, x_j = (batch.views["global"].images[:, v] for v in (0, 1))
    pixels, _ = wrapper.attack(
        x_j[:, None], attacked_loss(wrapper, batch, encode), encode.normalisation
    )
    clean, attacked = (
        encode.online("global", images=x[:, None])[0].vector for x in (x_i, pixels[:, 0])
    )
    assert torch.allclose(terms["adversarial_loss"], -(attacked * clean).sum(1).mean())
    assert terms["after"] > terms["before"]


@pytest.mark.parametrize("source", ["anchor", "other"])
def test_uel_is_attacked_through_the_rows_that_pick(source: str) -> None:
    """As its authors do: both views' rows pick among all; what they pick from is constant."""
    wrapper, batch, encode = linear(
        dict(objective=dict(PLAIN, form="uel"), source=source, epsilon=EPSILON)
    )
    x_i, x_j = (batch.views["global"].images[:, v] for v in (0, 1))
    weight = LinearEncoder().weight.detach()
    start = (x_i if source == "anchor" else x_j).clone().requires_grad_()
    kept, moved = (F.normalize(torch.einsum("dc,bchw->bd", weight, x), dim=1) for x in (x_i, start))
    z = torch.cat([kept, moved])
    logits = (z @ z.detach().T / 0.5).masked_fill(torch.eye(6, dtype=torch.bool), -torch.inf)
    p = logits.softmax(1)
    partner = torch.arange(6).roll(3)
    others = torch.ones(6, 6, dtype=torch.bool).scatter(1, partner[:, None], False) & ~torch.eye(
        6, dtype=torch.bool
    )
    loss = (
        -p[torch.arange(6), partner].log() - (1 - p).log().masked_fill(~others, 0).sum(1)
    ).mean()
    loss.backward()
    terms = wrapper(batch, encode)
    assert terms["before"].item() == pytest.approx(loss.item(), abs=1e-12)
    pixels, _ = wrapper.attack(
        start.detach()[:, None], attacked_loss(wrapper, batch, encode), encode.normalisation
    )
    assert torch.allclose(pixels[:, 0], start.detach() + 0.03 * start.grad.sign())
    attacked = torch.einsum("dc,bchw->bd", weight, pixels[:, 0])
    clean = torch.einsum("dc,bchw->bd", weight, x_i)
    assert torch.allclose(terms["adversarial_loss"], instance_loss(clean, attacked, 0.5, "uel"))


def test_a_loss_without_the_pixels_is_an_error() -> None:
    free = torch.ones((), requires_grad=True)
    with pytest.raises(RuntimeError, match="does not depend on the attacked pixels"):
        Attack(4, 4, 1)(
            torch.zeros(1, 1, 3, 2, 2), lambda x: free * 2, normalisation(torch.float32)
        )


def test_small_steps_raise_a_smooth_loss() -> None:
    for source in ("anchor", "other", "both"):
        wrapper, batch, encode = linear(
            dict(objective=NT_XENT, source=source, epsilon=1e-3 * STD * 255)
        )
        terms = wrapper(batch, encode)
        assert terms["after"] >= terms["before"]


def test_epsilon_0_is_the_view_itself_through_the_other_norms() -> None:
    wrapper, batch, encodings, network = resnet(
        dict(objective=dict(NT_XENT), epsilon=0.0, alpha=0.5)
    )
    terms = wrapper(batch, encodings())
    z = [wrapper.objective.projector(v.vector) for v in encodings().online("global")]
    with network.twins[0].within(network):
        twin = wrapper.objective.projector(network(batch.views["global"].images[:, 0]).vector)
    assert torch.equal(terms["loss"], nt_xent(torch.stack(z, 1), 0.5))
    assert torch.allclose(
        terms["adversarial_loss"], 0.5 * nt_xent(torch.stack([z[0], twin], 1), 0.5)
    )
    assert terms["delta"] == 0 and terms["attacked"] == 0


def gradients(*modules: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for module in modules for p in module.parameters() if p.requires_grad]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_alpha_0_and_the_first_term_are_the_baseline_bit_for_bit(alpha: float) -> None:
    wrapper, batch, encodings, network = resnet(dict(objective=dict(NT_XENT), alpha=alpha))
    wrapper(batch, encodings())["loss"].backward()
    other, same, same_encodings, same_network = resnet(dict(objective=dict(NT_XENT), alpha=alpha))
    assert torch.equal(batch.views["global"].images, same.views["global"].images)
    other.objective(same, same_encodings())["loss"].backward()
    actual, expected = gradients(network, wrapper), gradients(same_network, other)
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))
    assert wrapper.needs.second_norms == (alpha > 0)


@pytest.mark.parametrize("attack_bn", ["train_adv", "eval_adv"])
@pytest.mark.parametrize("source", ["anchor", "other", "both"])
def test_the_attack_leaves_no_gradient_and_no_mode_behind(source: str, attack_bn: str) -> None:
    wrapper, batch, encodings, network = resnet(
        dict(objective=dict(NT_XENT), source=source, attack_bn=attack_bn)
    )
    terms = wrapper(batch, encodings())
    modules = (wrapper, network, network.twins[0])
    assert all(p.grad is None for module in modules for p in module.parameters())
    assert all(part.training for module in modules for part in module.modules())
    sum(value for name, value in terms.items() if "loss" in name).backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all()
        for module in modules
        for p in module.parameters()
    )


def test_a_pass_without_graph_hides_no_gradient_in_mixed_precision() -> None:
    """Autocast keeps cast weights for the whole step: those of the reference must not be without
    graph.
    """
    reached = []
    for mixed in (False, True):
        wrapper, batch, encodings, network = resnet(dict(objective=dict(NT_XENT), source="other"))
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            terms = wrapper(batch, encodings())
        (terms["loss"] + terms["adversarial_loss"]).backward()
        reached.append([bool(p.grad.any()) for p in network.parameters()])
    assert reached[0] == reached[1] and any(reached[0])


@pytest.mark.parametrize(
    "options, clean, second",
    [
        (dict(source="anchor"), 2, 2),  # start of the attack, final pass
        (dict(source="other"), 2, 3),  # and the view it is compared with
        (dict(source="both"), 2, 4),
        (dict(source="anchor", random_start=True), 2, 3),
        (dict(source="anchor", attack="pgd", steps=4, step_size=1.0), 2, 5),
        (dict(source="anchor", attack_bn="eval_adv"), 2, 1),
        (dict(source="other", norm="shared"), 4, None),
    ],
)
def test_passes_through_each_set_of_norms(options: dict, clean: int, second: int | None) -> None:
    wrapper, batch, encodings, network = resnet(dict(objective=dict(NT_XENT), **options))
    before = [buffer.clone() for buffer in network.buffers()]
    wrapper(batch, encodings())
    counts = {
        m.num_batches_tracked.item() for m in network.modules() if isinstance(m, nn.BatchNorm2d)
    }
    assert counts == {clean}
    if second is None:
        assert network.twins[0] is None
        return
    assert {norm.num_batches_tracked.item() for norm in network.twins[0].norms} == {second}
    # The clean statistics are those of clean passes alone.
    actual = [buffer.clone() for buffer in network.buffers()]
    for buffer, old in zip(network.buffers(), before, strict=True):
        buffer.copy_(old)
    encodings().online("global")
    assert all(torch.equal(a, b) for a, b in zip(actual, network.buffers(), strict=True))


def test_before_and_after_take_the_same_route() -> None:
    """With the pixels unchanged both are one number, whatever the route."""
    for options in (
        dict(source="anchor"),
        dict(source="other"),
        dict(source="both", attack_bn="eval_adv"),
    ):
        wrapper, batch, encodings, _ = resnet(dict(objective=dict(NT_XENT), epsilon=0.0, **options))
        terms = wrapper(batch, encodings())
        assert terms["before"].item() == pytest.approx(terms["after"].item(), abs=1e-6)
