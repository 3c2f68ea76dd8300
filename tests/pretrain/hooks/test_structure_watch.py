"""The watch: whole runs, undisturbed, resumed, far too fast, and what they say at their end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import nn

from pretrain.engine.build import build_runner
from pretrain.engine.checkpoints import saved_steps
from pretrain.engine.config import PretrainConfig
from pretrain.engine.settings import ConfigError
from pretrain.hooks import structure_watch
from pretrain.hooks.dense_structure import Structure
from pretrain.hooks.structure_advice import Fall, find_fall, scores
from pretrain.hooks.structure_course import COURSE, Look, read_course
from pretrain.hooks.structure_meter import Reading, StructureMeter
from pretrain.hooks.structure_watch import DenseStructureHook

WATCH = dict(type="DenseStructureHook", images=24, group=3, clusters=9, rank_cells=240)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def make(image_folder: Path) -> Callable[..., PretrainConfig]:
    """Returns ``make(work_dir, hooks, steps=…, lr=…, start=…, every=…)``: SimCLR on 24 images."""

    def config(
        work_dir: Path,
        hooks: list[dict[str, Any]],
        *,
        steps: int = 8,
        lr: float = 1e-3,
        start: Path | None = None,
        every: int = 2,
    ) -> PretrainConfig:
        view = dict(size=32, scale=(0.3, 1.0), jitter=dict(brightness=0.4), flip=0.5)
        backbone = dict(type="TimmBackbone", name="test_resnet", output_stride=8)
        values = dict(
            model=dict(
                type="Pretrainer",
                backbone=dict(backbone, drop_path_rate=0.1),
                objectives=[dict(type="SimCLR")],
            ),
            source=dict(type="ImageFolder", root=str(image_folder)),
            views=dict(type="ViewRecipe", groups={"global": [view, view]}),
            loader=dict(workers=0),
            schedule=dict(global_batch=8, samples=8 * steps, lr_rule="none", lr=lr, drop_epochs=()),
            optimizer=dict(type="AdamW"),
            engine=dict(checkpoint_every=every, keep_checkpoints=1, log_every=2),
            seed=3,
            work_dir=str(work_dir),
            vis_backends=[],
            hooks=hooks,
            load_from=None if start is None else str(start),
        )
        return PretrainConfig(values)

    return config


@HOOKS.register_module()
class EndsAfter(Hook):
    """Ends the process's training before a step, as abruptly as an exception can."""

    def __init__(self, step: int) -> None:
        self.step = step

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if batch_idx == self.step:
            raise KeyboardInterrupt


@HOOKS.register_module()
class StopsAfter(Hook):
    """Stops the process's training after a step, in good order, as a scheduler does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if runner.iter + 1 == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def log_of(folder: Path) -> str:
    """What the only launch of a run wrote to its log."""
    (file,) = folder.glob("*/*.log")
    return file.read_text()


def test_a_run_is_measured_and_not_disturbed(
    make: Callable[..., PretrainConfig], tmp_path: Path
) -> None:
    build_runner(make(tmp_path / "plain", [])).train()
    build_runner(make(tmp_path / "watched", [WATCH])).train()
    plain, watched = (
        torch.load(tmp_path / name / "final.pth", weights_only=True)["state_dict"]
        for name in ("plain", "watched")
    )
    for name, value in plain.items():
        assert torch.equal(value, watched[name]), name
    facts, looks = read_course(tmp_path / "watched")
    assert [look.step for look in looks] == [0, 2, 4, 6, 8] and facts["start"] == "random weights"
    assert looks[0].cosine == pytest.approx(1) and looks[0].loss is None
    assert all(look.cosine < 1 and len(look.shares) == 4 for look in looks[1:])
    header, *rows = (tmp_path / "watched" / "curve.csv").read_text().splitlines()
    last = dict(zip(header.split(","), rows[-1].split(","), strict=True))
    assert float(last["watch/structure.dimension"]) == looks[-1].dimension
    assert float(last["loss"]) == pytest.approx(looks[-1].loss)  # both are means of two steps
    highest = looks[int(scores(looks).argmax())].step
    there = {path.name for path in (tmp_path / "watched").glob("iter_*.pth")}
    assert "iter_8.pth" in there and (highest == 0 or f"iter_{highest}.pth" in there)
    log = log_of(tmp_path / "watched")
    assert "WARNING" not in log
    assert f"\nadvice: {tmp_path / 'watched' / 'final.pth'} (step 8)\nwhy: it is the last" in log
    assert "the run began from random weights" in log


@pytest.mark.parametrize(("keep", "expected"), [(1, {2, 10}), (2, {2, 6, 10}), (9, {2, 6, 10})])
def test_the_best_so_far_stay_beside_the_newest(
    make: Callable[..., PretrainConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keep: int,
    expected: set[int],
) -> None:
    heights = iter([0.1, 0.9, 0.3, 0.5, 0.2, 0.1])

    def read(self: StructureMeter, network: nn.Module, preprocess: nn.Module) -> Reading:
        return Reading(Structure(next(heights), 0.0, 7.0), (), torch.eye(2))

    monkeypatch.setattr(StructureMeter, "read", read)
    build_runner(make(tmp_path, [WATCH | dict(keep=keep)], steps=10)).train()
    assert {step for step, _ in saved_steps(tmp_path)} == expected


def test_a_resumed_run_has_the_course_of_an_uninterrupted_one(
    make: Callable[..., PretrainConfig], tmp_path: Path
) -> None:
    build_runner(make(tmp_path / "whole", [WATCH])).train()
    broken = make(tmp_path / "broken", [WATCH, dict(type="EndsAfter", step=5)])
    with pytest.raises(KeyboardInterrupt):
        build_runner(broken).train()
    assert len(read_course(tmp_path / "broken")[1]) == 3
    build_runner(make(tmp_path / "broken", [WATCH]), resume=True).train()
    whole, course = (tmp_path / name / COURSE for name in ("whole", "broken"))
    assert whole.read_text() == course.read_text()
    files = [{path.name for path in folder.glob("iter_*.pth")} for folder in tmp_path.iterdir()]
    assert files[0] == files[1]


def test_a_run_stopped_between_two_looks_has_that_course_too(
    make: Callable[..., PretrainConfig], tmp_path: Path
) -> None:
    """A scheduler stops a run after any step; the loss is a mean since the look before."""
    build_runner(make(tmp_path / "whole", [WATCH], every=4)).train()
    stopped = make(tmp_path / "stopped", [WATCH, dict(type="StopsAfter", step=6)], every=4)
    with pytest.raises(SystemExit):
        build_runner(stopped).train()
    assert saved_steps(tmp_path / "stopped")[-1][0] == 6
    build_runner(make(tmp_path / "stopped", [WATCH], every=4), resume=True).train()
    whole, course = (tmp_path / name / COURSE for name in ("whole", "stopped"))
    assert whole.read_text() == course.read_text()


def test_a_resumed_run_repeats_no_warning_and_delays_none(
    make: Callable[..., PretrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells turn away at step 2; at 4 and 6 dense structure lies below the start while the loss
    improved.
    """
    build_runner(make(tmp_path / "start", [], steps=1)).train()
    options = dict(start=tmp_path / "start" / "final.pth", steps=8)
    inter = iter([0.9, 0.5, 0.5, 0.5, 0.5])
    cells = iter([torch.eye(4), *[torch.eye(4).roll(1, 0)] * 4])

    def read(self: StructureMeter, network: nn.Module, preprocess: nn.Module) -> Reading:
        return Reading(Structure(next(inter), 0.0, 7.0), (), next(cells))

    def loss_falls(looks: list[Look], least: float) -> Fall | None:
        falling = [replace(look, loss=9.0 - look.step) for look in looks]
        return find_fall(falling, least)

    monkeypatch.setattr(StructureMeter, "read", read)
    monkeypatch.setattr(structure_watch, "find_fall", loss_falls)
    with pytest.raises(KeyboardInterrupt):
        build_runner(
            make(tmp_path / "run", [WATCH, dict(type="EndsAfter", step=5)], **options)
        ).train()
    build_runner(make(tmp_path / "run", [WATCH], **options), resume=True).train()
    logs = sorted((tmp_path / "run").glob("*/*.log"))  # one for two launches in one second
    log = "".join(path.read_text() for path in logs)
    assert log.count("WARNING") == 2
    assert "WARNING - step 2: cells have turned away" in log
    assert "WARNING - step 6: dense structure has fallen" in log


def test_measured_otherwise_is_an_error_and_without_a_start_there_is_no_drift(
    make: Callable[..., PretrainConfig], tmp_path: Path
) -> None:
    config = make(tmp_path, [WATCH, dict(type="EndsAfter", step=5)])
    with pytest.raises(KeyboardInterrupt):
        build_runner(config).train()
    with pytest.raises(ConfigError, match=r"measured with clusters=9, now it is 8; restore it"):
        build_runner(make(tmp_path, [WATCH | dict(clusters=8)]), resume=True).train()
    (tmp_path / COURSE).unlink()
    build_runner(make(tmp_path, [WATCH]), resume=True).train()
    looks = read_course(tmp_path)[1]
    assert [look.step for look in looks] == [6, 8]
    assert [look.cosine for look in looks] == [None, None]


def test_a_hundred_times_the_rate_is_flagged(
    make: Callable[..., PretrainConfig], tmp_path: Path
) -> None:
    """Both runs begin from the same trained weights: one at a tenth of their rate, one at ten times
    that rate.
    """
    build_runner(make(tmp_path / "start", [], steps=50, every=50)).train()
    start = tmp_path / "start" / "final.pth"
    options = dict(steps=20, start=start, every=4)
    build_runner(make(tmp_path / "gentle", [WATCH], lr=1e-4, **options)).train()
    build_runner(make(tmp_path / "harsh", [WATCH], lr=1e-2, **options)).train()
    assert "WARNING" not in log_of(tmp_path / "gentle")
    log = log_of(tmp_path / "harsh")
    assert log.count("dense structure has fallen while the loss improved") == 1
    assert log.count("cells have turned away from the start's") == 1
    gentle, harsh = (read_course(tmp_path / name)[1] for name in ("gentle", "harsh"))
    assert gentle[0] == harsh[0]  # the start, of both
    assert gentle[-1].cosine > 0.9 > 0.8 > harsh[-1].cosine
    assert f"\nadvice: the start ({start}) (step 0)\nwhy: its DSE is highest" in log
    assert f"{harsh[0].inter:7.4f}  {harsh[0].intra:7.4f}" in log


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(images=4), "images=4: must be at least 8"),
        (dict(clusters=1), "clusters=1: must be at least 2"),
        (dict(keep=0), "keep=0: must be at least 1"),
        (dict(size=96), "size=96: must be \\(height, width\\) in pixels"),
        (dict(weights="best"), "weights='best' is not one of online, target"),
    ],
)
def test_illegal_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"DenseStructureHook.{message}"):
        DenseStructureHook(**options)


def test_what_does_not_fit_the_run_ends_it_before_its_first_step(
    make: Callable[..., PretrainConfig], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="objective.*|target_backbone"):
        build_runner(make(tmp_path / "a", [WATCH | dict(weights="target")]))
    with pytest.raises(ConfigError, match="DenseStructureHook: group=30: the source has 24 images"):
        build_runner(make(tmp_path / "b", [WATCH | dict(images=30, group=30)])).train()
    with pytest.raises(ConfigError, match="clusters=99: a group of 3 images of .* has 48 cells"):
        build_runner(make(tmp_path / "c", [WATCH | dict(clusters=99)])).train()
    vit = dict(patch_size=8, img_size=32, embed_dim=24, depth=1, num_heads=2)
    config = make(tmp_path / "d", [WATCH | dict(size=(36, 36))])
    config.model.backbone = dict(type="TimmBackbone", name="vit_tiny_patch16_224", **vit)
    with pytest.raises(ConfigError, match="DenseStructureHook: .*36"):
        build_runner(config).train()
