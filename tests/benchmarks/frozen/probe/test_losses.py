"""Losses of probes: closed forms, slow sums, and that a step may be cut up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.frozen.probe.losses import CrossEntropy, MetricDepth, RelativeDepth, align


@pytest.fixture
def depths() -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs (3, 1, 16, 20) and depths (3, 16, 20) with unknown ones; of the last image nothing is
    known.
    """
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(3, 1, 16, 20, generator=generator, dtype=torch.float64)
    labels = torch.rand(3, 16, 20, generator=generator, dtype=torch.float64) * 5 + 0.1
    labels[torch.rand(3, 16, 20, generator=generator) < 0.2] = 0
    labels[2] = 0
    return outputs, labels


@pytest.mark.parametrize("loss", [MetricDepth(), RelativeDepth()])
def test_a_step_may_be_cut_up(loss: object, depths: tuple[torch.Tensor, torch.Tensor]) -> None:
    outputs, labels = depths
    totals = loss.totals(labels)
    whole = loss(outputs, labels, totals)
    parts = sum(loss(outputs[i : i + 1], labels[i : i + 1], totals) for i in range(3))
    torch.testing.assert_close(whole, parts)
    assert torch.equal(totals, sum(loss.totals(labels[i : i + 1]) for i in range(3)))


def test_cross_entropy_is_the_mean_over_labelled_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, labels = (
        torch.randn(2, 4, 3, 5, generator=generator),
        torch.randint(-1, 4, (2, 3, 5), generator=generator),
    )
    loss = CrossEntropy()
    expected = F.cross_entropy(outputs, labels, ignore_index=-1)
    torch.testing.assert_close(loss(outputs, labels.short(), loss.totals(labels)), expected)
    nothing = torch.full_like(labels, -1)
    assert loss(outputs, nothing, loss.totals(nothing)) == 0


def test_metric_depth_is_the_mean_squared_error(depths: tuple[torch.Tensor, torch.Tensor]) -> None:
    outputs, labels = depths
    known = labels > 0
    expected = ((outputs[:, 0] - labels)[known] ** 2).mean()
    torch.testing.assert_close(
        MetricDepth()(outputs, labels, MetricDepth().totals(labels)), expected
    )


def relative_slowly(p: np.ndarray, d: np.ndarray) -> float:
    """The published loss, image by image and pixel by pixel."""
    squares, gradients, counts = 0.0, np.zeros(4), np.zeros(4)
    for prediction, truth in zip(p, d, strict=True):
        known = truth > 0
        residual = np.zeros_like(truth)
        if known.any():
            design = np.stack([prediction[known], np.ones(known.sum())], 1)
            a, b = np.linalg.lstsq(design, truth[known], rcond=None)[0]
            residual[known] = a * prediction[known] + b - truth[known]
        squares += (residual**2).sum()
        for k in range(4):
            r, v = residual[:: 2**k, :: 2**k], known[:: 2**k, :: 2**k]
            counts[k] += v.sum()
            for i in range(r.shape[0]):
                for j in range(r.shape[1]):
                    if j + 1 < r.shape[1] and v[i, j] and v[i, j + 1]:
                        gradients[k] += abs(r[i, j + 1] - r[i, j])
                    if i + 1 < r.shape[0] and v[i, j] and v[i + 1, j]:
                        gradients[k] += abs(r[i + 1, j] - r[i, j])
    return squares / (2 * counts[0]) + 0.5 * (gradients / counts).sum()


def test_relative_depth_equals_the_slow_sum_and_is_blind_to_scale_and_shift(
    depths: tuple[torch.Tensor, torch.Tensor],
) -> None:
    outputs, labels = depths
    loss = RelativeDepth()
    value = loss(outputs, labels, loss.totals(labels))
    assert float(value) == pytest.approx(
        relative_slowly(outputs[:, 0].numpy(), labels.numpy()), rel=1e-9
    )
    torch.testing.assert_close(loss(3 * outputs - 7, labels, loss.totals(labels)), value)
    outputs, labels = outputs[1:, :, :8, :6].clone().requires_grad_(), labels[1:, :8, :6]
    assert torch.autograd.gradcheck(lambda o: loss(o, labels, loss.totals(labels)), outputs)


def test_alignment_by_hand() -> None:
    predicted, true = torch.tensor([1.2, 2.6, 3, 8]).double(), torch.tensor([1.0, 2, 4, 8]).double()
    scale, shift = align(
        predicted[None, None], true[None, None], torch.ones(1, 1, 4, dtype=torch.bool)
    )
    assert (round(float(scale), 6), round(float(shift), 6)) == (1.017398, -0.014372)
    scale, shift = align(
        torch.full((1, 1, 4), 2.0), true[None, None].float(), torch.ones(1, 1, 4, dtype=torch.bool)
    )
    assert (float(scale), float(shift)) == (0, 3.75)  # a constant prediction has no scale
    scale, shift = align(
        torch.ones(1, 1, 4), torch.zeros(1, 1, 4), torch.zeros(1, 1, 4, dtype=torch.bool)
    )
    assert (float(scale), float(shift)) == (0, 0)
