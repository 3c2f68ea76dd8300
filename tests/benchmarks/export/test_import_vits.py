"""Published ViT and ConvNeXt files: each way to name and cut the weights comes back with the same
features.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.vision_transformer import VisionTransformer

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.export.import_run import import_file
from pretrain.weights.dialects import translate
from pretrain.weights.recognise import Unrecognised

State = dict[str, Tensor]
WIDTH, HEADS = 128, 2


def under(prefix: str, state: State) -> State:
    """Puts a prefix in front of all keys."""
    return {prefix + key: value for key, value in state.items()}


def vit_state(
    seed: int,
    *,
    depth: int = 2,
    patch: int = 8,
    side: int = 32,
    registers: int = 0,
    scaled: bool = False,
) -> State:
    """Random weights of a ViT by the names of DINO and DINOv2 (with ``scaled`` and registers)."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) / math.sqrt(max(shape[-1], 16))

    state = {
        "cls_token": draw(1, 1, WIDTH),
        "pos_embed": draw(1, 1 + (side // patch) ** 2, WIDTH) * 3,
        "patch_embed.proj.weight": draw(WIDTH, 3, patch, patch),
        "patch_embed.proj.bias": draw(WIDTH),
        "norm.weight": 1 + draw(WIDTH),
        "norm.bias": draw(WIDTH),
    }
    if registers:
        state["register_tokens"] = draw(1, registers, WIDTH)
    for n in range(depth):
        own = {
            "norm1.weight": 1 + draw(WIDTH),
            "norm1.bias": draw(WIDTH),
            "attn.qkv.weight": draw(3 * WIDTH, WIDTH),
            "attn.qkv.bias": draw(3 * WIDTH),
            "attn.proj.weight": draw(WIDTH, WIDTH),
            "attn.proj.bias": draw(WIDTH),
            "norm2.weight": 1 + draw(WIDTH),
            "norm2.bias": draw(WIDTH),
            "mlp.fc1.weight": draw(4 * WIDTH, WIDTH),
            "mlp.fc1.bias": draw(4 * WIDTH),
            "mlp.fc2.weight": draw(WIDTH, 4 * WIDTH),
            "mlp.fc2.bias": draw(WIDTH),
        }
        if scaled:
            own |= {"ls1.gamma": draw(WIDTH), "ls2.gamma": draw(WIDTH)}
        state |= under(f"blocks.{n}.", own)
    return state


def vit_tokens(state: State, images: Tensor, heads: int = HEADS) -> Tensor:
    """(B, 1 + registers + N, D) what a ViT with such a state gives, written out; images of its own
    size.
    """
    patch = state["patch_embed.proj.weight"].shape[-1]
    x = F.conv2d(
        images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=patch
    )
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x], dim=1) + state["pos_embed"]
    if "register_tokens" in state:
        x = torch.cat([x[:, :1], state["register_tokens"].expand(len(x), -1, -1), x[:, 1:]], dim=1)
    for n in range(sum(key.endswith("norm1.weight") for key in state)):
        own = {
            k.removeprefix(f"blocks.{n}."): v
            for k, v in state.items()
            if k.startswith(f"blocks.{n}.")
        }
        one = torch.ones(WIDTH)
        x = x + own.get("ls1.gamma", one) * _attention(own, _norm(own, "norm1", x), heads)
        hidden = F.gelu(
            F.linear(_norm(own, "norm2", x), own["mlp.fc1.weight"], own["mlp.fc1.bias"])
        )
        x = x + own.get("ls2.gamma", one) * F.linear(
            hidden, own["mlp.fc2.weight"], own["mlp.fc2.bias"]
        )
    return _norm(state, "norm", x)


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, (WIDTH,), state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)


def _attention(own: State, x: Tensor, heads: int) -> Tensor:
    """Loops over heads."""
    q, k, v = F.linear(x, own["attn.qkv.weight"], own["attn.qkv.bias"]).chunk(3, dim=-1)
    size, parts = WIDTH // heads, []
    for h in range(heads):
        one = slice(h * size, (h + 1) * size)
        weights = (q[..., one] @ k[..., one].transpose(1, 2) / math.sqrt(size)).softmax(-1)
        parts.append(weights @ v[..., one])
    return F.linear(torch.cat(parts, dim=-1), own["attn.proj.weight"], own["attn.proj.bias"])


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def bring(
    content: dict[str, Any], folder: Path, **options: Any
) -> tuple[FeatureExtractor, tuple[str, ...]]:
    """Writes a file, imports it, loads the result."""
    torch.save(content, folder / "theirs.pth")
    written = import_file(folder / "theirs.pth", folder / "ours.pth", **options)
    return FeatureExtractor.load(f"{folder}/ours.pth"), written.lines


def normalised(images: Tensor, extractor: FeatureExtractor) -> Tensor:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (extractor.mean, extractor.std))
    return (images - mean) / std


def assert_tokens(extractor: FeatureExtractor, images: Tensor, tokens: Tensor) -> None:
    """Map and class token are those of ``tokens`` (B, prefix + N, D)."""
    patches = tokens[:, -math.prod(images.shape[2:]) // extractor.stride**2 :]
    side = images.shape[3] // extractor.stride
    expected = patches.transpose(1, 2).unflatten(2, (-1, side))
    assert (extractor.maps(images) - expected).abs().max() < 1e-5 * max(1, expected.abs().max())
    assert (extractor.vector(images) - tokens[:, 0]).abs().max() < 1e-5 * max(
        1, expected.abs().max()
    )


def check(
    content: dict[str, Any], source: State, images: Tensor, folder: Path, **options: Any
) -> tuple[str, ...]:
    extractor, lines = bring(content, folder, **options)
    assert_tokens(extractor, images, vit_tokens(source, normalised(images, extractor)))
    return lines


MASK = {"mask_token": torch.zeros(1, 1, WIDTH)}
DECODER = {
    "decoder_embed.weight": torch.zeros(8, WIDTH),
    "decoder_blocks.0.norm1.weight": torch.zeros(8),
}
HEAD = {"head.mlp.0.weight": torch.zeros(4, WIDTH), "head.last_layer.weight_g": torch.zeros(4, 1)}


def test_dino_and_ibot(images: Tensor, tmp_path: Path) -> None:
    student, teacher = vit_state(0), vit_state(1)
    masked = {"masked_embed": torch.zeros(1, WIDTH)}
    for layout, more in (("dino", {}), ("ibot", masked)):
        content = {
            "student": under("module.backbone.", student | more) | under("module.", HEAD),
            "teacher": under("backbone.", teacher) | HEAD,
            "optimizer": {"state": {}},
            "epoch": 1,
        }
        lines = check(content, student, images, tmp_path)
        assert (
            lines[0].startswith(f"layout {layout} (")
            and "which is what its authors evaluate" in lines[-1]
        )
        target = FeatureExtractor.load(f"{tmp_path}/ours.pth", weights="target")
        assert_tokens(target, images, vit_tokens(teacher, normalised(images, target)))
        check(content, teacher, images, tmp_path, weights="target")
    assert "vit_tiny_patch16_224?" in lines[1] and "num_heads=2" in lines[1]


def test_bare_vits_need_a_name_because_normalisation_does_not_show(
    images: Tensor, tmp_path: Path
) -> None:
    state = vit_state(0)
    with pytest.raises(Unrecognised, match=r"timm \(timm's normalisation\); dino \(mean .*--from"):
        bring(state, tmp_path)
    check(state, state, images, tmp_path, layout="dino")
    check(dict(model=state), state, images, tmp_path, layout="mae")
    assert FeatureExtractor.load(f"{tmp_path}/theirs.pth?layout=mae").mean == (0.485, 0.456, 0.406)
    check(state, state, images, tmp_path, layout="timm")
    assert FeatureExtractor.load(f"{tmp_path}/ours.pth").mean == (0.5,) * 3


def test_mae_and_mocov3(images: Tensor, tmp_path: Path) -> None:
    state, other = vit_state(0), vit_state(1)
    lines = check(dict(model=state | MASK | DECODER), state, images, tmp_path)
    assert (
        lines[0].startswith("layout mae (")
        and "mask token 1 (model/mask_token)" in lines[2]
        and "decoder 2" in lines[2]
    )
    both = under("module.base_encoder.", state | {"head.0.weight": torch.zeros(2)})
    both |= under("module.momentum_encoder.", other)
    lines = check(dict(state_dict=both), state, images, tmp_path)
    assert lines[0].startswith("layout mocov3 (") and "head 1" in lines[2]


def test_mocov3_small_has_twelve_heads(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(
            "vit_small_patch16_224", num_classes=0, num_heads=12, depth=1, img_size=32
        ).eval()
    images = torch.rand(1, 3, 32, 32)
    extractor, _ = bring(
        dict(state_dict=under("module.base_encoder.", network.state_dict())), tmp_path
    )
    assert extractor.backbone.config["num_heads"] == 12
    with torch.no_grad():
        assert_tokens(extractor, images, network.forward_features(normalised(images, extractor)))
    named = dict(backbone="vit_small_patch16_224", options=dict(depth=1, img_size=32))
    extractor, _ = bring(
        dict(state_dict=under("module.base_encoder.", network.state_dict())), tmp_path, **named
    )
    assert extractor.backbone.config["num_heads"] == 12


@pytest.mark.parametrize("registers", [0, 3])
def test_dinov2(registers: int, images: Tensor, tmp_path: Path) -> None:
    state = vit_state(0, registers=registers, scaled=True)
    lines = check(state | MASK, state, images, tmp_path)
    assert lines[0].startswith("layout dinov2 (")
    chunked = {re.sub(r"^blocks\.(\d)", r"blocks.0.\1", k): v for k, v in (state | MASK).items()}
    content = {"teacher": under("backbone.", chunked) | {"ibot_head.mlp.0.weight": torch.zeros(2)}}
    lines = check(content, state, images, tmp_path)
    assert lines[0].startswith("layout dinov2 (") and "head 1" in lines[2]
    if registers:  # where the class token's place is added is all that differs; both must be right
        assert FeatureExtractor.load(f"{tmp_path}/ours.pth").backbone.config["no_embed_class"]
        assert "changed: cls_token has its position added" in lines[2]


def separate(state: State, block: str, names: dict[str, str]) -> State:
    """Renames by hand, one dict lookup per part, query, key and value cut apart."""
    result: State = {}
    for key, value in state.items():
        found = re.fullmatch(r"blocks\.(\d+)\.(.+?)(\.(?:weight|bias|gamma))", key)
        if found and found[2] == "attn.qkv":
            for name, part in zip(("query", "key", "value"), value.split(WIDTH), strict=True):
                result[f"{block.format(found[1])}attention.attention.{name}{found[3]}"] = part
        elif found:
            result[
                block.format(found[1])
                + names.get(found[2] + found[3], names.get(found[2], "?") + found[3])
            ] = value
        else:
            stem, dot, last = key.rpartition(".")
            result[names.get(key, names.get(stem, "?") + dot + last)] = value
    return result


HUGGINGFACE = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
    "register_tokens": "embeddings.register_tokens",
    "attn.proj": "attention.output.dense",
}
VIT = dict(
    norm1="layernorm_before",
    norm2="layernorm_after",
    **{"mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"},
)
DINOV2 = {
    "norm1": "norm1",
    "norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
}


def test_separate_query_key_value(images: Tensor, tmp_path: Path) -> None:
    state = vit_state(0)
    theirs = separate(state, "encoder.layer.{}.", HUGGINGFACE | VIT)
    more = {"pooler.dense.weight": torch.zeros(2, 2)}
    lines = check(
        under("vit.", theirs | more) | {"classifier.weight": torch.zeros(3)},
        state,
        images,
        tmp_path,
    )
    assert (
        lines[0].startswith("layout huggingface (")
        and "12 of them joined" in lines[2]
        and "head 2" in lines[2]
    )
    state = vit_state(0, scaled=True, registers=2)
    theirs = separate(state, "encoder.layer.{}.", HUGGINGFACE | DINOV2)
    check(theirs | {"embeddings.mask_token": torch.zeros(1, WIDTH)}, state, images, tmp_path)
    broken = {k: v for k, v in theirs.items() if "attention.key.weight" not in k}
    with pytest.raises(ValueError, match="of query, key and value; the file is not whole"):
        bring(broken, tmp_path)


def test_mmpretrain_names(images: Tensor, tmp_path: Path) -> None:
    state = vit_state(0, scaled=True)
    names = (
        (r"^norm\.", "ln1."),
        (r"patch_embed\.proj", "patch_embed.projection"),
        (r"^blocks", "layers"),
        (r"\.norm([12])\.", r".ln\1."),
        (r"mlp\.fc1", "ffn.layers.0.0"),
        (r"mlp\.fc2", "ffn.layers.1"),
        (r"ls1\.gamma", "attn.gamma1.weight"),
        (r"ls2\.gamma", "ffn.gamma2.weight"),
    )
    theirs = {}
    for key, value in state.items():
        for pattern, new in names:
            key = re.sub(pattern, new, key)
        theirs["backbone." + key] = value
    lines = check(
        dict(meta={}, state_dict=theirs | {"head.fc.weight": torch.zeros(2)}),
        state,
        images,
        tmp_path,
    )
    assert lines[0].startswith("layout mmpretrain (")


def test_torchvision_vit(images: Tensor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = VisionTransformer(
        32, 8, num_layers=2, num_heads=HEADS, hidden_dim=WIDTH, mlp_dim=4 * WIDTH
    ).eval()
    nn.init.normal_(network.class_token)
    extractor, lines = bring(network.state_dict(), tmp_path)
    assert lines[0].startswith("layout torchvision (") and "head 2" in lines[2]
    network.heads = nn.Identity()
    with torch.no_grad():
        expected = network(normalised(images, extractor))
    assert (extractor.vector(images) - expected).abs().max() < 1e-5


def test_torchvision_and_official_convnext(images: Tensor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    dims = (8, 16, 24, 32)
    settings = [CNBlockConfig(a, b, 1) for a, b in zip(dims, (*dims[1:], None), strict=True)]
    network = ConvNeXt(settings, layer_scale=0.5, num_classes=3).eval()
    extractor, lines = bring(network.state_dict(), tmp_path)
    assert lines[0].startswith("layout torchvision (")
    head = nn.Sequential(network.avgpool, network.classifier[0], nn.Flatten())
    with torch.no_grad():
        expected = head(network.features(normalised(images, extractor)))
    assert (extractor.vector(images) - expected).abs().max() < 1e-5
    official = {}
    for key, value in network.state_dict().items():
        parts = key.split(".")
        if parts[0] == "classifier":
            official[("norm." if parts[1] == "0" else "head.") + parts[2]] = value
        elif int(parts[1]) % 2:
            stage = f"stages.{int(parts[1]) // 2}.{parts[2]}."
            name = {"0": "dwconv", "2": "norm", "3": "pwconv1", "5": "pwconv2"}
            tail = f"{name[parts[4]]}.{parts[5]}" if parts[3] == "block" else "gamma"
            official[stage + tail] = value.flatten() if tail == "gamma" else value
        else:
            official[f"downsample_layers.{int(parts[1]) // 2}.{parts[2]}.{parts[3]}"] = value
    extractor, lines = bring(dict(model=official), tmp_path)
    assert lines[0].startswith("layout convnext (") and "head 2" in lines[2]
    assert (extractor.vector(images) - expected).abs().max() < 1e-5
    _, lines = bring(
        under("module.backbone.", official) | {"module.maps_projector.0.weight": torch.zeros(2)},
        tmp_path,
    )
    assert lines[0].startswith("layout vicregl (")


def test_position_table_is_resized_as_timm_does(tmp_path: Path) -> None:
    state = vit_state(0, side=48)
    extractor, lines = bring(state, tmp_path, layout="dino")
    assert extractor.backbone.config["img_size"] == 48  # the file's own table, as it is
    assert "changed" not in lines[2]
    named = dict(patch_size=8, embed_dim=WIDTH, depth=2, num_heads=HEADS)
    extractor, lines = bring(
        state,
        tmp_path,
        layout="dino",
        backbone="vit_tiny_patch16_224",
        options=named | dict(img_size=(32, 64)),
    )
    assert "changed: pos_embed resized from 6x6 to 4x8" in lines[2]
    table = resample_abs_pos_embed(state["pos_embed"], [4, 8], num_prefix_tokens=1)
    torch.testing.assert_close(extractor.backbone.model.pos_embed, table, rtol=0, atol=0)
    images = torch.rand(2, 3, 32, 64)
    assert_tokens(
        extractor, images, vit_tokens(state | dict(pos_embed=table), normalised(images, extractor))
    )


def test_names_are_those_of_timms_converters() -> None:
    from timm.models import convnext, vision_transformer

    state = vit_state(0, registers=4, scaled=True)
    model = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=32,
        patch_size=8,
        embed_dim=WIDTH,
        depth=2,
        num_heads=HEADS,
        reg_tokens=4,
        init_values=1e-5,
        no_embed_class=True,
        num_classes=0,
    )
    theirs = vision_transformer.checkpoint_filter_fn(
        state | {"mask_token": torch.zeros(1, WIDTH)}, model
    )
    assert_equal(translate(state).state, theirs)
    model = timm.create_model(
        "convnext_tiny", depths=(1, 2, 1, 1), dims=(8, 16, 24, 32), num_classes=0
    )
    official = {}
    for key, value in model.state_dict().items():
        key = (
            key.replace("stem.", "downsample_layers.0.")
            .replace("head.norm", "norm")
            .replace("blocks.", "")
        )
        key = re.sub(r"stages\.(\d)\.downsample", r"downsample_layers.\1", key)
        official[key.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")] = value
    assert_equal(translate(official).state, convnext.checkpoint_filter_fn(dict(official), model))


def assert_equal(ours: State, theirs: State) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
