"""A classifier at other weights: BatchNorm's statistics, scores, and nothing else that changes."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from benchmarks.analysis.landscape import Images, Landscape
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data import ClassFolder
from benchmarks.finetune.classifier import Classifier

RESNET = "random:resnet10t?output_stride=8&layers=(1,1,0,0)&channels=(8,16,16,16)&stem_width=8"
VIT = "random:vit_tiny_patch16_224?patch_size=8&img_size=32&depth=2&embed_dim=24&num_heads=2"


def classifier_of(spec: str) -> Classifier:
    """A classifier with random weights."""
    torch.manual_seed(0)
    backbone = FeatureExtractor.load(spec).backbone
    return Classifier(backbone, classes=("a", "b", "c"), size=32, crop_fraction=0.875).eval()


@pytest.fixture
def data(split_folder: Path) -> ClassFolder:
    """24 train and 12 val images."""
    return ClassFolder(split_folder)


def landscape_of(classifier: Classifier, data: ClassFolder, batch_size: int = 5) -> Landscape:
    """Statistics of all train images."""
    statistics = Images.of(data.train, classifier, most=100)
    return Landscape(classifier, statistics=statistics, batch_size=batch_size)


def test_statistics_are_those_of_the_training_images(data: ClassFolder) -> None:
    """Of the first norm, in front of which nothing depends on statistics, by closed form; counters
    and the classifier itself stay as they are.
    """
    classifier = classifier_of(RESNET)
    name, before = "backbone.model.conv1.1", copy.deepcopy(classifier.state_dict())
    landscape = landscape_of(classifier, data)
    counter = {f"{name}.num_batches_tracked": torch.tensor(7)}
    landscape.place(before | counter, recalibrate=True)
    seen = []
    norm = landscape.classifier.get_submodule(name)
    norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    landscape.score(Images.of(data.train, classifier, most=100))
    channels = torch.cat(seen).transpose(0, 1).flatten(1)
    torch.testing.assert_close(norm.running_mean, channels.mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, channels.var(1), rtol=1e-4, atol=1e-5)
    assert int(norm.num_batches_tracked) == 7 and norm.momentum == 0.1
    assert not any(module.training for module in landscape.classifier.modules())
    for key, value in classifier.state_dict().items():
        assert torch.equal(value, before[key]), key
    landscape.place(before, recalibrate=False)
    assert torch.equal(norm.running_mean, before[f"{name}.running_mean"])


def test_scores_are_the_classifiers(data: ClassFolder) -> None:
    classifier = classifier_of(RESNET)
    images = Images.of(data.val, classifier, most=8)
    assert images.numbers == range(0, 12, 2) and images.labels.tolist() == [0, 0, 1, 1, 2, 2]
    landscape = landscape_of(classifier, data, batch_size=4)
    landscape.place(classifier.state_dict(), recalibrate=False)
    scored = landscape.score(images)
    logits = classifier.logits(images.pixels)
    losses = F.cross_entropy(logits, images.labels, reduction="none")
    torch.testing.assert_close(scored.losses, losses.double(), rtol=1e-4, atol=1e-6)
    assert scored.loss == pytest.approx(float(losses.mean()), rel=1e-4)
    right = (logits.argmax(1) == images.labels).float().mean()
    assert scored.top1 == pytest.approx(100 * float(right))


def test_without_statistics_nothing_is_measured_anew(data: ClassFolder) -> None:
    landscape = landscape_of(classifier_of(VIT), data)
    assert not landscape.has_statistics and landscape_of(classifier_of(RESNET), data).has_statistics
    state = landscape.classifier.state_dict()
    images = Images.of(data.val, landscape.classifier, most=12)
    scores = []
    for recalibrate in (False, True):
        landscape.place(state, recalibrate=recalibrate)
        scores.append(landscape.score(images).losses)
    assert torch.equal(*scores)
