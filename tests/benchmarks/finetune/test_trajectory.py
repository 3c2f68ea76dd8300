"""A fine-tuning on its way: steps of kept weights, and the curve against a slow count."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data import ClassFolder
from benchmarks.finetune import Settings
from benchmarks.finetune.classifier import Classifier
from benchmarks.finetune.recipe import fit
from benchmarks.finetune.run import train
from benchmarks.finetune.trajectory import TrajectoryHook, kept_files, kept_steps, read_curve

BICUBIC = Image.Resampling.BICUBIC
OPTIONS = {
    "schedule.global_batch": 4,
    "schedule.epochs": 2,
    "model.size": 32,
    "model.mixup": 0.8,
    "model.erase": 0.25,
    "views.size": 32,
    "engine.checkpoint_every": 3,
    "engine.keep_checkpoints": 100,
}


@pytest.mark.parametrize(
    ("total", "checkpoints", "steps"),
    [(100, 4, [20, 40, 60, 80]), (100, 0, []), (3, 4, [1, 2]), (1, 5, []), (10, 1, [5])],
)
def test_kept_steps_are_spread_evenly(total: int, checkpoints: int, steps: list[int]) -> None:
    assert kept_steps(total, checkpoints) == steps


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(dict(checkpoints=-1), "checkpoints=-1 must be"), (dict(images=0), "images=0 must be")],
)
def test_illegal_numbers(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrajectoryHook(**arguments)


def share_right(classifier: Classifier, data: ClassFolder, images: list[int]) -> float:
    """Percent of training images named rightly, one by one."""
    right = 0
    for index in images:
        square = data.train.image(index, 32, classifier.crop_fraction, resample=BICUBIC)
        logits = classifier.logits(torch.from_numpy(square.copy()).permute(2, 0, 1)[None])
        right += int(logits.argmax()) == int(data.train.labels[index])
    return 100 * right / len(images)


def test_the_hook_changes_nothing_and_a_cut_off_run_has_the_same_course(
    split_folder: Path, tmp_path: Path
) -> None:
    extractor, data = FeatureExtractor.load("random:test_resnet"), ClassFolder(split_folder)
    hook = dict(type="TrajectoryHook", checkpoints=2, images=10)
    settings = Settings(recipe="tiny", options=OPTIONS, work_dir=str(tmp_path))
    plain, watched = fit(extractor, data, settings), fit(extractor, data, settings, hooks=[hook])
    assert plain.protocol["recipe"] != watched.protocol["recipe"]
    for fitted in (plain, watched):
        train(fitted)
    expected = torch.load(plain.final, weights_only=True)["state_dict"]
    state = torch.load(watched.final, weights_only=True)["state_dict"]
    assert all(torch.equal(state[key], value) for key, value in expected.items())
    curve, kept = read_curve(watched.work_dir), kept_files(watched.work_dir)
    assert list(kept) == [0, 4, 8] and len(curve) == 2
    images = [place * 24 // 10 for place in range(10)]
    assert curve[-1] == pytest.approx(share_right(Classifier.load(watched.final), data, images))
    for name in ("final.pth", "iter_12.pth", "iter_9.pth", "kept_8.pth"):
        (watched.work_dir / name).unlink()
    train(watched)
    assert read_curve(watched.work_dir) == curve and list(kept_files(watched.work_dir)) == [0, 4, 8]


def test_the_first_weights_are_those_before_the_first_step(
    split_folder: Path, tmp_path: Path
) -> None:
    extractor, data = FeatureExtractor.load("random:test_resnet"), ClassFolder(split_folder)
    settings = Settings(recipe="tiny", options=OPTIONS, work_dir=str(tmp_path))
    fitted = fit(extractor, data, settings, hooks=[dict(type="TrajectoryHook", checkpoints=0)])
    train(fitted)
    first = Classifier.load(kept_files(fitted.work_dir)[0])
    state = first.backbone.state_dict()
    for key, value in extractor.backbone.state_dict().items():
        assert torch.equal(state[key], value), key
    assert first.head.linear.weight.std() < 1e-4
