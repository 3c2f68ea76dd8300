"""Every recipe says what to expect, passes the engine's checks, wires up at full size and really
trains, made small.
"""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, TRANSFORMS
from torch import nn

from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.engine.build import build_runner
from pretrain.engine.check import Settings, check_config, check_wiring
from pretrain.engine.config import PretrainConfig
from pretrain.engine.schedule import Schedule, make_schedule, micro_batch

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "configs").rglob("*.py")
    if not {"_base_", "comparisons", "finetune", "presets", "transfer", "upsamplers"}
    & set(path.relative_to(ROOT).parts)
)
#: Images behind a recipe's source; the schedule in steps depends on them.
IMAGES = {"imagenet": 1_281_167, "one_gpu": 1_281_167, "coco": 118_287, "cifar": 50_000}
STATUS = r"not reproduced by us|not run by us|ours, untested|our own recipe"
RESNET = dict(type="TimmBackbone", name="test_resnet")
VIT = dict(
    type="TimmBackbone",
    name="vit_tiny_patch16_224",
    patch_size=16,
    img_size=64,
    embed_dim=24,
    depth=1,
    num_heads=2,
)
every_recipe = pytest.mark.parametrize("recipe", RECIPES)


def load(recipe: str) -> Config:
    """Returns the config as tools/train.py would read it."""
    return Config.fromfile(ROOT / recipe)


def header(recipe: str) -> str:
    """Returns the module's docstring."""
    return ast.get_docstring(ast.parse((ROOT / recipe).read_text(encoding="utf-8")))


def planned(recipe: str) -> tuple[Settings, Schedule]:
    """Returns a recipe's settings and its schedule on the real number of images."""
    settings = check_config(load(recipe))
    return settings, make_schedule(settings.schedule, IMAGES.get(Path(recipe).parts[1], 100_000))


@every_recipe
def test_header_says_how_to_launch_and_what_to_expect(recipe: str) -> None:
    text = header(recipe)
    launch = (
        rf"python tools/train\.py {re.escape(recipe)}|bash tools/dist_train\.sh "
        rf"{re.escape(recipe)} (\d+)"
    )
    actual = re.search(launch, text)
    assert actual, f"no launch line for {recipe}"
    for field in ("Launch:", "Hardware:", "Result:", "Knob:"):
        assert f"\n{field}" in text
    assert re.search(STATUS, re.sub(r"\s+", " ", text)), (
        f"the result's status is not said: one of {STATUS}"
    )
    micro_batch(
        planned(recipe)[0].schedule, int(actual[1] or 1)
    )  # raises if the processes do not divide the batch


@every_recipe
def test_recipe_passes_the_checks_and_wires_up_at_full_size(recipe: str) -> None:
    cfg = load(recipe)
    planned(recipe)
    views = TRANSFORMS.build(cfg.views.to_dict())
    with torch.device("meta"):
        model = MODELS.build(cfg.model.to_dict())
    if "_r50_" in recipe:  # a ResNet-50 without classifier
        assert sum(p.numel() for p in model.backbone.parameters()) == 23_508_032
    check_wiring(
        model.objectives, {name: len(specs) for name, specs in views.specs.items()}, labelled=True
    )


def made_small(recipe: str, image_folder: Path, work_dir: Path) -> PretrainConfig:
    """Returns the recipe with a tiny network, small views and two steps of four images."""
    values: dict[str, Any] = {
        k: v for k, v in load(recipe).to_dict().items() if not k.startswith("_")
    }
    values["source"] = dict(type="ImageFolder", root=str(image_folder))
    hides = [MODELS.get(o["type"]).needs.masked for o in values["model"]["objectives"]]
    # Only a ViT has cells to hide.
    values["model"]["backbone"] = dict(VIT if any(hides) else RESNET)
    if (values["model"].get("reference") or {}).get("backbone"):
        values["model"]["reference"]["backbone"] = RESNET | dict(start=start_file(work_dir))
    for objective in values["model"]["objectives"]:
        if "hidden" in objective:
            objective["hidden"] = 32
    for views in values["views"]["groups"].values():
        for view in views:
            view["size"] = 64
    schedule = values["schedule"]
    for key in ("epochs", "warmup_epochs", "warmup_samples"):
        schedule.pop(key, None)
    schedule.update(samples=16, global_batch=8, accumulate=min(2, schedule.get("accumulate", 1)))
    values["loader"] = dict(values.get("loader", {}), workers=0)
    values["optimizer"].pop("heads_first", None)  # two steps are less than an epoch
    values["engine"] = dict(values.get("engine", {}), precision="fp32")
    return PretrainConfig(dict(values, vis_backends=[], work_dir=str(work_dir)))


def start_file(folder: Path) -> str:
    """Writes weights of the tiny ResNet into a new folder beside this one; returns the file."""
    network = MODELS.build(dict(RESNET))
    state = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    path = folder.with_name(f"{folder.name}_start") / "start.pth"
    path.parent.mkdir()
    torch.save(dict(state_dict=state, meta=dict(backbone=network.config)), path)
    return str(path)


@every_recipe
def test_recipe_trains_when_made_small(recipe: str, image_folder: Path, tmp_path: Path) -> None:
    runner = build_runner(made_small(recipe, image_folder, tmp_path))
    trained = [p for p in runner.model.parameters() if p.requires_grad and p.ndim > 1]
    before = [p.detach().clone() for p in trained]
    runner.train()
    assert all(torch.isfinite(p).all() for p in trained)
    # Every matrix moves, or the recipe trains a head for nothing.
    assert all(not torch.equal(p, old) for p, old in zip(trained, before, strict=True))
    assert (tmp_path / "final.pth").is_file()


def test_published_numbers_of_pixpro() -> None:
    """Steps and learning rates as in the authors' scripts: 1251 steps of 1024 per epoch, lr 4.0."""
    _, schedule = planned("configs/imagenet/pixpro_r50_100e.py")
    assert (schedule.steps, schedule.warmup_steps) == (125_100, 6_255)
    epochs = (0, 1, 2.5, 5, 10, 90, 100)
    actual = [schedule.lr(math.floor(epoch * 1251)) for epoch in epochs]
    assert actual == pytest.approx([0.04, 0.832, 2.0197, 4.0, 3.9727, 0.1084, 1e-6], abs=6e-4)
    assert planned("configs/imagenet/pixpro_r50_400e.py")[1].steps == 500_400
    small = planned("configs/one_gpu/pixpro_r50_100e.py")[1]
    assert small.peak == pytest.approx(4 * math.sqrt(small.global_batch / 1024))
    with torch.device("meta"):
        model = MODELS.build(load("configs/imagenet/pixpro_r50_100e.py").model.to_dict())
    assert sum(p.numel() for p in model.objectives[0].projector.parameters()) == 9_449_728


#: {recipe: learning rates of the first step, at the peak and after the last step} by the authors'
# codes.
RATES = {
    "configs/imagenet/pixpro_r50_100e.py": (0.04, 4.0, 1e-6),
    "configs/imagenet/simclr_r50_100e.py": (0.0, 2.4, 0.0),
    "configs/imagenet/byol_r50_100e.py": (0.0, 1.8, 0.0),
    "configs/imagenet/supcon_r50_350e.py": (0.0, 9.6, 0.0),
    "configs/imagenet/vicregl_r50_300e.py": (0.0, 1.6, 1.6e-3),
    "configs/imagenet/densecl_r50_200e.py": (0.03, 0.03, 0.0),
    "configs/cifar/supcon_r50_1000e.py": (0.01, 0.5, 5e-4),
    "configs/cifar/clae_simclr_r18_100e.py": (3e-4, 3e-4, 3e-4),
}


@pytest.mark.parametrize("recipe", RATES)
def test_learning_rates_begin_peak_and_end_as_the_authors_do(recipe: str) -> None:
    schedule = planned(recipe)[1]
    rates = [schedule.lr(step) for step in (0, schedule.warmup_steps, schedule.steps)]
    assert rates == pytest.approx(RATES[recipe], rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    "recipe, value",
    [
        ("configs/imagenet/densecl_r50_200e.py", 1),
        ("configs/cifar/supcon_r50_1000e.py", 1),
        ("configs/cifar/instance_discrimination_r18_300e.py", 1),
        ("configs/cifar/clae_plain_r18_301e.py", 1),
        ("configs/cifar/clae_uel_r18_301e.py", 1),
        ("configs/cifar/clae_simclr_r18_100e.py", 1),
        ("configs/imagenet/pixpro_r50_100e.py", 0),
        ("configs/imagenet/simclr_r50_100e.py", 0),
        ("configs/imagenet/vicregl_r50_300e.py", 0),
    ],
)
def test_the_last_norm_of_a_block_starts_as_the_authors_do(recipe: str, value: int) -> None:
    blocks = [
        m
        for m in MODELS.build(load(recipe).model.backbone.to_dict()).modules()
        if hasattr(m, "act2")
    ]
    assert blocks
    for block in blocks:
        last = block.bn3 if hasattr(block, "bn3") else block.bn2
        assert torch.equal(last.weight.detach(), torch.full_like(last.weight, value))


def heads_of(recipe: str) -> nn.Module:
    """Returns the recipe's first objective at full width."""
    features = FeatureInfo({8: 512, 16: 1024, 32: 2048}, 2048)
    return MODELS.build(dict(load(recipe).model.objectives[0].to_dict(), features=features))


def test_heads_start_as_the_authors_do() -> None:
    simclr = heads_of("configs/imagenet/simclr_r50_100e.py").projector
    layers = [m for m in simclr if isinstance(m, nn.Linear)]
    assert all(layer.weight.std().item() == pytest.approx(0.01, rel=0.02) for layer in layers)
    assert simclr[-1].weight.requires_grad and not simclr[-1].bias.requires_grad
    supcon = heads_of("configs/imagenet/supcon_r50_350e.py").projector
    assert supcon[0].weight.std().item() == pytest.approx(0.01, rel=0.02) and supcon[0].bias is None
    byol = heads_of("configs/imagenet/byol_r50_100e.py")
    assert all(
        head[-1].bias is None for head in (byol.projector, byol.predictor, byol.target_projector)
    )
    densecl = heads_of("configs/imagenet/densecl_r50_200e.py")
    assert densecl.projector[0].weight.std().item() == pytest.approx((2 / 2048) ** 0.5, rel=0.02)
    assert torch.equal(densecl.projector[0].weight, densecl.target_projector[0].weight)


def test_vicregl_keeps_the_authors_matches() -> None:
    with torch.device("meta"):  # 150 million parameters
        objective = heads_of("configs/imagenet/vicregl_r50_300e.py")
    assert (objective.location_matches, objective.feature_matches) == ((20, 4), None)
    assert objective.bounds(None, {}).collapsed == pytest.approx(30.9375)


def test_work_folders_of_recipes_differ() -> None:
    folders = [load(recipe).get("work_dir") or Path(recipe).stem for recipe in RECIPES]
    assert len(set(folders)) == len(RECIPES)


def test_pyramid_is_kept_for_transfer(image_folder: Path, tmp_path: Path) -> None:
    runner = build_runner(made_small("configs/coco/pixpro_r50_fpn_800e.py", image_folder, tmp_path))
    runner.train()
    state = torch.load(tmp_path / "final.pth", weights_only=True)["state_dict"]
    assert any(name.startswith("objectives.0.levels.fpn.") for name in state)
