"""Whole runs on toy data: they learn, they are reproducible, and each rule does what it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.features import FeatureSettings
from benchmarks.core.record import Record
from benchmarks.data import SegmentationFolder
from benchmarks.data.label_maps import IGNORE
from benchmarks.frozen.linear_segmentation import BENCHMARK, Settings
from benchmarks.frozen.linear_segmentation.encoding import Encoder
from benchmarks.frozen.linear_segmentation.head import LinearHead, SharedBatchNorm
from benchmarks.frozen.linear_segmentation.scoring import predict, scores_of_image
from benchmarks.frozen.linear_segmentation.training import (
    backward,
    iteration_keys,
    kept_channels,
    make_optimiser,
    train_batches,
)
from benchmarks.frozen.linear_segmentation.views import scored_view
from heads.upsamplers.guided_filter import GuidedFilter
from heads.upsamplers.interpolation import Interpolation

SMALL = Settings(
    size=(40, 40),
    short_side=40,
    window_stride=24,
    length=60,
    images_per_step=4,
    lr=3e-2,
    warmup=6,
    dropout=0.0,
    seed=0,
)
CENTRE = replace(
    SMALL,
    train_view="centre",
    test_view="centre",
    flip_by="batch",
    rounding="down",
    batch_norm=False,
    init_std=0.0,
    length=4,
    length_in="epochs",
    schedule="cosine-20",
    warmup=0,
)


def measure(network: Any, data: SegmentationFolder, settings: Settings, **more: Any) -> Record:
    return BENCHMARK.measure(network, data, settings, **more)


def test_it_learns_colours(colour_grid: Any, toy_data: Any) -> None:
    steps = []
    record = measure(colour_grid(), toy_data(), SMALL, progress=lambda *step: steps.append(step))
    # By guessing: about 20 and 33. Hues are changed at random, and yet the colours are learnt.
    assert record.metrics["mIoU"].value > 80 and record.metrics["pixel_accuracy"].value > 88
    assert record.counts["loss"][-1] < 0.75 * record.counts["loss"][0]
    assert steps[0] == ("train", 1, 60) and steps[-1] == ("score", 4, 4)
    assert set(record.metrics) == {"mIoU", "pixel_accuracy"}
    assert record.protocol["selection"] == "last iteration" and record.protocol["outputs"] == 3
    assert sorted(set(record.counts["per_image"]["image"])) == [0, 1, 2, 3]
    # every labelled pixel of the masks as they are
    labelled = sum(int((toy_data().val.load(i)[1] != IGNORE).sum()) for i in range(4))
    assert np.sum(record.counts["confusion"]) == labelled


def test_two_runs_are_equal_and_leave_no_trace(colour_grid: Any, toy_data: Any) -> None:
    settings = replace(SMALL, length=8, dropout=0.3)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = (measure(colour_grid(), toy_data(), settings) for _ in range(2))
    assert torch.rand(1) == expected
    assert first.counts == second.counts and first.protocol_hash == second.protocol_hash
    other = measure(colour_grid(), toy_data(), replace(settings, seed=1))
    assert other.counts["loss"] != first.counts["loss"]


def test_the_best_of_several_evaluations_is_reported_as_such(
    colour_grid: Any, toy_data: Any
) -> None:
    settings = replace(SMALL, evaluations=4, length=10, lr=1.0, warmup=1)
    record = measure(colour_grid(), toy_data(), settings)
    done = record.counts["evaluations"]
    assert done["iteration"] == [2, 5, 7, 10]
    assert record.metrics["mIoU"].value == max(done["mIoU"])
    assert record.metrics["last_mIoU"].value == done["mIoU"][-1] < max(done["mIoU"])
    assert record.protocol["selection"] == "best of 4 evaluations of the val part"
    assert set(record.metrics) == set(BENCHMARK.expected_metrics(toy_data(), settings))
    # the last of them is what a run with one evaluation reports
    last = measure(colour_grid(), toy_data(), replace(settings, evaluations=1))
    assert last.metrics["mIoU"].value == pytest.approx(done["mIoU"][-1])
    assert last.protocol_hash != record.protocol_hash


@pytest.mark.parametrize("settings", [CENTRE, replace(SMALL, length=6, warmup=2, evaluations=3)])
def test_kept_features_change_nothing(colour_grid: Any, toy_data: Any, settings: Settings) -> None:
    counts = []
    for cache_bytes in (0, 40_000, 1 << 30):
        record = measure(colour_grid(), toy_data(), replace(settings, cache_bytes=cache_bytes))
        counts.append(record.counts)
    assert counts[0] == counts[1] == counts[2]


def test_recurring_views_are_encoded_once(
    colour_grid: Any, toy_data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    network = colour_grid()

    def counting(images: torch.Tensor, *, recurs: bool = True) -> torch.Tensor:
        assert recurs  # so that other benchmarks and upsamplers may share what is encoded
        encoded.append(len(images))
        return network.maps(images)

    monkeypatch.setattr(network, "encode", counting)
    measure(network, toy_data(), replace(CENTRE, length=30, images_per_step=1))
    assert sum(encoded) == 2 * 6 + 4  # both sides of each train image, then the scored ones


def test_a_short_last_batch_belongs_to_the_epoch() -> None:
    settings = replace(CENTRE, images_per_step=4, length=3)
    batches = list(iteration_keys(6, settings, settings.course(6)))
    assert [len(keys) for keys in batches] == [4, 2] * 3
    for epoch in range(3):
        images = [image for keys in batches[2 * epoch : 2 * epoch + 2] for _, image in keys]
        assert sorted(images) == list(range(6))
    run_on = replace(SMALL, length=5, warmup=0, images_per_step=4)
    batches = list(iteration_keys(6, run_on, run_on.course(6)))
    assert [len(keys) for keys in batches] == [4] * 5
    assert batches[1][2][0] == 1 and batches[1][1][0] == 0
    for dropped in (replace(settings, drop_last=True), replace(run_on, drop_last=True)):
        course = dropped.course(6)
        batches = list(iteration_keys(6, dropped, course))
        assert [len(keys) for keys in batches] == [4] * course.iterations
        assert [keys[0][0] for keys in batches] == list(range(course.iterations))
    with pytest.raises(ValueError, match="more than the 3 train images, and drop_last=True"):
        replace(settings, drop_last=True).course(3)


def test_one_coin_for_a_batch_or_one_for_each_image(toy_data: Any) -> None:
    split = toy_data().train
    coins = {"image": set(), "batch": set()}
    for flip_by in coins:
        settings = replace(CENTRE, flip_by=flip_by, images_per_step=3, length=4)
        for batch in train_batches(split, settings, (0, 0, 0)):
            mirrored = [view[2] for view in batch.views]
            coins[flip_by].add(len(set(mirrored)))
            for row, (_, image, is_mirrored) in enumerate(batch.views):
                pixels, labels = scored_view(*split.load(image), settings)
                step = -1 if is_mirrored else 1
                assert np.array_equal(batch.images[row].permute(1, 2, 0), pixels[:, ::step])
                assert np.array_equal(batch.labels[row], labels[:, ::step])
    assert coins == {"image": {1, 2}, "batch": {1}}


def test_the_head() -> None:
    head = LinearHead(6, 4, settings=replace(SMALL, init_std=0.01, dropout=0.25))
    assert head.classify.weight.detach().std() == pytest.approx(0.01, rel=0.5)
    assert not head.classify.bias.any() and not head.plain
    features = torch.randn(5, 6, 3, 3, generator=torch.Generator().manual_seed(0))
    kept = kept_channels([(0, i) for i in range(5)], 6, replace(SMALL, dropout=0.25))
    assert set(kept.unique().tolist()) == {0, 1}
    dropped = features * kept[..., None, None] / 0.75
    normed = F.batch_norm(dropped, None, None, training=True)
    torch.testing.assert_close(head(features, kept), head.classify(normed))
    uniform = LinearHead(6, 400, settings=replace(SMALL, init_std=0.0, batch_norm=False))
    weight = uniform.classify.weight
    assert uniform.plain and weight.abs().max() <= 1 / 6**0.5 and weight.max() > 0.9 / 6**0.5
    assert uniform.classify.bias.any()


def test_dropout_keeps_what_it_says() -> None:
    kept = kept_channels([(0, i) for i in range(50)], 200, replace(SMALL, dropout=0.1))
    assert kept.mean() == pytest.approx(0.9, abs=0.01) and not torch.equal(kept[0], kept[1])
    assert kept_channels([(0, 0)], 4, SMALL) is None


def test_optimisers() -> None:
    head = LinearHead(2, 3, settings=SMALL)
    adamw = make_optimiser(head, replace(SMALL, weight_decay=0.5))
    assert adamw.param_groups[0]["betas"] == (0.9, 0.999)
    assert adamw.param_groups[0]["weight_decay"] == 0.5 and len(adamw.param_groups) == 1
    sgd = make_optimiser(head, replace(SMALL, optimiser="sgd", momentum=0.8))
    assert isinstance(sgd, torch.optim.SGD) and sgd.param_groups[0]["momentum"] == 0.8


def test_several_scales_and_mirror_images_by_the_obvious_loop(
    colour_grid: Any, toy_data: Any
) -> None:
    settings = replace(SMALL, scales=(1.0, 1.5, 0.8), flip_test=True)
    head = LinearHead(3, 3, settings=settings).eval()
    head.norm.running_mean.fill_(0.5)
    nn.init.eye_(head.classify.weight[..., 0, 0])
    encoder = Encoder(colour_grid(), plain=False, settings=settings)
    image, labels = toy_data().val.load(1)
    image, labels = image[:36], labels[:36]
    predicted = predict(
        head, encoder, (image, scored_view(image, labels, settings)), index=1, settings=settings
    )
    total = 0
    for scale in settings.scales:
        short = int(40 * scale)
        size = (short, int(48 * short / 36 + 0.5))
        shown = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
        for flip in (False, True):
            pixels = torch.from_numpy(np.array(shown[:, ::-1] if flip else shown)).permute(2, 0, 1)
            scores = scores_of_image(head, encoder, pixels, name=None, settings=settings)
            scores = scores.flip(-1) if flip else scores
            larger = F.interpolate(scores[None], labels.shape, mode="bilinear")
            total = total + larger.softmax(1)[0] / 6
    assert predicted.shape == labels.shape and torch.equal(predicted, total.argmax(0))
    single = replace(settings, scales=(1.0,), flip_test=False)
    view = scored_view(image, labels, single)
    assert not torch.equal(
        predict(head, encoder, (image, view), index=1, settings=single), predicted
    )


@pytest.mark.parametrize("upsampler", [Interpolation("bilinear"), GuidedFilter(radius=2)])
def test_a_plain_head_before_an_upsampler_equals_one_behind_it(
    toy_data: Any, upsampler: Any
) -> None:
    network = FeatureExtractor.load("random:test_resnet?output_stride=8").through(upsampler, 2)
    head = LinearHead(network.channels, 3, settings=CENTRE)
    batch = next(iter(train_batches(toy_data().train, CENTRE, network.mean)))
    gradients = []
    for plain in (True, False):
        encoder = Encoder(network, plain=plain, settings=CENTRE)
        first, kept = (
            encoder.scores(head, encoder.encode(batch.images, batch.views, recurs=True))
            for _ in range(2)
        )
        assert first.shape == (4, 3, 20, 20) and torch.equal(first, kept)
        head.zero_grad()
        loss = backward(head, encoder, batch, CENTRE, distributed=False)
        gradients.append([loss, *(p.grad.clone() for p in head.parameters())])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_padded_windows_are_cut_or_stretched() -> None:
    name = "random:vit_tiny_patch16_224?depth=1&embed_dim=12&num_heads=2"
    network = FeatureExtractor.load(name).reading(FeatureSettings(pad="centre"))
    image = torch.rand(1, 3, 40, 36, generator=torch.Generator().manual_seed(0))
    scores = {}
    for padded in ("cut", "stretched"):
        settings = replace(CENTRE, padded=padded)
        head = LinearHead(network.channels, 2, settings=settings)
        encoder = Encoder(network, plain=True, settings=settings)
        scores[padded] = encoder.scores(head, encoder.encode(image, [None], recurs=True))
    assert scores["stretched"].shape[-2:] == (3, 3) and scores["cut"].shape[-2:] == (40, 36)
    whole = F.interpolate(scores["stretched"], (48, 48), mode="bilinear")
    torch.testing.assert_close(scores["cut"], whole[..., 4:44, 6:42])
    behind = Encoder(network.through(Interpolation(), 4), plain=True, settings=CENTRE)
    with pytest.raises(ValueError, match="40 × 36 pixels are padded to 48 × 48: an upsampler"):
        behind.encode(image, [None], recurs=True)


def test_classes_that_occur_nowhere(colour_grid: Any, toy_data: Any) -> None:
    """NeCo's rule: masks and scores at a side of their own, an output that no pixel has."""
    settings = replace(
        SMALL,
        train_view="area-crop",
        test_view="squash",
        mask_side=10,
        length=8,
        warmup=0,
        schedule="drops",
        optimiser="sgd",
        batch_norm=False,
        absent_as_zero=True,
        spare_outputs=1,
    )
    record = measure(colour_grid(), toy_data(), settings)
    confusion = np.array(record.counts["confusion"])
    assert confusion.shape == (4, 4) and not confusion[3].any() and confusion.sum() <= 400
    present = np.array(record.counts["class_iou"], float)
    assert record.metrics["mIoU"].value == pytest.approx(25 * np.nansum(present))
    data = toy_data(keep_ignored=True)
    assert measure(colour_grid(), data, replace(settings, spare_outputs=0)).protocol["outputs"] == 4


def test_masks_of_their_own_size_are_scored(
    colour_grid: Any, toy_root: Path, tmp_path: Path
) -> None:
    """Images of unequal sizes, larger than what the network is shown."""
    for kind in ("images", "masks"):
        for part in ("train", "val"):
            (tmp_path / kind / part).mkdir(parents=True)
            for number, file in enumerate(sorted((toy_root / kind / part).iterdir())):
                picture = Image.open(file)
                size = (96 + 8 * number, 80)
                picture.resize(size, Image.Resampling.NEAREST).save(
                    tmp_path / kind / part / file.name
                )
    data = SegmentationFolder(
        tmp_path, "plain", images="images/{split}", masks="masks/{split}", classes=3, ignore=255
    )
    record = measure(colour_grid(4), data, replace(SMALL, length=12))
    pixels = [int((data.val.load(i)[1] != IGNORE).sum()) for i in range(4)]
    table = record.counts["per_image"]
    for image in range(4):
        rows = [true for i, true in zip(table["image"], table["true"], strict=True) if i == image]
        assert sum(rows) == pixels[image]


def test_losses_and_scores_that_are_not_finite_are_named(colour_grid: Any, toy_data: Any) -> None:
    with pytest.raises(ValueError, match="iteration 2: the loss is not finite; try a smaller lr"):
        measure(colour_grid(), toy_data(), replace(CENTRE, lr=1e38, optimiser="sgd", length=3))

    class Broken(colour_grid):
        def encode(self, images: torch.Tensor, *, recurs: bool = True) -> torch.Tensor:
            maps = super().encode(images)
            return maps * float("nan") if images.shape[0] == 1 else maps

    settings = replace(CENTRE, images_per_step=2, length=1)
    with pytest.raises(ValueError, match="val/000.png: a predicted class score is not finite"):
        measure(Broken(), toy_data(), settings)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_labels_that_are_all_ignored_give_no_gradient(
    colour_grid: Any, toy_data: Any, batch_norm: bool
) -> None:
    settings = replace(SMALL, batch_norm=batch_norm)
    head = LinearHead(3, 3, settings=settings)
    encoder = Encoder(colour_grid(), plain=head.plain, settings=settings)
    batch = next(iter(train_batches(toy_data().train, settings, (0, 0, 0))))
    batch.labels.fill_(IGNORE)
    assert backward(head, encoder, batch, settings, distributed=False) == 0
    assert not any(parameter.grad.any() for parameter in head.parameters())


def _measure_in_group(
    rank: int, several: list[Settings], data: SegmentationFolder
) -> list[dict[str, Any]]:
    from tests.benchmarks.conftest import ColourGrid

    measured = []
    for settings in several:
        record = BENCHMARK.measure(ColourGrid(), data, settings, distributed=True)
        measured.append(dict(loss=record.counts["loss"], confusion=record.counts["confusion"]))
    return measured


def test_two_processes_equal_one(in_two_processes: Any, colour_grid: Any, toy_data: Any) -> None:
    """Batches of 4 over 2 processes, and one of 1 that leaves the second without an image."""
    several = [
        replace(SMALL, length=5, warmup=1, dropout=0.2, evaluations=2),
        replace(CENTRE, images_per_step=5, length=2, batch_norm=True),
    ]
    groups = in_two_processes(_measure_in_group, several, toy_data())
    for settings, *both in zip(several, *groups, strict=True):
        one = measure(colour_grid(), toy_data(), settings)
        for two in both:
            assert two["loss"] == pytest.approx(one.counts["loss"], rel=1e-4)
            assert two["confusion"] == one.counts["confusion"]


def _normalise_in_group(rank: int) -> dict[str, Any]:
    torch.manual_seed(0)
    features = torch.randn(5, 3, 4, 4) * 3 + 1
    norm = SharedBatchNorm(3, shared=True)
    norm.weight.data = torch.tensor([1.0, 2.0, 3.0])
    mine = norm(features[:4] if rank == 0 else features[4:])
    mine.square().sum().backward()
    return dict(y=mine.detach(), mean=norm.running_mean, var=norm.running_var)


def test_statistics_of_two_processes_are_those_of_one(in_two_processes: Any) -> None:
    torch.manual_seed(0)
    features = torch.randn(5, 3, 4, 4) * 3 + 1
    norm = nn.BatchNorm2d(3)
    norm.weight.data = torch.tensor([1.0, 2.0, 3.0])
    whole = norm(features).detach()
    first, second = in_two_processes(_normalise_in_group)
    torch.testing.assert_close(torch.cat([first["y"], second["y"]]), whole)
    for process in (first, second):
        torch.testing.assert_close(process["mean"], norm.running_mean)
        torch.testing.assert_close(process["var"], norm.running_var)
