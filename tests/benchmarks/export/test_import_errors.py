"""What an import refuses, and that the sentence says what to do; nothing is written then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from benchmarks.core.upsamplers import load_upsampler
from benchmarks.export.import_run import import_file
from heads.upsamplers.jbu import JBUStack

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return timm.create_model(
        "resnet18", layers=(1, 1, 1, 1), channels=(64, 16, 16, 16), num_classes=0
    ).state_dict()


def refused(content: Any, folder: Path, match: str, **options: Any) -> None:
    """Importing fails with this sentence and leaves no file."""
    torch.save(content, folder / "theirs.pth")
    with pytest.raises(ValueError, match=match):
        import_file(folder / "theirs.pth", folder / "ours.pth", **options)
    assert [path.name for path in folder.iterdir()] == ["theirs.pth"]


def under(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


def test_wrong_or_unknown_layouts(state: State, tmp_path: Path) -> None:
    moco = dict(state_dict=under("module.encoder_q.", state) | {"module.queue": torch.zeros(2)})
    refused(
        moco,
        tmp_path,
        r"not in the layout 'mocov3': no network at any of 'base_encoder.*like moco",
        layout="mocov3",
    )
    refused(state, tmp_path, r"not in the layout 'mae'.*It looks like torchvision", layout="mae")
    refused(
        state, tmp_path, r"--from='mocco' is not one of auto, .*did you mean 'moco'", layout="mocco"
    )
    refused(state, tmp_path, r"'state_dict'|featup|FeatUp", layout="featup")
    refused(
        under("a.", state),
        tmp_path,
        r"no layout known here: 72 tensors such as a.conv1.weight.*--from",
    )
    refused(dict(optimizer={}), tmp_path, r"no layout known here: 0 tensors")


def test_incomplete_and_foreign_parts(state: State, tmp_path: Path) -> None:
    key = "layer2.0.bn1.running_var"
    refused(
        {k: v for k, v in state.items() if k != key},
        tmp_path,
        rf"would stay random: .*1 missing \[{key}\]",
    )
    missing = {k: v for k, v in state.items() if not k.startswith("layer3")}
    refused(missing, tmp_path, r"has no 'layer3': it is incomplete.*--backbone")
    adapter = state | {"layer1.0.adapter.weight": torch.zeros(2)}
    refused(
        adapter,
        tmp_path,
        r"1 tensors of its network that resnet18 has no place for: layer1.0.adapter.weight",
    )


def test_weights_that_are_no_numbers_are_named_as_in_the_file(state: State, tmp_path: Path) -> None:
    broken = {key: value.clone() for key, value in state.items()}
    broken["layer2.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    content = dict(state_dict=under("module.encoder_q.", broken) | {"module.queue": torch.zeros(2)})
    refused(
        content,
        tmp_path,
        r"state_dict/encoder_q.layer2.0.conv1.weight holds 1 values of 9,216 that are NaN",
    )
    named = dict(backbone="resnet18", options=dict(layers=(1, 1, 1, 1), channels=(64, 16, 16, 16)))
    refused(broken, tmp_path, r"that are NaN or infinite; .* take an earlier checkpoint$", **named)
    head = {
        "module.encoder_q.fc.0.weight": torch.tensor([float("nan")]),
        "module.queue": torch.zeros(2),
    }
    torch.save(dict(state_dict=under("module.encoder_q.", state) | head), tmp_path / "theirs.pth")
    import_file(tmp_path / "theirs.pth", tmp_path / "ours.pth")  # a head is not taken


def test_another_architecture_says_both_shapes(state: State, tmp_path: Path) -> None:
    refused(
        state,
        tmp_path,
        r"layer2.0.conv1.weight is \(16, 64, 3, 3\), not \(128, 64, 3, 3\)",
        backbone="resnet18",
    )
    refused(
        state,
        tmp_path,
        r"as vit_small_patch16_224.*by its shapes it is resnet18\?layers=\(1, 1, 1, 1\)",
        backbone="vit_small_patch16_224",
    )
    refused(state, tmp_path, "not a timm model; did you mean 'resnet18'", backbone="resnet81")
    cifar = state | {"conv1.weight": torch.zeros(64, 3, 3, 3)}
    refused(cifar, tmp_path, r"conv1.weight is \(64, 3, 3, 3\).*CIFAR")
    two = dict(state_dict=under("base_encoder.", state), other=1)
    slim = timm.create_model(
        "resnet18", layers=(1, 1, 1, 1), channels=(64, 8, 8, 8), num_classes=0
    ).state_dict()
    two["state_dict"] |= under("momentum_encoder.", slim)
    refused(two, tmp_path, r"two architectures.*--weights")


def test_weights_that_are_not_there(state: State, tmp_path: Path) -> None:
    refused(state, tmp_path, r"weights='target': .*holds the online network only", weights="target")
    teacher = {"teacher": under("backbone.", state)}
    refused(
        teacher,
        tmp_path,
        r"weights='online': .*holds the target network only",
        weights="online",
        layout="dino",
    )


def test_damaged_files_and_code(state: State, tmp_path: Path) -> None:
    path, ours = tmp_path / "theirs.pth", tmp_path / "ours.pth"
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="cannot be read as tensors"):
        import_file(path, ours)
    path.with_suffix(".safetensors").write_bytes(b"no tensors at all")
    with pytest.raises(ValueError, match="cannot be read as tensors"):
        import_file(path.with_suffix(".safetensors"), ours)
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        import_file(tmp_path / "nowhere.pth", ours)

    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save(dict(state_dict=state, args=Code()), path)
    with pytest.raises(ValueError, match="cannot be read as tensors and plain values only"):
        import_file(path, ours)
    assert not (tmp_path / "ran").exists() and not ours.exists()


def test_our_own_checkpoints_and_the_file_itself(state: State, tmp_path: Path) -> None:
    refused(
        dict(state_dict=state, meta=dict(backbone=dict(name="resnet18"))),
        tmp_path,
        "already one of our checkpoints; use it as it is",
    )
    torch.save(state, tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match="is the file that is read"):
        import_file(tmp_path / "theirs.pth", tmp_path / "theirs.pth")


def test_an_upsampler_of_featup(tmp_path: Path) -> None:
    torch.manual_seed(0)
    stack = JBUStack(channels=5, factor=4).eval()
    theirs = dict(
        state_dict=under("upsampler.", stack.state_dict()) | {"downsampler.w": torch.zeros(2)}
    )
    torch.save(theirs, tmp_path / "theirs.ckpt")
    for layout in ("auto", "featup"):
        written = import_file(tmp_path / "theirs.ckpt", tmp_path / "ours.pth", layout=layout)
        assert "5 channels" in written.lines[0] and "1 ignored" in written.lines[1]
    image, features = torch.rand(1, 3, 16, 16), torch.rand(1, 5, 4, 4)
    loaded = load_upsampler(f"jbu:{tmp_path}/ours.pth", channels=5)
    with torch.no_grad():
        expected = stack.upsample(image, features, (16, 16))
    assert (loaded.upsample(image, features, (16, 16)) - expected).abs().max() < 1e-6
    (tmp_path / "again").mkdir()
    refused(theirs, tmp_path / "again", "are for networks", backbone="resnet18")
    with pytest.raises(ValueError, match="no network at any of"):
        import_file(tmp_path / "theirs.ckpt", tmp_path / "no.pth", layout="moco")
