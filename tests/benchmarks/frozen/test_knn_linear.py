"""kNN and linear probe against closed forms."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.core.vectors import accuracy
from benchmarks.data import ClassFolder
from benchmarks.frozen import knn, linear


def test_votes_by_hand() -> None:
    similarity = torch.tensor([[0.9, 0.8, 0.8], [0.5, 0.1, 0.0]], dtype=torch.float64)
    labels = torch.tensor([[2, 0, 0], [1, 1, 2]])
    scores = knn.vote(similarity, labels, classes=3, temperature=0.1)
    e = np.exp
    expected = torch.tensor([[2 * e(-1.0), 0, 1], [0, 1 + e(-4.0), e(-5.0)]], dtype=torch.float64)
    torch.testing.assert_close(scores, expected)
    assert scores.argmax(1).tolist() == [2, 1]
    assert knn.vote(similarity, labels, classes=3, temperature=1.0).argmax(1).tolist() == [
        0,
        1,
    ]  # two near votes beat one nearer
    assert torch.isfinite(knn.vote(similarity, labels, classes=3, temperature=1e-6)).all()


def test_accuracy_counts() -> None:
    scores = torch.tensor([[3.0, 2, 1, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 1, 1]])
    metrics, counts = accuracy(scores, torch.tensor([0, 2, 1]))
    assert counts == dict(
        label=[0, 2, 1], top1=[1, 0, 0], top5=[1, 1, 1]
    )  # ties: the smaller class is first
    assert metrics["top1"].value == pytest.approx(100 / 3)
    assert "top5" not in accuracy(scores[:, :5], torch.tensor([0, 2, 1]))[0]


def test_knn_on_images(image_folder: Path, colour_grid: Any) -> None:
    data = ClassFolder(image_folder, held_back=0.25, seed=1)
    assert (len(data.train), len(data.val)) == (18, 6)
    settings = knn.Settings(size=32, neighbours=5)
    record = knn.BENCHMARK.measure(colour_grid(), data, settings)
    assert record.metrics["top1"].value == 100
    shuffled = ClassFolder(image_folder, held_back=0.25, seed=1)
    shuffled.train.labels = (shuffled.train.labels + 1) % 3
    assert knn.BENCHMARK.measure(colour_grid(), shuffled, settings).metrics["top1"].value == 0
    assert (
        record.protocol_hash
        == knn.BENCHMARK.measure(colour_grid(8, torch.rand(7, 3)), data, settings).protocol_hash
    )
    assert (
        knn.BENCHMARK.measure(colour_grid(), data, knn.Settings(size=32, neighbours=99)).protocol[
            "neighbours_effective"
        ]
        == 18
    )


def test_two_points_have_the_closed_form() -> None:
    # x = ±1 (already standard), one class each: by symmetry W = (w, -w), b = 0, and with d = 2 w
    # the loss is log(1 + exp(-d)) + λ/2 · 2 (d/2)², so the optimum solves 1 / (1 + exp(d)) = λ d /
    # 2.
    vectors, labels = torch.tensor([[1.0], [-1.0]], dtype=torch.float64), torch.tensor([0, 1])
    for decay in (1e-2, 0.3):
        weight, bias, mean, std = linear.fit(
            vectors,
            labels,
            classes=2,
            settings=linear.Settings(tolerance=1e-10),
            weight_decays=(decay,),
        )[decay]
        low, high = 0.0, 50.0
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (
                (middle, high) if 1 / (1 + np.exp(middle)) > decay * middle / 2 else (low, middle)
            )
        assert weight[0, 0].item() == pytest.approx(low / 2, abs=1e-7)
        assert weight[1, 0].item() == pytest.approx(-low / 2, abs=1e-7)
        assert bias.abs().max() < 1e-8 and mean.item() == 0 and std.item() == 1


def test_fit_is_stationary_and_invariant_to_scale_and_shift() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(60, 5, generator=generator, dtype=torch.float64)
    labels = torch.arange(60) % 3
    settings = linear.Settings(tolerance=1e-9, max_iterations=500)
    weight, bias, mean, std = linear.fit(
        vectors, labels, classes=3, settings=settings, weight_decays=(1e-2,)
    )[1e-2]
    standard = (vectors - vectors.mean(0)) / vectors.std(0, correction=0)
    weight.requires_grad_(), bias.requires_grad_()
    loss = F.cross_entropy(standard @ weight.T + bias, labels) + 0.005 * weight.square().sum()
    for gradient in torch.autograd.grad(loss, (weight, bias)):
        assert gradient.abs().max() < 1e-8
    moved = torch.cat(
        [vectors * 40 - 7, torch.full((60, 1), 3.0, dtype=torch.float64)], 1
    )  # and a constant channel
    other = linear.fit(moved, labels, classes=3, settings=settings, weight_decays=(1e-2,))[1e-2]
    torch.testing.assert_close(other[0][:, :5], weight.detach(), atol=1e-7, rtol=0)
    assert other[3][5] == 1 and other[0][:, 5].abs().max() < 1e-9


def test_weight_decay_is_chosen_on_train_only() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(300, 40, generator=generator, dtype=torch.float64)
    labels = (
        vectors[:, 0] + 0.7 * torch.randn(300, generator=generator, dtype=torch.float64) > 0
    ).long()
    settings = linear.Settings(weight_decays=(1e-6, 0.3, 1e3))
    chosen, results = linear.choose_weight_decay(vectors, labels, classes=2, settings=settings)
    assert chosen == 0.3  # almost none overfits 40 channels, very much learns nothing
    assert set(results) == {"1e-06", "0.3", "1000.0"} and max(results.values()) == results["0.3"]


def test_linear_on_images(image_folder: Path, colour_grid: Any) -> None:
    data = ClassFolder(image_folder, held_back=0.25)
    runs = [
        linear.BENCHMARK.measure(colour_grid(), data, linear.Settings(size=32)) for _ in range(2)
    ]
    assert runs[0].metrics["top1"].value == 100
    assert runs[0].counts == runs[1].counts
    assert len(runs[0].counts["label"]) == 6


def test_a_class_of_one_image_is_named_before_any_work(
    image_folder: Path, tmp_path: Path, colour_grid: Any
) -> None:
    for name, count in (
        ("blue", 8),
        ("green", 8),
        ("red", 2),
    ):  # of two, one is held back: one is left to train on
        (tmp_path / name).mkdir()
        for file in sorted((image_folder / name).iterdir())[:count]:
            shutil.copy(file, tmp_path / name)
    phases: list[str] = []
    words = "class 'red' has one image, of which no share .*, or name a single one of weight_decays"
    with pytest.raises(ValueError, match=words):
        linear.BENCHMARK.measure(
            colour_grid(),
            ClassFolder(tmp_path),
            linear.Settings(size=32),
            progress=lambda *step: phases.append(step),
        )
    assert not phases
    one = linear.Settings(size=32, weight_decays=(0.1,))
    assert (
        linear.BENCHMARK.measure(colour_grid(), ClassFolder(tmp_path), one).metrics["top1"].value
        == 100
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: knn.Settings(neighbours=0), "neighbours=0 must be greater than 0"),
        (lambda: knn.Settings(crop_fraction=1.5), "crop_fraction=1.5"),
        (lambda: linear.Settings(weight_decays=()), "one or more numbers"),
        (lambda: linear.Settings(dtype="half"), "must be 'float32' or 'float64'"),
    ],
)
def test_settings_are_checked(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("scores", [torch.zeros(0, 3), torch.tensor([[0.5, float("nan")]])])
def test_accuracy_of_no_images_or_of_scores_that_are_no_numbers_is_refused(
    scores: torch.Tensor,
) -> None:
    """NaN sorts before every number, so its class would win."""
    with pytest.raises(ValueError, match="at least one image, and all of them finite, are needed"):
        accuracy(scores, torch.zeros(len(scores), dtype=torch.int64))
