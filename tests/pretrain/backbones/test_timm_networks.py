"""Names that timm does not have, and weights that do not fit: sentences with what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from benchmarks.core.extractor import FeatureExtractor
from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.backbones.timm_networks import check_timm_name


@pytest.mark.parametrize(
    "name, meant",
    [
        ("dinov3_vits16", "vit_small_patch16_dinov3"),
        ("dinov3_vith16plus", "vit_huge_plus_patch16_dinov3"),
        ("dinov3_vit7b16", "vit_7b_patch16_dinov3"),
        ("dinov3_convnext_tiny", "convnext_tiny.dinov3_lvd1689m"),
        ("dinov2_vitb14", "vit_base_patch14_dinov2"),
        ("dinov2_vitg14_reg", "vit_giant_patch14_reg4_dinov2"),
        ("dino_vits8", "vit_small_patch8_224.dino"),
        ("mae_vit_huge_patch14", "vit_huge_patch14_224.mae"),
        ("google/siglip2-base-patch16-512", "vit_base_patch16_siglip_512"),
        ("resnet5", "resnet50"),
    ],
)
def test_names_of_the_authors_lead_to_timms(name: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"{name}' is not a timm model; did you mean '{meant}'"):
        check_timm_name(name)
    check_timm_name(meant)


@pytest.mark.parametrize("name", ["franca_vitb14", "ibot_vitb16", "vjepa2_vit_large"])
def test_methods_that_timm_does_not_hold(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}' is not in timm: .* PATH\.pth\?backbone=NAME"):
        TimmBackbone(name)


def test_an_unknown_tag_lists_those_there_are() -> None:
    message = (
        "timm has no weights 'lvd1689' of vit_large_patch16_dinov3; did you mean 'lvd1689m'.; "
        r"published are: vit_large_patch16_dinov3\.lvd1689m, vit_large_patch16_dinov3\.sat493m"
    )
    with pytest.raises(ValueError, match=message):
        FeatureExtractor.load("timm:vit_large_patch16_dinov3.lvd1689")
    with pytest.raises(ValueError, match="published are: "):
        FeatureExtractor.load("random:test_vit.foo")


def test_an_architecture_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="timm has no weights of it; published are: none"):
        FeatureExtractor.load("timm:convnext_atto_rms")


def test_a_norm_that_timm_renames_is_explained(tmp_path: Path) -> None:
    """EVA-02's files of masked image modelling, known by their mask token, hold ``norm.*``; timm
    renames it to ``fc_norm.*``, whatever ``global_pool`` is.
    """
    small = dict(depth=1, embed_dim=24, num_heads=2)
    network = timm.create_model("eva02_tiny_patch14_224", num_classes=0, **small)
    state = {key.replace("fc_norm", "norm"): value for key, value in network.state_dict().items()}
    state["mask_token"] = torch.zeros(1, 1, 24)
    torch.save(state, tmp_path / "made_up.pth")
    overlay = dict(file=str(tmp_path / "made_up.pth"), num_classes=0)
    options = small | dict(pretrained=True, pretrained_cfg_overlay=overlay)
    loaded = TimmBackbone("eva02_tiny_patch14_224", **options).model
    assert torch.equal(loaded.fc_norm.weight, state["norm.weight"])
    with pytest.raises(ValueError, match="do not fit these options .*leave global_pool out, and "):
        TimmBackbone("eva02_tiny_patch14_224", global_pool="token", **options)


@pytest.mark.parametrize(
    "name",
    [
        "cpubone_nano",
        "efficientvit_b0",
        "fasternet_t0",
        "ghostnet_050",
        "lcnetv2_base",
        "mambaout_femto",
        "mobilenetv3_small_050",
        "test_efficientnet",
    ],
)
def test_the_announced_width_is_the_vectors(name: str) -> None:
    """Networks with a layer between their pooling and their classifier."""
    extractor = FeatureExtractor.load(f"random:{name}")
    width = extractor.vector(torch.zeros(1, 3, 64, 64)).shape[1]
    assert width == extractor.backbone.info.vector == extractor.describe()["vector_channels"]


def test_mean_and_standard_deviation_are_the_tags(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = dict(depth=1, embed_dim=48, num_heads=2)
    name = "vit_large_patch16_dinov3"
    network = timm.create_model(name, num_classes=0, **small)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    mean, std = (0.43, 0.411, 0.296), (0.213, 0.156, 0.143)
    known = timm.models._registry._model_pretrained_cfgs[f"{name}.sat493m"]
    monkeypatch.setattr(known, "file", str(tmp_path / "weights.pth"))
    options = "?depth=1&embed_dim=48&num_heads=2"
    extractor = FeatureExtractor.load(f"timm:{name}.sat493m{options}")
    assert (extractor.mean, extractor.std) == (mean, std)
    # A file of the authors, with the tag behind the architecture's name.
    file = f"{tmp_path / 'weights.pth'}{options}&backbone={name}"
    of_file = FeatureExtractor.load(f"{file}.sat493m")
    assert (of_file.mean, of_file.std) == (mean, std)
    assert FeatureExtractor.load(file).mean == (0.485, 0.456, 0.406)
