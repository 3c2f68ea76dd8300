"""LARS against a slow re-implementation in double precision, closed forms, timm's where they agree,
and its states.
"""

from __future__ import annotations

import pytest
import timm.optim
import torch
from torch import nn

from pretrain.engine.lars import Lars
from pretrain.engine.optim import build_optimizer

MOMENTUM, TRUST, EPSILON = 0.9, 1e-3, 1e-8


class Slow:
    """One tensor under LARS, in double precision: the decay joins the gradient, then the norms are
    taken.
    """

    def __init__(self, value: torch.Tensor, weight_decay: float, *, adapt: bool) -> None:
        self.value, self.weight_decay, self.adapt = (
            value.detach().double().clone(),
            weight_decay,
            adapt,
        )
        self.velocity = torch.zeros_like(self.value)

    def step(self, gradient: torch.Tensor, lr: float) -> None:
        update = gradient.double() + self.weight_decay * self.value
        size, length = self.value.square().sum().sqrt(), update.square().sum().sqrt()
        if self.adapt and size > 0 and length > 0:
            update = update * TRUST * size / (length + EPSILON)
        self.velocity = MOMENTUM * self.velocity + update
        self.value = self.value - lr * self.velocity


def network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1), nn.Flatten(), nn.Linear(20, 6)
    ).to(dtype)


def gradients(model: nn.Module, step: int, scale: float) -> None:
    """Gives every parameter a random gradient of ``scale`` times its norm, never parallel to it."""
    generator = torch.Generator().manual_seed(step)
    for p in model.parameters():
        noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        p.grad = (scale * p.detach().double().norm() * noise / noise.norm()).to(p.dtype)


def optimizer_of(model: nn.Module, weight_decay: float, **options: object) -> torch.optim.Optimizer:
    config = dict(
        type="Lars",
        momentum=MOMENTUM,
        trust_coeff=TRUST,
        eps=EPSILON,
        weight_decay=weight_decay,
        **options,
    )
    return build_optimizer(model, config, lr=1.0)


@pytest.mark.parametrize("foreach", [None, True, False])
@pytest.mark.parametrize("weight_decay", [1e-5, 1e-3, 0.0])
@pytest.mark.parametrize("scale", [1e-2, 1e-4])
def test_steps_equal_the_slow_ones(weight_decay: float, scale: float, foreach: bool | None) -> None:
    model = network()
    optimizer = optimizer_of(model, weight_decay, foreach=foreach)
    slow = [
        Slow(p, weight_decay if p.ndim > 1 else 0.0, adapt=p.ndim > 1) for p in model.parameters()
    ]
    for step in range(20):
        gradients(model, step, scale)
        lr = 4.0 * (step + 1) / 20
        for group in optimizer.param_groups:
            group["lr"] = lr
        for tensor, p in zip(slow, model.parameters(), strict=True):
            tensor.step(p.grad, lr)
        optimizer.step()
    for tensor, p in zip(slow, model.parameters(), strict=True):
        torch.testing.assert_close(p.detach(), tensor.value, rtol=1e-13, atol=1e-14)


def test_float32_stays_close_to_double_precision() -> None:
    model = network(torch.float32)
    optimizer = optimizer_of(model, 1e-3)
    slow = [Slow(p, 1e-3 if p.ndim > 1 else 0.0, adapt=p.ndim > 1) for p in model.parameters()]
    for step in range(5):
        gradients(model, step, 1e-3)
        for tensor, p in zip(slow, model.parameters(), strict=True):
            tensor.step(p.grad, 1.0)
        optimizer.step()
    for tensor, p in zip(slow, model.parameters(), strict=True):
        torch.testing.assert_close(p.detach().double(), tensor.value, rtol=1e-6, atol=1e-7)


def test_closed_form_of_a_gradient_across_the_weights() -> None:
    """w = [[3, 4]], g = [[.8, −.6]], decay .1: g becomes [[1.1, −.2]], the ratio .001·5/√1.25, the
    lr 4.
    """
    p = nn.Parameter(torch.tensor([[3.0, 4.0]], dtype=torch.float64))
    p.grad = torch.tensor([[0.8, -0.6]], dtype=torch.float64)
    Lars([p], lr=4.0, momentum=0.9, weight_decay=0.1).step()
    ratio = 0.001 * 5 / 1.25**0.5
    expected = torch.tensor([[3 - 4 * ratio * 1.1, 4 + 4 * ratio * 0.2]], dtype=torch.float64)
    torch.testing.assert_close(p.detach(), expected, rtol=1e-8, atol=0)
    assert p.tolist()[0] == pytest.approx([2.980323, 4.003578], abs=5e-7)


@pytest.mark.parametrize("weight_decay", [1e-5, 1e-3])
def test_without_a_gradient_a_step_takes_a_thousandth_off(weight_decay: float) -> None:
    """The decay alone is the update, and the trust ratio takes its size out again."""
    model = network()
    optimizer = optimizer_of(model, weight_decay)
    before = [p.detach().clone() for p in model.parameters()]
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for p, old in zip(model.parameters(), before, strict=True):
        expected = old * (1 - TRUST) if p.ndim > 1 else old
        torch.testing.assert_close(p.detach(), expected, rtol=1e-5, atol=0)


def test_without_decay_it_is_timms() -> None:
    ours, theirs = network(), network()
    optimizers = [optimizer_of(ours, 0.0)]
    groups = [
        dict(params=[p for p in theirs.parameters() if p.ndim > 1], always_adapt=True),
        dict(params=[p for p in theirs.parameters() if p.ndim == 1]),
    ]
    optimizers.append(
        timm.optim.Lars(groups, lr=1.0, momentum=MOMENTUM, trust_coeff=TRUST, eps=EPSILON)
    )
    for step in range(5):
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            gradients(model, step, 1e-2)
            optimizer.step()
    assert all(
        torch.equal(p, q) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True)
    )


@pytest.mark.parametrize("foreach", [True, False])
def test_gradients_stay_as_they_are_and_parameters_without_one_too(foreach: bool) -> None:
    model = network()
    optimizer = optimizer_of(model, 1e-3, foreach=foreach)
    gradients(model, 0, 1e-2)
    model[2].weight.grad = None
    tensors, old = [p.grad for p in model.parameters()], model[2].weight.detach().clone()
    values = [None if g is None else g.clone() for g in tensors]
    optimizer.step()
    for p, tensor, value in zip(model.parameters(), tensors, values, strict=True):
        assert p.grad is tensor
        assert tensor is None or torch.equal(tensor, value)
    assert torch.equal(model[2].weight, old)


def test_a_state_of_timms_optimiser_goes_on() -> None:
    """Checkpoints of before hold its keys; the velocity means the same, so the next step is that of
    the slow one.
    """
    model = network()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [
        dict(params=matrices, weight_decay=1e-3, adapt=True, always_adapt=True),
        dict(params=vectors, weight_decay=0.0, adapt=False),
    ]
    before = timm.optim.Lars(groups, lr=1.0, momentum=MOMENTUM, trust_coeff=TRUST, eps=EPSILON)
    gradients(model, 0, 1e-3)
    before.step()
    after = optimizer_of(model, 1e-3)
    after.load_state_dict(before.state_dict())
    slow = Slow(matrices[0], 1e-3, adapt=True)
    slow.velocity = before.state[matrices[0]]["momentum_buffer"].clone()
    gradients(model, 1, 1e-3)
    slow.step(matrices[0].grad, 1.0)
    after.step()
    torch.testing.assert_close(matrices[0].detach(), slow.value, rtol=1e-13, atol=1e-14)


def test_the_loss_of_a_closure_comes_back() -> None:
    p = nn.Parameter(torch.ones(2, 2))

    def closure() -> torch.Tensor:
        p.grad = None
        loss = p.square().sum()
        loss.backward()
        return loss

    assert Lars([p], lr=0.1).step(closure).item() == 4.0
    assert not torch.equal(p, torch.ones(2, 2))
