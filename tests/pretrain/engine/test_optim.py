"""LARS against the specification's vector, parameter groups, precision, accumulation, clipping."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.engine.optim import (
    PrecisionOptimWrapper,
    build_optimizer,
    parameter_groups,
    total_norm,
)


class Toy(nn.Module):
    """One matrix [[3, 4]] and one vector [1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor([[3.0, 4.0]], dtype=torch.float64))
        self.vector = nn.Parameter(torch.ones(2, dtype=torch.float64))
        self.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)


@pytest.mark.parametrize("weight_decay", [1e-5, 0.0])
def test_lars_step_has_the_printed_value(weight_decay: float) -> None:
    """p = [[3, 4]], g = [[.6, .8]], lr 4: trust ratio .001·5/(1 + 1e-5·5), so p → [[2.988, 3.984]]
    (§9.11).
    """
    toy = Toy()
    optimizer = build_optimizer(
        toy, dict(type="Lars", momentum=0.9, weight_decay=weight_decay), lr=4.0
    )
    toy.matrix.grad = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    toy.vector.grad = torch.tensor([0.6, 0.8], dtype=torch.float64)
    optimizer.step()
    torch.testing.assert_close(
        toy.matrix.detach(), torch.tensor([[2.988, 3.984]], dtype=torch.float64)
    )
    torch.testing.assert_close(
        toy.vector.detach(), torch.tensor([1 - 2.4, 1 - 3.2], dtype=torch.float64)
    )


def test_vectors_have_no_weight_decay_and_frozen_tensors_no_group() -> None:
    toy = Toy()
    groups = parameter_groups(toy, 0.1)
    assert [[id(p) for p in g["params"]] for g in groups] == [[id(toy.matrix)], [id(toy.vector)]]
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]


def test_position_embeddings_and_tokens_do_not_decay() -> None:
    backbone = TimmBackbone("test_vit")
    decaying, others = parameter_groups(nn.ModuleList([backbone]), 0.1)
    exempt = {id(p) for p in others["params"]}
    kept = {
        name for name, p in backbone.model.named_parameters() if p.ndim >= 2 and id(p) in exempt
    }
    assert kept == {"pos_embed", "cls_token"}
    assert any(p is backbone.model.patch_embed.proj.weight for p in decaying["params"])
    optimizer = build_optimizer(backbone, dict(type="Lars", weight_decay=0.1), lr=1.0)
    assert [group["always_adapt"] for group in optimizer.param_groups] == [True, False]


def test_every_trained_parameter_is_in_exactly_one_group() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1, bias=False))
    grouped = [id(p) for group in parameter_groups(model, 0.1) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


def _regression(wrapper_options: dict, steps: int = 3) -> tuple[nn.Linear, PrecisionOptimWrapper]:
    """Trains a linear layer on 8 fixed rows, cut into as many micro-batches as are accumulated."""
    torch.manual_seed(0)
    model, data, goal = nn.Linear(4, 2), torch.randn(8, 4), torch.randn(8, 2)
    wrapper = PrecisionOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), **wrapper_options)
    wrapper.initialize_count_status(model, 0, steps)
    parts = wrapper_options.get("accumulate", 1)
    for _ in range(steps):
        for rows, goals in zip(data.chunk(parts), goal.chunk(parts), strict=True):
            with wrapper.optim_context(model):
                loss = nn.functional.mse_loss(model(rows).float(), goals)
            wrapper.update_params(loss)
    return model, wrapper


def test_accumulated_micro_batches_equal_one_batch() -> None:
    whole, _ = _regression({})
    parts, _ = _regression(dict(accumulate=4))
    torch.testing.assert_close(parts.weight, whole.weight)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_trains_nearly_the_same(precision: str) -> None:
    exact, _ = _regression({})
    rough, wrapper = _regression(dict(precision=precision))
    torch.testing.assert_close(rough.weight, exact.weight, atol=0.02, rtol=0.05)
    assert not torch.equal(rough.weight, exact.weight)
    assert (wrapper.scaler is not None) == (precision == "fp16")


def test_scaler_state_is_saved_and_restored() -> None:
    _, wrapper = _regression(dict(precision="fp16"))
    wrapper.scaler.update(new_scale=128.0)
    _, other = _regression(dict(precision="fp16"))
    other.load_state_dict(wrapper.state_dict())
    assert other.scaler.get_scale() == 128.0


def test_clipping_bounds_the_step_and_reports_the_norm_before() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    wrapper = PrecisionOptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0), clip_grad=0.01)
    wrapper.initialize_count_status(model, 0, 1)
    before = [p.detach().clone() for p in model.parameters()]
    loss = model(torch.randn(8, 4)).square().sum()
    expected = torch.cat(
        [
            g.flatten()
            for g in torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
        ]
    )
    wrapper.update_params(loss)
    moved = torch.cat([(p - b).flatten() for p, b in zip(model.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)
    assert wrapper.grad_norm.item() == pytest.approx(expected.norm().item(), rel=1e-6)


def test_total_norm_leaves_out_parameters_without_gradient() -> None:
    used, unused = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3))
    used.grad = torch.tensor([3.0, 4.0])
    assert total_norm([used, unused]).item() == pytest.approx(5.0)
