"""Supervised control: cross-entropy over views, images without a label left out."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.objectives.supervised import Supervised
from pretrain.structures import Batch


def run(
    objective: Supervised, labels: list[int], views: list[torch.Tensor]
) -> dict[str, torch.Tensor]:
    features = [Features({8: v[:, :, None, None]}, v) for v in views]
    encode = type("E", (), {"online": lambda self, g: features})()
    return objective(Batch({}, torch.tensor(labels), torch.arange(len(labels))), encode)


def test_equals_cross_entropy_over_labelled_views() -> None:
    torch.manual_seed(0)
    objective = Supervised(FeatureInfo({8: 6}, 6), num_classes=3)
    views = [torch.randn(4, 6) for _ in range(2)]
    labels = [2, -1, 0, 1]
    losses, right = [], []
    for view in views:
        for vector, label in zip(view, labels, strict=True):
            if label >= 0:
                logits = objective.classifier(vector)
                losses.append(F.cross_entropy(logits[None], torch.tensor([label])))
                right.append(float(logits.argmax() == label))
    terms = run(objective, labels, views)
    assert torch.allclose(terms["loss"], torch.stack(losses).mean())
    assert terms["top1"].item() == pytest.approx(sum(right) / len(right))


def test_uniform_scores_give_the_log_of_the_classes_and_no_label_gives_zero() -> None:
    objective = Supervised(FeatureInfo({8: 6}, 6), num_classes=5)
    torch.nn.init.zeros_(objective.classifier.weight)
    torch.nn.init.zeros_(objective.classifier.bias)
    assert run(objective, [0, 1], [torch.randn(2, 6)])["loss"].item() == pytest.approx(math.log(5))
    assert objective.bounds(None, {}).collapsed == pytest.approx(math.log(5))
    assert run(objective, [-1, -1], [torch.randn(2, 6)])["loss"] == 0


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="num_classes=1"):
        Supervised(FeatureInfo({8: 6}, 6), num_classes=1)
