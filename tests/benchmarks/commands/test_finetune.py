"""pixelpretext finetune: one command, several seeds, nothing measured twice, several processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import read_all
from benchmarks.finetune import tuning

ROOT = Path(__file__).resolve().parents[3]
OPTIONS = [
    "--cfg-options",
    "schedule.global_batch=4",
    "schedule.samples=16",
    "schedule.epochs=None",
    "model.size=32",
    "views.size=32",
    "schedule.warmup_epochs=0",
]
Tool = Callable[..., int]


@pytest.fixture
def finetune(
    run_tool: Tool, monkeypatch: pytest.MonkeyPatch, image_folder: Path, tmp_path: Path
) -> Tool:
    """Returns ``finetune(*arguments)``: the tool in this process, on the folder of images; its exit
    code.
    """
    monkeypatch.setenv("COLUMNS", "200")
    common = [
        "--data",
        image_folder,
        "--work-dir",
        tmp_path / "runs",
        "--out",
        tmp_path / "r.jsonl",
    ]
    return lambda *arguments: run_tool("finetune", *arguments, *common, *OPTIONS)


def test_only_what_is_missing_is_done(
    finetune: Tool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    networks = ("random:test_resnet", "random:test_resnet?seed=1")
    assert finetune(*networks, "tiny", "--fraction", "0.5", "--check") == 0
    assert (
        "9 of 18 training images labelled" in capsys.readouterr().out
        and not (tmp_path / "runs").exists()
    )
    assert finetune(networks[0], "tiny", "--fraction", "0.5", "--seeds", "0") == 0
    assert "other seeds show the spread" in capsys.readouterr().out
    assert finetune(*networks, "tiny", "--fraction", "0.5", "--seeds", "0", "1") == 0
    told = capsys.readouterr().out
    assert "random:test_resnet seed 0: done" in told and told.count("to do") == 3
    records = read_all(tmp_path / "r.jsonl")
    found = [(record.subject["spec"], record.subject["tuning_seed"]) for record in records]
    assert found == [(networks[0], 0), (networks[0], 1), (networks[1], 0), (networks[1], 1)]
    assert len({record.protocol_hash for record in records}) == 1
    assert told.count("finetune · protocol") == 1 and "±" in told
    folder = next((tmp_path / "runs").iterdir())
    (list_file,) = folder.glob("labels_*.txt")
    assert len(list_file.read_text().splitlines()) == 9
    assert records[0].protocol["labels"]["list"] in list_file.name
    assert (
        len(list(folder.glob("*/final.pth"))) == 4
        and len(list((folder / "initial").iterdir())) == 2
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("random:test_resnet", "tiny", "--fraction", "0"), "fraction=0.0: must be above 0"),
        (
            ("random:test_resnet", "tiny", "--labels", "nowhere.txt"),
            "labels='nowhere.txt': no such file",
        ),
        (("random:test_resnte", "tiny"), "did you mean"),
        (("nowhere.pth", "tiny"), "no checkpoint nowhere.pth"),
        (("random:test_resnet", "big"), "recipe: no config 'big'"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: tuple[str, ...],
    message: str,
    finetune: Tool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert finetune(*arguments) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "r.jsonl").exists()


def test_control_of_the_same_architecture() -> None:
    options = "output_stride=8&stem_width=16&layers=(1,2,0,0)&channels=(32,128,128,128)"
    assert tuning.untrained_spec(dict(name="resnet50", output_stride=None)) == "random:resnet50"
    spec = f"random:resnet10t?{options}"
    config = FeatureExtractor.load(spec).backbone.config
    assert tuning.untrained_spec(config) == spec
    assert tuning.untrained_spec(config | dict(type="SinCosViT", freeze_patches=True)) == spec
    assert tuning.untrained_spec(dict(name="resnet50", pretrained=True)) == "random:resnet50"


def test_two_processes(image_folder: Path, tmp_path: Path, free_port: int) -> None:
    out = tmp_path / "r.jsonl"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(free_port),
        "tools/finetune.py",
        "random:vit_tiny_patch16_224?patch_size=8&img_size=32&depth=1&embed_dim=12&num_heads=2",
        "tiny",
        "--data",
        str(image_folder),
        "--seeds",
        "0",
        "1",
        "--work-dir",
        str(tmp_path),
        "--out",
        str(out),
        *OPTIONS,
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert [record.subject["tuning_seed"] for record in read_all(out)] == [0, 1]
    assert ended.stdout.count("finetune · protocol") == 1
