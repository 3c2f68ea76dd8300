"""pixelpretext robustness: a fine-tuned classifier from its file to tables; a sheet; mistakes as
one sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from PIL import Image

from benchmarks.core.record import read_all
from benchmarks.finetune.classifier import Classifier


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of three classes, untrained, in the layout of tools/finetune.py."""
    torch.manual_seed(0)
    backbone = MODELS.build(dict(type="TimmBackbone", name="test_resnet"))
    config = dict(classes=["blue", "green", "red"], pooling="mean", size=32, crop_fraction=0.95)
    model = Classifier(backbone, **config)
    meta = dict(
        backbone=backbone.config,
        classifier=config,
        normalisation=dict(mean=list(model.mean), std=list(model.std)),
    )
    path = tmp_path_factory.mktemp("classifier") / "final.pth"
    torch.save(dict(meta=meta, state_dict=model.state_dict()), path)
    return path


def test_records_tables_and_a_reference(
    run_tool: Callable[..., int],
    image_folder: Path,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "records.jsonl"
    options = ("--corruptions", "fog", "pixelate", "--severities", "1", "5", "--out", out)
    data = f"corrupted:{image_folder}?part=all"
    assert run_tool("robustness", checkpoint, "--data", data, *options) == 0
    (record,) = read_all(out)
    assert (
        record.counts["corruptions"]["fog"]["5"]["images"] == 24 and record.protocol["size"] == 32
    )
    assert "mean_corruption_error" in capsys.readouterr().out
    assert run_tool("robustness", checkpoint, "--data", data, *options, "--reference", out) == 0
    first, second = read_all(out)
    assert first.counts == second.counts and first.protocol_hash == second.protocol_hash
    assert "mCE, reference = 100" in capsys.readouterr().out


def test_a_sheet(run_tool: Callable[..., int], image_folder: Path, tmp_path: Path) -> None:
    photo, out = image_folder / "red" / "000.jpg", tmp_path / "sheet.png"
    assert run_tool("robustness", "--sheet", photo, "--size", "32", "--out", out) == 0
    sheet = np.asarray(Image.open(out))
    assert sheet.shape == (18 + 15 * 35, 118 + 6 * 35, 3)
    original, corrupted = (
        sheet[18:50, 118 + column * 35 : 150 + column * 35].astype(int) for column in (0, 5)
    )
    assert np.abs(original - corrupted).mean() > 20


def test_mistakes(
    run_tool: Callable[..., int],
    image_folder: Path,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cats = tmp_path / "cats"
    for name in ("cat", "dog"):
        (cats / name).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(cats / name / "0.png")
    folder = f"corrupted:{image_folder}"
    for arguments, words in (
        ((checkpoint,), "name one or more classifiers and --data KIND:ROOT"),
        (
            (checkpoint, "--data", f"corrupted:{cats}?part=all"),
            "classes that the classifier does not know: cat, dog",
        ),
        (
            (checkpoint, "--data", folder, "--corruptions", "frog"),
            "corruptions='frog' is not one of",
        ),
        (
            (checkpoint, "--data", folder, "--severities", "6"),
            "severities=(6,) must be among 1, 2, 3, 4, 5",
        ),
        ((tmp_path / "none.pth", "--data", folder), "none.pth"),
        (("--sheet", cats / "none.png"), "none.png"),
    ):
        assert run_tool("robustness", *arguments, "--out", tmp_path / "out.jsonl") == 2
        output = capsys.readouterr().err
        assert output.startswith("robustness: ") and words in output
    assert not (tmp_path / "out.jsonl").exists()
