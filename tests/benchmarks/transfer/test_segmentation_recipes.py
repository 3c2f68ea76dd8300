"""Segmentation recipes: one real step of each full-size network from pretrained weights, and how
layers learn.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data.transfer_folder import TransferFolder
from benchmarks.transfer import run as transfer

FOLDER = Path(__file__).parents[3] / "configs" / "transfer"
pytestmark = pytest.mark.usefixtures("transfer_libraries")
#: Sides of images and crops for one step on a CPU.
SIDE = 64
SMALL = {
    "RandomResize": dict(scale=(4 * SIDE, SIDE)),
    "RandomCrop": dict(crop_size=(SIDE, SIDE)),
    "Resize": dict(scale=(4 * SIDE, SIDE)),
}


@HOOKS.register_module(force=True)
class Kept(Hook):
    """Keeps the weights that training begins and ends with, and its losses; of the last run in this
    process.
    """

    before: dict[str, Tensor] = {}
    after: dict[str, Tensor] = {}
    losses: dict[str, float] = {}

    def before_train(self, runner: Any) -> None:
        Kept.before = {key: value.clone() for key, value in runner.model.state_dict().items()}

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        Kept.losses = {key: float(value) for key, value in outputs.items()}

    def after_train(self, runner: Any) -> None:
        Kept.after = runner.model.state_dict()


def smaller(pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the steps with other sizes."""
    return [dict(step, **SMALL.get(step["type"], {})) for step in pipeline]


def one_step(recipe: Config) -> dict[str, Any]:
    """Returns overrides that leave everything of a recipe but sizes of images, batch and length."""
    options: dict[str, Any] = {
        "transfer.batch": 2,
        "train_cfg.max_iters": 1,
        "custom_hooks": [dict(type="Kept")],
        "val_dataloader": None,
        "val_cfg": None,
        "val_evaluator": None,
        "default_hooks.checkpoint.interval": 2,
        "default_hooks.checkpoint.save_last": False,
        "model.data_preprocessor.size": (SIDE, SIDE),
    }
    for loader in ("train", "test"):
        options |= {
            f"{loader}_dataloader.num_workers": 0,
            f"{loader}_dataloader.persistent_workers": False,
        }
        data = recipe[f"{loader}_dataloader"].dataset
        if "datasets" in data:
            parts = [dict(part, pipeline=smaller(part.pipeline)) for part in data.datasets]
            options[f"{loader}_dataloader.dataset.datasets"] = parts
        else:
            options[f"{loader}_dataloader.dataset.pipeline"] = smaller(data.pipeline)
    if recipe.model.test_cfg.mode == "slide":
        options |= {"model.test_cfg.crop_size": (SIDE, SIDE), "model.test_cfg.stride": (43, 43)}
    if recipe.param_scheduler[0].type == "LinearLR":
        options[
            "param_scheduler"
        ] = []  # the first step of a warm-up is too short to be seen in the weights
    return options


@pytest.mark.own_process
@pytest.mark.parametrize(
    ("recipe", "network", "root"),
    [
        ("ade20k_fcn_r50_80k", "resnet50", "ade_root"),
        ("ade20k_upernet_r50_80k", "resnet50", "ade_root"),
        ("ade20k_upernet_vit_160k", "vit_base_patch16_224", "ade_root"),
        ("cityscapes_fcn_r50_90k", "resnet50", "cityscapes_root"),
        ("voc12aug_fcn_r50_30k", "resnet50", "voc_root"),
    ],
)
def test_recipe_trains_and_is_evaluated_from_pretrained_weights(
    recipe: str, network: str, root: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(root)
    options = one_step(Config.fromfile(FOLDER / f"{recipe}.py"))
    settings = transfer.Settings(
        str(FOLDER / f"{recipe}.py"), options=options, work_dir=str(tmp_path)
    )
    extractor = FeatureExtractor.load(f"random:{network}?seed=3")
    data = TransferFolder(folder / "VOC2012" if root == "voc_root" else folder)
    record = transfer.BENCHMARK.measure(extractor, data, settings)

    assert set(record.metrics) == {"mIoU", "pixel_accuracy"}
    assert all(0 <= metric.value <= 100 for metric in record.metrics.values())
    assert math.isfinite(Kept.losses["loss"]) and ("aux.loss_ce" in Kept.losses) == (
        "ade20k" in recipe
    )
    own = extractor.backbone.state_dict()
    table = own.pop("model.pos_embed", None)
    for key, value in own.items():
        name = f"backbone.{key}" if "vit" in recipe else f"backbone.{key.removeprefix('model.')}"
        assert torch.equal(Kept.before[name].contiguous(), value), (
            f"{name} is not the pretrained one"
        )
    if table is not None:
        check_table(table, Kept.before["backbone.model.pos_embed"], side=32)
    still = [
        key
        for key, old in Kept.before.items()
        if old.ndim > 1 and torch.equal(old, Kept.after[key])
    ]
    assert still == []  # nothing is frozen
    Kept.before = Kept.after = {}  # gigabytes


def check_table(source: Tensor, placed: Tensor, side: int) -> None:
    """The class token's position as it was, the others resized from the 14 x 14 grid."""
    grid = source[:, 1:].reshape(1, 14, 14, -1).permute(0, 3, 1, 2)
    resized = functional.interpolate(grid, (side, side), mode="bicubic", antialias=True).permute(
        0, 2, 3, 1
    )
    assert torch.equal(placed[:, 0], source[:, 0])
    torch.testing.assert_close(placed[:, 1:], resized.reshape(1, side * side, -1))


@pytest.mark.parametrize("name", ["ade20k_upernet_r50", "ade20k_upernet_vit"])
def test_lengths_of_one_recipe_differ_in_nothing_else(name: str) -> None:
    short, long = (
        Config.fromfile(FOLDER / f"{name}_{length}.py").to_dict() for length in ("80k", "160k")
    )
    assert short["train_cfg"].pop("max_iters") * 2 == long["train_cfg"].pop("max_iters") == 160_000
    assert (
        short["param_scheduler"][-1].pop("end") * 2
        == long["param_scheduler"][-1].pop("end")
        == 160_000
    )
    for config in (short, long):
        config["param_scheduler"][-1].pop(
            "_scope_", None
        )  # mmengine's note of where it was written
        config["train_cfg"].pop("val_interval")
        config["default_hooks"]["checkpoint"].pop("interval")
    assert short == long


def segmentor(backbone: nn.Module | str) -> nn.Module:
    """A model with a backbone (its timm name will do) and a head, as the libraries name them."""
    if isinstance(backbone, str):
        backbone = MODELS.build(dict(type="TimmBackbone", name=backbone))
    return nn.ModuleDict(
        dict(backbone=backbone, decode_head=nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)))
    )


def rates(model: nn.Module, layer_decay: float) -> dict[str, tuple[float, float]]:
    """Returns {parameter: (learning rate, weight decay)} as the optimiser got them."""
    wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=2.0, weight_decay=0.05))
    constructor = dict(
        type="TimmLayerDecay",
        optim_wrapper_cfg=wrapper,
        paramwise_cfg=dict(layer_decay=layer_decay),
    )
    groups = OPTIM_WRAPPER_CONSTRUCTORS.build(constructor)(model).optimizer.param_groups
    given = {
        id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]
    }
    assert len(given) == sum(len(group["params"]) for group in groups)  # each once
    return {name: given[id(p)] for name, p in model.named_parameters() if id(p) in given}


VIT_LAYERS = [
    "cls_token pos_embed patch_embed",
    *(f"blocks.{block}." for block in range(11)),
    "blocks.11. norm.",
]
RESNET_LAYERS = [
    "conv1 bn1",
    *(f"layer{stage}.{block}." for stage in (1, 2, 3, 4) for block in (0, 1)),
]


@pytest.mark.parametrize(
    ("name", "layers"), [("vit_tiny_patch16_224", VIT_LAYERS), ("resnet18", RESNET_LAYERS)]
)
def test_each_layer_learns_more_slowly_than_the_one_above(name: str, layers: list[str]) -> None:
    model = segmentor(name)
    expected = {}
    for key, parameter in model.named_parameters():
        below = 0
        for number, names in enumerate(layers):
            if any(key.startswith(f"backbone.model.{prefix}") for prefix in names.split()):
                below = len(layers) - number
        plain = parameter.ndim == 1 or key in (
            "backbone.model.cls_token",
            "backbone.model.pos_embed",
        )
        expected[key] = (pytest.approx(2.0 * 0.65**below), 0.0 if plain else 0.05)
    assert rates(model, 0.65) == expected
    assert {rate for rate, _ in rates(model, 1).values()} == {2.0}


def test_fixed_positions_stay_fixed_and_frozen_patches_are_trained(
    ade_root: Path, tmp_path: Path
) -> None:
    """A checkpoint of CIM, of another grid, in the recipe for ViTs."""
    from benchmarks.transfer import trial

    spec, recipe = str(tmp_path / "cim.pth"), FOLDER / "tiny" / "ade20k_upernet_vit_160k.py"
    torch.manual_seed(0)
    backbone = MODELS.build(dict(type="SinCosViT", name="vit_tiny_patch16_224"))
    state = {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
    normalisation = dict(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    torch.save(
        dict(state_dict=state, meta=dict(backbone=backbone.config, normalisation=normalisation)),
        spec,
    )

    extractor = FeatureExtractor.load(spec)
    fitted = transfer.fit(
        extractor, TransferFolder(ade_root), transfer.Settings(str(recipe), work_dir=str(tmp_path))
    )
    config = trial.prepare(fitted.config, seed=0, work_dir=fitted.work_dir, name=fitted.key)
    trial.write_initial(transfer.place_weights(extractor, fitted), fitted.work_dir, spec)
    assert config.model.data_preprocessor.mean == [127.5] * 3
    placed = torch.load(fitted.work_dir / "initial.pth")["state_dict"]
    check_table(backbone.model.pos_embed, placed["backbone.model.pos_embed"], side=4)
    tuned = MODELS.build(config.model.backbone.to_dict())
    assert (
        not tuned.model.pos_embed.requires_grad
        and tuned.model.patch_embed.proj.weight.requires_grad
    )
    assert "backbone.model.pos_embed" not in rates(segmentor(tuned), 0.65)


@pytest.mark.parametrize(
    ("options", "optimizer", "message"),
    [
        (dict(layer_decay=0.65, num_layers=12), dict(lr=1e-4, weight_decay=0.05), "takes dict"),
        (dict(layer_decay=1.5), dict(lr=1e-4, weight_decay=0.05), r"within \(0, 1\]"),
        (dict(layer_decay=0.65), dict(lr=1e-4), "needs lr and weight_decay"),
    ],
)
def test_layer_decay_refuses(
    options: dict[str, Any], optimizer: dict[str, float], message: str
) -> None:
    wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", **optimizer))
    constructor = dict(type="TimmLayerDecay", optim_wrapper_cfg=wrapper, paramwise_cfg=options)
    with pytest.raises(ValueError, match=message):
        OPTIM_WRAPPER_CONSTRUCTORS.build(constructor)(segmentor("resnet18"))


def test_layer_decay_refuses_the_libraries_own_networks() -> None:
    wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05))
    constructor = dict(
        type="TimmLayerDecay", optim_wrapper_cfg=wrapper, paramwise_cfg=dict(layer_decay=0.5)
    )
    with pytest.raises(ValueError, match="no timm network"):
        OPTIM_WRAPPER_CONSTRUCTORS.build(constructor)(segmentor(nn.Conv2d(3, 8, 1)))
