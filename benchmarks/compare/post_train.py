"""Post-training as a comparison: the config that a command line asks for, and what its table says.

A template, ``configs/comparisons/post_train.py``, holds arms, schedule and benchmarks. Here it gets
the user's backbone, images, masks and sizes, and is written as an ordinary comparison.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS

from benchmarks.compare.configs import find_config, load_config, without_helpers, write_config
from benchmarks.compare.names import check_names, check_seeds
from benchmarks.compare.plan import read_budget
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data import ClassFolder, SegmentationFolder
from benchmarks.data.base import LabelledData
from benchmarks.data.layouts import LAYOUTS
from benchmarks.report.statistics.ranking import PairEstimate
from benchmarks.report.statistics.verdict import BETTER, NEITHER, WORSE, separated
from pretrain.data.sources import ImageFolder
from pretrain.engine.check import register_all
from pretrain.engine.config_file import read_config
from pretrain.files import atomic_write, read_dict
from pretrain.names import check_choice
from pretrain.specs import parse_spec, spec_of, split_options
from pretrain.weights.start import UNKNOWN

#: The arm that every other one is judged against, in every template.
CONTROL = "untouched"
_HEADS_FIRST = 0.1  # share of the images for which only heads are trained
_WARMUP = 0.05
_CHECKPOINTS = 8  # of each training, among which dense structure advises one
_START_OPTIONS = ("weights", "layout", "licence")
_MEANINGLESS = ("seed", "map_stride")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asks for.

    Attributes:
        backbone: spec of published weights, see :meth:`FeatureExtractor.load`; ``?licence=TEXT``
            says what they may be used for, ``?mean=R,G,B&std=R,G,B`` how its images are normalised
            if the file does not.
        images: folders of photos, their labels are not read.
        masks: ``LAYOUT:ROOT?options``, judges.
        classes: ``classes:ROOT?options``, each judged by kNN.
        template: comparison that is filled in.
        arms: names of those to run beside ``untouched``; empty: all that suit the backbone.
        budget: kind -> amount, as in comparisons; empty: the template's.
        seeds: empty: the template's.
        batch: images per step; None: the recipe's.
        lr: peak of the backbone's learning rate; None: the recipe's.
        size: (H, W) of images that are judged; None: the template's.
        view_size: side of the large views, others in proportion; None: the recipe's.
    """

    backbone: str
    images: Sequence[str]
    masks: str
    classes: Sequence[str] = ()
    template: str = "post_train"
    arms: Sequence[str] = ()
    budget: Mapping[str, float] | None = None
    seeds: Sequence[int] = ()
    batch: int | None = None
    lr: float | None = None
    size: tuple[int, int] | None = None
    view_size: int | None = None


@dataclass(frozen=True)
class Backbone:
    """The published network.

    Attributes:
        config: registry dict with its ``start``.
        normalisation: ``mean`` and ``std``, RGB in [0, 1].
        stride: pixels per cell of its deepest map.
        licence: of its weights, ``unknown`` where nobody says.
    """

    config: dict[str, Any]
    normalisation: dict[str, list[float]]
    stride: int
    licence: str


@dataclass(frozen=True)
class Written:
    """A comparison that was written.

    Attributes:
        path: its config.
        backbone: what it begins with.
        images: how many photos there are.
        left_out: arm -> why the backbone does not suit it.
    """

    path: Path
    backbone: Backbone
    images: int
    left_out: dict[str, str]

    def __str__(self) -> str:
        lines = [
            f"licence of the weights: {self.backbone.licence}",
            f"{self.images:,} photos; comparison: {self.path}",
        ]
        lines += [f"left out: {arm}: {reason}" for arm, reason in self.left_out.items()]
        return "\n".join(lines)


def write_comparison(request: Request, folder: Path) -> Written:
    """Writes ``folder/post_train.py``, a comparison for ``pixelpretext compare``.

    Raises:
        ValueError, OSError: a backbone, folder, layout, arm or size that is not there or does not
            fit.
    """
    register_all()
    template = find_config(request.template, "--template", folder="comparisons")
    raw = without_helpers(read_config(template).to_dict())
    raw.pop("prepare", None)  # of the template's own data
    _check_numbers(request)
    backbone = read_backbone(request)
    source, count = _source(request.images, folder)
    raw["overrides"] = raw.get("overrides", {}) | dict(_overrides(request, raw, backbone=backbone))
    raw["overrides"]["source"] = source
    raw["title"] = f"Post-training {request.backbone} (licence of the weights: {backbone.licence})"
    if request.budget:
        raw["budget"] = dict(request.budget)
    if request.seeds:
        raw["seeds"] = check_seeds("--seeds", request.seeds)
    raw["overrides"] |= _lengths(raw, count)
    _hold_to(raw, backbone)
    left_out = _choose_arms(raw, request.arms, stride=backbone.stride)
    _fit_views(raw, request, stride=backbone.stride)
    _judge(raw, request, stride=backbone.stride)
    path = folder / "post_train.py"
    write_config(raw, path, header=f"written by pixelpretext post-train from {request.template}")
    return Written(path, backbone, count, left_out)


def _check_numbers(request: Request) -> None:
    """Raises a ValueError for an amount that is not above 0."""
    if request.budget:
        read_budget(dict(request.budget))
    asked = {"--batch": request.batch, "--lr": request.lr, "--view-size": request.view_size}
    if request.size is not None:
        asked["--size"] = min(request.size)
    for option, value in asked.items():
        if value is not None and not value > 0:
            raise ValueError(f"{option}: {value} must be greater than 0")


def read_backbone(request: Request) -> Backbone:
    """Loads the published network once and describes it for recipes.

    Raises:
        ValueError, OSError: see :meth:`FeatureExtractor.load`; a network without weights, or an
            option that a training has no use for.
    """
    source, options = parse_spec(request.backbone)
    if source.startswith("random:"):
        raise ValueError(
            f"backbone {request.backbone!r} has no weights to go on from; name timm:NAME.TAG or a "
            "file"
        )
    for name in _MEANINGLESS:
        if name in options:
            raise ValueError(f"backbone {request.backbone!r}: leave {name}= out")
    start = {name: options[name] for name in _START_OPTIONS if name in options}
    licence = options.pop("licence", None)
    extractor = FeatureExtractor.load(spec_of(source, options))
    config = extractor.backbone.architecture
    config |= dict(start=spec_of(source, start), frozen_statistics=True)
    return Backbone(
        {key: value for key, value in config.items() if value is not None},
        dict(mean=list(extractor.mean), std=list(extractor.std)),
        extractor.stride,
        licence or extractor.licence or UNKNOWN,
    )


def _source(folders: Sequence[str], folder: Path) -> tuple[dict[str, Any], int]:
    """Returns the source of the photos in several folders, and how many there are."""
    parts = [ImageFolder(root, labels=False) for root in folders]
    count = sum(map(len, parts))
    if len(parts) == 1:
        return dict(_delete_=True, type="ImageFolder", root=folders[0], labels=False), count
    names = []
    for part in parts:
        names += [str(Path(part.name(index)).resolve()) for index in range(len(part))]
    atomic_write(folder / "images.txt", "\n".join(names) + "\n")
    return dict(_delete_=True, type="FileList", path=str(folder / "images.txt")), count


def _overrides(
    request: Request, raw: Mapping[str, Any], *, backbone: Backbone
) -> Iterator[tuple[str, Any]]:
    """Yields what all arms share."""
    yield "model.backbone", dict(_delete_=True, **backbone.config)
    yield "model.data_preprocessor", dict(type="ViewPreprocessor", **backbone.normalisation)
    if request.batch is not None:
        yield "schedule.global_batch", request.batch
    if request.lr is not None:
        recipe = _recipe(raw, {})
        yield "schedule.lr", request.lr / recipe["optimizer"].get("backbone_lr", 1.0)


def _lengths(raw: Mapping[str, Any], images: int) -> dict[str, Any]:
    """Returns for how long the rate rises and only heads are trained, and how often a checkpoint is
    written; of budgets that are yet to be measured nobody knows.
    """
    samples = raw["budget"].get("samples")
    if samples is None:
        return {"schedule.warmup_samples": 0, "optimizer.heads_first": 0.0}
    steps = samples // _recipe(raw, {})["schedule"]["global_batch"]
    return {
        "schedule.warmup_samples": int(_WARMUP * samples),
        "optimizer.heads_first": round(_HEADS_FIRST * samples / images, 4),
        "engine.checkpoint_every": max(1, int(steps) // _CHECKPOINTS),
    }


def _recipe(raw: Mapping[str, Any], arm: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved recipe of an arm."""
    path = find_config(arm.get("config") or raw["base"], "arm")
    return load_config(path, raw.get("overrides", {}), arm.get("overrides", {}), where="arm")


def _hold_to(raw: dict[str, Any], backbone: Backbone) -> None:
    """Puts the backbone in the place of the template's where arms learn from a frozen one."""
    for arm in raw["arms"].values():
        reference = arm.get("overrides", {}).get("model.reference", {})
        if "backbone" in reference:
            reference["backbone"] = backbone.config


def _choose_arms(raw: dict[str, Any], wanted: Sequence[str], *, stride: int) -> dict[str, str]:
    """Leaves the wanted arms, without any all that suit the backbone; returns why others do not.

    Args:
        raw: the comparison, whose arms are changed.
        wanted: names.
        stride: of the backbone; cells of another size would not be judged alike.

    Raises:
        ValueError: an unknown arm, or a wanted one that does not suit the backbone.
    """
    check_names("arm in --arms:", wanted, raw["arms"])
    chosen, left_out = {}, {}
    for name, arm in raw["arms"].items():
        if wanted and name not in (CONTROL, *wanted):
            continue
        try:
            _require_fitting(_recipe(raw, arm)["model"], stride)
        except ValueError as error:
            if wanted:
                raise ValueError(f"--arms {name}: {error}") from error
            left_out[name] = str(error)
        else:
            chosen[name] = arm
    raw["arms"] = chosen
    return left_out


def _require_fitting(model: dict[str, Any], stride: int) -> None:
    """Raises a ValueError for a model that cannot be built, or whose cells have another stride."""
    with torch.device("meta"):
        own = MODELS.build(model).backbone.info.pick(None)
    if own != stride:
        raise ValueError(f"its network has stride {own}, the backbone {stride}")


def _fit_views(raw: dict[str, Any], request: Request, *, stride: int) -> None:
    """Brings all views to the wanted size, in whole cells of the deepest map."""
    groups = _recipe(raw, {})["views"]["groups"]
    factor = 1.0
    if request.view_size is not None:
        factor = request.view_size / groups["global"][0]["size"]
    for group, views in groups.items():
        for place, view in enumerate(views):
            size = _whole(view["size"] * factor, stride)
            raw["overrides"][f"views.groups.{group}.{place}.size"] = size
    for arm in raw["arms"].values():
        for key, views in arm.get("overrides", {}).items():
            if key.startswith("views.groups.") and isinstance(views, list | tuple):
                for view in views:
                    view["size"] = _whole(view["size"] * factor, stride)


def _whole(size: float, stride: int) -> int:
    """The nearest size of whole cells, at least one."""
    return max(1, round(size / stride)) * stride


def _judge(raw: dict[str, Any], request: Request, *, stride: int) -> None:
    """Puts the user's masks and class folders into the benchmarks."""
    masks = _arguments(request.masks, SegmentationFolder, option="--masks")
    every = tuple(masks.pop("every", (1, 1)))
    columns = list(raw["columns"])
    for benchmark in raw["benchmarks"].values():
        step, _ = benchmark["data"]["every"]
        benchmark["data"] = dict(**masks, every=(every[0] * step, every[1]))
        height, width = request.size or benchmark["size"]
        benchmark["size"] = (_whole(height, stride), _whole(width, stride))
    for number, spec in enumerate(request.classes, 1):
        data = _arguments(spec, ClassFolder, option="--classes")
        name = f"knn_{data.get('domain', number)}"
        raw["benchmarks"][name] = dict(
            type="knn", data=data, size=_whole(min(height, width), stride)
        )
        columns.append(f"{name}.top1")
    raw["columns"] = tuple(columns)
    raw["pictures"] = dict(
        folder=request.images[0], count=6, size=_whole(min(height, width), stride)
    )
    for baseline in raw.get("baselines", {}).values():
        baseline["stride"] = stride


def _arguments(spec: str, reader: type[LabelledData], *, option: str) -> dict[str, Any]:
    """Returns arguments of the reader for ``LAYOUT:ROOT?options``."""
    layout, colon, rest = spec.partition(":")
    if not colon:
        raise ValueError(f"{option} {spec!r}: write LAYOUT:ROOT")
    check_choice(f"layout of {option}", layout, LAYOUTS)
    root, options = split_options(rest)
    arguments = reader.arguments(layout, root, options)
    if arguments is None:
        raise ValueError(f"{option} {spec!r}: needs a {reader.wanted()}")
    return arguments


def conclusion(folder: Path, seed: int) -> str:
    """The last line: whether any arm lies above the untouched backbone, and what to try next.

    Args:
        folder: of the comparison; its ``table.json`` is there.
        seed: whose weights are named.
    """
    rankings = read_dict(folder / "table.json").get("rankings", {})
    groups: dict[str, dict[str, list[str]]] = {BETTER: {}, WORSE: {}, NEITHER: {}}
    for column, ranking in rankings.items():
        pairs = [PairEstimate(**pair) for pair in ranking["pairs"]]
        for outcome, arms in separated(pairs, CONTROL).items():
            for arm in arms:
                groups[outcome].setdefault(arm, []).append(column)
    if not any(groups.values()):
        return (
            f"Nothing can be said of any arm against {CONTROL}: that needs two seeds of both. "
            "Next: the same command with --seeds 0 1 2."
        )
    below = f" Below it: {_listed(groups[WORSE])}." if groups[WORSE] else ""
    if groups[BETTER]:
        gains = {arm: len(columns) for arm, columns in groups[BETTER].items()}
        for arm, columns in groups[WORSE].items():
            gains[arm] = gains.get(arm, 0) - len(columns)
        best = max(groups[BETTER], key=gains.get)
        network = folder / best / f"seed_{seed}" / "pretrain" / "final.pth"
        return (
            f"Above {CONTROL}: {_listed(groups[BETTER])} ({len(rankings)} of the table's columns "
            f"are judged, each at 95 %).{below} Next: repeat it on masks that chose nothing, then "
            f"pixelpretext export {shlex.quote(str(network))} --to timm."
        )
    return (
        f"No arm lies above {CONTROL}.{below} Next: keep the published weights, or try more images "
        "of your own kind, a longer --budget, or a smaller --lr."
    )


def _listed(arms: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{arm} in {', '.join(columns)}" for arm, columns in arms.items())
