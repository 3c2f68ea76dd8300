"""Gram anchoring: numbers of the specification, loops, what the frozen network sees, mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pretrain.backbones.timm_backbone import FeatureInfo, Features, TimmBackbone
from pretrain.encodings import BatchEncodings
from pretrain.engine.build import build_runner, check
from pretrain.engine.config import PretrainConfig
from pretrain.engine.settings import ConfigError
from pretrain.geometry import identity
from pretrain.objectives.gram import Gram, cell_cosines, gram_loss
from pretrain.reference import Reference, ReferenceSettings, resized
from pretrain.structures import Batch, Views

SMALL = dict(patch_size=8, img_size=32, embed_dim=24, depth=1, num_heads=2)
VIT = dict(type="TimmBackbone", name="vit_tiny_patch16_224", **SMALL)


def loss_of(x: Tensor, y: Tensor, **options: bool) -> Tensor:
    return gram_loss(cell_cosines(x, **options), cell_cosines(y, **options))


def test_numbers_of_the_specification(wave: Callable[..., Tensor]) -> None:
    x, y = wave(0, 2, 6, 4).requires_grad_(), wave(0.5, 2, 6, 4)
    sums = (cell_cosines(x) - cell_cosines(y)).square().sum((1, 2))
    assert sums.tolist() == pytest.approx([3.093711, 6.701032], abs=6e-7)
    loss = loss_of(x, y)
    assert loss.item() == pytest.approx(0.136038, abs=6e-7)
    loss.backward()
    expected = [-0.017291, -0.006565, 0.019801, -0.002777]
    assert x.grad[0, 0].tolist() == pytest.approx(expected, abs=6e-7)
    assert loss_of(x, y, negatives=False).item() == pytest.approx(0.052889, abs=6e-7)


def test_against_loops(wave: Callable[..., Tensor]) -> None:
    x, y = wave(0, 3, 5, 4), wave(0.5, 3, 5, 6)  # the networks' widths may differ
    total = 0.0
    for b in range(3):
        for i in range(5):
            for j in range(5):
                own = F.cosine_similarity(x[b, i], x[b, j], dim=0)
                total += (own - F.cosine_similarity(y[b, i], y[b, j], dim=0)) ** 2
    assert loss_of(x, y).item() == pytest.approx(total.item() / 75)


def test_equal_cells_before_a_reference_of_orthogonal_ones() -> None:
    x, y = torch.ones(1, 4, 4), torch.eye(4)[None]
    assert loss_of(x, y).item() == pytest.approx(0.75)


def test_rotations_and_the_scale_of_each_cell_change_nothing(wave: Callable[..., Tensor]) -> None:
    x, y = wave(0, 2, 6, 4), wave(0.5, 2, 6, 4)
    rotation = torch.linalg.qr(wave(2, 4, 4)).Q
    scale = 1 + torch.arange(12, dtype=torch.float64).view(2, 6, 1)
    assert loss_of(scale * x @ rotation, y).item() == pytest.approx(loss_of(x, y).item())
    assert loss_of(x @ rotation, x).item() == pytest.approx(0, abs=1e-24)


class Given:
    """Encodings that are given."""

    def __init__(self, own: Tensor, frozen: Tensor) -> None:
        self.own, self.frozen = own, frozen

    def online(self, group: str) -> list[Features]:
        return [Features({8: self.own}, self.own.mean((2, 3)))]

    def reference(self, group: str, *, grid: tuple[int, int], resize: str) -> list[Features]:
        return [Features({8: resized(self.frozen, grid, resize)}, self.frozen.mean((2, 3)))]


@pytest.mark.parametrize(
    ("resize", "value"), [("bicubic", 0.153283), ("antialiased", 0.070181), ("area", 0.128377)]
)
def test_maps_are_resized_and_then_normalised(
    wave: Callable[..., Tensor], resize: str, value: float
) -> None:
    encode = Given(wave(0, 1, 3, 2, 2), wave(0.5, 1, 3, 4, 4))
    terms = Gram(FeatureInfo({8: 3}, 3), resize=resize)(None, encode)
    assert terms["loss"].item() == pytest.approx(value, abs=6e-7)
    first = resized(F.normalize(encode.frozen, dim=1), (2, 2), "bicubic")
    other = Gram(FeatureInfo({8: 3}, 3))(None, Given(encode.own, first))["loss"]
    assert other.item() == pytest.approx(0.195592, abs=6e-7)


def test_collapse_is_the_value_of_the_logged_bound(wave: Callable[..., Tensor]) -> None:
    objective, frozen = Gram(FeatureInfo({8: 3}, 3)), wave(0.5, 2, 3, 4, 4)
    terms = objective(None, Given(torch.ones(2, 3, 4, 4).double(), frozen))
    assert objective.bounds(None, terms).collapsed == pytest.approx(terms["loss"].item())
    assert objective(None, Given(frozen, frozen))["loss"].item() == 0


def test_chosen_cells_are_the_same_in_both_networks_and_others_in_the_next_step(
    wave: Callable[..., Tensor],
) -> None:
    x, y = wave(0, 2, 3, 4, 4), wave(0.5, 2, 3, 4, 4)
    objective = Gram(FeatureInfo({8: 3}, 3), cells=5)
    torch.manual_seed(3)
    steps = [objective(None, Given(x, y))["loss"].item() for _ in range(2)]
    torch.manual_seed(3)
    for value in steps:
        chosen = torch.randperm(16)[:5]
        cells = (maps.flatten(2).mT[:, chosen] for maps in (x, y))
        assert value == pytest.approx(loss_of(*cells).item())
    assert steps[0] != steps[1]


def config(image_folder: Path, work_dir: Path, **changes: Any) -> PretrainConfig:
    view = dict(size=32, scale=(0.3, 1.0), jitter=dict(brightness=0.4))
    large = [dict(size=64, same_as=("global", index)) for index in range(2)]
    objectives = [dict(type="Gram", twins="large", cells=8), dict(type="PixPro", hidden=8, dim=4)]
    values = dict(
        model=dict(type="Pretrainer", backbone=dict(VIT), objectives=objectives),
        source=dict(type="ImageFolder", root=str(image_folder)),
        views=dict(type="ViewRecipe", groups={"global": [view, view], "large": large}),
        loader=dict(workers=0),
        schedule=dict(global_batch=4, samples=24, lr_rule="none", lr=1e-3),
        optimizer=dict(type="AdamW"),
        engine=dict(checkpoint_every=2, keep_checkpoints=9, log_every=100),
        vis_backends=[],
        work_dir=str(work_dir),
    )
    return PretrainConfig(values | changes)


def test_the_frozen_network_sees_the_twins_at_their_own_size() -> None:
    torch.manual_seed(0)
    backbone = TimmBackbone("vit_tiny_patch16_224", **SMALL)
    frozen = Reference(ReferenceSettings(), TimmBackbone("vit_tiny_patch16_224", **SMALL))
    frozen.begin(backbone)
    with torch.no_grad():
        backbone.model.blocks[0].mlp.fc1.weight.mul_(1.5)
    place = identity().expand(2, 2, 2, 3)
    small, large = torch.randn(2, 2, 3, 32, 32), torch.randn(2, 2, 3, 64, 64)
    views = {"global": Views(small, place), "large": Views(large, place)}
    batch = Batch(views, None, torch.arange(2))
    encode = BatchEncodings(batch, backbone, None, reference=frozen)
    loss = Gram(backbone.info, twins="large", cells=None)(batch, encode)["loss"]
    expected = []
    for view in range(2):
        with torch.no_grad():
            reference = frozen.network(large[:, view]).map()  # (2, 24, 8, 8)
        reference = F.interpolate(reference, (4, 4), mode="bicubic").flatten(2).mT
        expected.append(loss_of(backbone(small[:, view]).map().flatten(2).mT, reference))
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)


def test_refreshed_and_resumed_equals_uninterrupted(image_folder: Path, tmp_path: Path) -> None:
    """Twins, chosen cells and a reference that the target replaces in the second and third step."""
    finals = {}
    for name in ("whole", "cut"):
        cfg = config(image_folder, tmp_path / name)
        cfg.model.reference = dict(refresh_every=1, refreshes=3)
        build_runner(cfg).train()
        if name == "cut":
            for step in (4, 6):
                (tmp_path / name / f"iter_{step}.pth").unlink()
            build_runner(cfg, resume=True).train()
        finals[name] = torch.load(tmp_path / name / "final.pth", weights_only=True)["state_dict"]
    for name, value in finals["whole"].items():
        assert torch.equal(value, finals["cut"][name]), name


def test_mistakes_are_named(image_folder: Path, tmp_path: Path) -> None:
    for options, message in (
        (dict(cells=1), "cells=1: must be None or at least 2"),
        (dict(resize="nearest"), "resize='nearest' is not one of area, bicubic"),
        (dict(stride=16), r"stride=16: the backbone has maps at strides \[8\]"),
    ):
        with pytest.raises(ValueError, match=message):
            Gram(FeatureInfo({8: 3}, 3), **options)
    view = dict(size=32)
    for twins in ([view, view], [dict(size=64, same_as=("global", 0))] * 2):
        groups = {"global": [view, view], "large": twins}
        cfg = config(image_folder, tmp_path, views=dict(type="ViewRecipe", groups=groups))
        with pytest.raises(ConfigError, match=r"views.groups.large: Gram compares .* one by one"):
            check(cfg)
