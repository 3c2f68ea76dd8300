"""The frozen reference: what it is, how it sees, that it stays, and how a run continues with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from pretrain.backbones.timm_backbone import FeatureInfo, TimmBackbone
from pretrain.encodings import BatchEncodings, Encodings
from pretrain.engine.build import build_runner, check
from pretrain.engine.check import register_all
from pretrain.engine.config import PretrainConfig
from pretrain.engine.settings import ConfigError
from pretrain.geometry import identity
from pretrain.model import Pretrainer
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Objective
from pretrain.reference import Reference, ReferenceSettings, resized
from pretrain.structures import Batch, Views
from pretrain.weights.filling import weights_fingerprint

VIT = dict(
    type="TimmBackbone",
    name="vit_tiny_patch16_224",
    patch_size=8,
    img_size=32,
    embed_dim=24,
    depth=1,
    num_heads=2,
)


@MODELS.register_module()
class StaysNear(Objective):
    """Cells are pulled away from those of the reference by one step, and back from there on."""

    needs = Needs(reference=("global",), target=("global",), views=1)

    def __init__(self, features: FeatureInfo) -> None:
        super().__init__(features)

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``."""
        encode.target("global")
        own, frozen = encode.online("global")[0].map(), encode.reference("global")[0].map()
        assert not frozen.requires_grad
        return {"loss": (own - 2 * frozen).square().mean()}


def config(image_folder: Path, work_dir: Path, **model: Any) -> PretrainConfig:
    view = dict(size=32, scale=(0.3, 1.0))
    return PretrainConfig(
        dict(
            model=dict(
                type="Pretrainer", backbone=dict(VIT), objectives=[dict(type="StaysNear")], **model
            ),
            source=dict(type="ImageFolder", root=str(image_folder)),
            views=dict(type="ViewRecipe", groups={"global": [view]}),
            loader=dict(workers=0),
            schedule=dict(global_batch=4, samples=24, lr_rule="none", lr=1e-2),
            optimizer=dict(type="AdamW"),
            engine=dict(checkpoint_every=2, keep_checkpoints=9, log_every=100),
            vis_backends=[],
            work_dir=str(work_dir),
        )
    )


def start_file(path: Path, seed: int = 7) -> str:
    torch.manual_seed(seed)
    network = MODELS.build(dict(VIT))
    state = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    torch.save(dict(state_dict=state, meta=dict(backbone=network.config, licence="MIT")), path)
    return str(path)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(first, second) for first, second in pairs)


def test_online_target_and_reference_begin_equal_and_the_reference_stays(
    image_folder: Path, tmp_path: Path
) -> None:
    cfg = config(image_folder, tmp_path / "run")
    cfg.model.backbone.start = start_file(tmp_path / "start.pth")
    runner = build_runner(cfg)
    model = runner.raw_model
    assert same(model.backbone, model.target_backbone)
    assert same(model.backbone, model.reference.network)
    before = weights_fingerprint(model.reference.network)
    assert not any("reference" in name for name in model.state_dict())
    runner.train()
    assert weights_fingerprint(model.reference.network) == before
    assert not same(model.backbone, model.reference.network)
    assert not model.reference.network.training
    meta = torch.load(tmp_path / "run" / "final.pth", weights_only=True)["meta"]
    assert meta["reference"] == dict(fingerprint=before, licence=None)
    assert meta["start"]["fingerprint"] == before


@pytest.mark.parametrize("drawn", [False, True], ids=["start weights", "drawn weights"])
def test_a_resumed_run_equals_the_whole_one(
    image_folder: Path, tmp_path: Path, drawn: bool
) -> None:
    finals = {}
    for name in ("whole", "cut"):
        cfg = config(image_folder, tmp_path / name)
        if not drawn:
            cfg.model.backbone.start = start_file(tmp_path / "start.pth")
        build_runner(cfg).train()
        if name == "cut":
            for step in (4, 6):
                (tmp_path / name / f"iter_{step}.pth").unlink()
            build_runner(cfg, resume=True).train()
        finals[name] = torch.load(tmp_path / name / "final.pth", weights_only=True)["state_dict"]
    for name, value in finals["whole"].items():
        assert torch.equal(value, finals["cut"][name]), name


def test_start_weights_that_changed_are_refused(image_folder: Path, tmp_path: Path) -> None:
    cfg = config(image_folder, tmp_path / "run")
    cfg.model.backbone.start = start_file(tmp_path / "start.pth")
    build_runner(cfg).train()
    start_file(tmp_path / "start.pth", seed=8)
    with pytest.raises(ConfigError, match="held to another reference network"):
        build_runner(cfg, resume=True)


def test_the_target_takes_its_place_as_often_as_asked(image_folder: Path, tmp_path: Path) -> None:
    options = dict(reference=dict(refresh_every=2, refreshes=2), momentum=dict(start=0.5))
    build_runner(config(image_folder, tmp_path / "run", **options)).train()
    states = {}
    for step in (2, 4, 6):
        path = tmp_path / "run" / f"iter_{step}.pth"
        state = torch.load(path, weights_only=True)["state_dict"]
        name = "model.blocks.0.mlp.fc1.weight"
        states[step] = state[f"target_backbone.{name}"], state[f"reference_backbone.{name}"]
    for step in (2, 4):
        assert torch.equal(*states[step])
    assert torch.equal(states[6][1], states[4][1]) and not torch.equal(*states[6])
    (tmp_path / "run" / "iter_6.pth").unlink()
    before = torch.load(tmp_path / "run" / "final.pth", weights_only=True)["state_dict"]
    build_runner(config(image_folder, tmp_path / "run", **options), resume=True).train()
    after = torch.load(tmp_path / "run" / "final.pth", weights_only=True)["state_dict"]
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_another_network_with_its_own_normalisation_and_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    other = dict(VIT, embed_dim=48, num_heads=3)
    network = MODELS.build(dict(other))
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    state = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    state["backbone.mask_token"] = torch.zeros(48)  # as of a network trained by iBOT
    meta = dict(backbone=network.config, normalisation=dict(mean=mean, std=std), licence="BSD")
    torch.save(dict(state_dict=state, meta=meta), tmp_path / "teacher.pth")
    settings = ReferenceSettings(
        backbone=dict(other, start=str(tmp_path / "teacher.pth")), size=(48, 48)
    )
    reference = Reference(settings, settings.build())
    reference.begin(TimmBackbone("test_resnet"))
    assert "teacher.pth" in str(reference) and "licence of the weights: BSD" in str(reference)
    pixels = torch.rand(2, 2, 3, 24, 24)
    ours = torch.tensor([[0.1, 0.2, 0.3], [0.5, 0.6, 0.7]]).view(2, 3, 1, 1)
    views = Views((pixels - ours[0]) / ours[1], identity().expand(2, 2, 2, 3))
    encode = BatchEncodings(
        Batch({"global": views}, None, torch.arange(2)),
        TimmBackbone("test_resnet"),
        None,
        reference=reference,
        normalisation=(ours[0], ours[1]),
    )
    theirs = torch.tensor([mean, std]).view(2, 3, 1, 1)
    large = F.interpolate(
        (pixels[:, 1] - theirs[0]) / theirs[1], (48, 48), mode="bilinear", antialias=True
    )
    expected = network.eval()(large).map()
    features = encode.reference("global")
    assert torch.allclose(features[1].map(), expected, atol=1e-4)
    small = encode.reference("global", grid=(3, 3))[1]
    assert torch.allclose(small.map(), F.avg_pool2d(expected, 2), atol=1e-4)
    assert torch.equal(small.vector, features[1].vector)


def gram_distance(one: Tensor, other: Tensor) -> float:
    """Mean square difference of the cosines among cells, maps (1, D, H, W)."""
    one, other = (F.normalize(x.flatten(2), dim=1) for x in (one, other))
    return (one.mT @ one - other.mT @ other).square().mean().item()


def test_the_resize_is_part_of_the_method(wave: Callable[..., Tensor]) -> None:
    """Numbers of Gram anchoring and of distillation in the specification."""
    reference, student = wave(0.5, 1, 3, 4, 4), wave(0, 1, 3, 2, 2)
    expected = {"bicubic": 0.153283, "antialiased": 0.070181, "area": 0.128377}
    for how, distance in expected.items():
        value = gram_distance(student, resized(reference, (2, 2), how))
        assert value == pytest.approx(distance, abs=6e-7), how
    assert resized(reference, (4, 4), "area") is reference
    with pytest.raises(ValueError, match="resize='nearest' is not one of area, bicubic"):
        resized(reference, (2, 2), "nearest")


def test_mistakes_are_named(image_folder: Path, tmp_path: Path) -> None:
    register_all()
    with pytest.raises(ValueError, match="reference=.*no objective asks for it"):
        Pretrainer(dict(VIT), [dict(type="PixPro")], reference={})
    for options, message in (
        (dict(backbone=dict(VIT)), "reference.backbone: has no start"),
        (dict(refresh_every=0), "refresh_every=0, refreshes=3: must be at least 1"),
        (dict(backbone=dict(VIT, start="x"), refresh_every=1), "leave backbone out"),
        (dict(sise=3), "did you mean 'size'"),
    ):
        with pytest.raises(ValueError, match=message):
            Pretrainer(dict(VIT), [dict(type="StaysNear")], reference=options)
    gone = dict(backbone=dict(VIT, start="nowhere.pth"))
    with pytest.raises(ConfigError, match="model.reference: nowhere.pth: no such checkpoint"):
        check(config(image_folder, tmp_path / "run", reference=gone))
    torch.manual_seed(0)
    part = {f"backbone.{name}": v for name, v in MODELS.build(dict(VIT)).state_dict().items()}
    del part["backbone.model.norm.weight"]
    meta = dict(backbone=MODELS.build(dict(VIT)).config)
    torch.save(dict(state_dict=part, meta=meta), tmp_path / "part.pth")
    incomplete = dict(backbone=dict(VIT, start=str(tmp_path / "part.pth")))
    with pytest.raises(ConfigError, match="model.reference: .*part.pth does not fill the backbone"):
        check(config(image_folder, tmp_path / "run", reference=incomplete))
    plain = BatchEncodings(Batch({}, None, torch.arange(1)), TimmBackbone("test_resnet"), None)
    with pytest.raises(RuntimeError, match=r"name the group in Needs\(reference"):
        plain.reference("global")
