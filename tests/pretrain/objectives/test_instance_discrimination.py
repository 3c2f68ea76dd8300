"""Instance discrimination: the specification's vector, loops, closed forms, and one process against
two.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.objectives.instance_discrimination import (
    InstanceDiscrimination,
    instance_loss,
    log_one_minus_softmax,
)
from pretrain.structures import Batch, Views

FORMS = ("softmax", "uel")


def rows(count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return tuple(torch.randn(count, 4, generator=generator, dtype=torch.float64) for _ in range(2))


def test_vector_of_the_specification() -> None:
    weight = torch.tensor([[1, 0.5, -0.5], [0, 1, 0.5]], dtype=torch.float64)
    first = torch.tensor([(1, 0.2, -0.3), (-0.4, 0.9, 0.5), (0.3, -0.8, 1.1)], dtype=torch.float64)
    second = torch.tensor([(0.8, 0.1, -0.1), (-0.5, 0.7, 0.9), (0.5, -0.6, 1)], dtype=torch.float64)
    actual = [
        instance_loss(first @ weight.T, other @ weight.T, 0.5).item() for other in (second, first)
    ]
    assert actual == pytest.approx([0.151500, 0.134131], abs=5e-7)


def test_softmax_equals_loops() -> None:
    a, b = rows()
    terms = []
    for i in range(6):
        scores = [
            math.exp(torch.cosine_similarity(a[i], b[j], dim=0).item() / 0.3) for j in range(6)
        ]
        terms.append(-math.log(scores[i] / sum(scores)))
    assert instance_loss(a, b, 0.3).item() == pytest.approx(sum(terms) / 6, abs=1e-12)


def slow_uel(a: torch.Tensor, b: torch.Tensor, temperature: float) -> torch.Tensor:
    """Every row of both views against all others, which are constants; a loop over pairs,
    differentiable.
    """
    z = [x / x.norm() for x in (*a, *b)]
    total = 0.0
    for i, row in enumerate(z):
        partner = (i + len(a)) % len(z)
        scores = {j: (row @ z[j].detach() / temperature).exp() for j in range(len(z)) if j != i}
        p = {j: score / sum(scores.values()) for j, score in scores.items()}
        total = total - p[partner].log()
        for j in p:
            if j != partner:
                total = total - (1 - p[j]).log()
    return total / len(z)


@pytest.mark.parametrize("count", [2, 6])
def test_uel_equals_loops_in_value_and_gradient(count: int) -> None:
    actual, expected = ([x.requires_grad_() for x in rows(count)] for _ in range(2))
    loss, slow = instance_loss(*actual, 0.3, "uel"), slow_uel(*expected, 0.3)
    assert loss.item() == pytest.approx(slow.item(), abs=1e-12)
    loss.backward()
    slow.backward()
    for x, y in zip(actual, expected, strict=True):
        torch.testing.assert_close(x.grad, y.grad, rtol=1e-10, atol=1e-12)


def test_uel_does_not_depend_on_which_view_is_first() -> None:
    a, b = rows()
    assert instance_loss(a, b, 0.3, "uel").item() == pytest.approx(
        instance_loss(b, a, 0.3, "uel").item(), abs=1e-12
    )


@pytest.mark.parametrize(
    "form, value", [("softmax", math.log(8)), ("uel", math.log(15) - 14 * math.log(14 / 15))]
)
def test_equal_features(form: str, value: float) -> None:
    assert instance_loss(torch.ones(8, 3), torch.ones(8, 3), 0.1, form).item() == pytest.approx(
        value, abs=1e-5
    )


@pytest.mark.parametrize("form", FORMS)
def test_perfect_features_and_a_single_image_cost_nothing(form: str) -> None:
    eye = torch.eye(4, dtype=torch.float64)
    assert instance_loss(eye, 3 * eye, 0.01, form).item() == pytest.approx(0, abs=1e-12)
    assert instance_loss(eye[:1], eye[1:2], 0.1, form).item() == 0


def test_softmax_gradients_by_finite_differences() -> None:
    leaves = [x.requires_grad_() for x in rows(3)]
    assert torch.autograd.gradcheck(lambda a, b: instance_loss(a, b, 0.3), leaves, rtol=1e-6)


def test_one_minus_softmax_at_certainty() -> None:
    """The wrong row is certain, p = 1 in float32: log(1 − p) is the distance to the next entry."""
    logits = torch.tensor([[0.0, 200.0, -50.0], [1.0, 1.0, 1.0]], requires_grad=True)
    actual = log_one_minus_softmax(logits)
    assert actual[0].tolist() == pytest.approx([0, -200, 0])
    assert actual[1].tolist() == pytest.approx([math.log(2 / 3)] * 3)
    actual.sum().backward()
    assert logits.grad.isfinite().all()
    a = torch.tensor([[1.0, 0], [0, 1]], requires_grad=True)
    loss = instance_loss(
        a, a.detach().flip(0), 0.01, "uel"
    )  # each row is sure of the other image's other view
    loss.backward()
    assert loss.item() == pytest.approx(200 - math.log(2), abs=1e-3) and a.grad.isfinite().all()


def part_of(rank: int) -> dict[str, list[torch.Tensor]]:
    return {form: both_gradients(form, slice(3 * rank, 3 * rank + 3)) for form in FORMS}


def both_gradients(form: str, part: slice) -> list[torch.Tensor]:
    """Loss, and its gradient with respect to the rows of both views."""
    leaves = [x[part].clone().requires_grad_() for x in rows()]
    loss = instance_loss(*leaves, 0.3, form)
    loss.backward()
    return [loss.detach(), *(torch.zeros_like(x) if x.grad is None else x.grad for x in leaves)]


def test_two_processes_equal_one(in_two_processes: Callable[..., list]) -> None:
    parts = in_two_processes(part_of)
    for form in FORMS:
        loss, *gradients = both_gradients(form, slice(None))
        assert torch.allclose(sum(part[form][0] for part in parts) / 2, loss, atol=1e-12)
        for index, gradient in enumerate(gradients, 1):
            actual = torch.cat([part[form][index] for part in parts]) / 2
            assert torch.allclose(actual, gradient, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_objective_takes_the_views_in_order_and_knows_its_collapsed_value(form: str) -> None:
    torch.manual_seed(0)
    objective = InstanceDiscrimination(FeatureInfo({8: 6}, 6), form=form, dim=5)
    batch = Batch({"global": Views(torch.zeros(4, 2, 3, 8, 8), None)}, None, torch.arange(4))
    vectors = torch.randn(2, 4, 6)

    def loss(a: torch.Tensor, b: torch.Tensor) -> float:
        views = [Features({}, a), Features({}, b)]
        return objective(batch, type("E", (), {"online": lambda self, g: views})())["loss"].item()

    a, b = (objective.projector(v).detach() for v in vectors)
    assert loss(*vectors) == pytest.approx(instance_loss(a, b, 0.1, form).item())
    assert loss(*vectors.flip(0)) == pytest.approx(instance_loss(b, a, 0.1, form).item())
    collapsed = objective.bounds(batch, {}).collapsed
    assert loss(torch.ones(4, 6), torch.ones(4, 6)) == pytest.approx(collapsed, abs=1e-5)


def test_illegal_options_are_named() -> None:
    with pytest.raises(ValueError, match="form='plain' is not one of softmax, uel"):
        InstanceDiscrimination(FeatureInfo({8: 6}, 6), form="plain")
    with pytest.raises(ValueError, match="temperature=0"):
        InstanceDiscrimination(FeatureInfo({8: 6}, 6), temperature=0)
