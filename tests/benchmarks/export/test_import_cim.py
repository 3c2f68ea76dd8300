"""CIM's checkpoint as its script saves it: both networks and the decoder flat in one dict."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.export.import_run import import_file
from pretrain.weights.key_names import fuse_qkv

WIDTH, HEADS, PATCH, SIDE = 128, 2, 8, 32
NAMED = f"vit_tiny_patch16_224?embed_dim={WIDTH}&num_heads={HEADS}&depth=2&patch_size=8&img_size=32"


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS)).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, eps=1e-6) for _ in range(2))
        self.attn, self.mlp = Attention(), MLP(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Patches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, WIDTH, PATCH, PATCH)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


class CrossBlock(nn.Module):
    """The decoder's block: query apart, key and value in one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict(
            dict(
                kv=nn.Linear(width, 2 * width),
                q=nn.Linear(width, width),
                proj=nn.Linear(width, width),
            )
        )
        self.mlp = MLP(width)


class Released(nn.Module):
    """The parts of the released module, by its names; every value random."""

    def __init__(self) -> None:
        super().__init__()
        tokens = (SIDE // PATCH) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + tokens, WIDTH))
        for ending in ("", "_c"):
            setattr(self, "patch_embed" + ending, Patches())
            setattr(self, "blocks" + ending, nn.ModuleList([Block(), Block()]))
            setattr(self, "norm" + ending, nn.LayerNorm(WIDTH, eps=1e-6))
            setattr(self, "decoder_g_embed" + ending, nn.Sequential(nn.Linear(WIDTH, 8)))
        self.decoder_embed = nn.Linear(WIDTH, 32)
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, 1 + 4, 32))
        self.decoder_corr_block = nn.ModuleDict(dict(block=CrossBlock(32)))
        self.decoder_norm = nn.LayerNorm(32)
        self.decoder_pred_mask = nn.Sequential(nn.Conv2d(32, 2, 1))
        generator = torch.Generator().manual_seed(0)
        for name, parameter in self.named_parameters():
            scale = 1 if name.endswith(("token", "embed")) else 0.2
            noise = torch.randn(parameter.shape, generator=generator) * scale
            parameter.data = (parameter.ndim == 1) * torch.ones(()) + noise

    def encode(self, images: Tensor, ending: str) -> Tensor:
        """(B, 1 + N, D) of the online network (ending "") or of its copy ("_c")."""
        x = getattr(self, "patch_embed" + ending)(images)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in getattr(self, "blocks" + ending):
            x = block(x)
        return getattr(self, "norm" + ending)(x)


@pytest.fixture(scope="module")
def released() -> Released:
    return Released().eval()


@pytest.fixture
def theirs(released: Released, tmp_path: Path) -> Path:
    """What the script writes after an epoch."""
    optimizer = torch.optim.AdamW(released.parameters())
    content = dict(
        model=released.state_dict(),
        optimizer=optimizer.state_dict(),
        epoch=299,
        scaler={},
        args=argparse.Namespace(output_dir=Path("out"), context_size=160),
    )
    torch.save(content, tmp_path / "checkpoint-299.pth")
    return tmp_path / "checkpoint-299.pth"


def assert_reads(extractor: FeatureExtractor, released: Released, ending: str) -> None:
    """Map and vector are those of the released forward pass, to rounding."""
    images = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (extractor.mean, extractor.std))
    assert tuple(extractor.mean) == (0.485, 0.456, 0.406)
    with torch.no_grad():
        tokens = released.encode((images - mean) / std, ending)
    expected = tokens[:, 1:].transpose(1, 2).unflatten(2, (SIDE // PATCH, -1))
    near = 1e-5 * float(expected.abs().max())
    assert float((extractor.maps(images) - expected).abs().max()) < near
    assert float((extractor.vector(images) - tokens[:, 0]).abs().max()) < near


def test_imported_with_both_networks(released: Released, theirs: Path) -> None:
    for options in ({}, dict(layout="cim")):
        written = import_file(theirs, theirs.with_name("ours.pth"), **options)
        assert written.lines[0].startswith("layout cim (CIM, 2303.12670")
        assert "modules …_c" in written.lines[0]
        # 2 of the table and class token, 2 + 2 + 24 of each network; the copy is under other names
        assert (
            "58 tensors loaded, 28 of them renamed, 0 missing; left out: decoder"
            in written.lines[2]
        )
        for weights, ending in (("online", ""), ("target", "_c")):
            extractor = FeatureExtractor.load(str(written.path), weights=weights)
            assert_reads(extractor, released, ending)


def test_one_network_alone(released: Released, theirs: Path) -> None:
    for weights, ending in (("online", ""), ("target", "_c")):
        written = import_file(theirs, theirs.with_name("one.pth"), weights=weights)
        assert_reads(FeatureExtractor.load(str(written.path)), released, ending)
        other = "momentum 28" if weights == "online" else "network not taken 28"
        assert other in written.lines[2]


@pytest.mark.parametrize("options", ["", "?layout=cim", f"?backbone={NAMED.replace('?', '&')}"])
def test_read_as_it_is(options: str, released: Released, theirs: Path) -> None:
    for weights, ending in (("online", ""), ("target", "_c")):
        extractor = FeatureExtractor.load(f"{theirs}{options}", weights=weights)
        assert_reads(extractor, released, ending)


def test_named_as_a_bare_vit_the_online_network_is_read(released: Released, theirs: Path) -> None:
    written = import_file(theirs, theirs.with_name("mae.pth"), layout="mae")
    assert "momentum 28" in written.lines[2]
    assert_reads(FeatureExtractor.load(str(written.path)), released, "")


def test_without_decoder_or_without_copy(released: Released, tmp_path: Path) -> None:
    bare = {k: v for k, v in released.state_dict().items() if not k.startswith("decoder")}
    torch.save(dict(model=bare), tmp_path / "bare.pth")
    assert_reads(FeatureExtractor.load(f"{tmp_path}/bare.pth", weights="target"), released, "_c")
    online = {k: v for k, v in released.state_dict().items() if "_c." not in k}
    torch.save(dict(model=online), tmp_path / "online.pth")
    assert_reads(FeatureExtractor.load(f"{tmp_path}/online.pth?layout=cim"), released, "")
    with pytest.raises(ValueError, match="target"):
        FeatureExtractor.load(f"{tmp_path}/online.pth?layout=cim", weights="target")


def test_a_copy_that_is_not_whole_is_refused(released: Released, tmp_path: Path) -> None:
    state = released.state_dict()
    del state["blocks_c.1.mlp.fc1.weight"]
    torch.save(dict(model=state), tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=r"stay random: .*1 missing \[blocks.1.mlp.fc1.weight\]"):
        import_file(tmp_path / "theirs.pth", tmp_path / "ours.pth")


def test_the_query_of_a_cross_attention_stays_apart() -> None:
    own = {
        f"blocks.0.attn.{letter}.weight": torch.full((2, 2), n) for n, letter in enumerate("qkv")
    }
    decoder = {"cross.q.weight": torch.ones(2, 2), "cross.kv.weight": torch.ones(4, 2)}
    joined = fuse_qkv(own | decoder)
    assert list(joined) == ["blocks.0.attn.qkv.weight", "cross.q.weight", "cross.kv.weight"]
    assert joined["blocks.0.attn.qkv.weight"][:, 0].tolist() == [0, 0, 1, 1, 2, 2]
