"""Where pretrained weights go in a segmentor or detector, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from benchmarks.transfer.weights import place, pretrained_levels
from pretrain.backbones.timm_backbone import TimmBackbone


class Model(nn.Module):
    """Stands in for a segmentor, or for a C4 detector whose shared head holds the last stage."""

    def __init__(self, backbone: nn.Module, shared: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        if shared is not None:
            self.roi_head = nn.Module()
            self.roi_head.shared_head = nn.Module()
            self.roi_head.shared_head.layer4 = shared
            self.roi_head.shared_head.norm = nn.BatchNorm2d(4)  # the extra norm, which no pretraining has
        self.head = nn.Linear(2, 2)


def test_a_timm_network_is_filled_whole() -> None:
    source = TimmBackbone("test_resnet")
    model = Model(TimmBackbone("test_resnet", out_indices=(1, 2)))
    placed = place(source.state_dict(), model, native=False, spec="x.pth")
    model.load_state_dict(placed.state, strict=False)
    assert all(torch.equal(v, model.backbone.state_dict()[k]) for k, v in source.state_dict().items())
    assert not placed.unused and "tensors of the backbone come from pretraining" in str(placed)


def test_the_last_stage_goes_to_the_shared_head_of_a_c4_detector() -> None:
    source = TimmBackbone("resnet18")
    native = timm.create_model("resnet18", num_classes=0)
    shared, native.layer4 = native.layer4, nn.Identity()
    model = Model(native, shared)
    placed = place(source.state_dict(), model, native=True, spec="x.pth")
    model.load_state_dict(placed.state, strict=False)
    assert torch.equal(model.backbone.conv1.weight, source.model.conv1.weight)
    assert torch.equal(shared[1].bn2.running_var, source.model.layer4[1].bn2.running_var)
    assert torch.equal(shared[1].conv2.weight, source.model.layer4[1].conv2.weight) and not placed.unused


def test_position_tables_of_another_grid_are_resized_as_timm_does() -> None:
    source = TimmBackbone("test_vit", img_size=160)
    nn.init.normal_(source.model.pos_embed)
    model = Model(TimmBackbone("test_vit", img_size=64, out_indices=(1,)))
    placed = place(source.state_dict(), model, native=False, spec="x.pth")
    prefix = source.model.num_prefix_tokens
    expected = timm.layers.resample_abs_pos_embed(source.model.pos_embed, [4, 4], num_prefix_tokens=prefix)
    assert placed.resized == ("backbone.model.pos_embed",)
    assert torch.equal(placed.state["backbone.model.pos_embed"], expected)


@pytest.mark.parametrize("name", ["test_vit", "test_convnext"])
def test_a_random_backbone_is_refused_with_names_and_shapes(name: str) -> None:
    model = Model(TimmBackbone("test_resnet", out_indices=(1,)))
    words = r"x\.pth does not fill .* would stay random \(backbone\.model\..*offers model"
    with pytest.raises(ValueError, match=words):
        place(TimmBackbone(name).state_dict(), model, native=False, spec="x.pth")


def test_levels_are_found_in_our_checkpoints_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    levels = {"objectives.1.levels.fpn.inner_blocks.0.0.weight": torch.ones(1), "objectives.1.scale": torch.ones(1)}
    torch.save({"state_dict": levels | {"backbone.model.x": torch.ones(1)}, "meta": {}}, path)
    assert list(pretrained_levels(f"{path}?weights=target")) == ["fpn.inner_blocks.0.0.weight"]
    assert pretrained_levels("random:resnet18") == {}
    torch.save({"state_dict": {"objectives.0.scale": torch.ones(1)}}, path)
    assert pretrained_levels(str(path)) == {}
