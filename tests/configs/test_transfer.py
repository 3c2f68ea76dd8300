"""Recipes of transfer against the tables of docs/transfer.md: a recipe or a table that changes
alone fails.
"""

from __future__ import annotations

import ast
import copy
import math
import re
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.mm import libraries

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "transfer.md"
RECIPES = sorted(path.stem for path in (ROOT / "configs" / "transfer").glob("*.py"))
#: Recipes that differ in length alone share a tiny version, the other's.
SIBLINGS = {
    "ade20k_upernet_r50_160k": "ade20k_upernet_r50_80k",
    "ade20k_upernet_vit_80k": "ade20k_upernet_vit_160k",
}
STATUS = r"not reproduced by us|not run by us|ours, untested"
TABLES = ("| recipe | data |", "| recipe | batch |")
if lacking := libraries.missing():
    pytestmark = pytest.mark.skip(
        reason=f"{', '.join(lacking)} not installed: bash tools/setup.sh transfer"
    )
every_recipe = pytest.mark.parametrize("recipe", RECIPES)


def rows(head: str) -> dict[str, dict[str, str]]:
    """Returns the page's table that begins with ``head``: {recipe: {column: text}}."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(head))
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in takewhile(lambda line: line.startswith("|"), lines[start:])
    ]
    columns, _, *body = cells
    return {row[0].strip("`"): dict(zip(columns, row, strict=True)) for row in body}


@cache
def load(recipe: str) -> Config:
    """Returns the recipe as tools/transfer.py reads it; not to be changed."""
    libraries.require()
    return Config.fromfile(ROOT / "configs" / "transfer" / f"{recipe}.py")


def settings(config: Config) -> dict[str, str]:
    """Returns what the page's tables say of a recipe, from the config alone: {column: text}."""
    return {
        "data": data(config),
        "network": network(config.model),
        "batch": str(config.transfer.batch),
        "optimiser": optimiser(config.optim_wrapper),
        "schedule": schedule(config),
        "training images": images(first(config.train_dataloader.dataset)["pipeline"]),
        "test images": images(config.test_dataloader.dataset.pipeline)
        + windows(config.model.get("test_cfg", {})),
        "norms and input": norms(config),
    }


def data(config: Config) -> str:
    """Class of the data set, and which of its lists or folders are trained on and tested on."""
    return (
        f"{first(config.train_dataloader.dataset)['type']}: "
        f"{lists(config.train_dataloader.dataset)} → " + lists(config.test_dataloader.dataset)
    )


def first(dataset: Config) -> Config:
    """Returns the data set, or the first of those that are joined."""
    return dataset.datasets[0] if "datasets" in dataset else dataset


def lists(dataset: Config) -> str:
    """The list of a data set, or its folder of images where it has none; of all parts that are
    joined.
    """
    parts = dataset.get("datasets", [dataset])
    return " + ".join(part.get("ann_file") or part.data_prefix["img_path"] for part in parts)


def network(model: Config) -> str:
    """Backbone, neck and heads."""
    backbone = model.backbone
    if backbone.type == "ResNet":
        strides, dilations = backbone.get("strides", (1, 2, 2, 2)), backbone.get("dilations", (1,))
        documented = [f"ResNet-{backbone.depth} at stride {4 * math.prod(strides[1:])}"]
        documented += [f"dilations {', '.join(map(str, dilations))}"] if max(dilations) > 1 else []
    else:
        blocks = ", ".join(str(index + 1) for index in backbone.out_indices)
        documented = [f"{backbone.name}, after block {blocks}"]
        documented += [f"drop path {backbone.drop_path_rate}"]
        documented += [f"positions of {backbone.img_size} pixels"] if "img_size" in backbone else []
    documented += [model.neck.type] if model.get("neck") else []
    for head in (model.get("decode_head"), model.get("auxiliary_head"), model.get("bbox_head")):
        documented += [dense_head(head)] if head else []
    regions = model.get("roi_head") or {}
    documented += [
        part["type"]
        for name in ("shared_head", "bbox_head", "mask_head")
        if (part := regions.get(name))
    ]
    return "; ".join(documented)


def dense_head(head: Config) -> str:
    """Type, and width, dilation, dropout and loss weight where they are said."""
    documented = [f"{head.type} of {head.channels}"] if "channels" in head else [head.type]
    documented += [f"{head.num_convs} × 3×3"] if head.type == "FCNHead" else []
    documented += [f"dilation {head.dilation}"] if head.get("dilation", 1) > 1 else []
    documented += [f"dropout {head.dropout_ratio}"] if head.get("dropout_ratio") else []
    weight = (head.get("loss_decode") or {}).get("loss_weight", 1)
    return ", ".join(documented + ([f"loss × {weight}"] if weight != 1 else []))


def optimiser(wrapper: Config) -> str:
    """Name, rate, decay and what differs from layer to layer."""
    given = wrapper.optimizer
    documented = [f"{given.type} {given.lr:g}"] + (
        [f"momentum {given.momentum}"] if "momentum" in given else []
    )
    documented += [f"weight decay {given.weight_decay:g}"]
    special = wrapper.get("paramwise_cfg") or {}
    documented += ["not on norms"] if special.get("norm_decay_mult") == 0 else []
    documented += [f"layer decay {special['layer_decay']}"] if "layer_decay" in special else []
    return ", ".join(documented)


def schedule(config: Config) -> str:
    """Iterations, warm-up and decay."""
    documented = [f"{config.train_cfg.max_iters:,} iterations"]
    for part in config.param_scheduler:
        if part.type == "LinearLR":
            documented += [f"warm-up over {part.end:,} from × {part.start_factor:g}"]
        elif part.type == "PolyLR":
            assert part.end == config.train_cfg.max_iters
            documented += [f"polynomial {part.power:g} to {part.eta_min:g}"]
        else:
            assert part.type == "MultiStepLR"
            documented += [
                f"× {part.gamma:g} at {' and '.join(f'{step:,}' for step in part.milestones)}"
            ]
    return ", ".join(documented)


def images(pipeline: list[Config]) -> str:
    """Sizes and augmentation, step by step."""
    documented = []
    for step in pipeline:
        if step.type in ("Resize", "RandomResize"):
            long, short = step.scale
            factors = (
                f" × {step.ratio_range[0]:g} to {step.ratio_range[1]:g}"
                if "ratio_range" in step
                else ""
            )
            sides = (
                f"short side {short}, long at most {long}" if short < long else f"long side {long}"
            )
            documented += [sides + factors]
        elif step.type == "RandomChoiceResize":
            shorts = [short for _, short in step.scales]
            gap = shorts[1] - shorts[0]
            assert shorts == list(range(shorts[0], shorts[-1] + 1, gap))
            documented += [
                f"short side {shorts[0]} to {shorts[-1]} by {gap}, long at most {step.scales[0][0]}"
            ]
            assert len({long for long, _ in step.scales}) == 1
        elif step.type == "RandomCrop":
            documented += [f"crop {step.crop_size[0]}"]
            documented += (
                [f"of one class at most {step.cat_max_ratio}"]
                if step.get("cat_max_ratio", 1) < 1
                else []
            )
        elif step.type == "RandomFlip":
            documented += [f"flip {step.prob}"]
        elif step.type == "PhotoMetricDistortion":
            documented += ["colours distorted"]
        else:
            known = ("LoadImageFromFile", "LoadAnnotations", "FilterAnnotations", "KeepDifficult")
            assert step.type in (*known, "PackSegInputs", "PackDetInputs"), step.type
    return ", ".join(documented)


def windows(test: Config) -> str:
    """How a segmentor sees a test image; nothing for detectors."""
    if test.get("mode") == "slide":
        return f", windows of {test.crop_size[0]} every {test.stride[0]}"
    return ", whole" if test.get("mode") == "whole" else ""


def norms(config: Config) -> str:
    """Kinds of norm that are named, precise BN, frozen stages, where bottlenecks stride, order of
    colours.
    """
    model, kinds = config.model, set()

    def collect(tree: Any) -> None:
        for key, part in tree.items() if isinstance(tree, dict) else ():
            if key == "norm_cfg" and part:
                kinds.add(part["type"])
            collect(part)

    collect(model.to_dict())
    documented = [" and ".join(sorted(kinds))]
    documented += [
        "precise BN" for hook in config.get("custom_hooks") or [] if hook["type"] == "PreciseBN"
    ]
    if model.backbone.type == "ResNet":
        assert not model.backbone.norm_eval
        documented += (
            ["nothing frozen"]
            if model.backbone.frozen_stages == -1
            else [f"{model.backbone.frozen_stages} frozen"]
        )
        documented += [
            {"pytorch": "stride in 3 × 3", "caffe": "stride in 1 × 1"}[model.backbone.style]
        ]
    return ", ".join(documented + ["RGB" if model.data_preprocessor.bgr_to_rgb else "BGR"])


def test_the_page_lists_exactly_the_recipes() -> None:
    for head in TABLES:
        assert sorted(rows(head)) == RECIPES


@every_recipe
def test_table_says_what_the_recipe_does(recipe: str) -> None:
    documented = rows(TABLES[0])[recipe] | rows(TABLES[1])[recipe]
    actual = settings(load(recipe))
    assert {column: documented[column] for column in actual} == actual
    assert documented["source"] and re.search(STATUS, documented["status"])


@every_recipe
def test_header_says_how_to_launch_and_what_to_expect(recipe: str) -> None:
    for name in (recipe, f"tiny/{SIBLINGS.get(recipe, recipe)}"):
        text = ast.get_docstring(
            ast.parse((ROOT / "configs" / "transfer" / f"{name}.py").read_text(encoding="utf-8"))
        )
        assert f"configs/transfer/{name}.py" in text and re.search(
            r"tools/(transfer\.py|dist_train\.sh)", text
        )
        assert all(
            f"\n{word}:" in text
            for word in ("Launch", "Hardware", "Time", "Result", "Knob", "Differs")
        )
        assert re.search(STATUS, re.sub(r"\s+", " ", text))


@every_recipe
def test_every_batch_norm_of_the_full_size_model_is_synchronised_and_trained(recipe: str) -> None:
    from mmengine.registry import MODELS, init_default_scope

    config = load(recipe)
    init_default_scope(config.default_scope)
    with torch.device("meta"):
        model = MODELS.build(copy.deepcopy(config.model))
    actual = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    assert actual or "LN" in norms(config)
    assert all(
        isinstance(module, nn.SyncBatchNorm) and module.weight.requires_grad for module in actual
    )
    assert all(p.requires_grad for p in model.backbone.parameters())


@every_recipe
def test_tiny_version_inherits_the_recipe(recipe: str) -> None:
    tiny, full = load(f"tiny/{SIBLINGS.get(recipe, recipe)}"), load(recipe)
    assert tiny.transfer.batch <= 8 and tiny.train_cfg.max_iters <= 100
    assert tiny.transfer.backbone == full.transfer.backbone and tiny.model.type == full.model.type
    assert tiny.optim_wrapper.get("paramwise_cfg") == full.optim_wrapper.get("paramwise_cfg")
    assert [step.type for step in images_of(tiny)] == [step.type for step in images_of(full)]
    assert tiny.train_dataloader.num_workers == tiny.test_dataloader.num_workers == 0


def images_of(config: Config) -> list[Config]:
    """The steps that training images go through."""
    return first(config.train_dataloader.dataset)["pipeline"]
