"""The recipes of fine-tuning: they say what to expect, pass the engine's checks, and hold the
published settings.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, TRANSFORMS

from benchmarks.finetune import model, views  # noqa: F401 — recipes name their classes
from benchmarks.finetune.classifier import Classifier
from pretrain.engine.check import check_config
from pretrain.engine.config import PretrainConfig
from pretrain.engine.optim import PrecisionOptimWrapper, build_optimizer
from pretrain.engine.schedule import make_schedule
from pretrain.structures import Batch, Views

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs" / "finetune").glob("*.py"))
IMAGENET = 1_281_167
every_recipe = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)


def load(name: str, backbone: str = "test_resnet") -> PretrainConfig:
    """Returns a recipe completed as tools/finetune.py does it, for a small network and 1,000
    classes.
    """
    cfg = PretrainConfig(Config.fromfile(ROOT / "configs" / "finetune" / f"{name}.py").to_dict())
    cfg.merge_from_dict(
        {
            "model.backbone": dict(type="TimmBackbone", name=backbone),
            "model.classes": [str(number) for number in range(1000)],
            "source": dict(type="FileList", path="list.txt"),
        }
    )
    return PretrainConfig(
        {key: value for key, value in cfg.to_dict().items() if not key.startswith("_")}
    )


@every_recipe
def test_header_says_what_to_expect(path: Path) -> None:
    header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert f"configs/finetune/{path.name}" in header and "tools/finetune.py" in header
    for field in ("Launch:", "Hardware:", "Result:", "Knob:"):
        assert f"\n{field}" in header
    status = "not reproduced by us|ours, untested|our own recipe"
    assert re.search(status, re.sub(r"\s+", " ", header))


@every_recipe
def test_recipe_passes_the_checks_and_builds(path: Path) -> None:
    cfg = load(path.stem)
    checked = check_config(cfg)
    assert make_schedule(checked.schedule, IMAGENET).steps > 0
    built = MODELS.build(cfg.model.to_dict())
    recipe = TRANSFORMS.build(cfg.views.to_dict())
    assert recipe.specs["global"][0].size == (cfg.model["size"],) * 2
    if path.stem.startswith("imagenet_vit"):
        cfg.model["backbone"]["name"] = "test_vit"
        built = MODELS.build(cfg.model.to_dict())
        assert isinstance(built.head.norm, torch.nn.LayerNorm)


@pytest.mark.parametrize(
    ("name", "epochs"),
    [("imagenet_vitb16_100e", 100), ("imagenet_vits16_200e", 200), ("imagenet_vitl16_50e", 50)],
)
def test_settings_of_the_released_script(name: str, epochs: int) -> None:
    cfg = load(name)
    schedule = make_schedule(check_config(cfg).schedule, IMAGENET)
    per_epoch = IMAGENET // 1024
    assert (schedule.steps, schedule.warmup_steps) == (epochs * per_epoch, 5 * per_epoch)
    assert schedule.peak == pytest.approx(1.2e-3 * 4) and schedule.lr(0) == 0
    assert schedule.lr(schedule.steps) == pytest.approx(1e-6)
    assert dict(cfg.optimizer) == dict(type="AdamW", weight_decay=0.05, layer_decay=0.8)
    tuned = {
        key: cfg.model[key]
        for key in ("pooling", "drop_path", "smoothing", "mixup", "cutmix", "erase")
    }
    assert tuned == dict(
        pooling="mean", drop_path=0.1, smoothing=0.1, mixup=0.8, cutmix=1.0, erase=0.25
    )
    assert cfg.views["randaugment"] == "rand-m9-mstd0.5-inc1"
    assert (cfg.model["size"], cfg.model["crop_fraction"]) == (224, 0.95)
    text = (ROOT / "configs" / "finetune" / "imagenet_vitb16_100e.py").read_text()
    assert "Caution: a base lr of 1.2e-3 is high" in text


def test_vit_b_has_the_layers_of_the_recipe() -> None:
    """14 rates: stem, 12 blocks, head; the stem's is 0.8^13 of the head's. Drop path rises to 0.1
    over the blocks.
    """
    cfg = load("imagenet_vitb16_100e", "vit_base_patch16_224")
    with torch.device("meta"):
        built = MODELS.build(cfg.model.to_dict())
    groups = build_optimizer(built, cfg.optimizer.to_dict(), lr=1.0).param_groups
    scales = sorted({group["lr_scale"] for group in groups})
    assert scales == pytest.approx([0.8**power for power in range(13, -1, -1)])
    assert built.backbone.model.blocks[-1].drop_path1.drop_prob == pytest.approx(0.1)
    assert {group["weight_decay"] for group in groups} == {0.0, 0.05}


@pytest.mark.own_process
@pytest.mark.parametrize(
    ("name", "backbone"),
    [
        ("imagenet_vitb16_100e", "vit_base_patch16_224"),
        ("imagenet_vits16_200e", "vit_small_patch16_224"),
        ("imagenet_r50_100e", "resnet50"),
        ("imagenet_r50_semi_30e", "resnet50"),
    ],
)
def test_one_step_and_one_evaluation_at_real_size(name: str, backbone: str, tmp_path: Path) -> None:
    """The networks of the recipes on two images of 64 px: every trained matrix moves, the
    classifier reads it back.
    """
    cfg = load(name, backbone)
    cfg.model["drop_path"] = 0.0  # of two images none may lose a block
    torch.manual_seed(0)
    built = MODELS.build(cfg.model.to_dict())
    torch.nn.init.normal_(
        built.head.linear.weight, std=0.1
    )  # at 2e-5 a single gradient behind it is next to nothing
    for (
        norm
    ) in built.modules():  # timm starts residual branches at zero, where no gradient reaches them
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(norm.weight)
    before = {
        key: p.detach().clone()
        for key, p in built.named_parameters()
        if p.requires_grad and p.ndim > 1
    }
    wrapper = PrecisionOptimWrapper(build_optimizer(built, cfg.optimizer.to_dict(), lr=0.0))
    for group in wrapper.param_groups:
        group["lr"] = 1e-3 * group.get("lr_scale", 1.0)
    wrapper.initialize_count_status(built, 0, 1)
    images = torch.randint(0, 256, (2, 1, 3, 64, 64), dtype=torch.uint8)
    created = Views(images, torch.zeros(2, 1, 2, 3, dtype=torch.float64))
    terms = built.train().train_step(
        Batch({"global": created}, torch.tensor([3, 999]), torch.arange(2)), wrapper
    )
    assert (
        3 < terms["loss"].item() < 50
    )  # ln 1000 = 6.9, and more where the widened head is sure of another class
    still = [
        key for key, p in built.named_parameters() if key in before and torch.equal(p, before[key])
    ]
    assert still == []
    path = tmp_path / "final.pth"
    torch.save(dict(meta=built.describe(), state_dict=built.state_dict()), path)
    classifier = Classifier.load(path)
    assert (
        classifier.logits(images[:, 0]).shape == (2, 1000)
        and classifier.crop_fraction == cfg.model["crop_fraction"]
    )
