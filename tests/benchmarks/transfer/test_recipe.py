"""Recipes: what is read, refused, and put in the place of names left open. Needs none of the
transfer libraries.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from benchmarks.transfer.recipe import (
    Section,
    data_fingerprint,
    options_there,
    place_backbone,
    place_classes,
    place_data,
    place_machine,
    read_recipe,
    recipe_hash,
)
from pretrain.engine.config_file import require_honoured

RECIPE = """
transfer = dict(task="segmentation", batch=4, backbone="any", classes=True)
data_root = "data/some/"
model = dict(
    backbone=dict(type="TimmBackbone", out_indices=(1, 2, 4)),
    neck=dict(type="FPN", in_channels=None),
    decode_head=dict(in_channels=None, in_index=1, num_classes=None, norm_cfg=dict(type="SyncBN")),
    auxiliary_head=dict(in_channels=None, in_index=[0, 2], num_classes=7),
)
_data = dict(
    type="D",
    data_root=data_root,
    ann_file="list.txt",
    data_prefix=dict(img_path="a", seg_map_path="b"),
    pipeline=[],
)
_repeated = dict(type="RepeatDataset", dataset=_data)
train_dataloader = dict(batch_size=9, num_workers=2, dataset=_repeated)
test_dataloader = dict(dataset=_data)
test_evaluator = dict(type="IoU", ann_file=data_root + "x.json")
work_dir = "somewhere"
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "recipe.py").write_text(RECIPE)
    (tmp_path / "root" / "b").mkdir(parents=True)
    (tmp_path / "root" / "b" / "1.png").write_bytes(b"12")
    (tmp_path / "root" / "list.txt").write_text("1")
    (tmp_path / "root" / "classes.json").write_text(json.dumps(["sky", "road"]))
    return tmp_path / "recipe.py"


def test_the_data_folder_stands_wherever_the_recipe_named_its_own(recipe: Path) -> None:
    config, _ = read_recipe(recipe)
    place_data(config, recipe.parent / "root")
    root = f"{recipe.parent}/root/"
    assert config.data_root == root and config.test_evaluator.ann_file == root + "x.json"
    assert (
        config.train_dataloader.dataset.dataset.data_root
        == root
        == config.test_dataloader.dataset.data_root
    )
    with pytest.raises(FileNotFoundError, match="--data ROOT"):
        place_data(config, recipe.parent / "elsewhere")


def test_classes_come_from_the_data_where_the_recipe_leaves_them_open(recipe: Path) -> None:
    config, _ = read_recipe(recipe)
    place_data(config, recipe.parent / "root")
    assert place_classes(config) == ("sky", "road")
    assert (
        config.model.decode_head.num_classes == 2 and config.model.auxiliary_head.num_classes == 7
    )
    assert config.train_dataloader.dataset.dataset.metainfo.classes == ("sky", "road")
    assert len(config.test_dataloader.dataset.metainfo.palette) == 2
    (recipe.parent / "root" / "classes.json").write_text('{"sky": 0}')
    with pytest.raises(ValueError, match="JSON list of class names"):
        place_classes(config)


def test_a_class_that_the_boxes_do_not_know_is_refused(recipe: Path) -> None:
    config, _ = read_recipe(recipe)
    place_data(config, recipe.parent / "root")
    (recipe.parent / "root" / "list.json").write_text(json.dumps({"categories": [{"name": "sky"}]}))
    config.test_dataloader.dataset.ann_file = "list.json"
    with pytest.raises(
        ValueError,
        match=r"lists \['road'\], which .*list.json has no category of; it has \['sky'\]",
    ):
        place_classes(config)


def test_any_network_brings_its_widths(recipe: Path) -> None:
    config, section = read_recipe(recipe)
    network = dict(name="test_resnet", output_stride=8, channels=(8, 16, 24, 32))
    place_backbone(config, section, network)
    assert (
        config.model.backbone.name == "test_resnet" and "output_stride" not in config.model.backbone
    )
    widths = config.model.neck.in_channels
    assert len(widths) == 3 and config.model.decode_head.in_channels == widths[1]
    assert config.model.auxiliary_head.in_channels == [widths[0], widths[2]]


def test_another_network_than_the_recipe_names_is_refused(recipe: Path) -> None:
    config, _ = read_recipe(recipe, {"model.backbone.name": "resnet18"})
    with pytest.raises(
        ValueError, match="fine-tunes backbone name='resnet18', the checkpoint holds 'resnet50'"
    ):
        place_backbone(config, Section("segmentation", 4, "timm"), dict(name="resnet50"))


def test_the_batch_is_shared_and_norms_follow_the_machine(recipe: Path) -> None:
    config, section = read_recipe(recipe)
    said = place_machine(config, section, processes=2, cuda=True)
    assert (
        config.train_dataloader.batch_size == 2
        and config.model.decode_head.norm_cfg.type == "SyncBN"
    )
    assert said == "batch statistics over all processes"
    assert place_machine(config, section, processes=2, cuda=False) == "batch statistics of 2 images"
    assert config.model.decode_head.norm_cfg.type == "BN"
    assert place_machine(config, section, processes=1, cuda=False) == "as the recipe says"
    assert (
        place_machine(config, section, processes=2, cuda=False)
        == "as the recipe says, 2 images per process"
    )
    with pytest.raises(
        ValueError, match=r"4 images cannot be shared by 3 processes; take one of \[1, 2, 4\]"
    ):
        place_machine(config, section, processes=3, cuda=False)


def test_the_hash_knows_settings_but_neither_folders_nor_speed(recipe: Path) -> None:
    def of(options: dict, root: str | None = None) -> str:
        config, _ = read_recipe(recipe, options)
        place_data(config, root or recipe.parent / "root")
        return recipe_hash(config)

    (recipe.parent / "other").mkdir()
    plain = of({})
    same = [{"work_dir": "x"}, {"train_dataloader.num_workers": 0}]
    assert {of(options) for options in same} == {plain} == {of({}, str(recipe.parent / "other"))}
    assert of({"transfer.batch": 8}) != plain != of({"model.decode_head.in_index": 0})


def test_the_fingerprint_of_data_follows_its_labels(recipe: Path) -> None:
    config, _ = read_recipe(recipe)
    place_data(config, recipe.parent / "root")
    before = data_fingerprint(config)
    (recipe.parent / "root" / "list.txt").write_text("2")
    changed = data_fingerprint(config)
    (recipe.parent / "root" / "b" / "1.png").write_bytes(b"123")
    assert len({before, changed, data_fingerprint(config)}) == 3


@pytest.mark.parametrize(
    "options, words",
    [
        ({"transfer": {"task": "segmentation", "batch": 0}}, "transfer.batch=0 must be at least 1"),
        ({"transfer.task": "detect"}, "transfer.task"),
        ({"transfer.bach": 3}, "transfer.bach is unknown; did you mean 'batch'"),
    ],
)
def test_mistakes_in_the_section_are_named(recipe: Path, options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_recipe(recipe, options)


def test_no_recipe_and_no_section(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="recipe.py"):
        read_recipe(tmp_path / "recipes.py")
    (tmp_path / "plain.py").write_text("model = dict()")
    with pytest.raises(ValueError, match="no section transfer"):
        read_recipe(tmp_path / "plain.py")
    assert isinstance(Config.fromfile(recipe), Config)


def test_overrides_follow_the_data_and_two_folders_are_refused(recipe: Path) -> None:
    options = {"train_dataloader.dataset.dataset.ann_file": "data/some/other.txt", "model.x": 1}
    config, _ = read_recipe(recipe, options)
    root = recipe.parent / "root"
    asked = options_there(options, config, root)
    place_data(config, root)
    assert asked == {"train_dataloader.dataset.dataset.ann_file": f"{root}/other.txt", "model.x": 1}
    require_honoured(config, asked)
    assert options["train_dataloader.dataset.dataset.ann_file"] == "data/some/other.txt"
    with pytest.raises(ValueError, match="data_root=a and --data .* both name the data"):
        options_there({"data_root": "a"}, config, root)
