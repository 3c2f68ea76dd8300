"""Fine-tunings of analyses: trajectories that are shared, and what makes them other ones."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.analysis.fine_tunings import FIRST_CONTROL, FineTuned, fine_tuned, random_start
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data import ClassFolder
from benchmarks.finetune.recipe import fit
from benchmarks.finetune.run import train
from pretrain.engine.settings import ConfigError

OPTIONS = {"schedule.global_batch": 4, "schedule.warmup_epochs": 0}
NETWORK = "random:test_resnet"
# Holds the lock of a folder until its input is closed.
HOLD = """
import sys
from pretrain.folder_lock import FolderLock
lock = FolderLock(sys.argv[1], "training")
print("held", flush=True)
sys.stdin.read()
lock.release()
"""
PIPES = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def settings(**changes: Any) -> FineTuned:
    """Two epochs of 6 steps."""
    return FineTuned(**dict(size=32, epochs=2, lr=0.01, checkpoints=1, options=OPTIONS) | changes)


def test_a_trajectory_is_made_once_and_shared(split_folder: Path, tmp_path: Path) -> None:
    extractor, data = FeatureExtractor.load(NETWORK), ClassFolder(split_folder)
    seen: set[tuple[str, int]] = set()
    chosen = settings(work_dir=str(tmp_path))
    first = fine_tuned(
        extractor, data, chosen, seed=0, progress=lambda phase, _, total: seen.add((phase, total))
    )
    assert first.steps == (0, 6, 12) and len(first.curve) == 2 and seen == {("fine-tune", 12)}
    assert first.speed == pytest.approx(sum(first.curve) / 2)
    assert first.protocol["lr"] == 0.01 and first.protocol["epochs"] == 2
    assert first.protocol["test"]["size"] == 32 and first.subject["tuning_seed"] == 0
    before = first.files[-1].stat().st_mtime_ns
    again = fine_tuned(extractor, data, chosen, seed=0)
    assert again == first and again.files[-1].stat().st_mtime_ns == before
    other = fine_tuned(extractor, data, chosen, seed=1)
    assert other.protocol == first.protocol and other.files != first.files
    start, end = first.classifier(0).state_dict(), first.classifier().state_dict()
    assert not torch.equal(start["head.linear.weight"], end["head.linear.weight"])
    assert not torch.equal(
        start["backbone.model.conv1.0.weight"], end["backbone.model.conv1.0.weight"]
    )


def test_what_another_process_makes_is_waited_for(split_folder: Path, tmp_path: Path) -> None:
    """Longer than for a run that was killed, which is what a fine-tuning alone waits for."""
    extractor, data = FeatureExtractor.load(NETWORK), ClassFolder(split_folder)
    chosen = settings(epochs=1, work_dir=str(tmp_path))
    hook = dict(type="TrajectoryHook", checkpoints=1, images=chosen.curve_images)
    fitted = fit(extractor, data, chosen.finetuning(0), hooks=[hook])
    fitted.work_dir.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(fitted.work_dir)], **PIPES) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another process works on this training"):
            train(fitted, wait_s=0)
        threading.Timer(1.0, other.stdin.close).start()
        trajectory = fine_tuned(extractor, data, chosen, seed=0)
        assert other.wait() == 0 and trajectory.files[-1] == fitted.final


def test_without_a_folder_files_live_as_long_as_the_trajectory(split_folder: Path) -> None:
    extractor, data = FeatureExtractor.load(NETWORK), ClassFolder(split_folder)
    trajectory = fine_tuned(extractor, data, settings(epochs=1), seed=0)
    last = trajectory.files[-1]
    assert trajectory.classifier().source == str(last)
    del trajectory
    assert not last.exists()


def test_less_than_an_epoch_has_no_speed(split_folder: Path) -> None:
    extractor, data = FeatureExtractor.load(NETWORK), ClassFolder(split_folder)
    trajectory = fine_tuned(extractor, data, settings(epochs=0.5), seed=0)
    with pytest.raises(ValueError, match="set epochs to 1 or more"):
        _ = trajectory.speed


def test_a_random_start_has_the_same_shape_and_other_weights() -> None:
    extractor = FeatureExtractor.load(NETWORK + "?seed=5")
    extractor.mean = (0.1, 0.2, 0.3)
    fresh = random_start(extractor, number=3)
    assert fresh.fingerprint == FeatureExtractor.load(fresh.spec).fingerprint
    assert fresh.fingerprint != extractor.fingerprint and fresh.mean == (0.1, 0.2, 0.3)
    assert fresh.backbone.config == extractor.backbone.config
    start = FeatureExtractor.load(f"{NETWORK}?seed={FIRST_CONTROL + 3}")
    assert fresh.fingerprint == start.fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(epochs=0), "epochs=0 must be greater than 0"),
        (dict(lr=-1.0), "lr=-1.0 must be greater than 0"),
        (dict(checkpoints=-1), "checkpoints=-1 must be at least 0"),
        (dict(curve_images=0), "images=0 must be at least 1"),
        (dict(batch_size=0), "batch_size=0 must be at least 1"),
        (dict(recipe="analisys"), "did you mean 'analysis'"),
    ],
)
def test_mistakes_in_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FineTuned(**changes)
