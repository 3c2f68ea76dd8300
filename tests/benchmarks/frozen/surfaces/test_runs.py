"""Whole runs on toy data: what is learnt, what is chosen, how padding and mirrors are handled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.features import FeatureSettings
from benchmarks.core.kept import Kept
from benchmarks.data import NormalFolder
from benchmarks.frozen.surfaces import depth, normals
from benchmarks.frozen.surfaces.normal_scores import METRICS, NormalImages, angles
from benchmarks.frozen.surfaces.training import LinearHead, on_image, predict
from benchmarks.report.statistics.bootstrap import image_sums

SMALL = dict(
    size=(40, 48),
    steps=60,
    warmup_steps=5,
    images_per_step=4,
    images_per_loss=2,
    lr=0.3,
    schedule="cosine",
)
AUGMENTED = dict(colour=0.5, rotate=2.5, crop_size=(24, 32))


@pytest.mark.parametrize("changes", [{}, dict(schedule="one-cycle", lr=0.1, gradient_weight=0.5)])
def test_depth_is_learnt_better_than_the_trivial_predictors(
    changes: dict, toy_depth: Callable, colour_grid: Any
) -> None:
    settings = depth.Settings(**SMALL | dict(max_depth=4.0, bins=32, steps=120) | changes)
    record = depth.BENCHMARK.measure(colour_grid(4), toy_depth(), settings)
    stride = record.protocol["stride"]
    mean = depth.BENCHMARK.measure_baseline("mean", toy_depth(), settings, stride=stride)
    # three depths of 1 to 3.3 m: noise of 0.09 m remains
    assert record.metrics["RMSE"].value < 0.5 * mean.metrics["RMSE"].value
    assert record.metrics["delta1"].value > 70 > mean.metrics["delta1"].value
    assert record.protocol_hash == mean.protocol_hash
    for name in ("RMSE", "pooled_RMSE", "least_squares_AbsRel"):
        assert image_sums(record, name) is not None, name


def test_another_upsampled_stride_is_another_protocol(
    toy_depth: Callable, toy_normals: NormalFolder, colour_grid: Any
) -> None:
    network = colour_grid()
    for benchmark, data, kind in (
        (depth.BENCHMARK, toy_depth(), depth.Settings),
        (normals.BENCHMARK, toy_normals, normals.Settings),
    ):
        settings = kind(**SMALL | dict(steps=2, warmup_steps=0))
        hashes = set()
        for network.task_stride in (2, 4):
            hashes.add(benchmark.measure(network, data, settings).protocol_hash)
        assert len(hashes) == 2


def test_the_best_look_is_kept_and_said(toy_depth: Callable, colour_grid: Any) -> None:
    settings = depth.Settings(**SMALL | dict(steps=20), select="best", look_every=8)
    record = depth.BENCHMARK.measure(colour_grid(), toy_depth(), settings)
    looks = record.counts["looks"]
    assert looks["step"] == [8, 16, 20] and looks["chosen"] in looks["step"]
    assert record.metrics["AbsRel"].value == min(looks["AbsRel"])
    assert record.protocol["chosen_on"].startswith("the scored part")
    last = depth.BENCHMARK.measure(
        colour_grid(), toy_depth(), depth.Settings(**SMALL | dict(steps=20))
    )
    assert last.metrics["AbsRel"].value == looks["AbsRel"][-1]
    assert last.protocol_hash != record.protocol_hash and "looks" not in last.counts


def test_scored_images_are_encoded_once_for_all_looks(
    toy_depth: Callable, colour_grid: Any
) -> None:
    """Train views do not recur, and each is encoded; both flips of a scored image are kept."""
    network, encoded = colour_grid(), {True: 0, False: 0}
    maps = network.maps

    def counting(images: torch.Tensor, *, recurs: bool = True) -> torch.Tensor:
        encoded[recurs] += len(images)
        return maps(images)

    network.maps = counting
    settings = depth.Settings(**SMALL | dict(steps=9), select="best", look_every=3)
    data = toy_depth()
    depth.BENCHMARK.measure(network, data, settings)
    black = 1
    assert encoded == {False: 9 * 4, True: black + 2 * len(data.val)}


def test_a_loss_that_is_not_finite_names_the_step(toy_depth: Callable, colour_grid: Any) -> None:
    network = colour_grid(matrix=torch.full((3, 3), torch.inf))
    with pytest.raises(ValueError, match="iteration 1: the loss is not finite; try a smaller lr"):
        depth.BENCHMARK.measure(
            network, toy_depth(), depth.Settings(**SMALL | dict(steps=3, warmup_steps=0))
        )


def test_a_run_repeats_to_the_digit(toy_depth: Callable, colour_grid: Any) -> None:
    settings = depth.Settings(**SMALL | dict(steps=6, warmup_steps=2), **AUGMENTED)
    first, again = (depth.BENCHMARK.measure(colour_grid(), toy_depth(), settings) for _ in range(2))
    assert first.metrics == again.metrics


def test_groups_of_images_have_their_own_loss(toy_depth: Callable, colour_grid: Any) -> None:
    """The scale-invariant loss of four images is not the mean of two pairs' losses."""
    pairs, whole = (
        depth.Settings(**SMALL | dict(steps=3, warmup_steps=0, images_per_loss=count))
        for count in (2, 4)
    )
    runs = [depth.BENCHMARK.measure(colour_grid(), toy_depth(), one) for one in (pairs, whole)]
    assert runs[0].metrics["RMSE"] != runs[1].metrics["RMSE"]


def reading(pad: str, **options: Any) -> FeatureExtractor:
    extractor = FeatureExtractor.load("random:vit_tiny_patch16_224")
    return extractor.reading(FeatureSettings(pad=pad, **options))


def test_padding_is_cut_or_stretched() -> None:
    """40 × 48 pixels are 48 × 48 with 4 rows of zeros above and below."""
    extractor, ramp = reading("centre"), torch.arange(48.0).view(1, 1, 48, 1).expand(-1, -1, -1, 48)
    cut, stretched = (
        on_image(
            ramp,
            (40, 48),
            extractor=extractor,
            settings=depth.Settings(size=(40, 48), padded=kind),
        )
        for kind in ("cut", "stretched")
    )
    assert torch.equal(cut[0, 0, :, 0], torch.arange(4.0, 44.0))
    assert torch.equal(stretched, F.interpolate(ramp, (40, 48), mode="bilinear"))


def test_networks_of_several_layers_and_padding_are_read(toy_depth: Callable) -> None:
    extractor = reading("centre", layers=(2, 5, 8, 11), norm=False, class_token="concatenate")
    settings = depth.Settings(
        **SMALL | dict(steps=2, warmup_steps=0), batch_norm=False, enlarge=4, padded="stretched"
    )
    record = depth.BENCHMARK.measure(extractor, toy_depth(), settings)
    assert record.metrics["RMSE"].value < 10
    with pytest.raises(ValueError, match="40 × 48 pixels"):
        depth.BENCHMARK.measure(reading("refuse"), toy_depth(), settings)


def test_a_mirrored_test_image_adds_its_prediction(toy_depth: Callable, colour_grid: Any) -> None:
    network, split = colour_grid(), toy_depth().val

    def predictions(**changes: Any) -> torch.Tensor:
        settings = depth.Settings(size=(40, 48), steps=1, warmup_steps=0, **changes)
        head = LinearHead(3, 1, settings)
        decode = partial(on_image, size=(40, 48), extractor=network, settings=settings)
        options = dict(settings=settings, decode=decode, unmirror=lambda maps: maps)
        return torch.cat(
            [maps for maps, _ in predict(head, network, split, kept=Kept(0), **options)]
        )

    # the toy network and a 1×1 convolution do not know left from right
    assert torch.allclose(predictions(flip_test=True), predictions(flip_test=False), atol=1e-6)


def test_normals_are_learnt_better_than_the_trivial_predictors(
    toy_normals: NormalFolder, colour_grid: Any
) -> None:
    plain = SMALL | dict(flip=0.0, flip_test=False)  # colours are normals, mirrored ones are not
    settings = normals.Settings(**plain)
    record = normals.BENCHMARK.measure(colour_grid(4), toy_normals, settings)
    stride = record.protocol["stride"]
    mean = normals.BENCHMARK.measure_baseline("mean", toy_normals, settings, stride=stride)
    assert set(record.metrics) == set(METRICS)
    assert record.metrics["mean_angle"].value < 0.6 * mean.metrics["mean_angle"].value
    for name in set(METRICS) - {"median_angle"}:
        assert image_sums(record, name) is not None, name
    kappa = normals.BENCHMARK.measure(
        colour_grid(4),
        toy_normals,
        normals.Settings(**plain, normal_loss="kappa", resize="bicubic"),
    )
    assert kappa.metrics["mean_angle"].value < 0.7 * mean.metrics["mean_angle"].value
    mirrored = normals.BENCHMARK.measure(colour_grid(4), toy_normals, normals.Settings(**SMALL))
    assert mirrored.metrics["mean_angle"].value > record.metrics["mean_angle"].value + 3


def test_angles_to_the_printed_digits() -> None:
    """Pooled scores computed with the authors' own function."""
    i, j = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    one = torch.ones(4, 6, dtype=torch.float64)
    true = F.normalize(torch.stack([0.2 * (i - 1), 0.1 * (j - 2), one], -1), dim=-1)
    tilt = 0.2 * (i - 1) + 0.1 * ((i + 2 * j) % 5)
    predicted = torch.stack([tilt, 0.1 * (j - 2), one], -1)
    true[(i + j) % 4 == 0] = 0
    tally = NormalImages()
    tally.add(predicted, true, 0)
    expected = dict(
        mean_angle=10.417031,
        median_angle=10.219886,
        RMSE=12.578887,
        within_5=22.2222,
        within_7_5=38.8889,
        within_11_25=55.5556,
        within_22_5=94.4444,
        within_30=100,
    )
    metrics = tally.metrics()
    for name, value in expected.items():
        assert metrics[name].value == pytest.approx(value, abs=1e-4 if "within" in name else 2e-6)
    assert metrics["image_RMSE"].value == pytest.approx(12.578887, abs=1e-6)


def test_images_of_unequal_size_weigh_alike_per_image_and_unlike_pooled() -> None:
    up = torch.tensor([0.0, 0.0, 1.0])
    tilted = torch.tensor([0.0, 1.0, 1.0])  # 45°
    tally = NormalImages()
    tally.add(up.expand(1, 3, 3), up.expand(1, 3, 3), 0)
    tally.add(tilted.expand(1, 1, 3), up.expand(1, 1, 3), 1)
    metrics = tally.metrics()
    assert metrics["RMSE"].value == pytest.approx(22.5) and metrics["within_30"].value == 75
    assert metrics["image_RMSE"].value == pytest.approx(22.5)
    assert metrics["image_within_30"].value == 50 and metrics["median_angle"].value < 1e-5
    with pytest.raises(ValueError, match="normals: mean_angle is nan"):
        NormalImages().metrics()


def test_angles_ignore_length_and_mirrors_keep_them() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    assert torch.allclose(angles(3 * a, b), angles(a, b))
    flipped = [torch.from_numpy(normals.mirrored(part.numpy())) for part in (a, b)]
    assert torch.allclose(angles(*flipped), angles(a, b))
    assert np.allclose(angles(a, a), 0, atol=1e-5)


@pytest.mark.parametrize("kind", ["cosine", "kappa"])
def test_normal_losses_are_finite_where_prediction_and_truth_agree(kind: str) -> None:
    outputs = torch.tensor([0.0, 0.0, 2.0, 0.3]).view(1, 4, 1, 1).requires_grad_()
    target = torch.tensor([0.0, 0.0, 1.0]).view(1, 1, 1, 3)
    loss = normals.normal_loss(outputs, target, kind)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(outputs.grad).all()
    opposite = normals.normal_loss(outputs.detach(), -target, kind)
    assert opposite > loss
    assert float(normals.normal_loss(outputs.detach(), 0 * target, kind)) == 0


def test_kappa_loss_by_hand() -> None:
    outputs = torch.tensor([1.0, 0.0, 0.0, 0.5], dtype=torch.float64).view(1, 4, 1, 1)
    target = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).view(1, 1, 1, 3)
    kappa = 1.51
    expected = kappa * np.pi / 2 + np.log(1 + np.exp(-kappa * np.pi)) - np.log(kappa**2 + 1)
    assert float(normals.normal_loss(outputs, target, "kappa")) == pytest.approx(expected)
