"""pixelpretext train-upsampler and evaluate-upsampler, from a backbone to a table."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import read_all
from benchmarks.core.upsamplers import load_upsampler
from benchmarks.upsampling.consistency import bilinear_of, load_arm
from pretrain.backbones.sincos_vit import SinCosViT

ROOT = Path(__file__).resolve().parents[3]
BACKBONE = "random:test_resnet?output_stride=8"
SMALL = ["--size", "32", "--samples", "8"]
OPTIONS = [
    "--cfg-options",
    "model.objective.jitters=1",
    "schedule.global_batch=4",
    "loader.workers=0",
]
Tool = Callable[..., int]


@pytest.fixture
def train(run_tool: Tool, image_folder: Path) -> Tool:
    """Returns ``train(*arguments)``: the tool in this process, on the folder of images; its exit
    code.
    """
    return lambda backbone, *arguments: run_tool(
        "train_upsampler", backbone, "--data", image_folder, *arguments
    )


@pytest.fixture
def evaluate(run_tool: Tool) -> Tool:
    """Returns ``evaluate(*arguments)``, likewise."""
    return lambda *arguments: run_tool("evaluate_upsampler", *arguments, "--device", "cpu")


def test_from_a_backbone_to_a_table(
    train: Tool,
    evaluate: Tool,
    image_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folders = {name: str(tmp_path / name) for name in ("jbu", "bilinear", "regression")}
    assert train(BACKBONE, *SMALL, "--work-dir", folders["jbu"], *OPTIONS) == 0
    assert (
        train(
            BACKBONE, *SMALL, "--upsampler", "bilinear", "--work-dir", folders["bilinear"], *OPTIONS
        )
        == 0
    )
    quick = [
        "--cfg-options",
        "schedule.global_batch=4",
        "loader.workers=0",
        "model.upsampler.dim=8",
    ]
    quick += ["model.upsampler.heads=1", "model.upsampler.window=3"]
    arguments = ["--objective", "regression", "--work-dir", folders["regression"], *quick]
    assert train(BACKBONE, *SMALL, *arguments) == 0
    finals = [f"{folder}/final.pth" for folder in folders.values()]
    meta = torch.load(finals[0], weights_only=True)["meta"]
    assert meta["upsampler"]["type"] == "JBUStack" and meta["objective"]["pad"] == 3
    assert (
        FeatureExtractor.load(finals[0]).describe()["fingerprint"]
        == (FeatureExtractor.load(BACKBONE).describe()["fingerprint"])
    )
    out = tmp_path / "records.jsonl"
    assert (
        evaluate(
            *finals, "--data", str(image_folder), "--size", "32", "--images", "5", "--out", str(out)
        )
        == 0
    )
    records = read_all(out)
    assert len(records) == 3 and len({r.protocol_hash for r in records}) == 1
    assert [set(r.metrics) for r in records] == [
        {"uniform_mse", "uniform_unexplained", "own_mse", "own_nll"},
        {"uniform_mse", "uniform_unexplained", "own_mse", "own_nll"},
        {"uniform_mse", "uniform_unexplained"},
    ]
    assert "uniform_mse" in capsys.readouterr().out


def test_a_backbone_of_another_class_is_trained_measured_and_used(
    train: Tool, evaluate: Tool, image_folder: Path, tmp_path: Path
) -> None:
    """CIM's ViT names its class in its config; an upsampler for it passes through every tool."""
    torch.manual_seed(0)
    options = dict(
        img_size=32, patch_size=8, embed_dim=16, depth=1, num_heads=1, position_resize="factor"
    )
    backbone = SinCosViT("vit_tiny_patch16_224", **options)
    state = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    torch.save(dict(meta=dict(backbone=backbone.config), state_dict=state), tmp_path / "vit.pth")
    work = tmp_path / "jbu_0"
    assert train(str(tmp_path / "vit.pth"), *SMALL, "--work-dir", str(work), *OPTIONS) == 0
    out = tmp_path / "records.jsonl"
    arguments = ["--data", str(image_folder), "--size", "32", "--images", "2", "--out", str(out)]
    assert evaluate(str(work / "final.pth"), *arguments) == 0
    assert {record.subject["backbone"]["type"] for record in read_all(out)} == {"SinCosViT"}
    arm = load_arm(work / "final.pth")
    assert isinstance(arm.trainer.backbone, SinCosViT)
    assert isinstance(bilinear_of(arm).trainer.backbone, SinCosViT)
    extractor = FeatureExtractor.load(str(work / "final.pth"))
    behind = extractor.through(
        load_upsampler(f"jbu:{work / 'final.pth'}", channels=extractor.channels), 2
    )
    assert behind.maps(torch.rand(1, 3, 32, 48)).shape == (1, 16, 16, 24)


def test_resumes_and_refuses_another_backbone(
    train: Tool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*SMALL, "--upsampler", "bilinear", "--work-dir", str(tmp_path / "run")]
    assert train(BACKBONE, *arguments, *OPTIONS) == 0
    assert train(BACKBONE, *arguments, *OPTIONS) == 2
    assert "holds a run" in capsys.readouterr().err
    assert train(BACKBONE, *arguments, "--resume", *OPTIONS) == 0
    for more in ([], ["--check"]):
        assert train(f"{BACKBONE}&seed=1", *arguments, "--resume", *more, *OPTIONS) == 2
        assert (
            "holds an upsampler of another backbone (random:test_resnet?output_stride=8)"
            in capsys.readouterr().err
        )
    assert (tmp_path / "run" / "backbone.pth").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["random:resnet5O"], "is not a timm model"),
        (["nowhere.pth"], "no checkpoint nowhere.pth"),
        ([BACKBONE, "--size", "30"], "--size 30: must be a multiple of the backbone's stride 8"),
        (
            [BACKBONE, "--cfg-options", "load_from=x.pth"],
            "load_from=x.pth: it would have no effect",
        ),
        ([BACKBONE, "--upsampler", "bilinear", "--objective", "regression"], "nothing to train"),
        ([BACKBONE, "--cfg-options", "model.objective.jiters=2"], "did you mean 'jitters'"),
        ([BACKBONE, "--cfg-options", "schedule"], "--cfg-options 'schedule': write KEY=VALUE"),
        (
            [
                BACKBONE,
                "--cfg-options",
                "schedule.samples=8",
                "--cfg-options",
                "schedule.samples=9",
            ],
            "is given twice",
        ),
        ([BACKBONE, "--cfg-options", "schedule.global_batch=4000"], "4000"),
    ],
)
def test_mistakes_are_one_sentence(
    train: Tool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    assert train(*arguments, "--work-dir", str(tmp_path / "run")) == 2
    printed = capsys.readouterr().err
    assert words in printed and len(printed.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()  # no backbone.pth of a run that never began


def test_checking_writes_nothing(
    train: Tool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(BACKBONE, *SMALL, "--check", "--work-dir", str(tmp_path / "run"), *OPTIONS) == 0
    assert "24 images, 2 steps of 4" in capsys.readouterr().out and not (tmp_path / "run").exists()


def test_evaluation_refuses_what_is_no_upsampler(
    evaluate: Tool, image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(dict(state_dict={}), tmp_path / "other.pth")
    assert evaluate(str(tmp_path / "other.pth"), "--data", str(image_folder)) == 2
    assert "it names no upsampler" in capsys.readouterr().err


@pytest.mark.parametrize("tool", ["train_upsampler", "evaluate_upsampler"])
def test_help_has_examples(tool: str) -> None:
    shown = subprocess.run(
        [sys.executable, str(ROOT / "tools" / f"{tool}.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "examples:" in shown.stdout
