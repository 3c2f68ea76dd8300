"""CAM quality: printed vectors, Grad-CAM by autograd, a slow re-implementation, folding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.data import ClassFolder
from benchmarks.frozen import cam, linear
from benchmarks.frozen.cam.maps import Classifier, Pooled, activation_maps, masked
from benchmarks.frozen.cam.measures import (
    METRICS,
    adcc,
    coherency,
    drop,
    gain,
    summarise,
)
from benchmarks.frozen.cam.run import classifier_of
from heads.upsamplers.base import LinearUpsampler, Upsampler
from heads.upsamplers.interpolation import Interpolation


class Mixing(Interpolation):
    """Bilinear, after channels were mixed and shifted: what the final fix-up of a joint bilateral
    stack does.
    """

    def channel_map(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(3)
        return torch.randn(3, 3, generator=generator), torch.randn(3, generator=generator)


class Unfoldable(Upsampler):
    """The same as an upsampler that must be called with all channels."""

    def __init__(self, inner: LinearUpsampler) -> None:
        super().__init__()
        self.inner = inner

    def upsample(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        return self.inner.upsample(image, features, output_size)


def test_printed_vectors() -> None:
    y, o = np.array([0.9, 0.5, 0.2, 0.7]), np.array([0.6, 0.8, 0.1, 0.7])
    table = dict(image=range(4), predicted=[0] * 4, Y=y, O=o)
    table |= dict.fromkeys(("coherency", "complexity", "area"), np.full(4, 0.5))
    metrics, _ = summarise(table, np.zeros(4, int), only_correct=True)
    assert 100 * drop(y, o).mean() == pytest.approx(20.8333, abs=5e-5)
    assert metrics["average_drop"].value == pytest.approx(20.8333, abs=5e-5)
    assert metrics["average_increase"].value == 25
    assert metrics["average_gain"].value == pytest.approx(15, abs=1e-12)
    alike, dense, lost = (
        np.array(values) for values in ([0.914, 0.9, 1], [0.441, 1.0, 0], [0.174, 0.2, 0])
    )
    assert 100 * adcc(alike, dense, lost) == pytest.approx([73.284, 0, 100], abs=5e-4)
    assert (
        gain(np.array([1.0, 0.5]), np.array([1.0, 0.75])).mean() == 0.25
    )  # nothing to gain on the first


def test_coherency_is_a_correlation() -> None:
    first, second = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    expected = [
        (1 + np.corrcoef(a.flatten(), b.flatten())[0, 1]) / 2
        for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(coherency(first, second), expected, rtol=1e-6)
    assert coherency(first, 3 * first + 1).tolist() == pytest.approx([1, 1, 1])
    assert coherency(first, torch.zeros_like(first)).tolist() == [0.5, 0.5, 0.5]


def test_the_map_is_that_of_grad_cam(colour_grid: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    classifier = Classifier(
        torch.rand(4, 3, generator=generator) - 0.2, torch.randn(4, generator=generator)
    )
    images = torch.rand(2, 3, 16, 24, generator=generator)
    maps = colour_grid(8).maps(images).requires_grad_()
    logits = maps.mean((2, 3)) @ classifier.weight.T + classifier.bias
    gradient = torch.autograd.grad(logits[:, 2].sum(), maps)[0]
    grad_cam = torch.relu((gradient.mean((2, 3), keepdim=True) * maps).sum(1))
    grad_cam = grad_cam / grad_cam.amax((1, 2), keepdim=True)
    shown = activation_maps(
        colour_grid(8), images, maps=maps.detach(), weights=classifier.weight[[2, 2]]
    )
    torch.testing.assert_close(
        shown, grad_cam.detach().repeat_interleave(8, 1).repeat_interleave(8, 2)
    )


@pytest.mark.parametrize("upsampler", [Interpolation("bilinear"), Mixing("bilinear")])
def test_folding_changes_nothing(colour_grid: Any, upsampler: LinearUpsampler) -> None:
    generator = torch.Generator().manual_seed(2)
    images, weights = (
        torch.rand(2, 3, 16, 24, generator=generator),
        torch.eye(2, 3) + torch.eye(2, 3).flip(1),
    )
    network = colour_grid(8)
    network.upsampler = upsampler
    maps = network.maps(images)
    folded = activation_maps(network, images, maps=maps, weights=weights)
    network.upsampler = Unfoldable(upsampler)
    torch.testing.assert_close(folded, activation_maps(network, images, maps=maps, weights=weights))
    assert folded.shape == (2, 16, 24) and folded.max() == 1 and folded.min() >= 0


def test_masks_fade_to_the_mean_colour(colour_grid: Any) -> None:
    network = colour_grid(8)
    network.mean = (0.5, 0.25, 1.0)
    images, mask = torch.rand(1, 3, 2, 2), torch.tensor([[[0.0, 1.0], [0.5, 1.0]]])
    result = masked(network, images, mask)
    assert result[0, :, 0, 0].tolist() == [0.5, 0.25, 1.0]
    assert torch.equal(result[0, :, :, 1], images[0, :, :, 1])
    torch.testing.assert_close(
        result[0, :, 1, 0], (images[0, :, 1, 0] + torch.tensor(network.mean)) / 2
    )


def cam_slowly(network: Any, image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """M (H, W) of one image (3, H, W) in [0, 1], nearest cells."""
    maps = network.maps(torch.from_numpy(image)[None])[0].double().numpy()
    shown = np.zeros(image.shape[1:])
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            shown[row, column] = max(0.0, weight @ maps[:, row // 8, column // 8])
    return shown / shown.max() if shown.max() > 0 else shown


def test_equals_the_slow_reimplementation(image_folder: Path, colour_grid: Any) -> None:
    data, network = ClassFolder(image_folder, held_back=0.25, seed=1), colour_grid(8)
    settings = cam.Settings(size=32, weight_decays=(1e-1,), batch_size=4)
    record = cam.BENCHMARK.measure(network, data, settings)
    fitted = linear.fit_probe(Pooled(network), data, settings)
    classifier = classifier_of(fitted.probe)
    probe = linear.BENCHMARK.measure(network, data, linear.Settings(size=32, weight_decays=(1e-1,)))
    assert (
        fitted.weight_decay == 0.1
        and record.metrics["classified_correctly"].value == probe.metrics["top1"].value == 100
    )
    weight, bias = classifier.weight.double().numpy(), classifier.bias.double().numpy()

    def score(image: np.ndarray) -> np.ndarray:
        logits = (
            weight @ network.maps(torch.from_numpy(image)[None])[0].double().numpy().mean((1, 2))
            + bias
        )
        return np.exp(logits) / np.exp(logits).sum()

    columns = record.counts["per_image"]
    ((images, _),) = data.val.batches(32, 6, crop_fraction=settings.crop_fraction)
    for row, image in enumerate(images.numpy().astype(np.float32) / 255):
        y = score(image)
        shown = cam_slowly(network, image, weight[y.argmax()])
        hidden = (image * shown).astype(np.float32)
        again = cam_slowly(network, hidden, weight[y.argmax()])
        assert (
            columns["image"][row] == row
            and columns["predicted"][row] == y.argmax() == columns["label"][row]
        )
        assert columns["Y"][row] == pytest.approx(y.max(), rel=1e-4)
        assert columns["O"][row] == pytest.approx(score(hidden)[y.argmax()], rel=1e-4)
        # Of complexity: their L1 norm.
        assert columns["complexity"][row] == pytest.approx(100 * shown.mean(), rel=1e-4)
        assert columns["area"][row] == pytest.approx(100 * (shown > 0).mean())
        correlation = np.corrcoef(shown.flatten(), again.flatten())[0, 1]
        assert columns["coherency"][row] == pytest.approx(50 * (1 + correlation), rel=1e-3)
        shares = [
            (1 + correlation) / 2,
            1 - shown.mean(),
            1 - max(0, 1 - score(hidden)[y.argmax()] / y.max()),
        ]
        assert columns["ADCC"][row] == pytest.approx(
            300 / sum(1 / share for share in shares), rel=1e-3
        )
    for name, metric in record.metrics.items():
        assert metric.value == pytest.approx(np.mean(columns[name]))
    # Records of before, with the share of pixels as complexity and means of means, never share a
    # column with these.
    assert {
        "complexity": "mean of M",
        "adcc": "mean over images",
    }.items() <= record.protocol.items()


def test_a_mask_of_ones_and_zeros_and_fewer_images(image_folder: Path, colour_grid: Any) -> None:
    data = ClassFolder(image_folder, held_back=0.25, seed=1)
    base = dict(size=32, weight_decays=(1e-1,))
    soft, hard = (
        cam.BENCHMARK.measure(colour_grid(8), data, cam.Settings(mask=m, **base))
        for m in ("normalised", "positive")
    )
    assert np.mean(hard.counts["per_image"]["O"]) != np.mean(soft.counts["per_image"]["O"])
    assert hard.metrics["complexity"].value == soft.metrics["complexity"].value
    few = cam.BENCHMARK.measure(colour_grid(8), data, cam.Settings(images=4, **base))
    assert few.counts["per_image"]["image"] == [0, 2, 4] and few.protocol_hash != soft.protocol_hash


def test_wrong_images_are_left_out_or_not() -> None:
    table = dict(image=[0, 1], predicted=[1, 0], Y=[0.5, 0.8], O=[0.5, 0.4], coherency=[1.0, 0.5])
    table |= dict(complexity=[0, 0.5], area=[0, 1.0])
    labels = np.array([1, 1])
    metrics, counts = summarise(table, labels, only_correct=True)
    assert counts["image"] == [0, 1] and counts["label"] == [1, 1]
    assert metrics["average_drop"].value == 0 and counts["coherency"][0] == 100
    assert np.isnan([counts[name][1] for name in METRICS if name != "classified_correctly"]).all()
    assert counts["classified_correctly"] == [100, 0]
    metrics, counts = summarise(table, labels, only_correct=False)
    assert metrics["average_drop"].value == 25 and metrics["classified_correctly"].value == 50
    assert counts["average_drop"] == [0, 50] and metrics["average_increase"].value == 0
    assert metrics["ADCC"].value == pytest.approx((100 + 50) / 2)  # of 1 and 0.5, each its own
    assert metrics["complexity"].value == 25 and metrics["area"].value == 50
    with pytest.raises(
        ValueError, match="none of 2 images is classified correctly; set only_correct=False"
    ):
        summarise(table, np.array([2, 2]), only_correct=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(mask="soft"), "mask='soft' is not one of normalised, positive"),
        (dict(images=0), "images=0"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cam.Settings(**change)
