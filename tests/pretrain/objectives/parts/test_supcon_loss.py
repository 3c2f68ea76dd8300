"""The supervised contrastive loss: printed vectors, a slow re-implementation, closed forms."""

from __future__ import annotations

import itertools

import pytest
import torch

from pretrain.objectives.parts.supcon_loss import (
    ContrastOptions,
    anchor_losses,
    anchor_terms,
    supcon_loss,
)
from pretrain.objectives.simclr import nt_xent

# Image k: view 0, view 1, and the third view of the V = 3 vectors.
VECTORS = torch.tensor(
    [
        [(1, 0, 0), (4, 3, 0), (2, 0, 1)],
        [(0, 1, 0), (0, 4, 3), (0, 1, 2)],
        [(3, 4, 0), (2, 1, 2), (1, 2, 2)],
        [(0, 0, 1), (2, 2, 1), (1, 0, 3)],
    ],
    dtype=torch.float64,
)
PAIRS = torch.tensor([0, 1, 0, 1])
VARIANTS = list(
    itertools.product(("out", "in"), ("all", "one", "negatives"), ("all", "one"), (None, 0, 2, 4))
)


def value(z: torch.Tensor, labels: torch.Tensor | None, **options: object) -> float:
    return supcon_loss(z, labels, ContrastOptions(**options)).loss.item()


def per_anchor(z: torch.Tensor, labels: torch.Tensor | None, **options: object) -> torch.Tensor:
    """Losses (B, V) of the single anchors."""
    z = torch.nn.functional.normalize(z, dim=2)
    return anchor_terms(z, z, torch.arange(len(z)), labels, labels, ContrastOptions(**options))[0]


def slow_loss(
    z: torch.Tensor,
    labels: torch.Tensor | None,
    temperature: float,
    form: str = "out",
    denominator: str = "all",
    anchors: str = "all",
    max_positives: int | None = None,
) -> tuple[torch.Tensor, int, float]:
    """The definition in loops: (loss, anchors that count, mean |P(i)|)."""
    images, views = z.shape[:2]
    unit = z / z.norm(dim=2, keepdim=True)
    losses, sizes = [], []
    for a, u in itertools.product(range(images), range(views if anchors == "all" else 1)):
        following = [(a + step) % images for step in range(1, images)]
        same = [b for b in following if labels is not None and share_a_class(labels[a], labels[b])]
        kept = [a] + (same if max_positives is None else same[: max_positives // views])
        other = [b for b in following if b not in same]
        s = {
            (b, v): unit[a, u] @ unit[b, v] / temperature
            for b in range(images)
            for v in range(views)
        }
        positive = [s[b, v] for b in kept for v in range(views) if (b, v) != (a, u)]
        negative = [s[b, v] for b in other for v in range(views)]
        sizes.append(len(positive))
        if not positive or (denominator == "negatives" and not negative):
            continue
        wholes = {
            "all": [positive + negative] * len(positive),
            "one": [[p, *negative] for p in positive],
            "negatives": [negative] * len(positive),
        }[denominator]
        ratios = [
            p.exp() / sum(x.exp() for x in whole) for p, whole in zip(positive, wholes, strict=True)
        ]
        if form == "out":
            losses.append(-sum(ratio.log() for ratio in ratios) / len(ratios))
        else:
            losses.append(-(sum(ratios) / len(ratios)).log())
    return torch.stack(losses).mean(), len(losses), sum(sizes) / len(sizes)


def share_a_class(first: torch.Tensor, second: torch.Tensor) -> bool:
    if first.ndim == 0:
        return bool(first == second and first >= 0)
    return bool((first & second).any())


@pytest.mark.parametrize(
    "labels, temperature, outside, inside",
    [
        ([0, 1, 0, 1], 0.07, 3.705559, 2.178344),
        ([0, 1, 0, 1], 0.1, 2.917342, 2.005570),
        ([0, 1, 0, 1], 0.5, 1.901645, 1.842825),
        ([0, 1, 0, 1], 1.0, 1.893254, 1.877650),
        ([0, 0, 1, 2], 0.1, 4.484009, 3.225352),
        ([0, 0, 1, 2], 0.5, 2.214978, 2.123286),
        (None, 0.1, 2.717342, 2.717342),
        (None, 0.5, 1.861645, 1.861645),
        ([-1, -1, -1, -1], 0.1, 2.717342, 2.717342),
    ],
)
def test_vectors(
    labels: list[int] | None, temperature: float, outside: float, inside: float
) -> None:
    labels = None if labels is None else torch.tensor(labels)
    for form, expected in (("out", outside), ("in", inside)):
        assert value(VECTORS[:, :2], labels, temperature=temperature, form=form) == pytest.approx(
            expected, abs=5e-7
        )


def test_vectors_per_anchor() -> None:
    expected = {
        "out": [1.620057, 3.990326, 2.914558, 3.996505, 2.034203, 1.656839, 2.499811, 4.626441],
        "in": [1.271848, 1.743599, 1.757929, 2.136737, 1.577299, 1.366544, 2.447504, 3.743098],
    }
    for form, values in expected.items():
        actual = per_anchor(
            VECTORS[:, :2], PAIRS, form=form
        ).T  # listed: all first views, then all second ones
        assert actual.flatten().tolist() == pytest.approx(values, abs=5e-7)


@pytest.mark.parametrize(
    "expected, options",
    [
        (3.130361, dict(anchors="one")),
        (1.727528, dict(anchors="one", form="in")),
        (1.505415, dict(temperature=0.5, denominator="one")),
        (1.466392, dict(temperature=0.5, denominator="one", form="in")),
        (1.224275, dict(temperature=0.5, denominator="negatives")),
        (1.165455, dict(temperature=0.5, denominator="negatives", form="in")),
    ],
)
def test_vectors_of_the_variants(expected: float, options: dict) -> None:
    assert value(VECTORS[:, :2], PAIRS, **options) == pytest.approx(expected, abs=5e-7)


def test_vectors_of_three_views() -> None:
    assert value(VECTORS, PAIRS) == pytest.approx(3.608569, abs=5e-7)
    assert value(VECTORS, PAIRS, form="in") == pytest.approx(2.289643, abs=5e-7)
    assert value(VECTORS, None) == pytest.approx(2.915728, abs=5e-7)
    assert value(VECTORS, None, form="in") == pytest.approx(2.216679, abs=5e-7)


def test_vector_of_single_views_divides_by_the_anchors_that_have_positives() -> None:
    z, labels = VECTORS[:, :1], torch.tensor([0, 1, 1, 3])
    actual = supcon_loss(z, labels, ContrastOptions())
    assert actual.loss.item() == pytest.approx(0.063947, abs=5e-7)
    assert (actual.anchors.item(), actual.positives.item()) == (2, 0.5)
    assert per_anchor(z, labels)[1:3].flatten().tolist() == pytest.approx(
        [0.000671, 0.127223], abs=5e-7
    )


@pytest.mark.parametrize(
    "form, expected",
    [("out", (0.521014, 0.068018, -0.634436)), ("in", (-0.145377, 0.154785, 0.331603))],
)
def test_gradient_of_an_anchors_own_term(form: str, expected: tuple[float, ...]) -> None:
    """Equation 4 of the paper for anchor 0, with respect to its unit vector."""
    unit = torch.nn.functional.normalize(VECTORS[:, :2], dim=2).flatten(0, 1)
    anchor = unit[:1].clone().requires_grad_()
    positives = torch.tensor([[False, True, False, False, True, True, False, False]])
    negatives = torch.tensor([[False, False, True, True, False, False, True, True]])
    anchor_losses(
        anchor @ unit.T / 0.1, positives, negatives, form=form, denominator="all"
    ).sum().backward()
    assert anchor.grad[0].tolist() == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(
    "form, denominator, expected",
    [
        ("out", "all", (1.675585, 1.797377, 1.584710)),
        ("in", "all", (1.635668, 1.713587, 1.584710)),
        ("out", "one", (1.178263, 1.343550, 1.584710)),
        ("out", "negatives", (0.796528, 1.015499, 1.352946)),
    ],
)
def test_vectors_of_features_that_are_not_normalised(
    form: str, denominator: str, expected: tuple[float, ...]
) -> None:
    """Values that the authors' own tests hold, τ = 1, labels 0 0 1, mean over the two views of each
    image.
    """
    z = torch.tensor(
        [
            [(0.01, 0.02, 0.14), (0.38, 0.61, 0.50)],
            [(0.86, 0.97, 0.33), (0.26, 0.68, 0.45)],
            [(0.32, 0.64, 0.28), (0.45, 0.74, 0.73)],
        ],
        dtype=torch.float64,
    )
    options = ContrastOptions(1.0, form, denominator)
    labels = torch.tensor([0, 0, 1])
    actual = anchor_terms(z, z, torch.arange(3), labels, labels, options)[0].mean(1)
    assert actual.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("form, denominator, anchors, cap", VARIANTS)
@pytest.mark.parametrize("kind", ["single", "several", "single views"])
def test_every_variant_against_loops(
    form: str, denominator: str, anchors: str, cap: int | None, kind: str
) -> None:
    torch.manual_seed(0)
    z = torch.randn(7, 1 if kind == "single views" else 2, 4, dtype=torch.float64)
    labels = torch.tensor([0, 1, 0, -1, 0, 2, 1])
    if kind == "several":
        labels = torch.rand(7, 3) < 0.3
        labels[3] = False
    options = dict(form=form, denominator=denominator, anchors=anchors, max_positives=cap)
    if kind == "single views" and cap == 0:
        assert supcon_loss(z, labels, ContrastOptions(0.3, **options)).anchors == 0
        return
    loss, count, mean = slow_loss(z, labels, 0.3, **options)
    for chunk in (None, 1, 5):
        actual = supcon_loss(z, labels, ContrastOptions(0.3, **options, chunk=chunk))
        assert actual.loss.item() == pytest.approx(loss.item(), rel=1e-12)
        assert (actual.anchors.item(), actual.positives.item()) == (count, pytest.approx(mean))


def test_capped_positives_leave_the_denominator() -> None:
    """Three images of one class and cap of one image: as if the third image were not there, for
    each anchor.
    """
    z = VECTORS[:3, :2]
    labels = torch.tensor([0, 0, 0])
    actual = per_anchor(z, labels, max_positives=2)
    for image in range(3):
        pair = [image, (image + 1) % 3]
        alone = per_anchor(z[pair], labels[pair])
        assert torch.allclose(actual[image], alone[0])


@pytest.mark.parametrize("views", [1, 2, 3])
def test_inside_is_never_above_outside_and_equal_for_one_positive(views: int) -> None:
    torch.manual_seed(0)
    z, labels = torch.randn(12, views, 5, dtype=torch.float64), torch.arange(12) // 3
    assert (per_anchor(z, labels, form="in") <= per_anchor(z, labels)).all()
    single, pairs = (
        (z[:, :1], torch.arange(12) // 2) if views == 1 else (z[:, :2], torch.arange(12))
    )
    assert torch.allclose(per_anchor(single, pairs, form="in"), per_anchor(single, pairs))


@pytest.mark.parametrize("form, denominator, anchors, cap", VARIANTS)
@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_equal_features_give_the_logarithm_of_the_denominator(
    form: str, denominator: str, anchors: str, cap: int | None, temperature: float
) -> None:
    options = ContrastOptions(temperature, form, denominator, anchors, cap)
    actual = supcon_loss(torch.ones(8, 2, 4), torch.tensor([0, 0, 0, 1, 1, 2, 2, -1]), options)
    assert actual.loss.item() == pytest.approx(actual.collapsed.item(), abs=1e-5)
    if denominator == "all" and cap is None:
        assert actual.collapsed.item() == pytest.approx(2.708050, abs=1e-6)  # ln 15


def test_perfect_classes_still_cost_the_logarithm_of_the_positives() -> None:
    z = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]], dtype=torch.float64)[:, None].expand(
        4, 2, 2
    )
    assert value(z, torch.tensor([0, 0, 1, 1]), temperature=0.05) == pytest.approx(
        1.098612, abs=1e-6
    )  # ln 3


def test_order_rotation_scale_and_names_of_classes_change_nothing() -> None:
    torch.manual_seed(0)
    z, labels = (
        torch.randn(9, 3, 4, dtype=torch.float64),
        torch.tensor([0, 0, 1, 1, 1, 2, 3, -1, -1]),
    )
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    order = torch.randperm(9)
    renamed = torch.where(labels < 0, labels, 7 - 2 * labels)
    for form in ("out", "in"):
        expected = pytest.approx(value(z, labels, form=form), rel=1e-12)
        others = [
            (z[order], labels[order]),
            (z.flip(1), labels),
            (5 * z @ rotation, labels),
            (z, renamed),
        ]
        assert all(value(*other, form=form) == expected for other in others)
        one_hot = torch.nn.functional.one_hot(labels.clamp_min(0)).bool() & (labels >= 0)[:, None]
        assert value(z, one_hot, form=form) == expected


@pytest.mark.parametrize("views, temperature", [(2, 0.1), (2, 0.5), (3, 0.07)])
def test_without_labels_it_is_nt_xent(views: int, temperature: float) -> None:
    torch.manual_seed(0)
    z = torch.randn(6, views, 5, dtype=torch.float64, requires_grad=True)
    expected = nt_xent(z, temperature)
    (gradient,) = torch.autograd.grad(expected, z)
    for labels in (
        None,
        torch.full((6,), -1),
        torch.arange(6),
        torch.zeros(6, 4, dtype=torch.bool),
    ):
        loss = supcon_loss(z, labels, ContrastOptions(temperature)).loss
        assert torch.allclose(loss, expected, rtol=1e-12)
        assert torch.allclose(torch.autograd.grad(loss, z)[0], gradient, atol=1e-12)


@pytest.mark.parametrize("form, denominator, anchors, cap", VARIANTS)
def test_gradient_by_finite_differences(
    form: str, denominator: str, anchors: str, cap: int | None
) -> None:
    torch.manual_seed(1)
    z = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    options = ContrastOptions(0.3, form, denominator, anchors, cap)
    assert torch.autograd.gradcheck(
        lambda t: supcon_loss(t, torch.tensor([0, 1, 0, -1, 0]), options).loss, (z,), rtol=1e-6
    )


@pytest.mark.parametrize("form, denominator, anchors, cap", VARIANTS)
def test_pieces_give_the_same_loss_and_gradient(
    form: str, denominator: str, anchors: str, cap: int | None
) -> None:
    torch.manual_seed(2)
    z = torch.randn(11, 2, 6, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(-1, 4, (11,))
    actual = []
    for chunk in (None, 1, 4, 5, 100):
        loss = supcon_loss(
            z, labels, ContrastOptions(0.1, form, denominator, anchors, cap, chunk)
        ).loss
        actual.append((loss.detach(), torch.autograd.grad(loss, z)[0]))
    for loss, gradient in actual[1:]:
        assert torch.allclose(loss, actual[0][0], rtol=1e-12) and torch.allclose(
            gradient, actual[0][1], atol=1e-12
        )
