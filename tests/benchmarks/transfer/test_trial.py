"""Whole fine-tunings of a toy network on toy label maps: resumed, repeated, shared by two
processes, refused.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record, read_all
from benchmarks.data import TransferFolder
from benchmarks.data.groups import write_groups
from benchmarks.report.statistics.bootstrap import image_sums
from benchmarks.transfer import run as transfer
from benchmarks.transfer import trial

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "configs" / "transfer" / "tiny" / "seg_fcn.py"
SPEC = "random:test_resnet"
SHORT = {
    "train_cfg.max_iters": 5,
    "default_hooks.checkpoint.interval": 2,
    "transfer.batch": 4,
    "model.decode_head.dropout_ratio": 0.5,
    "model.data_preprocessor.size": (32, 48),
}
pytestmark = pytest.mark.usefixtures("transfer_libraries")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 training and 3 validation images of 32 x 48 pixels in ADE20K's layout, three classes told
    by brightness.
    """
    root, rng = tmp_path_factory.mktemp("ade"), np.random.default_rng(0)
    for split, count in (("training", 8), ("validation", 3)):
        for folder in ("images", "annotations"):
            (root / folder / split).mkdir(parents=True)
        for index in range(count):
            labels = np.kron(rng.integers(0, 4, (4, 6)), np.ones((8, 8))).astype(np.uint8)
            shades = (60 * labels + rng.integers(0, 30, labels.shape)).astype(np.uint8)
            Image.fromarray(shades).convert("RGB").save(root / "images" / split / f"{index}.jpg")
            Image.fromarray(labels).save(root / "annotations" / split / f"{index}.png")
    (root / "classes.json").write_text(json.dumps(["dark", "grey", "light"]))
    write_groups(root, {"2": 0, "0": 1, "1": 0})
    return root


def run(data: Path, work_dir: Path, **kwargs: object) -> Record:
    settings = transfer.Settings(
        str(RECIPE), tuning_seed=3, options=dict(SHORT), work_dir=str(work_dir)
    )
    return transfer.BENCHMARK.measure(
        FeatureExtractor.load(SPEC), TransferFolder(data), settings, **kwargs
    )


def weights(work_dir: Path) -> dict[str, torch.Tensor]:
    content = torch.load(next(work_dir.rglob("final.pth")), weights_only=False)
    return content["state_dict"]


def test_a_run_that_was_cut_off_goes_on_bit_for_bit_and_a_finished_one_is_read(
    data: Path, tmp_path: Path
) -> None:
    whole = run(data, tmp_path / "whole")

    def cut(phase: str, done: int, total: int) -> None:
        if phase == "training" and done == 4:  # a checkpoint was written after two iterations
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "cut", progress=cut)
    resumed = run(data, tmp_path / "cut")
    assert resumed.metrics == whole.metrics and resumed.counts == whole.counts
    expected = weights(tmp_path / "whole")
    assert all(
        torch.equal(value, expected[key]) for key, value in weights(tmp_path / "cut").items()
    )

    steps: list[str] = []
    again = run(data, tmp_path / "whole", progress=lambda phase, done, total: steps.append(phase))
    assert again.to_json() == whole.to_json() and not steps


def test_the_record_counts_what_its_numbers_are_made_of(data: Path, tmp_path: Path) -> None:
    record = run(data, tmp_path)
    intersect, union, label = (
        np.array(record.counts[name]) for name in ("intersect", "union", "label")
    )
    masks = sorted((data / "annotations" / "validation").iterdir())
    truth = [np.array(Image.open(path)) for path in masks]
    assert label.tolist() == [
        sum(int((m == c).sum()) for m in truth) for c in (1, 2, 3)
    ]  # 0 is nothing
    assert record.metrics["mIoU"].value == pytest.approx(100 * np.mean(intersect / union))
    assert record.metrics["pixel_accuracy"].value == pytest.approx(
        100 * intersect.sum() / label.sum()
    )
    for metric in ("mIoU", "pixel_accuracy"):  # None where the images' sums gave another number
        sums = image_sums(record, metric)
        assert sums is not None and sums.groups.tolist() == [1, 0, 0]
    assert sums.wholes[:, 0].tolist() == [int((m > 0).sum()) for m in truth]
    assert (
        record.counts["classes"] == ["dark", "grey", "light"] and record.subject["tuning_seed"] == 3
    )
    fitted = transfer.fit(
        FeatureExtractor.load(SPEC),
        TransferFolder(data),
        transfer.Settings(str(RECIPE), options=dict(SHORT), work_dir=str(tmp_path)),
    )
    # Seeds of fine-tuning share a column: nothing of the settings joins what the recipe decides.
    assert record.protocol == fitted.protocol and "tuning_seed" not in record.protocol
    assert record.subject["norm"] == "batch statistics of 4 images"


def test_two_processes_share_the_batch_and_write_one_record(
    data: Path, tmp_path: Path, free_port: int
) -> None:
    options = [f"{key}={value}".replace(" ", "") for key, value in SHORT.items()]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node=2",
            f"--master-port={free_port}",
            str(ROOT / "tools" / "transfer.py"),
            SPEC,
            str(RECIPE),
            "--data",
            str(data),
            "--work-dir",
            str(tmp_path / "w"),
            "--out",
            str(tmp_path / "o.jsonl"),
            "--cfg-options",
            *options,
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = read_all(tmp_path / "o.jsonl")
    assert (
        record.subject["norm"] == "batch statistics of 2 images" and sum(record.counts["label"]) > 0
    )
    assert "next: other seeds" in done.stdout and "transfer · protocol" in done.stdout


@pytest.mark.parametrize(
    "spec, options, words",
    [
        (
            "random:test_resnet",
            {"model.backbone.name": "resnet18"},
            "checkpoint holds 'test_resnet'",
        ),
        ("random:test_resnet", {"transfer.backbone": "native"}, "is not a plain ResNet"),
        ("random:test_resnet", {"model.decode_head.type": "FNCHead"}, "does not build.*FNCHead"),
        (
            "random:test_resnet",
            {"train_dataloader.batch_size": 2},
            "train_dataloader.batch_size=2: it would have no effect, .* sets it to 4; give "
            "transfer.batch",
        ),
        (
            "random:test_resnet",
            {"model.data_preprocessor.mean": [1, 2, 3]},
            "data_preprocessor.mean=.*normalised as in the network's pretraining",
        ),
        (
            "random:test_resnet",
            {"randomness": {"seed": 7}},
            "randomness.seed=7: .* sets it to 3?.*give --seeds",
        ),
        (
            "random:test_resnet",
            {"default_hooks.checkpoint.max_keep_ckpts": 9},
            "sets it to 2; leave it out",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_training(
    data: Path, tmp_path: Path, spec: str, options: dict, words: str
) -> None:
    settings = transfer.Settings(str(RECIPE), options=SHORT | options, work_dir=str(tmp_path))
    with pytest.raises(ValueError, match=words):
        transfer.BENCHMARK.measure(FeatureExtractor.load(spec), TransferFolder(data), settings)


@pytest.mark.parametrize(
    "spec, words",
    [
        ("random:seresnet50", "'seresnet50' is not a plain ResNet: its blocks have attention"),
        ("random:resnetblur50", "'resnetblur50' is not a plain ResNet: .* blurred strides"),
        ("random:vit_tiny_patch16_224", "take a recipe for this network"),
        ("random:resnet18", "trains a ResNet-50, random:resnet18 is a ResNet-18"),
    ],
)
def test_what_the_librarys_resnet_would_compute_otherwise_is_refused(
    data: Path, spec: str, words: str
) -> None:
    settings = transfer.Settings(str(ROOT / "configs" / "transfer" / "ade20k_fcn_r50_80k.py"))
    with pytest.raises(ValueError, match=words):
        transfer.fit(FeatureExtractor.load(spec), TransferFolder(data), settings)


def test_the_newest_checkpoint_is_kept(tmp_path: Path) -> None:
    for step in (8, 10):
        (tmp_path / f"iter_{step}.pth").write_text(str(step))
    (tmp_path / "last_checkpoint").write_text(
        f"elsewhere/{tmp_path.name}/iter_10.pth"
    )  # the folder may have moved
    trial.keep_last(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["final.pth", "last_checkpoint"]
    assert (tmp_path / "final.pth").read_text() == "10"


def test_a_diverged_network_has_no_metrics() -> None:
    norm = torch.nn.BatchNorm2d(2)
    trial.refuse_divergence(norm)
    norm.running_var[1] = float("nan")
    with pytest.raises(ValueError, match="diverged: running_var is not finite; lower"):
        trial.refuse_divergence(norm)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(
        ValueError, match="recipe: no config 'configs/transfer/no_such.py'; no file"
    ):
        transfer.Settings("configs/transfer/no_such.py")
