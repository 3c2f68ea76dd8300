"""Random labels: fixed for each image, fair, and learnable by heart with augmentation off."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS

from pretrain.data import ImageFolder, RandomLabels, RegionSource, Source, SourceError, ViewDataset
from pretrain.data.choice import random_label
from pretrain.engine.build import build_runner
from pretrain.engine.check import check_config
from pretrain.engine.config import PretrainConfig
from pretrain.engine.settings import ConfigError
from pretrain.views.recipe import ViewRecipe

RECIPE = Path(__file__).resolve().parents[3] / "configs" / "quick" / "random_labels_scenes64.py"


def wrap(folder: Path, **options: object) -> RandomLabels:
    inner = dict(type="ImageFolder", root=str(folder))
    return DATASETS.build(dict(type="RandomLabels", source=inner, **{"classes": 5, **options}))


def test_everything_but_the_labels_is_the_inner_sources(image_folder: Path) -> None:
    source, inner = wrap(image_folder), ImageFolder(image_folder)
    assert isinstance(source, Source)
    assert len(source) == len(inner) == 24 and len(source.classes) == 5
    assert source.read(7) == inner.read(7) and source.name(7) == inner.name(7)
    recipe = ViewRecipe({"global": [dict(size=16)] * 2})
    mine, its = ViewDataset(source, recipe, seed=1)[2, 7], ViewDataset(inner, recipe, seed=1)[2, 7]
    assert torch.equal(mine.views["global"].images, its.views["global"].images)
    assert mine.labels == source.label(7)


def test_labels_are_fixed_and_depend_on_seed_and_index_only(image_folder: Path) -> None:
    source = wrap(image_folder, seed=3)
    labels = [source.label(i) for i in range(24)]
    assert (
        labels == [source.label(i) for i in range(24)] == [random_label(3, i, 5) for i in range(24)]
    )
    assert [pickle.loads(pickle.dumps(source)).label(i) for i in range(24)] == labels
    assert labels != [wrap(image_folder, seed=4).label(i) for i in range(24)]
    # one class's folder holds fewer images: they keep the labels of their numbers
    assert [wrap(image_folder / "red", seed=3).label(i) for i in range(8)] == labels[:8]
    assert [random_label(0, i, 10) for i in range(8)] == [
        8,
        5,
        4,
        7,
        5,
        5,
        6,
        0,
    ]  # the same on every machine


def test_labels_are_fair_and_tell_nothing_of_the_neighbour() -> None:
    labels = np.array([random_label(0, i, 7) for i in range(7000)])
    counts = np.bincount(labels, minlength=7)
    assert len(counts) == 7 and abs(counts - 1000).max() < 120  # 4 standard deviations
    assert abs((labels[1:] == labels[:-1]).mean() - 1 / 7) < 0.017
    assert abs((labels == [random_label(1, i, 7) for i in range(7000)]).mean() - 1 / 7) < 0.017


def test_parts_of_images_stay_parts(tmp_path: Path) -> None:
    from pretrain.data.scenes import write_scenes

    write_scenes(tmp_path, 5, size=48, seed=0)
    inner = dict(
        type="CocoBoxes",
        annotations=str(tmp_path / "instances_train.json"),
        root=str(tmp_path / "images" / "train"),
        min_size=8,
        label="category",
    )
    boxes = DATASETS.build(dict(inner))
    source = RandomLabels(inner, classes=3)
    rng = np.random.default_rng(0)
    assert isinstance(source, RegionSource) and source.source_images(2, rng)[0].box == boxes.box(2)
    assert len(source.classes) == 3


def test_errors(image_folder: Path, tmp_path: Path) -> None:
    for options, message in (
        (dict(classes=1), "classes=1; legal is at least 2"),
        (dict(classes=2 * 10**9), "classes=2000000000; .*at most 1000000"),  # each has a name
        (dict(seed=-1), "seed=-1"),
    ):
        with pytest.raises(ValueError, match=f"RandomLabels: {message}"):
            wrap(image_folder, **options)
    with pytest.raises(SourceError, match="ImageFolder: no image"):
        wrap(tmp_path)
    cfg = Config.fromfile(RECIPE)
    check_config(cfg)
    cfg.source.source.lable = None
    with pytest.raises(ConfigError, match="source.source.lable: .*did you mean 'label'"):
        check_config(cfg)


def test_the_recipe_changes_nothing_of_an_image() -> None:
    """The view is the whole image, the same in every epoch, or the labels could not be learnt."""
    cfg = Config.fromfile(RECIPE)
    assert cfg.model.objectives[0].num_classes == cfg.source.classes
    recipe = ViewRecipe(cfg.views.groups.to_dict())
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    rng = np.random.default_rng(1)
    shown = [
        recipe.render(image, recipe.plan(96, 96, rng), photometrics=True)["global"]
        for _ in range(4)
    ]
    assert shown[0].images.shape == (1, 3, 64, 64)
    assert all(torch.equal(views.images, shown[0].images) for views in shown)
    assert torch.equal(shown[0].geometry[0], torch.eye(2, 3, dtype=torch.float64))


def test_random_labels_are_learnt_by_heart(tmp_path: Path) -> None:
    """16 images, 4 classes: accuracy on the training images goes to 1, far above the 0.25 of
    guessing.
    """
    from pretrain.data.scenes import write_scenes

    write_scenes(tmp_path / "scenes", 20, size=48, seed=0)
    values = {k: v for k, v in Config.fromfile(RECIPE).to_dict().items() if not k.startswith("_")}
    folder = dict(type="ImageFolder", root=str(tmp_path / "scenes" / "images" / "train"))
    values["source"] = dict(type="RandomLabels", source=folder, classes=4)
    values["views"]["groups"]["global"][0]["size"] = 32
    values["model"]["objectives"] = [dict(type="Supervised", num_classes=4)]
    values["schedule"].update(samples=16 * 30, global_batch=16, warmup_samples=0, lr=5e-3)
    runner = build_runner(PretrainConfig(values | dict(work_dir=str(tmp_path / "run"), hooks=[])))
    runner.train()
    rows = [line.split(",") for line in (tmp_path / "run" / "curve.csv").read_text().splitlines()]
    top1 = [float(row[rows[0].index("Supervised.top1")]) for row in rows[1:]]
    assert top1[-1] > 0.95, top1
