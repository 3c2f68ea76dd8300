"""No step needs more of a device than its kernels, shown without one.

Tensors on torch's ``meta`` device have no values: whatever would wait for a value (``.item()``,
``int(tensor)``, ``bool(tensor)``, ``nonzero``) raises. :class:`Watch` adds what that device
tolerates: a tensor that was left on the CPU meeting one of the device, and copies to the device
that wait until they are done. The step is that of the training loop from the preprocessed batch to
the targets; the preprocessor, which sorts images by their photometrics on the CPU, is not part of
it. Autocast, which the meta device lacks, is left away.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, TRANSFORMS
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.upsamplers import load_upsampler
from benchmarks.finetune import model as _finetuner  # noqa: F401 — registers it
from heads.upsamplers.jbu import JBUStack
from heads.upsamplers.neighbourhood import NeighbourhoodUpsampler
from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.engine.check import register_all
from pretrain.engine.model import TrainedModel
from pretrain.objectives.parts.base import Objective
from pretrain.structures import Batch, Views, collate
from pretrain.views.preprocessor import ViewPreprocessor

ROOT = Path(__file__).resolve().parents[3]
#: The regulariser's k-means looks at its clusters in every round.
WAITING = {"dse_simclr_scenes64"}
QUICK = sorted({path.stem for path in (ROOT / "configs" / "quick").glob("*.py")} - WAITING)
UPSAMPLERS = sorted(path.stem for path in (ROOT / "configs" / "upsamplers").glob("*.py"))
IMAGES = 4


class Watch(TorchDispatchMode):
    """Raises where a CPU tensor meets the device, or a copy to it waits; counts calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        devices = {tensor.device.type for tensor in given}
        # A number of no dimensions may be on the CPU: it travels with the kernel's arguments.
        left = [tuple(t.shape) for t in given if t.device.type == "cpu" and t.ndim > 0]
        result = func(*args, **(kwargs or {}))
        created = {value.device.type for value in tree_leaves(result) if isinstance(value, Tensor)}
        overtaken = (kwargs or {}).get("non_blocking") or (
            func is torch.ops.aten.copy_.default and args[2:] == (True,)
        )
        waits = not overtaken
        if "meta" in devices and left:
            if func is not torch.ops.aten.copy_.default or waits:
                raise RuntimeError(f"{func}: tensors {left} are on the CPU")
        elif devices == {"cpu"} and "meta" in created and waits:
            raise RuntimeError(f"{func}: copies {left} to the device and waits")
        return result


@contextmanager
def uncast() -> Iterator[None]:
    """Leaves autocast away."""
    no_cast = mock.patch("torch.autocast", lambda *_, **__: nullcontext())
    with no_cast, mock.patch("torch.is_autocast_enabled", lambda *_: False):
        yield


@contextmanager
def watched() -> Iterator[Watch]:
    """Watches what a block asks of the device."""
    numbers = mock.patch("torch.tensor", from_numbers), mock.patch("torch.as_tensor", from_numbers)
    with uncast(), numbers[0], numbers[1], Watch() as watch:
        yield watch


def from_numbers(
    data: Any, *, device: Any = None, _make: Any = torch.tensor, **options: Any
) -> Tensor:
    """``torch.tensor`` as devices see it: made on the CPU, then copied, which is waited for."""
    if device is not None and torch.device(device).type != "cpu":
        raise RuntimeError("torch.tensor(…, device=…) copies its numbers to the device and waits")
    return _make(data, **options)


def fake_batch(views: dict[str, Any]) -> Batch:
    """Returns a preprocessed batch of a recipe's views, on the meta device."""
    groups = {}
    for name, specs in TRANSFORMS.build(views).specs.items():
        side = specs[0].size if isinstance(specs[0].size, int) else specs[0].size[0]
        geometry = torch.empty(IMAGES, len(specs), 2, 3, dtype=torch.float64, device="meta")
        groups[name] = Views(
            torch.empty(IMAGES, len(specs), 3, side, side, device="meta"), geometry
        )
    numbers = torch.empty(IMAGES, dtype=torch.int64, device="meta")
    return Batch(groups, numbers, numbers)


def step(model: TrainedModel, batch: Batch) -> None:
    """One step of the training loop without its optimiser."""
    terms = model(batch)
    sum(value for name, value in terms.items() if "loss" in name).backward()
    model.after_step(0.1)


def built(config: dict[str, Any]) -> TrainedModel:
    """Builds a model as the engine does, on the CPU, and moves it to the device."""
    register_all()
    model = MODELS.build(config)
    if getattr(model, "reference", None) is not None:
        model.reference.network.to("meta")  # it moves in a run's first step
    return model.to("meta").train()


@pytest.mark.parametrize("recipe", QUICK)
def test_a_step_of_a_recipe_waits_for_nothing(recipe: str) -> None:
    cfg = Config.fromfile(ROOT / "configs" / "quick" / f"{recipe}.py")
    model, batch = built(cfg.model.to_dict()), fake_batch(cfg.views.to_dict())
    with watched() as watch:
        step(model, batch)
    assert watch.calls > 100


def test_adco_waits_for_nothing_once_its_negatives_are_full() -> None:
    cfg = Config.fromfile(ROOT / "configs" / "quick" / "adco_scenes64.py")
    model, batch = built(cfg.model.to_dict()), fake_batch(cfg.views.to_dict())
    model.objectives[0].filled.fill_(len(model.objectives[0].negatives))
    with watched():
        step(model, batch)
    assert model.objectives[0].filled.device.type == "cpu"
    assert "objectives.0.filled" in model.state_dict()


@pytest.mark.parametrize("recipe", UPSAMPLERS)
@pytest.mark.parametrize("upsampler", [None, "Interpolation"])
def test_a_step_of_an_upsampler_waits_for_nothing(recipe: str, upsampler: str | None) -> None:
    cfg = Config.fromfile(ROOT / "configs" / "upsamplers" / f"{recipe}.py")
    config = cfg.model.to_dict() | dict(
        backbone=dict(type="TimmBackbone", name="test_resnet", output_stride=8)
    )
    if upsampler is not None:
        if recipe == "regression":
            pytest.skip("nothing to train")
        config["upsampler"] = dict(type=upsampler)
    views = cfg.views.to_dict()
    views["groups"]["global"][0]["size"] = 64
    model, batch = built(config), fake_batch(views)
    with uncast():
        step(model, batch)  # what depends on sizes alone is made once and kept
    with watched():
        step(model, batch)


def test_a_step_of_a_fine_tuning_waits_for_nothing() -> None:
    backbone = dict(type="TimmBackbone", name="test_resnet")
    config = dict(type="Finetuner", backbone=backbone, classes=["a", "b", "c"], erase=0.9)
    model = built(config)
    views = dict(type="ViewRecipe", groups={"global": [dict(size=64)]})
    batch = replace(fake_batch(views), ids=torch.arange(IMAGES))
    with watched():
        step(model, batch)


class Planted(Objective):
    """Does what a step must not do."""

    def __init__(self, features: Any, fault: str) -> None:
        super().__init__(features)
        self.fault = fault

    def forward(self, batch: Batch, encode: Any) -> dict[str, Tensor]:
        first, second = (view.vector for view in encode.online("global"))
        loss = F.mse_loss(first, second)
        if self.fault == "item":
            loss = loss * loss.item()
        elif self.fault == "branch":
            loss = loss if loss > 0 else -loss
        elif self.fault == "nonzero":
            loss = loss + first[first > 0].sum()
        elif self.fault == "left on the CPU":
            loss = loss + (first * torch.ones(first.shape[1])).sum()
        elif self.fault == "copied":
            loss = loss + (first * torch.ones(first.shape[1]).to(first.device)).sum()
        elif self.fault == "made there from numbers":
            loss = loss + (first * torch.tensor([1.0], device=first.device)).sum()
        return {"loss": loss}


FAULTS = ("item", "branch", "nonzero", "left on the CPU", "copied", "made there from numbers")


@pytest.mark.parametrize("fault", [*FAULTS, "none"])
def test_the_watch_sees_what_is_planted(fault: str) -> None:
    cfg = Config.fromfile(ROOT / "configs" / "quick" / "simclr_scenes64.py")
    model, batch = built(cfg.model.to_dict()), fake_batch(cfg.views.to_dict())
    model.objectives = nn.ModuleList([Planted(model.backbone.info, fault)])
    if fault == "none":
        with watched():
            step(model, batch)
        return
    with watched(), pytest.raises((RuntimeError, NotImplementedError)):
        step(model, batch)


ENCODERS = (
    *("none", "nearest", "bilinear", "bicubic", "blur"),
    *("guided", "bilateral", "jbu", "neighbourhood"),
)


def upsampler_of(name: str, channels: int) -> nn.Module | None:
    """Returns an untrained upsampler."""
    if name == "jbu":
        return JBUStack(channels, factor=8).eval()
    if name == "neighbourhood":
        return NeighbourhoodUpsampler().eval()
    return load_upsampler(name)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("name", ENCODERS)
def test_frozen_encoding_waits_for_nothing(name: str, dtype: torch.dtype) -> None:
    backbone = TimmBackbone("test_resnet", output_stride=8).to("meta").eval()
    upsampler = upsampler_of(name, backbone.info.channels[8])
    extractor = FeatureExtractor(backbone)
    if upsampler is not None:
        extractor = extractor.through(upsampler.to("meta"), 2)
    images = torch.empty(2, 3, 64, 64, dtype=dtype, device="meta")
    with uncast():
        extractor.maps(images)  # what depends on sizes alone is made once and kept
    with watched():
        assert extractor.maps(images).shape[-2:] == ((8, 8) if name == "none" else (32, 32))
        assert extractor.vector(images).shape == (2, backbone.info.vector)


def drawn_batch(path: Path) -> Batch:
    """Returns a batch of the views of a config as it leaves the loader, 16 images made tiny."""
    register_all()
    recipe = TRANSFORMS.build(Config.fromfile(path).views.to_dict())
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    plans = [recipe.plan(64, 64, rng) for _ in range(16)]
    samples = [Batch(recipe.render(image, plan), None, torch.tensor(0)) for plan in plans]
    batch = collate(samples)
    for group in batch.views.values():
        group.images = group.images[..., ::4, ::4].contiguous()
    return batch


def test_what_the_preprocessor_sends_is_page_locked_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It forms groups on the CPU; the loader pins the batch itself, it pins the groups."""
    batch = drawn_batch(ROOT / "configs" / "_base_" / "views_pixpro224.py")
    preprocessor = ViewPreprocessor().to("meta")
    pinned: list[Tensor] = []
    copies: list[bool] = []
    move = Tensor.to

    def pin(tensor: Tensor) -> Tensor:
        pinned.append(tensor)
        return tensor

    def to(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if args and args[0] == torch.device("meta") and tensor.device.type == "cpu":
            locked = any(tensor is other for other in pinned)
            copies.append(locked and kwargs.get("non_blocking", False))
        return move(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(Tensor, "pin_memory", pin)
    monkeypatch.setattr(Tensor, "to", to)
    prepared = preprocessor(batch.pin_memory())["batch"]
    assert prepared.views["global"].images.device.type == "meta"
    assert len(copies) > 20 and all(copies)
