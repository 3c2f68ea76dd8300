"""Decoder training: it learns, it is reproducible, it leaves the network alone, and only the
upsampler differs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.frozen import decoder
from benchmarks.frozen.decoder import train as training
from benchmarks.frozen.decoder.network import (
    loss_of,
    make_network,
    make_upsampler,
    upsampler_config,
)
from benchmarks.frozen.decoder.run import score
from benchmarks.frozen.decoder.train import learning_rate_share, parameter_groups, train_batches
from heads.upsamplers.base import Upsampler
from heads.upsamplers.guided_filter import GuidedFilter
from heads.upsamplers.jbu import JBUStack

SMALL = decoder.Settings(size=(40, 48), dim=8, steps=4, images_per_step=3, lr=1e-2, batch_size=3)


@pytest.fixture(scope="module")
def network() -> FeatureExtractor:
    return FeatureExtractor.load("random:test_resnet?output_stride=8")


def test_it_learns_colours(network: FeatureExtractor, toy_data: Any) -> None:
    told = []
    settings = replace(SMALL, steps=60, dim=16)
    record = decoder.BENCHMARK.measure(
        network, toy_data(), settings, progress=lambda *step: told.append(step)
    )
    # By guessing: about 20 and 33. The backbone is untrained.
    assert record.metrics["mIoU"].value > 70 and record.metrics["pixel_accuracy"].value > 80
    assert (
        record.counts["loss"][-1] < 0.3 * record.counts["loss"][0]
        and len(record.counts["loss"]) == 60
    )
    assert told[0] == ("train", 1, 60) and told[-1] == ("score", 2, 2)
    assert record.subject["upsampler"]["spec"] == "bilinear" and record.cost["upsamplers"] == 0
    assert len(record.counts["confusion"]) == 3 and sorted(
        set(record.counts["per_image"]["image"])
    ) == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["bilinear", "jbu", "neighbourhood"])
def test_two_runs_are_equal_and_leave_no_trace(
    network: FeatureExtractor, toy_data: Any, kind: str
) -> None:
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    runs = [
        decoder.BENCHMARK.measure(
            network, toy_data(), replace(SMALL, upsampler=kind, finetune=True)
        )
        for _ in range(2)
    ]
    assert torch.rand(1) == expected
    assert runs[0].counts == runs[1].counts and runs[0].protocol_hash == runs[1].protocol_hash
    after = network.backbone.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert (
        all(p.grad is None for p in network.backbone.parameters()) and not network.backbone.training
    )


def test_only_the_upsampler_differs(network: FeatureExtractor, toy_data: Any) -> None:
    made = []
    for kind in ("bilinear", "jbu"):
        torch.manual_seed(0)
        made.append(make_network(network, 3, replace(SMALL, upsampler=kind))[0])
    first, second = (m.state_dict() for m in made)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert {name.split(".")[1] for name in second.keys() - first.keys()} == {"upsamplers"}
    runs = [
        decoder.BENCHMARK.measure(network, toy_data(), replace(SMALL, upsampler=kind))
        for kind in ("nearest", "jbu")
    ]
    assert (
        runs[0].protocol_hash == runs[1].protocol_hash
        and runs[0].counts["loss"] != runs[1].counts["loss"]
    )
    assert (
        runs[1].subject["upsampler"]["spec"] == "jbu, trained here"
        and runs[1].cost["upsamplers"] > 6000
    )


def test_frozen_and_trained_backbones(network: FeatureExtractor) -> None:
    images = torch.rand(2, 3, 40, 48)
    for finetune in (False, True):
        model, _ = make_network(network, 3, replace(SMALL, finetune=finetune))
        model.train()
        assert model.head.training and not model.backbone.training
        model(images).square().sum().backward()
        assert any(p.grad is not None for p in model.backbone.parameters()) == finetune
        groups = parameter_groups(model, replace(SMALL, finetune=finetune))
        assert {g["lr"] for g in groups} == ({1e-2, 6e-5} if finetune else {1e-2})
        assert all((g["weight_decay"] > 0) == all(p.ndim > 1 for p in g["params"]) for g in groups)
        counted = sum(p.numel() for g in groups for p in g["params"])
        assert counted == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_the_schedule_rises_and_falls_per_step() -> None:
    shares = [learning_rate_share(step, 100, 0.1) for step in range(101)]
    assert shares[:3] == pytest.approx([0.1, 0.2, 0.3]) and shares[9] == 1 and shares[10] == 1
    np.testing.assert_allclose(np.diff(shares[10:]), -1 / 90)
    assert shares[100] == 0 and learning_rate_share(0, 1, 0.0) == 1


def test_batches_are_permutations_with_their_masks(toy_data: Any) -> None:
    split = toy_data().train
    whole = replace(SMALL, steps=4, images_per_step=3, crop=1.0, flip=0.0)
    batches = list(train_batches(split, whole))
    assert (
        len(batches) == 4
        and batches[0][0].shape == (3, 3, 40, 48)
        and batches[0][1].shape == (3, 40, 48)
    )
    images = torch.cat([images for images, _ in batches])
    masks = torch.cat([masks for _, masks in batches])
    originals = [split.load(i) for i in range(6)]
    for epoch in (slice(0, 6), slice(6, 12)):
        seen = []
        for image, mask in zip(images[epoch], masks[epoch], strict=True):
            place = [
                i
                for i, (pixels, _) in enumerate(originals)
                if np.array_equal(image.permute(1, 2, 0), pixels)
            ]
            assert len(place) == 1 and np.array_equal(mask, originals[place[0]][1])
            seen += place
        assert sorted(seen) == list(range(6))
    flipped = next(iter(train_batches(split, replace(whole, flip=1.0))))
    assert torch.equal(flipped[0], images[:3].flip(-1)) and torch.equal(
        flipped[1], masks[:3].flip(-1)
    )
    cropped = next(iter(train_batches(split, replace(whole, crop=0.25))))
    assert not torch.equal(cropped[0], images[:3])


def test_the_loss_counts_known_pixels_only() -> None:
    logits = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    masks = torch.tensor([[[0, -1], [1, 2]], [[-1, -1], [-1, -1]]], dtype=torch.int16)
    picked = F.log_softmax(logits[0], 0)
    expected = -(picked[0, 0, 0] + picked[1, 1, 0] + picked[2, 1, 1]) / 3
    torch.testing.assert_close(loss_of(logits, masks, -1), expected)
    assert loss_of(logits, torch.full_like(masks, -1), -1) == 0


def test_the_kind_of_the_extractors_upsampler_is_trained(network: FeatureExtractor) -> None:
    given = GuidedFilter(radius=3)
    assert upsampler_config(network.through(given, 4), SMALL) == given.config
    assert (
        upsampler_config(network.through(given, 4), replace(SMALL, upsampler="nearest"))["mode"]
        == "nearest"
    )
    stack = network.through(JBUStack(96, factor=8), 4)
    model, described = make_network(stack, 3, SMALL)
    assert [u.config.get("channels") for u in model.head.upsamplers] == [None, 8]
    assert model.head.upsamplers[1].config["factor"] == 2 and described["type"] == "JBUStack"
    with pytest.raises(
        ValueError, match="upsampler Upsampler: a decoder trains its own, of a kind among"
    ):
        upsampler_config(network.through(Upsampler(), 4), SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(upsampler="jbuu"), "upsampler='jbuu' is not one of"),
        (dict(steps=0), "steps=0 must be greater than 0"),
        (dict(crop=0.0), r"crop=0.0 must be in \(0, 1\]"),
        (dict(warmup=1.0), r"warmup=1.0 must be in \[0, 1\)"),
        (dict(images_per_step=1), "images_per_step=1 must be at least 2"),
        (dict(weight_decay=-1.0), "weight_decay=-1.0"),
        (dict(size=(0, 2)), r"size=\(0, 2\)"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)


def test_sizes_and_losses_that_cannot_be_are_named(
    network: FeatureExtractor, toy_data: Any
) -> None:
    with pytest.raises(
        ValueError, match=r"size=\(36, 48\) must be a multiple of the deepest stride, 8"
    ):
        decoder.BENCHMARK.measure(network, toy_data(), replace(SMALL, size=(36, 48)))
    with pytest.raises(
        ValueError, match="step 4: the loss is not finite; try a smaller lr than 1e\\+30"
    ):
        decoder.BENCHMARK.measure(network, toy_data(), replace(SMALL, lr=1e30))


def test_a_long_training_is_kept_as_means_of_equal_runs_of_steps(
    network: FeatureExtractor, toy_data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SMALL, steps=6)
    every = decoder.BENCHMARK.measure(network, toy_data(), settings).counts["loss"]
    monkeypatch.setattr(training, "_CURVE", 3)
    means = decoder.BENCHMARK.measure(network, toy_data(), settings).counts["loss"]
    assert means == pytest.approx(np.reshape(every, (3, 2)).mean(1).tolist())


def test_strides_that_an_upsampler_cannot_join_are_refused() -> None:
    """Its factor is a whole number, fitted to the level; one without a factor goes anywhere."""
    fitted = make_upsampler(dict(type="JBUStack"), dim=4, stride=8, target=2)
    assert fitted.config["factor"] == 4
    with pytest.raises(ValueError, match="stride=3: JBUStack needs a divisor of .* stride 8"):
        make_upsampler(dict(type="JBUStack"), dim=4, stride=8, target=3)
    make_upsampler(dict(type="Interpolation", mode="nearest"), dim=4, stride=8, target=3)


def test_an_upsampler_that_has_no_untrained_form_is_refused(network: FeatureExtractor) -> None:
    class Foreign:
        config = dict(type="Foreign")

    with pytest.raises(ValueError, match="upsampler Foreign: a decoder trains its own, of a kind"):
        upsampler_config(network.through(Foreign(), 4), SMALL)


def test_scores_do_not_depend_on_the_batch_and_leave_dropout_out(
    network: FeatureExtractor, toy_data: Any
) -> None:
    torch.manual_seed(0)
    model, _ = make_network(network, 3, SMALL)
    model.eval()
    tallies = [
        score(model, network, toy_data(), settings=replace(SMALL, batch_size=size))
        for size in (1, 4, 4)
    ]
    assert all(np.array_equal(tally.confusion, tallies[0].confusion) for tally in tallies)
