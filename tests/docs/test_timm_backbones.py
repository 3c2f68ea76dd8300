"""The table of docs/timm_backbones.md, measured on networks with random weights.

Networks are narrow and two blocks deep. Every run measures the first of each family,
``PIXELPRETEXT_LONG=1`` all that the table names; ``PIXELPRETEXT_WRITE=1`` writes the table anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.features import FeatureSettings
from pretrain.backbones.final_norm import final_norm, normalise_map
from pretrain.weights.layouts import IMAGENET

PAGE = Path(__file__).parents[2] / "docs" / "timm_backbones.md"
LONG = os.environ.get("PIXELPRETEXT_LONG", "0") not in ("", "0")
WRITE = os.environ.get("PIXELPRETEXT_WRITE", "0") not in ("", "0")
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SATELLITE = (0.43, 0.411, 0.296), (0.213, 0.156, 0.143)
COLOURS = {
    (IMAGENET["mean"], IMAGENET["std"]): "ImageNet",
    ((0.5,) * 3, (0.5,) * 3): ".5 / .5",
    ((0.0,) * 3, (1.0,) * 3): "0 / 1",
    CLIP: "CLIP",
    SATELLITE: "**.430 .411 .296 / .213 .156 .143**",
}


@dataclass(frozen=True)
class Family:
    """Networks that share a row.

    Attributes:
        names: timm names with tags, alternatives in braces.
        options: what makes them small without changing what is measured.
    """

    names: tuple[str, ...]
    options: dict[str, Any]

    def __iter__(self) -> Iterator[str]:
        for pattern in self.names:
            yield from expanded(pattern)


FLAT = dict(depth=2, embed_dim=96, num_heads=2)
STAGES = dict(depths=(1, 1, 1, 1), dims=(16, 24, 32, 48))
FAMILIES = {
    "DINOv3 ViT": Family(
        (
            "vit_{small,small_plus,base,large,huge_plus,7b}_patch16_dinov3.lvd1689m",
            "vit_{small,small_plus,base,large,huge_plus}_patch16_dinov3_qkvb.lvd1689m",
        ),
        FLAT,
    ),
    "DINOv3 ViT, satellite": Family(
        ("vit_{large,7b}_patch16_dinov3.sat493m", "vit_large_patch16_dinov3_qkvb.sat493m"), FLAT
    ),
    "DINOv3 ConvNeXt": Family(("convnext_{tiny,small,base,large}.dinov3_lvd1689m",), STAGES),
    "EUPE ViT": Family(("vit_{tiny,small,base}_patch16_dinov3_qkvb.eupe_lvd1689m",), FLAT),
    "EUPE ConvNeXt": Family(("convnext_{tiny,small,base}.eupe_lvd1689m",), STAGES),
    "DINOv2": Family(("vit_{small,base,large,giant}_patch14_dinov2.lvd142m",), FLAT),
    "DINOv2, registers": Family(
        ("vit_{small,base,large,giant}_patch14_reg4_dinov2.lvd142m",), FLAT
    ),
    "EVA-02": Family(
        (
            "eva02_{tiny,small,base,large}_patch14_224.mim_in22k",
            "eva02_large_patch14_224.mim_m38m",
        ),
        FLAT,
    ),
    "EVA-02, fine-tuned": Family(
        (
            "eva02_{tiny,small}_patch14_336.mim_in22k_ft_in1k",
            "eva02_base_patch14_448.mim_in22k_ft_in22k_in1k",
            "eva02_large_patch14_448.mim_{in22k,m38m}_ft_in22k_in1k",
        ),
        FLAT,
    ),
    "EVA-02 CLIP": Family(("eva02_base_patch16_clip_224.merged2b",), FLAT),
    "EVA-02 CLIP, 14": Family(("eva02_large_patch14_clip_{224,336}.merged2b",), FLAT),
    "EVA-02 CLIP, enormous": Family(
        ("eva02_enormous_patch14_clip_224.{laion2b,laion2b_plus}",), FLAT
    ),
    "SigLIP 2": Family(
        (
            "vit_base_patch16_siglip_{224,256,384,512}.v2_webli",
            "vit_large_patch16_siglip_{256,384,512}.v2_webli",
            "vit_so400m_patch16_siglip_{256,384,512}.v2_webli",
            "vit_giantopt_patch16_siglip_{256,384}.v2_webli",
        ),
        FLAT,
    ),
    "SigLIP 2, 14": Family(("vit_so400m_patch14_siglip_{224,378}.v2_webli",), FLAT),
    "SigLIP 2, 32": Family(("vit_base_patch32_siglip_256.v2_webli",), FLAT),
    "SigLIP 2, no pooling head": Family(
        ("vit_base_patch16_siglip_gap_{224,256,384,512}.v2_webli",), FLAT
    ),
    "SigLIP 2 NaFlex": Family(("naflexvit_{base,so400m}_patch16_siglip.v2_webli",), FLAT),
    "I-JEPA": Family(
        ("vit_huge_patch14_gap_224.{in1k,in22k}_ijepa",),
        FLAT,
    ),
    "I-JEPA, 16": Family(
        ("vit_huge_patch16_gap_448.in1k_ijepa", "vit_giant_patch16_gap_224.in22k_ijepa"), FLAT
    ),
    "DINO": Family(("vit_{small,base}_patch16_224.dino",), FLAT),
    "DINO, 8": Family(("vit_{small,base}_patch8_224.dino",), FLAT),
    "MAE": Family(("vit_{base,large}_patch16_224.mae",), FLAT),
    "MAE, 14": Family(("vit_huge_patch14_224.mae",), FLAT),
    "DeiT III": Family(("deit3_{small,medium,base,large}_patch16_224.fb_in22k_ft_in1k",), FLAT),
    "LingBot": Family(("vit_{small,base,large,giant}_patch16_lingbot.robbyant",), FLAT),
    "TIPSv2": Family(("vit_{base,large,so400m,giant}_patch14_reg1_tipsv2.webli",), FLAT),
    "PE core": Family(
        ("vit_pe_core_{tiny,small}_patch16_384.fb", "vit_pe_core_base_patch16_224.fb"), FLAT
    ),
    "PE core, 14": Family(("vit_pe_core_large_patch14_336.fb",), FLAT),
    "PE core, gigantic": Family(("vit_pe_core_gigantic_patch14_448.fb",), FLAT),
    "PE spatial": Family(("vit_pe_spatial_{tiny,small,base}_patch16_512.fb",), FLAT),
    "PE spatial, 14": Family(("vit_pe_spatial_large_patch14_448.fb",), FLAT),
    "PE spatial, gigantic": Family(("vit_pe_spatial_gigantic_patch14_448.fb",), FLAT),
    "PE lang": Family(("vit_pe_lang_large_patch14_448.{fb,fb_tiling}",), FLAT),
    "PE lang, gigantic": Family(("vit_pe_lang_gigantic_patch14_448.{fb,fb_tiling}",), FLAT),
    "RADIO": Family(("vit_{base,large,huge,giant}_patch16_radio_v3.c_radio",), FLAT),
    "RADIO v4": Family(("vit_{so400m,huge}_patch16_radio_v4.c_radio",), FLAT),
    "RADIO NaFlex": Family(("naflexvit_{base,large,huge,giant}_patch16_radio_v3.c_radio",), FLAT),
    "RADIO v4 NaFlex": Family(("naflexvit_{so400m,huge}_patch16_radio_v4.c_radio",), FLAT),
    "AIMv2": Family(("aimv2_{large,huge,1b,3b}_patch14_224.apple_pt",), FLAT),
    "BEiT": Family(("beit_{base,large}_patch16_224.in22k_ft_in22k",), FLAT),
    "BEiT v2": Family(("beitv2_{base,large}_patch16_224.in1k_ft_in22k",), FLAT),
    "SAM": Family(
        ("samvit_{base,large,huge}_patch16.sa1b",), FLAT | dict(global_attn_indexes=(1,))
    ),
    "Hiera": Family(
        ("hiera_{tiny,small,base,base_plus,large,huge}_224.mae",),
        dict(stages=(1, 1, 1, 1), embed_dim=24, num_heads=1),
    ),
    "Swin": Family(
        ("swin_{tiny,small,base}_patch4_window7_224.ms_in1k",),
        dict(depths=(1, 1, 1, 1), embed_dim=24, num_heads=(1, 2, 4, 8)),
    ),
    "ConvNeXt V2": Family(("convnextv2_{tiny,nano,base,large,huge}.fcmae",), STAGES),
    "ConvNeXt": Family(("convnext_{tiny,small,base,large}.fb_in22k",), STAGES),
    "ResNet": Family(
        ("resnet50.{a1_in1k,tv_in1k}",), dict(layers=(1, 1, 1, 1), channels=(8, 16, 24, 32))
    ),
}
COLUMNS = (
    "family",
    "timm names and tags",
    "licence",
    "mean / std",
    "own size",
    "patch or stride",
    "prefix",
    "positions",
    "other sizes",
    "final norm",
    "in timm's map",
    "timm's vector",
)
POOLED = {
    "token": "class token",
    "avg": "mean of the cells",
    "map": "attention pooling",
}


def expanded(pattern: str) -> Iterator[str]:
    """Names behind ``a_{b,c}_d``."""
    match = re.search(r"\{([^}]*)\}", pattern)
    if match is None:
        yield pattern
        return
    for choice in match[1].split(","):
        yield from expanded(pattern[: match.start()] + choice + pattern[match.end() :])


def built(name: str, options: dict[str, Any]) -> FeatureExtractor:
    """A small network, its norms shifted so that they change what they normalise."""
    torch.manual_seed(0)
    spec = "&".join(f"{key}={value}" for key, value in options.items())
    extractor = FeatureExtractor.load(f"random:{name}?{spec}")
    with torch.no_grad():
        for key, parameter in extractor.backbone.named_parameters():
            if "norm" in key and parameter.ndim == 1:
                parameter.add_(torch.rand_like(parameter))
    return extractor


def stated(family: Family) -> tuple[str, str, str]:
    """Licence, colours and sizes of a family, as timm states them for the names with their tags."""
    known = [timm.get_pretrained_cfg(name) for name in family]
    (colours,) = {COLOURS[one.mean, one.std] for one in known}
    licences = sorted({one.license or "not stated" for one in known})
    sizes = sorted({one.input_size[-1] for one in known})
    return ", ".join(licences), colours, ", ".join(map(str, sizes))


def prefix(model: nn.Module) -> str:
    """Tokens beside the patches."""
    count = getattr(model, "num_prefix_tokens", 0)
    owner = getattr(model, "embeds", model)
    classes = getattr(owner, "cls_token", None)
    first = 0 if classes is None else min(count, 1)
    if not count:
        return "–"
    rest = f" + {count - first}" if count > first else ""
    return f"class{rest}" if first else f"0{rest}"


def positions(model: nn.Module) -> str:
    """How a network knows where a patch is."""
    owner = getattr(model, "embeds", model)
    kinds = []
    if getattr(owner, "pos_embed", None) is not None:
        kinds.append("table")
    if getattr(model, "rope", None) is not None:
        kinds.append("RoPE")
    names = [name for name, _ in model.named_parameters()]
    if any(re.search(r"relative_position_bias_table|rel_pos", name) for name in names):
        kinds.append("relative table")
    return ", ".join(kinds) or "–"


def place_of(model: nn.Module, norm: nn.Module | None) -> str:
    """Where timm keeps the final norm."""
    names = [f"`{name}`" for name, module in model.named_modules() if module is norm]
    return names[0] if names else "none"


def answers(extractor: FeatureExtractor, size: tuple[int, int]) -> bool:
    """Whether the network takes images of (H, W) pixels; anything but a sentence is an error."""
    try:
        extractor.reading(FeatureSettings(norm=False)).maps(torch.zeros(1, 3, *size))
    except ValueError as error:
        assert re.search("refuses this size|rule of positions at 512 × 512 alone", str(error))
        return False
    return True


def pooled(model: nn.Module) -> str:
    """What timm makes the vector of."""
    kind = getattr(model, "global_pool", None) or getattr(model, "head", None)
    if isinstance(kind, nn.Module):
        kind = getattr(kind, "global_pool", kind)
        kind = getattr(kind, "pool_type", "avg")
    return POOLED[kind]


def at_size(name: str, family: Family) -> tuple[FeatureExtractor, tuple[int, int], str]:
    """A network, images of (H, W) pixels that it takes, and what was needed for them."""
    extractor = built(name, family.options)
    side = 4 * max(extractor.backbone.info.channels)
    size = side, 2 * side
    if answers(extractor, size):
        return extractor, size, "any"
    assert extractor.backbone.takes_size
    extractor = built(name, family.options | dict(img_size=size))
    assert answers(extractor, size)
    return extractor, size, "`img_size=`"


def measured(name: str, family: Family) -> tuple[str, ...]:
    """Cells of the row behind what timm states; fails where a map is not timm's own."""
    extractor, size, others = at_size(name, family)
    backbone, model = extractor.backbone, extractor.backbone.model
    images, last = torch.rand(1, 3, *size), len(backbone.stages) - 1
    normalised = extractor.normalise(images)
    with torch.no_grad():
        (raw,) = model.forward_intermediates(normalised, indices=[last], intermediates_only=True)
    width = backbone.stages[last]["num_chs"]
    assert raw.shape == (1, width, 4, 8)
    assert extractor.vector(images).shape == (1, backbone.info.vector)
    plain = extractor.maps(images)
    read = extractor.reading(FeatureSettings(norm=False))
    same(read.maps(images), raw)
    norm, has = final_norm(model, width), "–"
    if norm is None:
        with pytest.raises(ValueError, match="norm=True: timm keeps no norm"):
            extractor.reading(FeatureSettings())
        same(plain, raw)
    else:
        normed = extractor.reading(FeatureSettings()).maps(images)
        with torch.no_grad():
            same(normed, normalise_map(norm, raw))
        has = "yes" if torch.allclose(plain, normed, atol=1e-4) else "**no**"
        same(plain, normed if has == "yes" else raw)
        assert not torch.allclose(normed, raw, atol=1e-2)
    check_class_token(extractor, normalised, raw)
    step = str(max(backbone.info.channels))
    where = place_of(model, norm)
    return step, prefix(model), positions(model), others, where, has, pooled(model)


def check_class_token(
    extractor: FeatureExtractor, normalised: torch.Tensor, raw: torch.Tensor
) -> None:
    """It is the first of timm's prefix tokens, or there is none and it is refused."""
    model = extractor.backbone.model
    settings = FeatureSettings(norm=False, class_token="concatenate", vector="class_token")
    if not prefix(model).startswith("class"):
        with pytest.raises(ValueError, match="has no class token"):
            extractor.reading(settings)
        return
    with torch.no_grad():
        ((_, tokens),) = model.forward_intermediates(
            normalised,
            indices=[len(extractor.backbone.stages) - 1],
            intermediates_only=True,
            return_prefix_tokens=True,
        )
    read = extractor.reading(settings)
    token = tokens[:, 0, :, None, None].expand_as(raw)
    same(read.features(normalised), torch.cat([raw, token], 1))
    assert read.channels == 2 * raw.shape[1]


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    """Maps are equal but for the order of sums."""
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def row(family: str) -> str:
    """The line of the table of a family, by its first network."""
    networks = FAMILIES[family]
    names = " ".join(f"`{pattern}`" for pattern in networks.names)
    cells = family, names, *stated(networks), *measured(next(iter(networks)), networks)
    return f"| {' | '.join(cells)} |"


def table() -> dict[str, str]:
    """Lines of the page's table by family."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index(f"| {' | '.join(COLUMNS)} |")
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows[line.split(" | ")[0].removeprefix("| ")] = line
    return rows


@pytest.fixture(scope="module", autouse=True)
def written() -> None:
    """Writes the table, where that was asked for."""
    if not WRITE:
        return
    head = f"| {' | '.join(COLUMNS)} |"
    lines = [head, "|---" * len(COLUMNS) + "|", *map(row, FAMILIES)]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(head)
    after = re.sub(r"\A(\n\|.*)*", "", rest)
    PAGE.write_text(before + "\n".join(lines) + after, encoding="utf-8")


def test_the_table_has_every_family() -> None:
    assert list(table()) == list(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_row_is_what_is_measured(family: str) -> None:
    assert table()[family] == row(family)


@pytest.mark.skipif(not LONG, reason="all networks of the table: PIXELPRETEXT_LONG=1")
@pytest.mark.parametrize("family", FAMILIES)
def test_all_networks_of_a_family_share_its_row(family: str) -> None:
    networks = FAMILIES[family]
    first, *others = networks
    expected = measured(first, networks)
    for name in others:
        assert measured(name, networks) == expected, name


def test_the_example_runs() -> None:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    assert names["maps"].shape == (1, 4 * 2 * 384, 16, 22)
    assert names["cells"].padded == (224, 308) and names["cells"].before == (0, 4)
    assert names["ignored"].shape == (16, 22)
