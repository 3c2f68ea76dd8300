"""What a checkpoint of ours holds, and what of it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.weights.checkpoint import Checkpoint, write_backbone
from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.weights.layouts import IMAGENET

KEY = "fpn.inner_blocks.0.0.weight"
PYRAMIDS = {
    f"objectives.1.levels.{KEY}": torch.zeros(1),
    f"objectives.1.target_levels.{KEY}": torch.ones(1),
}


def checkpoint_of(state: dict[str, torch.Tensor], **meta: Any) -> Checkpoint:
    return Checkpoint("final.pth", dict(state_dict=state, meta=meta))


@pytest.fixture(scope="module")
def backbone() -> TimmBackbone:
    torch.manual_seed(0)
    return TimmBackbone("test_resnet", output_stride=8)


@pytest.fixture
def ours(backbone: TimmBackbone) -> Checkpoint:
    """Both networks, the target's weights are the online ones plus 1, and their pyramids."""
    state = dict(PYRAMIDS)
    for key, value in backbone.state_dict().items():
        state |= {f"backbone.{key}": value, f"target_backbone.{key}": value + 1}
    normalisation = dict(mean=(0.5,) * 3, std=(0.25,) * 3)
    return checkpoint_of(state, backbone=backbone.config, normalisation=normalisation)


def test_one_read_gives_networks_pyramid_and_normalisation(
    ours: Checkpoint, backbone: TimmBackbone, tmp_path: Path
) -> None:
    torch.save(ours.content, tmp_path / "final.pth")
    read = Checkpoint.read(tmp_path / "final.pth")
    for which, shift in (("online", 0), ("target", 1)):
        loaded = read.network(which, options=dict(output_stride=16))
        assert loaded.backbone.config == dict(name="test_resnet", output_stride=16)
        assert loaded.normalisation["mean"] == (0.5,) * 3 and not loaded.report.missing
        for key, value in loaded.backbone.state_dict().items():
            assert torch.equal(value, backbone.state_dict()[key] + shift)
        assert read.pyramid(which) == {KEY: torch.full((1,), shift)}
    assert read.architecture == dict(type="TimmBackbone") | backbone.config
    extractor = FeatureExtractor.load(f"{tmp_path}/final.pth?map_stride=8&weights=target")
    assert extractor.pyramid == {KEY: torch.ones(1)}


def test_what_the_file_does_not_say(backbone: TimmBackbone) -> None:
    silent = checkpoint_of({})
    assert silent.meta == {} and silent.pyramid() == {} and silent.licence is None
    assert silent.normalisation == IMAGENET
    assert checkpoint_of({}, licence="MIT").licence == "MIT"
    assert FeatureExtractor(backbone).pyramid == {}
    with pytest.raises(ValueError, match="final.pth: not one of our checkpoints: .* the config"):
        silent.model()
    with pytest.raises(ValueError, match="holds no FeatUp JBU stack"):
        silent.upsampler()


def test_of_several_pyramids_that_of_the_first_objective_by_number_counts() -> None:
    state = {f"objectives.{i}.levels.{KEY}": torch.full((1,), i) for i in (10, 2)}
    assert checkpoint_of(state).pyramid() == {KEY: torch.full((1,), 2)}


def test_a_network_that_was_not_trained_is_refused(ours: Checkpoint) -> None:
    online = {k: v for k, v in ours.state.items() if not k.startswith("target_backbone.")}
    with pytest.raises(ValueError, match="final.pth has no target weights .keys target_backbone"):
        checkpoint_of(online, **ours.meta).network("target")


def test_a_whole_model_gets_all_of_its_weights_or_none(backbone: TimmBackbone) -> None:
    state = {key: value.clone() for key, value in backbone.state_dict().items()}
    again = TimmBackbone("test_resnet", output_stride=8)
    checkpoint_of(state).fill(again)
    assert all(torch.equal(v, state[k]) for k, v in again.state_dict().items())
    first = next(iter(state))
    with pytest.raises(ValueError, match="final.pth does not fit the model that it describes"):
        checkpoint_of(state | {"other": torch.ones(1)}).fill(again)
    state[first] = torch.full_like(state[first], torch.nan)
    with pytest.raises(ValueError, match="that are NaN or infinite"):
        checkpoint_of(state).fill(again)


def test_a_written_backbone_says_which_it_is(backbone: TimmBackbone, tmp_path: Path) -> None:
    write_backbone(tmp_path / "backbone.pth", backbone, spec="random:test_resnet")
    read = Checkpoint.read(tmp_path / "backbone.pth")
    extractor = FeatureExtractor(backbone)
    assert read.meta == dict(spec="random:test_resnet", fingerprint=extractor.fingerprint)
    assert extractor.describe()["fingerprint"] == extractor.fingerprint
    assert read.state.keys() == {f"backbone.{key}" for key in backbone.state_dict()}
