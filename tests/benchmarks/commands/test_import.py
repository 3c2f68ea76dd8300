"""pixelpretext import: a file of others becomes one of ours; mistakes are one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.export.import_run import parse_backbone


def test_a_file_goes_in_and_comes_out(
    run_tool: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    network = timm.create_model(
        "resnet18", layers=(1, 1, 1, 1), channels=(64, 16, 16, 16), num_classes=3
    )
    state = {f"module.encoder_q.{key}": value for key, value in network.state_dict().items()}
    torch.save(dict(state_dict=state | {"module.queue": torch.zeros(2, 4)}), "moco.pth.tar")
    assert run_tool("import", "moco.pth.tar") == 0
    said = capsys.readouterr().out
    assert (
        "layout moco (MoCo v1 and v2" in said
        and "online network at 'state_dict/encoder_q.'" in said
    )
    assert "network resnet18?layers=(1, 1, 1, 1)&channels=(64, 16, 16, 16)" in said
    assert "0 missing; left out: head 2" in said and "queue 1 (state_dict/queue)" in said
    assert "written: work_dirs/imported/moco.pth" in said
    extractor = FeatureExtractor.load("work_dirs/imported/moco.pth")
    assert torch.equal(extractor.backbone.model.conv1.weight, network.conv1.weight)


def test_mistakes_are_one_sentence(
    run_tool: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = str(tmp_path / "theirs.pth")
    torch.save(dict(a=torch.zeros(1)), file)
    for arguments, words in (
        ((), "the following arguments are required: file"),
        (("nowhere.pth",), "nowhere.pth: no such checkpoint"),
        ((file,), "in no layout known here: 1 tensors such as a"),
        ((file, "--from", "moko"), "did you mean 'moco'"),
    ):
        assert run_tool("import", *arguments) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1 and said.startswith("import: ")
    assert list(tmp_path.iterdir()) == [Path(file)]


def test_layouts_are_listed_and_options_read(
    run_tool: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_tool("import", "--layouts") == 0
    said = capsys.readouterr().out
    assert "cim: CIM, 2303.12670 (as the authors' released script saves it" in said
    assert "featup" in said
    assert parse_backbone("vit_base_patch16_224.mae?img_size=(32,64)") == (
        "vit_base_patch16_224.mae",
        dict(img_size=(32, 64)),
    )
