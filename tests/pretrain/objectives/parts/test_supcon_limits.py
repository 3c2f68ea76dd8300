"""The supervised contrastive loss where it is degenerate, illegal or in half precision."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from pretrain.objectives.parts.supcon_loss import ContrastOptions, supcon_loss


@pytest.mark.parametrize(
    "form, denominator", list(itertools.product(("out", "in"), ("all", "one", "negatives")))
)
@pytest.mark.parametrize(
    "shape, labels",
    [
        ((1, 1, 3), [0]),  # nothing but the anchor
        ((4, 1, 3), [0, 1, 2, -1]),  # no positive at all
        ((4, 1, 3), [0, 0, 1, -1]),  # some anchors without
        ((3, 2, 3), [0, 0, 0]),  # no negative at all
        ((1, 2, 3), [-1]),
    ],
)
def test_missing_positives_or_negatives_keep_everything_finite(
    form: str, denominator: str, shape: tuple[int, ...], labels: list[int]
) -> None:
    torch.manual_seed(0)
    z = torch.randn(shape, requires_grad=True)
    actual = supcon_loss(z, torch.tensor(labels), ContrastOptions(0.1, form, denominator))
    actual.loss.backward()
    assert all(torch.isfinite(x) for x in actual) and torch.isfinite(z.grad).all()
    if actual.anchors == 0:
        assert actual.loss == 0 and not z.grad.any()


@pytest.mark.parametrize(
    "form, denominator", list(itertools.product(("out", "in"), ("all", "one", "negatives")))
)
def test_small_temperature_does_not_underflow(form: str, denominator: str) -> None:
    """Directions 120° apart at τ = 0.01: with the self-similarity in the maximum float32 gives log
    0.
    """
    angles = torch.tensor([0, 2 * math.pi / 3, 4 * math.pi / 3, 0.1])
    z = torch.stack([angles.cos(), angles.sin()], 1)[:, None].requires_grad_()
    labels, options = torch.tensor([0, 0, 1, 1]), ContrastOptions(0.01, form, denominator)
    loss = supcon_loss(z, labels, options).loss
    loss.backward()
    assert loss.isfinite() and z.grad.isfinite().all()
    assert torch.allclose(
        loss.double(), supcon_loss(z.detach().double(), labels, options).loss, rtol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("temperature", [0.01, 0.07])
def test_half_precision_features_are_computed_in_float32(
    dtype: torch.dtype, temperature: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(4, 2, 3, generator=generator).to(dtype).requires_grad_()
    pairs, options = torch.tensor([0, 1, 0, 1]), ContrastOptions(temperature)
    with torch.autocast("cpu", torch.bfloat16):
        loss = supcon_loss(z, pairs, options).loss
    loss.backward()
    assert loss.dtype == torch.float32 and z.grad.isfinite().all()
    expected = supcon_loss(z.detach().float(), pairs, options).loss
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(temperature=0), "temperature=0: must be positive"),
        (dict(temperature=math.nan), "temperature=nan"),
        (dict(form="outer"), "form='outer' is not one of out, in"),
        (
            dict(denominator="positives"),
            "denominator='positives' is not one of all, one, negatives",
        ),
        (dict(anchors="first"), "anchors='first'"),
        (dict(max_positives=-1), "max_positives=-1"),
        (dict(chunk=0), "chunk=0"),
    ],
)
def test_illegal_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContrastOptions(**options)


@pytest.mark.parametrize(
    "z, labels, options, message",
    [
        (torch.ones(4, 3), None, {}, "must be .B, V, D."),
        (
            torch.ones(4, 2, 3),
            None,
            dict(max_positives=3),
            "max_positives=3: must be a multiple of the 2 views",
        ),
        (
            torch.ones(4, 2, 3),
            torch.ones(3, dtype=torch.int64),
            {},
            r"shape \(3,\) and type torch.int64 for 4 images",
        ),
        (torch.ones(4, 2, 3), torch.ones(4), {}, "type torch.float32"),
        (
            torch.ones(4, 2, 3),
            torch.ones(4, 2, dtype=torch.int64),
            {},
            r"must be \(B,\) integers or \(B, C\) bool",
        ),
    ],
)
def test_illegal_input(
    z: torch.Tensor, labels: torch.Tensor | None, options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        supcon_loss(z, labels, ContrastOptions(**options))
