"""Every full-size detection recipe: one training step and one evaluation from pretrained weights,
on small images.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record
from benchmarks.data.transfer_folder import TransferFolder
from benchmarks.transfer import run as transfer
from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.objectives.parts.levels import Levels

FOLDER = Path(__file__).parents[3] / "configs" / "transfer"
pytestmark = pytest.mark.usefixtures("transfer_libraries")
#: Sizes for one step on a CPU, for steps of ResNet recipes and of the ViT's.
SMALL = dict(RandomChoiceResize=dict(scales=[(64, 48)]), Resize=dict(scale=(64, 48)))
SQUARE = dict(
    RandomResize=dict(scale=(96, 96)),
    RandomCrop=dict(crop_size=(96, 96)),
    Resize=dict(scale=(96, 96)),
)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of ours: a random ResNet-50 with the FPN and the head that a pixel objective
    trained beside it.
    """
    torch.manual_seed(0)
    backbone = TimmBackbone("resnet50")
    levels = Levels(backbone.info, pyramid=dict(strides=(8, 16, 32), channels=256, head_convs=4))
    state = {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
    state |= {f"objectives.0.levels.{key}": value for key, value in levels.state_dict().items()}
    meta = dict(
        backbone=backbone.config,
        normalisation=dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    )
    path = tmp_path_factory.mktemp("pretrained") / "final.pth"
    torch.save(dict(state_dict=state, meta=meta), path)
    return path


def smaller(
    pipeline: list[dict[str, Any]], sizes: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Returns the steps with other sizes."""
    return [dict(step, **sizes.get(step["type"], {})) for step in pipeline]


def one_step(recipe: Config, sizes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Returns overrides that change sizes of images, batch, length and numbers of proposals of a
    recipe, and nothing else.
    """
    options = {
        "transfer.batch": 1,
        "train_cfg.max_iters": 1,
        "default_hooks.logger.interval": 1,
        "default_hooks.checkpoint.save_optimizer": False,
        "default_hooks.checkpoint.interval": 1,
        "test_dataloader.dataset.indices": 1,
    }
    if "rcnn" in recipe.model.get("train_cfg", {}):
        options |= {
            "model.train_cfg.rcnn.sampler.num": 32,
            "model.train_cfg.rpn_proposal.max_per_img": 100,
            "model.test_cfg.rpn.max_per_img": 50,
        }
    for loader in ("train", "test"):
        options |= {
            f"{loader}_dataloader.num_workers": 0,
            f"{loader}_dataloader.persistent_workers": False,
        }
        data = recipe[f"{loader}_dataloader"].dataset
        if "datasets" in data:
            parts = [dict(part, pipeline=smaller(part.pipeline, sizes)) for part in data.datasets]
            options[f"{loader}_dataloader.dataset.datasets"] = parts
        else:
            options[f"{loader}_dataloader.dataset.pipeline"] = smaller(data.pipeline, sizes)
    if recipe.custom_hooks:
        options["custom_hooks"] = [dict(type="PreciseBN", batches=1)]
    return options


def fine_tuned(
    spec: str, recipe: str, root: Path, work_dir: Path
) -> tuple[Record, dict[str, Tensor], dict[str, Any]]:
    """Runs one step of a recipe; returns its record, the weights after it and the losses."""
    config = Config.fromfile(FOLDER / recipe)
    options = one_step(config, SMALL if "vit" not in recipe else SQUARE)
    if "vit" in recipe:
        pad = dict(type="BatchFixedSizePad", size=(96, 96), img_pad_value=0, pad_mask=True)
        options["model.data_preprocessor.batch_augments"] = [pad]
    settings = transfer.Settings(str(FOLDER / recipe), options=options, work_dir=str(work_dir))
    record = transfer.BENCHMARK.measure(FeatureExtractor.load(spec), TransferFolder(root), settings)
    state = torch.load(next(work_dir.rglob("final.pth")), map_location="cpu", weights_only=False)[
        "state_dict"
    ]
    lines = [
        json.loads(line) for line in next(work_dir.rglob("scalars.json")).read_text().splitlines()
    ]
    return record, state, next(line for line in lines if "loss" in line)


def nearly(state: dict[str, Tensor], pairs: dict[str, Tensor]) -> None:
    """After one step at a thousandth of the learning rate weights are what they were, to a part in
    a hundred.
    """
    for key, value in pairs.items():
        assert (state[key] - value).norm() < 0.01 * value.norm(), key


@pytest.mark.own_process
@pytest.mark.parametrize(
    ("recipe", "metrics", "losses"),
    [
        (
            "coco_maskrcnn_r50_fpn_1x.py",
            {"box_AP", "mask_AP"},
            {"loss_rpn_cls", "loss_bbox", "loss_mask"},
        ),
        (
            "coco_maskrcnn_r50_c4_1x.py",
            {"box_AP", "mask_AP"},
            {"loss_rpn_cls", "loss_bbox", "loss_mask"},
        ),
        ("coco_retinanet_r50_fpn_1x.py", {"box_AP"}, {"loss_cls", "loss_bbox"}),
        (
            "voc0712_fasterrcnn_r50_c4_24k.py",
            {"box_AP", "box_AP50", "box_AP75"},
            {"loss_rpn_cls", "loss_bbox"},
        ),
    ],
)
def test_resnet_recipe_trains_and_is_evaluated_from_pretrained_weights(
    recipe: str,
    metrics: set[str],
    losses: set[str],
    request: pytest.FixtureRequest,
    pretrained: Path,
    tmp_path: Path,
) -> None:
    root = request.getfixturevalue("voc_root" if "voc" in recipe else "coco_root")
    record, state, logged = fine_tuned(str(pretrained), recipe, root, tmp_path)
    assert metrics <= record.metrics.keys() and all(
        0 <= record.metrics[name].value <= 100 for name in metrics
    )
    assert losses <= logged.keys() and all(
        math.isfinite(logged[name]) for name in {"loss"} | losses
    )
    own = torch.load(pretrained, weights_only=False)["state_dict"]
    stage = "roi_head.shared_head." if "_c4_" in recipe else "backbone."
    convs = {"backbone.conv1.weight": own["backbone.model.conv1.weight"]}
    for layer, place in (
        ("layer1.0.conv1", "backbone."),
        ("layer3.5.conv2", "backbone."),
        ("layer4.2.conv3", stage),
    ):
        convs[f"{place}{layer}.weight"] = own[f"backbone.model.{layer}.weight"]
    levels = "objectives.0.levels."
    if "_fpn_" in recipe:
        first = 0 if "retinanet" in recipe else 1  # RetinaNet's neck begins at stride 8
        convs[f"neck.lateral_convs.{first}.conv.weight"] = own[
            f"{levels}fpn.inner_blocks.0.0.weight"
        ]
        convs[f"neck.fpn_convs.{first + 2}.conv.weight"] = own[
            f"{levels}fpn.layer_blocks.2.0.weight"
        ]
    if "retinanet" in recipe:
        for tower in ("cls_convs", "reg_convs"):
            convs[f"bbox_head.{tower}.3.conv.weight"] = own[f"{levels}head_convs.6.weight"]
    nearly(state, convs)
    if "_c4_" in recipe:
        assert state["roi_head.shared_head.norm.weight"].shape == (2048,)
        assert not any(key.startswith("backbone.layer4") for key in state)


@pytest.mark.own_process
def test_vit_recipe_trains_and_is_evaluated_from_pretrained_weights(
    coco_root: Path, tmp_path: Path
) -> None:
    spec = "random:vit_base_patch16_224?seed=3"
    record, state, logged = fine_tuned(spec, "coco_maskrcnn_vit_1x.py", coco_root, tmp_path)
    assert {"box_AP", "mask_AP"} <= record.metrics.keys() and math.isfinite(logged["loss"])
    own = FeatureExtractor.load(spec).backbone.state_dict()
    keys = (
        "model.patch_embed.proj.weight",
        "model.blocks.0.attn.qkv.weight",
        "model.blocks.11.mlp.fc2.weight",
    )
    nearly(state, {f"backbone.{key}": own[key] for key in keys})
    torch.testing.assert_close(
        state["backbone.model.pos_embed"], own["model.pos_embed"], rtol=0, atol=1e-3
    )


def test_voc_training_objects_hold_the_difficult_ones_and_test_objects_do_not(
    voc_root: Path,
) -> None:
    """Each toy image has one object and one that is marked difficult."""
    from mmdet.registry import DATASETS
    from mmengine.registry import init_default_scope

    from benchmarks.transfer.recipe import place_data

    init_default_scope("mmdet")
    config = Config.fromfile(FOLDER / "voc0712_fasterrcnn_r50_c4_24k.py")
    place_data(config, voc_root)
    train, test = (
        DATASETS.build(config[f"{part}_dataloader"].dataset) for part in ("train", "test")
    )
    assert len(train) == 6 and len(test) == 3  # three images a list, two years to train on
    found, kept = train[0]["data_samples"], test[0]["data_samples"]
    assert len(found.gt_instances) == 2 and len(found.ignored_instances) == 0
    assert len(kept.gt_instances) == 1 and len(kept.ignored_instances) == 1
