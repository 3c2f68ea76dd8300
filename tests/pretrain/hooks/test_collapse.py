"""The collapse sentinel: what it measures, when it speaks, and that it changes nothing."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import HOOKS
from torch import Tensor, nn

from pretrain.backbones.timm_backbone import Features
from pretrain.engine.build import build_runner
from pretrain.engine.config import PretrainConfig
from pretrain.geometry import identity
from pretrain.hooks.collapse import CollapseHook, FeatureCollapse
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds
from pretrain.structures import Batch, Views

IMAGES, CHANNELS, SIDE = 16, 24, 4


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


class Watched(nn.Module):
    """What the hook uses of a model."""

    group = "large"

    def __init__(self, bounds: Bounds) -> None:
        super().__init__()
        objective = SimpleNamespace(needs=Needs(target=("large",)), temperature=None)
        objective.bounds = lambda batch, terms: bounds
        self.objectives = [objective]
        self.weights = [2.0]
        self.last_features: list[Features] | None = None

    def term_name(self, index: int, name: str) -> str:
        return f"Toy.{name}"

    def momentum_at(self, progress: float) -> float:
        return 0.5


def make_runner() -> SimpleNamespace:
    """A runner with a model that a test feeds features."""
    return SimpleNamespace(
        iter=0,
        max_iters=1000,
        raw_model=Watched(Bounds(-4, -4, 0)),
        logger=logging.getLogger("collapse"),
        message_hub=MessageHub(f"collapse_{id(object())}_{torch.rand(1).item()}"),
        optim_wrapper=SimpleNamespace(param_groups=[{"lr": 0.3}]),
    )


def features(spread: float, agreement: float = 0.5) -> list[Features]:
    """Two views: one direction common to all, noise of size ``spread``; ``agreement`` is the share
    both views have.
    """
    common, shared = torch.ones(CHANNELS, 1, 1), torch.randn(IMAGES, CHANNELS, SIDE, SIDE)
    maps = [
        common
        + spread
        * (agreement * shared + (1 - agreement) * torch.randn(IMAGES, CHANNELS, SIDE, SIDE))
        for _ in range(2)
    ]
    return [Features({8: m}, m.mean((2, 3))) for m in maps]


def batch() -> Batch:
    geometry = identity().expand(IMAGES, 2, 2, 3)
    return Batch(
        {"large": Views(torch.zeros(IMAGES, 2, 3, 8, 8), geometry)}, None, torch.arange(IMAGES)
    )


def views() -> Views:
    return batch().views["large"]


def look(
    hook: CollapseHook,
    runner: SimpleNamespace,
    step: int,
    given: list[Features],
    loss: float = -1.0,
) -> None:
    runner.iter, runner.raw_model.last_features = step - 1, given
    hook.after_train_iter(runner, step - 1, batch(), {"Toy.loss": torch.tensor(2.0 * loss)})


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_measures_vectors_cells_and_pairs() -> None:
    values = HOOKS.build(dict(type="CollapseHook")).measure(features(3.0), views())
    assert (
        values["vector_spread"] > 0.3
        and values["cell_spread"] > 0.8
        and values["cell_spread_within"] > 0.8
    )
    assert 10 < values["vector_rank"] <= CHANNELS and 10 < values["cell_rank"] <= CHANNELS
    assert values["cell_gap"] > 0.3 and values["vector_gap"] > 0.05
    assert abs(CollapseHook().measure(features(3.0, agreement=0.0), views())["cell_gap"]) < 0.05


def test_positives_of_cells_follow_the_geometry() -> None:
    given = features(3.0, agreement=1.0)
    mirrored = views()
    mirror = torch.tensor([[-1.0, 0, 1], [0, 1, 0]], dtype=torch.float64)
    mirrored.geometry = torch.stack([identity(), mirror]).expand(IMAGES, 2, 2, 3)
    assert CollapseHook().measure(given, mirrored)["cell_gap"] < 0.3
    given[1] = Features({8: given[1].map().flip(3)}, given[1].vector)
    assert CollapseHook().measure(given, mirrored)["cell_gap"] == pytest.approx(
        CollapseHook().measure([given[0], given[0]], views())["cell_gap"]
    )


def test_one_view_and_no_geometry_leave_the_gaps_out() -> None:
    one = CollapseHook().measure(features(1.0)[:1], views())
    assert "vector_spread" in one and "vector_gap" not in one
    assert "cell_gap" not in CollapseHook().measure(features(1.0), None)


def test_warns_once_after_grace_and_patience_and_again_after_recovery(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hook, runner = CollapseHook(every=10, grace=30, patience=2), make_runner()
    with caplog.at_level(logging.INFO):
        for step in (1, 10, 20, 30, 40):
            look(hook, runner, step, features(0.01))
        assert warnings_in(caplog) == []  # in grace, then the first of two looks
        look(hook, runner, 45, features(0.01))  # no time to look
        look(hook, runner, 50, features(0.01))
        assert len(warnings_in(caplog)) == 1
        for step in (60, 70, 80):
            look(hook, runner, step, features(0.01))
        assert len(warnings_in(caplog)) == 1
        look(hook, runner, 90, features(3.0))
        for step in (100, 110):
            look(hook, runner, step, features(0.01))
    assert len(warnings_in(caplog)) == 2
    message = warnings_in(caplog)[0]
    assert (
        "point nearly the same way" in message
        and "1. momentum is 0.5 now" in message
        and "0.3" in message
    )


def test_healthy_features_are_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    hook, runner = CollapseHook(every=1, grace=0, patience=1), make_runner()
    for step in range(1, 6):
        look(hook, runner, step, features(3.0))
    assert warnings_in(caplog) == []


def test_loss_at_its_bound_is_a_sign_after_the_weight_is_taken_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hook, runner = CollapseHook(every=1, grace=0, patience=1), make_runner()
    look(hook, runner, 1, features(3.0), loss=-2.0)  # weighted −4
    assert warnings_in(caplog) == []
    look(hook, runner, 2, features(3.0), loss=-3.995)
    assert "Toy: its loss -3.9950 is at its bound -4.0000" in warnings_in(caplog)[0]


def test_stop_ends_the_run_with_the_reason() -> None:
    hook, runner = CollapseHook(every=1, grace=0, patience=1, stop=True), make_runner()
    with pytest.raises(FeatureCollapse, match=r"step 1: .*[\s\S]*likeliest first[\s\S]*stop=True"):
        look(hook, runner, 1, features(0.0))


@pytest.mark.parametrize(("name", "value"), [("every", 0), ("patience", 0), ("rows", 1)])
def test_illegal_settings_are_named(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"CollapseHook.{name}={value}"):
        CollapseHook(**{name: value})


def config(image_folder: Path, work_dir: Path, hooks: list[dict]) -> PretrainConfig:
    """Twelve steps of PixPro with dropout, so that a disturbed generator would show."""
    view = dict(size=32, jitter=dict(brightness=0.4), flip=0.5)
    backbone = dict(type="TimmBackbone", name="test_resnet", output_stride=8, drop_path_rate=0.3)
    return PretrainConfig(
        dict(
            model=dict(
                type="Pretrainer",
                backbone=backbone,
                objectives=[dict(type="PixPro", hidden=16, dim=8)],
            ),
            source=dict(type="ImageFolder", root=str(image_folder)),
            views=dict(type="ViewRecipe", groups={"global": [view, view]}),
            loader=dict(workers=0),
            schedule=dict(
                global_batch=8, samples=96, warmup_samples=8, lr_rule="none", lr=0.1, accumulate=2
            ),
            optimizer=dict(type="SGD", momentum=0.9),
            engine=dict(checkpoint_every=100, log_every=3),
            seed=3,
            work_dir=str(work_dir),
            vis_backends=[],
            hooks=hooks,
        )
    )


def train(cfg: PretrainConfig) -> dict[str, Tensor]:
    runner = build_runner(cfg)
    runner.train()
    return {name: value.clone() for name, value in runner.raw_model.state_dict().items()}


def test_hooks_change_nothing_and_fill_the_curve(image_folder: Path, tmp_path: Path) -> None:
    hooks = [
        dict(type="CollapseHook", every=2),
        dict(type="ThroughputHook", every=3, efficiency_at=6),
    ]
    plain = train(config(image_folder, tmp_path / "plain", []))
    watched = train(config(image_folder, tmp_path / "watched", hooks))
    assert plain.keys() == watched.keys()
    for name, value in plain.items():
        assert torch.equal(value, watched[name]), name
    rows = list(csv.DictReader((tmp_path / "watched" / "curve.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["3", "6", "9", "12"]
    for name in (
        "vector_spread",
        "cell_rank",
        "cell_gap",
        "PixPro.best",
        "images_per_s",
        "data_wait",
    ):
        assert all(row[f"watch/{name}"] for row in rows), name
    # Measured after step 6: the cells of the rows before stay empty.
    efficiencies = [row["watch/step_efficiency"] for row in rows]
    assert efficiencies[0] == "" and all(0.05 < float(value) < 3 for value in efficiencies[1:])
