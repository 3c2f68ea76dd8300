"""Masked encodings: what is hidden, what is shared, and the token that stands for it."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor

from pretrain.backbones.timm_backbone import FeatureInfo, TimmBackbone
from pretrain.encodings import BatchEncodings, Encodings
from pretrain.engine.check import register_all
from pretrain.engine.layer_decay import learning_rate_scales
from pretrain.engine.optim import parameter_groups
from pretrain.geometry import identity
from pretrain.masking import Masking
from pretrain.model import Pretrainer
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Objective, target_copy
from pretrain.structures import Batch, Views

SMALL = dict(img_size=32, embed_dim=24, depth=2, num_heads=2, patch_size=8)
KINDS = {
    "vit": dict(name="vit_tiny_patch16_224", **SMALL),
    "dinov2": dict(name="vit_small_patch14_reg4_dinov2", **SMALL),
    "dinov3": dict(name="vit_small_patch16_dinov3", **SMALL),
    "fixed": dict(name="vit_tiny_patch16_224", dynamic_img_size=False, **SMALL),
    "recomputed": dict(name="vit_tiny_patch16_224", checkpoint_activations=True, **SMALL),
}


@MODELS.register_module()
class HiddenCells(Objective):
    """Hidden cells should be what the target sees: enough to train a mask token."""

    needs = Needs(online=(), masked=("global",), target=("global",), views=1)

    def __init__(self, features: FeatureInfo) -> None:
        super().__init__(features)
        self.stride = features.pick(None)

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss`` and ``hidden``, the share of hidden cells."""
        mask = encode.mask("global")
        features = encode.online("global", mask=mask)
        pairs = zip(features, encode.target("global"), strict=True)
        distances = torch.stack(
            [
                (one.map(self.stride) - other.map(self.stride)).square().mean(1)
                for one, other in pairs
            ],
            1,
        )
        loss = (torch.stack(distances, 1) * mask).sum() / mask.sum().clamp_min(1)
        return {"loss": loss, "hidden": mask.float().mean()}


def network(kind: str, seed: int = 0) -> TimmBackbone:
    torch.manual_seed(seed)
    backbone = TimmBackbone(**KINDS[kind])
    backbone.add_mask_token()
    return backbone.eval()


def some_mask(images: int = 2) -> Tensor:
    mask = torch.zeros(images, 4, 4, dtype=torch.bool)
    mask[0, 1, 2] = mask[1, :, 0] = True
    return mask


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_pixels_have_no_effect_and_nothing_hidden_changes_no_bit(kind: str) -> None:
    backbone, images, mask = network(kind), torch.randn(2, 3, 32, 32), some_mask()
    with torch.no_grad():
        backbone.mask_token.normal_()
        plain, empty = backbone(images), backbone(images, torch.zeros_like(mask))
        assert torch.equal(plain.map(), empty.map()) and torch.equal(plain.vector, empty.vector)
        hidden = backbone(images, mask)
        pixels = mask.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, None]
        others = backbone(torch.where(pixels, torch.randn_like(images), images), mask)
        assert torch.equal(hidden.map(), others.map())
        assert not torch.equal(hidden.map(), plain.map())
    backbone.train()(images, mask).map().sum().backward()
    assert backbone.mask_token.grad.abs().sum() > 0
    assert backbone._mask is None
    twin = target_copy(backbone)
    with torch.no_grad():
        twin.mask_token.zero_()
        assert torch.equal(backbone.eval()(images, mask).map(), hidden.map())
        assert not torch.equal(twin(images, mask).map(), hidden.map())


def test_a_compiled_network_hides_what_it_is_told_to_hide() -> None:
    """Before and after a pass without a mask, whose graph it must not use again."""
    backbone, images, mask = network("vit"), torch.randn(2, 3, 32, 32), some_mask()
    torch.nn.init.normal_(backbone.mask_token)
    with torch.no_grad():
        expected = [backbone(images, hidden).map() for hidden in (mask, None, mask)]
        backbone.compile(backend="eager")
        for hidden, features in zip((mask, None, mask), expected, strict=True):
            assert torch.allclose(backbone(images, hidden).map(), features, atol=1e-6)


def test_a_step_draws_once_and_encodes_once() -> None:
    backbone, calls = network("vit"), []
    backbone.register_forward_hook(lambda *_: calls.append(None))
    batch = Batch(
        {"global": Views(torch.randn(3, 2, 3, 32, 32), identity().expand(3, 2, 2, 3))},
        None,
        torch.arange(3),
    )
    encode = BatchEncodings(batch, backbone, None, masking=Masking(share=1.0))
    mask = encode.mask("global")
    assert mask is encode.mask("global") and mask.shape == (3, 2, 4, 4)
    cells = torch.zeros(mask.numel(), dtype=torch.bool)
    cells[encode.hidden_cells("global")] = True
    assert torch.equal(cells, mask.flatten()) and cells.any()
    first = encode.online("global", mask=mask)
    assert encode.online("global", mask=mask) is first and len(calls) == 2
    plain = encode.online("global")
    assert len(calls) == 4 and not torch.equal(plain[0].map(), first[0].map())
    assert torch.equal(encode.encoded("global")[0].map(), plain[0].map())
    alone = BatchEncodings(batch, backbone, None, masking=Masking(share=1.0))
    hidden = alone.online("global", mask=alone.mask("global"))
    assert torch.equal(alone.encoded("global")[0].map(), hidden[0].map())
    with pytest.raises(ValueError, match="cells are hidden of the group's own images"):
        encode.online("global", batch.views["global"].images, mask=mask)
    with pytest.raises(RuntimeError, match="name the group in Needs"):
        BatchEncodings(batch, backbone, None).mask("global")


def test_the_token_is_of_layer_0_is_not_decayed_and_follows() -> None:
    register_all()
    model = Pretrainer(dict(type="TimmBackbone", **KINDS["vit"]), [dict(type="HiddenCells")])
    token = model.backbone.mask_token
    assert torch.equal(token, torch.zeros(24)) and token.requires_grad
    assert torch.equal(model.target_backbone.mask_token, token)
    scales = learning_rate_scales(model, 0.5)
    assert scales[id(token)] == scales[id(model.backbone.model.patch_embed.proj.weight)]
    (plain,) = [g for g in parameter_groups(model, 0.1) if any(p is token for p in g["params"])]
    assert plain["weight_decay"] == 0
    assert "mask_token" not in str(model.backbone.config)


def test_mistakes_are_named() -> None:
    register_all()
    vit = dict(type="TimmBackbone", **KINDS["vit"])
    with pytest.raises(ValueError, match="masking=.*no objective hides cells"):
        Pretrainer(vit, [dict(type="PixPro")], masking={})
    with pytest.raises(ValueError, match="masking.shap is unknown; did you mean 'shape'"):
        Pretrainer(vit, [dict(type="HiddenCells")], masking=dict(shap="block"))
    resnet = dict(type="TimmBackbone", name="test_resnet")
    with pytest.raises(ValueError, match="'test_resnet' has no patch embedding"):
        Pretrainer(resnet, [dict(type="HiddenCells")])
    with pytest.raises(ValueError, match="HiddenCells: views of which cells are hidden"):
        Pretrainer(vit, [dict(type="Adversarial", objective=dict(type="HiddenCells"))])
