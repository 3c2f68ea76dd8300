"""Every recipe says what to expect, passes the engine's checks, wires up at full size and really trains, made small."""

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

from pretrain.engine.build import build_runner
from pretrain.engine.check import Settings, check_config, check_wiring
from pretrain.engine.config import PretrainConfig
from pretrain.engine.schedule import Schedule, make_schedule, micro_batch

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "configs").rglob("*.py")
    if not {"_base_", "comparisons", "finetune", "transfer", "upsamplers"} & set(path.relative_to(ROOT).parts)
)
#: Images behind a recipe's source; the schedule in steps depends on them.
IMAGES = {"imagenet": 1_281_167, "one_gpu": 1_281_167, "coco": 118_287, "cifar": 50_000}
STATUS = r"not reproduced by us|not run by us|ours, untested|our own recipe"
every_recipe = pytest.mark.parametrize("recipe", RECIPES)


def load(recipe: str) -> Config:
    """Returns the config as tools/train.py would read it."""
    return Config.fromfile(ROOT / recipe)


def header(recipe: str) -> str:
    """Returns the module's docstring or, without one, its first block of comments."""
    text = (ROOT / recipe).read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text))
    return docstring or "\n".join(re.match(r"(?:#.*\n)*", text)[0].replace("#", " ").splitlines())


def planned(recipe: str) -> tuple[Settings, Schedule]:
    """Returns a recipe's settings and its schedule on the real number of images."""
    settings = check_config(load(recipe))
    return settings, make_schedule(settings.schedule, IMAGES.get(Path(recipe).parts[1], 100_000))


@every_recipe
def test_header_says_how_to_launch_and_what_to_expect(recipe: str) -> None:
    text = header(recipe)
    launch = rf"python tools/train\.py {re.escape(recipe)}|bash tools/dist_train\.sh {re.escape(recipe)} (\d+)"
    found = re.search(launch, text)
    assert found, f"no launch line for {recipe}"
    assert "Hardware:" in text and re.search(r"[Rr]esult:", text) and "Knob" in text
    assert re.search(STATUS, re.sub(r"\s+", " ", text)), f"the result's status is not said: one of {STATUS}"
    micro_batch(planned(recipe)[0].schedule, int(found[1] or 1))  # raises if the processes do not divide the batch


@every_recipe
def test_recipe_passes_the_checks_and_wires_up_at_full_size(recipe: str) -> None:
    cfg = load(recipe)
    planned(recipe)
    views = TRANSFORMS.build(cfg.views.to_dict())
    with torch.device("meta"):
        model = MODELS.build(cfg.model.to_dict())
    if "_r50_" in recipe:  # a ResNet-50 without classifier
        assert sum(p.numel() for p in model.backbone.parameters()) == 23_508_032
    check_wiring(model.objectives, {name: len(specs) for name, specs in views.specs.items()}, labelled=True)


def made_small(recipe: str, image_folder: Path, work_dir: Path) -> PretrainConfig:
    """Returns the recipe with a tiny network, small views and two steps of four images."""
    values: dict[str, Any] = {k: v for k, v in load(recipe).to_dict().items() if not k.startswith("_")}
    values["source"] = dict(type="ImageFolder", root=str(image_folder))
    values["model"]["backbone"] = dict(type="TimmBackbone", name="test_resnet")
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
    values["engine"] = dict(values.get("engine", {}), precision="fp32")
    return PretrainConfig(dict(values, vis_backends=[], work_dir=str(work_dir)))


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
    found = [schedule.lr(math.floor(epoch * 1251)) for epoch in epochs]
    assert found == pytest.approx([0.04, 0.832, 2.0197, 4.0, 3.9727, 0.1084, 1e-6], abs=6e-4)
    assert planned("configs/imagenet/pixpro_r50_400e.py")[1].steps == 500_400
    small = planned("configs/one_gpu/pixpro_r50_100e.py")[1]
    assert small.peak == pytest.approx(4 * math.sqrt(small.global_batch / 1024))
    with torch.device("meta"):
        model = MODELS.build(load("configs/imagenet/pixpro_r50_100e.py").model.to_dict())
    assert sum(p.numel() for p in model.objectives[0].projector.parameters()) == 9_449_728


def test_work_folders_of_recipes_differ() -> None:
    folders = [load(recipe).get("work_dir") or Path(recipe).stem for recipe in RECIPES]
    assert len(set(folders)) == len(RECIPES)


def test_pyramid_is_kept_for_transfer(image_folder: Path, tmp_path: Path) -> None:
    runner = build_runner(made_small("configs/coco/pixpro_r50_fpn_800e.py", image_folder, tmp_path))
    runner.train()
    state = torch.load(tmp_path / "final.pth", weights_only=True)["state_dict"]
    assert any(name.startswith("objectives.0.levels.fpn.") for name in state)
