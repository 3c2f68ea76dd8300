"""``load_from`` and ``start``: what is filled, what follows it, what is refused; for every quick
recipe.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.engine.build import build_runner, check
from pretrain.engine.check import register_all
from pretrain.engine.model import TrainedModel
from pretrain.engine.settings import ConfigError
from pretrain.engine.start_weights import load_backbone, load_start
from pretrain.objectives.parts.base import Objective
from pretrain.weights.filling import weights_fingerprint

ROOT = Path(__file__).resolve().parents[3]
QUICK = sorted(path.stem for path in (ROOT / "configs" / "quick").glob("*.py"))
PIXPRO = [dict(type="PixPro", hidden=16, dim=8)]


def tiny(recipe: str) -> dict[str, Any]:
    """Returns the model of a quick recipe, its heads made small."""
    model = Config.fromfile(ROOT / "configs" / "quick" / f"{recipe}.py").model.to_dict()
    for objective in model["objectives"]:
        for part in (objective, objective.get("objective", {})):
            part.update({key: 16 for key in ("hidden", "negatives", "queue") if key in part})
    return model


def build(config: dict[str, Any], seed: int) -> TrainedModel:
    """Builds a model with the weights of ``seed``."""
    register_all()
    torch.manual_seed(seed)
    return MODELS.build(config)


def bare(model: TrainedModel, path: Path) -> Path:
    """Writes the backbone alone, as tools/import.py does."""
    state = {f"backbone.{name}": value for name, value in model.backbone.state_dict().items()}
    meta = dict(model.describe(), imported={})
    torch.save(dict(state_dict=state, meta=meta), path)
    return path


def equal(first: nn.Module, second: nn.Module) -> bool:
    """Tells whether two modules hold the same parameters and buffers to the bit."""
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) for name, value in one.items()
    )


def test_quick_recipes_show_every_objective_with_a_target() -> None:
    """So the tests over all of them leave none out."""
    register_all()
    shown = set()
    for recipe in QUICK:
        for objective in tiny(recipe)["objectives"]:
            shown |= {objective["type"], objective.get("objective", {}).get("type")}
    for name, kind in MODELS.module_dict.items():
        own = isinstance(kind, type) and kind.__module__.startswith("pretrain.objectives.")
        if own and issubclass(kind, Objective):
            assert name in shown or not kind.needs.target, name


@pytest.mark.parametrize("recipe", QUICK)
def test_everything_that_follows_begins_as_what_was_loaded(recipe: str, tmp_path: Path) -> None:
    config = tiny(recipe)
    source, model = build(config, 1), build(config, 2)
    for buffer in source.backbone.buffers():  # statistics of a trained network
        if buffer.is_floating_point():
            buffer.add_(0.25)
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    path = str(bare(source, tmp_path / "bare.pth"))
    report = load_start(model, path, config["objectives"])
    assert equal(model.backbone, source.backbone)
    assert model.target_backbone is None or equal(model.target_backbone, source.backbone)
    assert all(equal(original, copy) for original, copy in model.copies())
    followers = {id(p) for _, copy in model.copies() for p in copy.parameters()}
    networks = {id(p) for p in model.backbone.parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) not in followers | networks:  # heads begin as their seed drew them
            assert torch.equal(parameter, fresh[name]), name
            assert name in report.fresh
        # Nothing may stay random and untrained.
        assert parameter.requires_grad or id(parameter) in followers | networks, name
    assert set(report.loaded) == {f"backbone.{name}" for name in model.backbone.state_dict()}
    begun = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(fresh)
    assert load_backbone(model, path).copied == report.copied
    assert all(torch.equal(value, begun[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("recipe", QUICK)
def test_a_whole_checkpoint_is_taken_as_it_is(recipe: str, tmp_path: Path) -> None:
    config = tiny(recipe)
    source, model = build(config, 1), build(config, 2)
    for _, copy in source.copies():  # targets of a run lag behind
        for parameter in copy.parameters():
            parameter.data.mul_(0.5)
    torch.save(dict(state_dict=source.state_dict()), tmp_path / "final.pth")
    report = load_start(model, str(tmp_path / "final.pth"), config["objectives"])
    assert equal(model, source)
    assert report.copied == report.fresh == report.unused == ()


def names_of_timm(name: str) -> str:
    return name.removeprefix("model.")


@pytest.mark.parametrize("rename", [str, names_of_timm], ids=["bare names", "timm's names"])
def test_bare_names_fill_the_backbone(rename: Callable[[str], str], tmp_path: Path) -> None:
    config = tiny("scenes64")
    source, model = build(config, 1), build(config, 2)
    state = {rename(name): value for name, value in source.backbone.state_dict().items()}
    torch.save(state | {rename("fc.weight"): torch.zeros(3)}, tmp_path / "bare.pth")
    report = load_start(model, str(tmp_path / "bare.pth"))
    assert equal(model.backbone, source.backbone) and equal(model.target_backbone, source.backbone)
    assert "bare.pth" in str(report) and "1 not used: fc.weight" in str(report)


def test_heads_of_another_objective_are_left_alone(
    make_config: Callable, train: Callable, tmp_path: Path
) -> None:
    """Both heads are called objectives.0.projector and have one shape."""
    heads = dict(hidden=16, dim=8)
    train(make_config(tmp_path / "first", model__objectives=[dict(type="SimCLR", **heads)]))
    weights = torch.load(tmp_path / "first" / "final.pth")["state_dict"]
    other = make_config(tmp_path / "second", model__objectives=[dict(type="BYOL", **heads)])
    fresh = build_runner(other).raw_model.objectives.state_dict()
    other.load_from = str(tmp_path / "first" / "final.pth")
    model = build_runner(other).raw_model
    assert torch.equal(
        model.backbone.state_dict()["model.norm.weight"], weights["backbone.model.norm.weight"]
    )
    for name, value in model.objectives.state_dict().items():
        assert torch.equal(value, fresh[name]), name


def change(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Returns a function that replaces entries (``__`` for dots), or drops those given as None."""

    def apply(state: dict[str, Any]) -> dict[str, Any]:
        named = {key.replace("__", "."): value for key, value in changes.items()}
        return {k: v for k, v in (state | named).items() if not (k in named and named[k] is None)}

    return apply


WRONG = [
    (
        change(backbone__model__norm__weight=None),
        "lacks 1 tensors of backbone such as backbone.model.norm.weight",
    ),
    (
        change(backbone__model__norm__weight=torch.zeros(3)),
        r"backbone.model.norm.weight is \(3,\) there and \(24,\)",
    ),
    (
        change(target_backbone__model__norm__bias=None),
        "lacks 1 tensors of target_backbone such as .*norm.bias",
    ),
    (
        change(objectives__0__target_projector__0__weight=None),
        "lacks 1 tensors of objectives.0.target_projector",
    ),
    (
        lambda state: {f"encoder.{k}": v for k, v in state.items()},
        "holds no backbone of this model.*pixelpretext import",
    ),
    (lambda state: dict(epoch=3), "holds no backbone of this model.*the file has 0 tensors"),
]


@pytest.mark.parametrize(("spoil", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_files_that_do_not_fit_are_refused_before_anything_is_written(
    make_config: Callable, tmp_path: Path, spoil: Callable, message: str
) -> None:
    cfg = make_config(tmp_path / "run", model__objectives=PIXPRO)
    state = spoil(
        build_runner(
            make_config(tmp_path / "other", model__objectives=PIXPRO)
        ).raw_model.state_dict()
    )
    torch.save(dict(state_dict=state), tmp_path / "file.pth")
    cfg.load_from = str(tmp_path / "file.pth")
    for start in (build_runner, check):
        with pytest.raises(ConfigError, match=f"load_from=.*{message}"):
            start(cfg)
    assert not (tmp_path / "run").exists()


def test_no_checkpoint_at_all_is_refused(make_config: Callable, tmp_path: Path) -> None:
    (tmp_path / "page.pth").write_text("<html>404</html>")
    with pytest.raises(ConfigError, match="load_from=.*page.pth"):
        check(make_config(tmp_path / "run", load_from=str(tmp_path / "page.pth")))


class Frozen(Objective):
    """A head that nothing trains."""

    def __init__(self, features: FeatureInfo) -> None:
        super().__init__(features)
        self.projection = nn.Linear(2, 2).requires_grad_(False)


def test_what_nothing_trains_may_not_stay_random(tmp_path: Path) -> None:
    model = build(tiny("simclr_scenes64"), 1)
    path = bare(model, tmp_path / "bare.pth")
    model.objectives.append(Frozen(model.backbone.info))
    with pytest.raises(
        ConfigError, match="lacks 2 tensors such as objectives.1.projection.weight.* nothing trains"
    ):
        load_start(model, str(path))


def test_another_normalisation_is_told(tmp_path: Path) -> None:
    model = build(tiny("simclr_scenes64"), 1)
    state = {f"backbone.{name}": value for name, value in model.backbone.state_dict().items()}
    meta = dict(
        normalisation=dict(mean=[0.5] * 3, std=model.data_preprocessor.normalisation["std"])
    )
    torch.save(dict(state_dict=state, meta=meta), tmp_path / "vit.pth")
    assert "WARNING: they were trained on pixels normalised by mean [0.5, 0.5, 0.5]" in str(
        load_start(model, str(tmp_path / "vit.pth"))
    )


START = """
import json
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class StartHook(Hook):
    def before_train(self, runner):
        model = runner.raw_model
        pairs = [(a.state_dict(), b.state_dict()) for a, b in model.copies()]
        same = all(torch.equal(one[name], other[name]) for one, other in pairs for name in one)
        total = sum(float(p.double().sum()) for p in model.backbone.parameters())
        Path(runner.work_dir, f"rank{get_rank()}.json").write_text(json.dumps([len(pairs), same,
        total]))
"""


def test_two_processes_begin_alike(
    make_config: Callable, helpers: SimpleNamespace, tmp_path: Path, free_port: int
) -> None:
    (tmp_path / "probe.py").write_text(START)
    options = dict(model__objectives=PIXPRO, schedule__samples=12)
    model = build_runner(make_config(tmp_path / "other", seed=9, **options)).raw_model
    extra = dict(
        load_from=str(bare(model, tmp_path / "bare.pth")), custom_imports=dict(imports=["probe"])
    )
    cfg = make_config(tmp_path / "two", **options, **extra, hooks=[dict(type="StartHook")])
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        f"--master-port={free_port}",
    ]
    process = helpers.start(
        [*launch, *helpers.command(cfg)], tmp_path / "log", PYTHONPATH=str(tmp_path)
    )
    assert process.wait(timeout=120) == 0, (tmp_path / "log").read_text()
    ranks = [json.loads((tmp_path / "two" / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    total = sum(float(p.double().sum()) for p in model.backbone.parameters())
    assert ranks[0] == ranks[1] == [3, True, pytest.approx(total)]


def test_wrappers_names_are_cut_and_weights_are_numbers(tmp_path: Path) -> None:
    config = dict(
        type="Pretrainer", backbone=dict(type="TimmBackbone", name="test_resnet"), objectives=PIXPRO
    )
    first, path = build(config, 1), tmp_path / "bare.pth"
    state = {
        f"module.backbone._orig_mod.{key}": v.clone()
        for key, v in first.backbone.state_dict().items()
    }
    torch.save(dict(state_dict=state), path)
    second = build(config, 2)
    load_start(second, str(path), PIXPRO)
    assert equal(first.backbone, second.backbone)
    next(value for value in state.values() if value.is_floating_point()).view(-1)[0] = float("nan")
    torch.save(dict(state_dict=state), path)
    with pytest.raises(
        ValueError, match="load_from=.*backbone.model.* holds 1 values of .* that are NaN"
    ):
        load_start(build(config, 3), str(path), PIXPRO)


def test_a_run_keeps_what_it_began_with_and_never_reads_it_again(
    make_config: Callable, train: Callable, tmp_path: Path
) -> None:
    source = build_runner(make_config(tmp_path / "other", seed=9)).raw_model
    path = bare(source, tmp_path / "bare.pth")
    options = dict(
        model__backbone__start=f"{path}?licence=CC-BY-4.0", model__objectives=PIXPRO, hooks=[]
    )
    whole = train(make_config(tmp_path / "whole", **options))
    report = f"from the weights of {path}?licence=CC-BY-4.0 (CC-BY-4.0)"
    assert report in check(make_config(tmp_path / "never", **options))
    stopped = make_config(tmp_path / "stopped", **options)
    train(stopped)
    for step in (6, 9, 12):
        (tmp_path / "stopped" / f"iter_{step}.pth").unlink()
    path.unlink()
    resumed = train(stopped, resume=True)
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name
    fingerprint = weights_fingerprint(source.backbone)
    start = dict(source=f"{path}?licence=CC-BY-4.0", fingerprint=fingerprint)
    for content in (whole, resumed):
        assert content["meta"]["start"] == start
        assert content["meta"]["licence"] == "CC-BY-4.0"
        assert "start" not in content["meta"]["backbone"]


def test_one_start_only_and_the_normalisation_of_its_weights(
    make_config: Callable, tmp_path: Path
) -> None:
    model = build_runner(make_config(tmp_path / "other")).raw_model
    path = str(bare(model, tmp_path / "bare.pth"))
    both = make_config(tmp_path / "run", load_from=path, model__backbone__start=path)
    with pytest.raises(ConfigError, match="begins with one of the two"):
        check(both)
    other = dict(type="ViewPreprocessor", mean=[0.5] * 3)
    cfg = make_config(tmp_path / "run", model__backbone__start=path, model__data_preprocessor=other)
    with pytest.raises(ConfigError, match=r"start=.*normalised by mean \[0.485, 0.456, 0.406\]"):
        check(cfg)
