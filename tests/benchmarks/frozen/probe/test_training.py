"""Training of probes: labels, schedule, what is kept, and how near the optimum it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.core.kept import Kept, budget_of
from benchmarks.data.loading import resize_mask
from benchmarks.frozen.probe.images import ProbeImages
from benchmarks.frozen.probe.losses import CrossEntropy
from benchmarks.frozen.probe.readout import Folded, OwnGrid, Unfolded
from benchmarks.frozen.probe.settings import Settings
from benchmarks.frozen.probe.training import (
    LinearProbe,
    backward,
    fit,
    labels_at,
    predict,
    schedule,
)
from heads.upsamplers.jbu import JBUStack

SIZE = (40, 48)
SETTINGS = Settings(size=SIZE, epochs=1, least_steps=4, images_per_step=4)


@pytest.fixture
def stack() -> JBUStack:
    torch.manual_seed(0)
    return JBUStack(3, 4).eval().requires_grad_(False)


def images_of(network: Any, data: Any, **changes: Any) -> ProbeImages:
    return ProbeImages(network, data.train, SIZE, **(dict(kept=Kept(1 << 30)) | changes))


def probe_of(images: ProbeImages, seed: int = 0) -> LinearProbe:
    return LinearProbe(*images.statistics(4), 3, seed=seed)


def test_labels_are_those_under_the_centres() -> None:
    masks = np.random.default_rng(0).integers(-1, 5, (2, 12, 18)).astype(np.int16)
    for size in ((12, 18), (3, 6), (5, 7)):
        expected = np.stack([resize_mask(mask, size) for mask in masks])
        assert torch.equal(labels_at(torch.from_numpy(masks), size), torch.from_numpy(expected))


def test_schedule_warms_up_and_ends_near_zero() -> None:
    factors = [schedule(step, 100, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and max(factors) > 0.95 and factors[-1] < 1e-3
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert schedule(0, 10, 0) == 1


def test_steps_are_epochs_unless_the_set_is_small() -> None:
    assert Settings(epochs=10, images_per_step=8, least_steps=300).steps(367) == 460
    assert Settings(epochs=10, images_per_step=8, least_steps=300).steps(6) == 300


def test_statistics_are_those_of_all_cells(toy_data: Any, colour_grid: Any) -> None:
    network, data = colour_grid(), toy_data()
    seen: list[torch.Tensor] = []
    mean, std = images_of(network, data).statistics(4, with_masks=seen.append)
    maps = torch.cat([network.maps(batch.images) for batch in data.train.batches(SIZE, 6)])
    torch.testing.assert_close(mean, maps.mean((0, 2, 3)), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(std, maps.std((0, 2, 3), correction=0), atol=1e-6, rtol=1e-5)
    assert [len(masks) for masks in seen] == [4, 2]


@pytest.mark.parametrize("at", ["high", "low"])
def test_one_step_has_the_gradient_of_the_plain_computation(
    toy_data: Any, colour_grid: Any, stack: JBUStack, at: str
) -> None:
    network, data, ids = colour_grid(), toy_data(), [4, 0, 3]
    images = images_of(network, data)
    probe = probe_of(images)
    with torch.no_grad():
        probe.weight.normal_(generator=torch.Generator().manual_seed(1))
    size = SIZE if at == "high" else (5, 6)
    readout = Folded(stack, size) if at == "high" else OwnGrid()
    value = backward(probe, images, ids=ids, readout=readout, loss=CrossEntropy(), size=size)
    folded = probe.weight.grad.clone(), probe.bias.grad.clone()
    probe.zero_grad()
    batch = data.train.take(ids, SIZE)
    features = network.maps(batch.images)
    if at == "high":
        features = stack.upsample(network.normalise(batch.images), features, size)
    standard = (features - probe.mean[:, None, None]) / probe.std[:, None, None]
    outputs = F.conv2d(standard, probe.weight[..., None, None], probe.bias)
    loss = F.cross_entropy(outputs, labels_at(batch.masks, size).long(), ignore_index=-1)
    loss.backward()
    assert value == pytest.approx(loss.item(), rel=1e-5)
    for one, other in zip(folded, (probe.weight.grad, probe.bias.grad), strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()


def trained_outputs(
    network: Any,
    data: Any,
    readout: OwnGrid,
    *,
    kept: Kept,
    dtype: torch.dtype = torch.float32,
    piece: int | None = 1,
) -> torch.Tensor:
    images = images_of(network, data, kept=kept, dtype=dtype)
    images.piece = piece
    probe = probe_of(images)
    fit(probe, images, readout=readout, loss=CrossEntropy(), size=SIZE, settings=SETTINGS)
    val = ProbeImages(network, data.val, SIZE, kept=Kept(0), dtype=dtype)
    return torch.cat([outputs for outputs, _ in predict(probe, val, readout=readout, batch_size=3)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_keeping_changes_nothing(
    toy_data: Any, colour_grid: Any, stack: JBUStack, dtype: torch.dtype
) -> None:
    """Also with a budget that ends half-way, where single images are worked on, and where whole
    batches are.
    """
    network, data, readout = colour_grid(), toy_data(), Folded(stack, SIZE)
    runs = [
        trained_outputs(network, data, readout, kept=Kept(budget), dtype=dtype)
        for budget in (1 << 30, 300_000, 0)
    ]
    assert torch.equal(runs[0], runs[1]) and torch.equal(runs[0], runs[2])
    batched = trained_outputs(network, data, readout, kept=Kept(1 << 30), dtype=dtype, piece=None)
    torch.testing.assert_close(batched, runs[0], atol=1e-5, rtol=1e-4)


def test_upsampled_features_pass_a_few_images_at_a_time(
    toy_data: Any, colour_grid: Any, stack: JBUStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU a batch of 32 maps of 2,048 channels at 448² would take 53 GB."""
    images = images_of(colour_grid(), toy_data())
    images.piece = None  # as on a GPU
    monkeypatch.setattr(
        "benchmarks.frozen.probe.images.UPSAMPLED_BYTES", 2 * 4 * 3 * SIZE[0] * SIZE[1]
    )
    for readout, expected in ((Unfolded(stack, SIZE), [2, 2, 1]), (Folded(stack, SIZE), [5])):
        assert [len(piece.features) for piece in images.pieces(range(5), readout)] == expected


def test_weights_are_computed_once_per_image(
    toy_data: Any, colour_grid: Any, stack: JBUStack
) -> None:
    calls = []

    class Counting(Folded):
        def prepare(self, image: torch.Tensor, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
            calls.append(len(image))
            return super().prepare(image, features)

    trained_outputs(colour_grid(), toy_data(), Counting(stack, SIZE), kept=Kept(1 << 30))
    assert sum(calls) == 6 + 4
    kept = Kept(1000)
    kept.put(("x", 0), (torch.zeros(250),))
    kept.put(("x", 1), (torch.zeros(1),))
    assert kept.left == 0 and kept.get(("x", 1)) is None
    assert budget_of(5, "cpu") == 5 and 0 < budget_of(1 << 62, "cpu") < 1 << 62


def test_folded_and_unfolded_training_agree(
    toy_data: Any, colour_grid: Any, stack: JBUStack
) -> None:
    runs = [
        trained_outputs(colour_grid(), toy_data(), way(stack, SIZE), kept=Kept(1 << 30))
        for way in (Folded, Unfolded)
    ]
    torch.testing.assert_close(runs[0], runs[1], atol=2e-5, rtol=1e-4)


def test_training_ends_near_the_optimum(toy_data: Any, colour_grid: Any) -> None:
    """Against L-BFGS on the same cells in float64."""
    network, data = colour_grid(), toy_data()
    images = images_of(network, data)
    mean, std = images.statistics(6)
    batch = data.train.take(range(6), SIZE)
    rows = (
        ((network.maps(batch.images) - mean[:, None, None]) / std[:, None, None])
        .permute(0, 2, 3, 1)
        .reshape(-1, 3)
    )
    labels = labels_at(batch.masks, (5, 6)).long().flatten()

    def loss_of(weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return (
            F.cross_entropy(rows.double() @ weight.T + bias, labels, ignore_index=-1)
            + 5e-3 * weight.square().sum()
        )

    best = [
        torch.zeros(3, 3, dtype=torch.float64, requires_grad=True),
        torch.zeros(3).double().requires_grad_(),
    ]
    optimiser = torch.optim.LBFGS(
        best, max_iter=200, line_search_fn="strong_wolfe", tolerance_change=0
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss_of(*best)
        value.backward()
        return value

    optimiser.step(closure)

    class Regularised(
        CrossEntropy
    ):  # the toy classes can be separated: without it there is no optimum
        def __call__(self, *arguments: torch.Tensor) -> torch.Tensor:
            return super().__call__(*arguments) + 5e-3 * probe.weight.square().sum() / 6

    probe = LinearProbe(mean, std, 3)
    settings = replace(SETTINGS, least_steps=300, images_per_step=6)
    fit(probe, images, readout=OwnGrid(), loss=Regularised(), size=(5, 6), settings=settings)
    reached = loss_of(probe.weight.detach().double(), probe.bias.detach().double())
    assert float(reached) == pytest.approx(closure().item(), abs=2e-3)


def test_seed_and_random_state(toy_data: Any, colour_grid: Any) -> None:
    network, data = colour_grid(), toy_data()
    state = torch.get_rng_state()
    weights = []
    for seed in (0, 0, 1):
        images = images_of(network, data)
        probe = probe_of(images, seed)
        fit(
            probe,
            images,
            readout=OwnGrid(),
            loss=CrossEntropy(),
            size=(5, 6),
            settings=replace(SETTINGS, seed=seed),
        )
        weights.append(probe.weight.detach())
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert torch.equal(state, torch.get_rng_state())


def test_errors(toy_data: Any, colour_grid: Any) -> None:
    class Broken(colour_grid):
        def maps(self, images: torch.Tensor) -> torch.Tensor:
            maps = super().maps(images)
            maps[1, 0, 2, 3] = torch.nan
            return maps

    with pytest.raises(ValueError, match=r"001\.png: a feature is not finite"):
        images_of(Broken(), toy_data()).statistics(4)
    with pytest.raises(ValueError, match="is not a multiple of the feature stride 7"):
        images_of(colour_grid(stride=7), toy_data())
    for change, message in (
        (dict(train_at="lwo"), "train_at='lwo' is not one of high, low; did you mean 'low'"),
        (dict(lr=0), "lr=0 must be greater than 0"),
        (dict(warmup=1), r"warmup=1 must be in \[0, 1\)"),
        (dict(weight_decay=-1), "must not be negative"),
        (dict(size=(0, 8)), "must be two positive numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(SETTINGS, **change)
