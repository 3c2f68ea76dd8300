"""Where pretrained weights go in a segmentor or detector, and what is refused."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from benchmarks.transfer.weights import place
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
            self.roi_head.shared_head.norm = nn.BatchNorm2d(
                4
            )  # the extra norm, which no pretraining has
        self.head = nn.Linear(2, 2)


def test_a_timm_network_is_filled_whole() -> None:
    source = TimmBackbone("test_resnet")
    model = Model(TimmBackbone("test_resnet", out_indices=(1, 2)))
    placed = place(source.state_dict(), model, native=False, spec="x.pth")
    model.load_state_dict(placed.state, strict=False)
    assert all(
        torch.equal(v, model.backbone.state_dict()[k]) for k, v in source.state_dict().items()
    )
    assert "tensors of the backbone are filled" in str(placed)


def test_the_last_stage_goes_to_the_shared_head_of_a_c4_detector() -> None:
    source = TimmBackbone("resnet18")
    native = timm.create_model("resnet18", num_classes=0)
    shared, native.layer4 = native.layer4, nn.Identity()
    model = Model(native, shared)
    placed = place(source.state_dict(), model, native=True, spec="x.pth")
    model.load_state_dict(placed.state, strict=False)
    assert torch.equal(model.backbone.conv1.weight, source.model.conv1.weight)
    assert torch.equal(shared[1].bn2.running_var, source.model.layer4[1].bn2.running_var)
    assert torch.equal(shared[1].conv2.weight, source.model.layer4[1].conv2.weight)


def test_position_tables_of_another_grid_are_resized_as_timm_does() -> None:
    source = TimmBackbone("test_vit", img_size=160)
    nn.init.normal_(source.model.pos_embed)
    model = Model(TimmBackbone("test_vit", img_size=64, out_indices=(1,)))
    placed = place(source.state_dict(), model, native=False, spec="x.pth")
    prefix = source.model.num_prefix_tokens
    expected = timm.layers.resample_abs_pos_embed(
        source.model.pos_embed, [4, 4], num_prefix_tokens=prefix
    )
    assert placed.resized == ("backbone.model.pos_embed",)
    assert torch.equal(placed.state["backbone.model.pos_embed"], expected)


@pytest.mark.parametrize("name", ["test_vit", "test_convnext"])
def test_a_random_backbone_is_refused_with_names_and_shapes(name: str) -> None:
    model = Model(TimmBackbone("test_resnet", out_indices=(1,)))
    words = r"x\.pth does not fill .* would stay random \(backbone\.model\..*offers model"
    with pytest.raises(ValueError, match=words):
        place(TimmBackbone(name).state_dict(), model, native=False, spec="x.pth")


def test_weights_without_a_place_are_refused() -> None:
    model = Model(TimmBackbone("test_resnet", out_indices=(1,)))
    source = TimmBackbone("test_resnet").state_dict() | {"model.layer9.weight": torch.ones(1)}
    with pytest.raises(
        ValueError, match=r"x\.pth has weights .* no place for \(model\.layer9\.weight.*another"
    ):
        place(source, model, native=False, spec="x.pth")
