"""Published FeatUp files: made here with random weights in their layout, whole and damaged."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.weights.checkpoint import Checkpoint
from heads.upsamplers.jbu import JBUStack


def published(channels: int = 6, levels: int = 4, *, norm: bool = False) -> dict[str, Tensor]:
    """A state dict with the published keys and shapes, random, and what training leaves there."""
    torch.manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {}
    for level in range(1, levels + 1):
        up = f"upsampler.up{level}."
        shapes |= {up + "range_temp": (), up + "sigma_spatial": ()}
        for name, width_in, width in (("range_proj", 3, 32), ("fixup_proj", 52, 49)):
            shapes |= {
                f"{up}{name}.0.weight": (width, width_in, 1, 1),
                f"{up}{name}.0.bias": (width,),
            }
            shapes |= {f"{up}{name}.3.weight": (width, width, 1, 1), f"{up}{name}.3.bias": (width,)}
    shapes |= {
        "upsampler.fixup_proj.1.weight": (channels, channels, 1, 1),
        "upsampler.fixup_proj.1.bias": (channels,),
    }
    if norm:
        shapes |= {"model.1.norm.weight": (channels,), "model.1.norm.bias": (channels,)}
    shapes |= {"scale_net.net.weight": (1, channels, 1, 1), "downsampler.w": (14, 14)}
    return {key: torch.randn(shape) / 4 for key, shape in shapes.items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dino16_jbu_stack.ckpt"


def load_featup(path: Path) -> JBUStack:
    return Checkpoint.read(path).upsampler("featup")


def save(path: Path, state: dict[str, Tensor], **others: Any) -> Path:
    torch.save({"epoch": 1, "pytorch-lightning_version": "2.1", "state_dict": state} | others, path)
    return path


@pytest.mark.parametrize("norm", [False, True])
def test_every_key_arrives_and_is_accounted_for(path: Path, norm: bool) -> None:
    state = published(norm=norm) | {"model.0.blocks.0.weight": torch.zeros(2)}
    stack = load_featup(save(path, state))
    report = stack.report
    assert stack.config == dict(
        type="JBUStack", channels=6, factor=16, radius=3, key_dim=32, norm=norm
    )
    assert not stack.training and stack.foldable is not norm
    for key, value in stack.state_dict().items():
        theirs = (
            key.replace("norm.", "model.1.norm.") if key.startswith("norm.") else f"upsampler.{key}"
        )
        assert torch.equal(value, state[theirs]), key
    assert len(report.loaded) == len(stack.state_dict()) == 4 * 10 + 2 + 2 * norm
    assert report.missing == () and report.unexpected == ("model.0.blocks.0.weight",)
    assert report.ignored == ("scale_net.net.weight", "downsampler.w")
    assert (
        str(report)
        == f"FeatUp checkpoint: {42 + 2 * norm} loaded, 0 missing, 1 unexpected, 2 ignored keys"
    )
    assert stack(torch.randn(1, 3, 64, 64), torch.randn(1, 6, 4, 4), (64, 64)).isfinite().all()


def test_scalars_saved_with_an_axis_and_other_depths(path: Path) -> None:
    state = published(levels=3)
    state["upsampler.up2.range_temp"] = torch.tensor([0.25])
    stack = load_featup(save(path, state))
    assert stack.factor == 8 and stack.up2.range_temp == 0.25


@pytest.mark.parametrize("key", ["upsampler.up3.range_proj.3.bias", "upsampler.up1.sigma_spatial"])
def test_a_missing_key_is_an_error(path: Path, key: str) -> None:
    state = published()
    del state[key]
    with pytest.raises(
        ValueError, match=f"does not fill the stack.*41 loaded, 1 missing.*missing {key}"
    ):
        load_featup(save(path, state))


def test_an_unexpected_key_and_a_wrong_shape_are_errors(path: Path) -> None:
    with pytest.raises(ValueError, match="unexpected upsampler.up1.attention.weight"):
        load_featup(save(path, published() | {"upsampler.up1.attention.weight": torch.zeros(1)}))
    with pytest.raises(
        ValueError,
        match="missing upsampler.up2.fixup_proj.0.weight, unexpected upsampler.up2.fixup",
    ):
        load_featup(
            save(
                path, published() | {"upsampler.up2.fixup_proj.0.weight": torch.zeros(49, 53, 1, 1)}
            )
        )


def test_half_a_norm_is_an_error(path: Path) -> None:
    state = published(norm=True)
    del state["model.1.norm.bias"]
    with pytest.raises(ValueError, match="missing model.1.norm.bias"):
        load_featup(save(path, state))


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"layer1.0.weight": torch.zeros(3)},
        {k: v for k, v in published().items() if "fixup_proj.1" not in k},
        {k.replace("up2", "up7"): v for k, v in published().items()},
    ],
)
def test_other_networks_are_told_apart(path: Path, state: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match="holds no FeatUp JBU stack: wanted upsampler.up1"):
        load_featup(save(path, state))


def test_files_that_are_not_checkpoints(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        load_featup(path)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="holds a list, not a dict of tensors"):
        load_featup(path)
    torch.save({"weights": {}}, path)
    with pytest.raises(ValueError, match="holds no FeatUp JBU stack: .* found 0 keys"):
        load_featup(path)
    save(path, published())
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(ValueError, match="cannot be read .* compare its size or checksum"):
        load_featup(path)
    path.write_bytes(b"<html>409 Conflict</html>")
    with pytest.raises(ValueError, match="cannot be read"):
        load_featup(path)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


def test_no_code_of_a_file_runs(path: Path, tmp_path: Path) -> None:
    harmful = Harmful()
    harmful.path = str(tmp_path / "touched")
    save(path, published(), hyper_parameters=harmful)
    with pytest.raises(ValueError, match="weights_only=False"):
        load_featup(path)
    path.write_bytes(pickle.dumps(harmful))
    with pytest.raises(ValueError, match="cannot be read"):
        load_featup(path)
    assert not (tmp_path / "touched").exists()
