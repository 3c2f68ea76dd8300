"""VICRegL's ConvNeXts: blocks without layer scale, the last LayerNorm in front of the pooling."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.export.import_run import import_file

DIMS, DEPTHS = (8, 16, 24, 32), (1, 2, 1, 1)


def per_cell(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Normalises the channels of every cell of (B, D, h, w)."""
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    def __init__(self, width: int, scaled: bool) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1, self.pwconv2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.ones(width)) if scaled else None

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        hidden = self.pwconv2(F.gelu(self.pwconv1(hidden)))
        hidden = hidden if self.gamma is None else self.gamma * hidden
        return x + hidden.permute(0, 3, 1, 2)


class Released(nn.Module):
    """The released network by its names; every value random."""

    def __init__(self, scaled: bool) -> None:
        super().__init__()
        stem = [nn.Conv2d(3, DIMS[0], 4, 4), nn.LayerNorm(DIMS[0], eps=1e-6)]
        self.downsample_layers = nn.ModuleList([nn.ModuleList(stem)])
        for before, after in zip(DIMS, DIMS[1:], strict=False):
            parts = [nn.LayerNorm(before, eps=1e-6), nn.Conv2d(before, after, 2, 2)]
            self.downsample_layers.append(nn.ModuleList(parts))
        self.stages = nn.ModuleList()
        for width, depth in zip(DIMS, DEPTHS, strict=True):
            self.stages.append(nn.ModuleList([Block(width, scaled) for _ in range(depth)]))
        self.norm = nn.LayerNorm(DIMS[-1], eps=1e-6)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            noise = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.data = (parameter.ndim == 1) * torch.ones(()) + noise

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, D, h, w) in front of the last norm, and behind it."""
        x = images
        for n, stage in enumerate(self.stages):
            first, second = self.downsample_layers[n]
            x = per_cell(second, first(x)) if n == 0 else second(per_cell(first, x))
            for block in stage:
                x = block(x)
        return x, per_cell(self.norm, x)


def write(network: nn.Module, path: Path) -> Path:
    heads = {
        "module.maps_projector.0.weight": torch.zeros(2),
        "module.projector.0.weight": torch.zeros(2),
    }
    own = {f"module.backbone.{key}": value for key, value in network.state_dict().items()}
    torch.save(dict(epoch=400, model=own | heads, optimizer={}), path)
    return path


@pytest.mark.parametrize("scaled", [False, True], ids=["as released", "with layer scale"])
def test_features_are_those_of_the_released_network(scaled: bool, tmp_path: Path) -> None:
    network = Released(scaled).eval()
    theirs = write(network, tmp_path / "theirs.pth")
    lines = import_file(theirs, tmp_path / "ours.pth").lines
    assert lines[0].startswith("layout vicregl (")
    filled = "changed: layer scale of 5 blocks set to one, the file's blocks have none"
    assert (filled in lines[2]) is not scaled
    assert lines[-1].startswith(
        "differs: the authors' map and vector are behind the last LayerNorm"
    )

    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    ours = FeatureExtractor.load(str(tmp_path / "ours.pth"))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (ours.mean, ours.std))
    with torch.no_grad():
        before, behind = network((images - mean) / std)
        vector = network.norm(before.mean((2, 3)))
    near = 1e-5 * float(behind.abs().max())
    assert float((ours.maps(images) - before).abs().max()) < 1e-5 * float(before.abs().max())
    assert float((ours.vector(images) - vector).abs().max()) < near
    with torch.no_grad():
        assert (
            float((per_cell(network.norm, ours.maps(images).clone()) - behind).abs().max()) < near
        )

    for spec in (f"{theirs}?head_norm_first=True", f"{tmp_path}/first.pth"):
        options = dict(head_norm_first=True)
        said = import_file(theirs, tmp_path / "first.pth", options=options).lines
        assert not any(line.startswith("differs") for line in said)
        extractor = FeatureExtractor.load(spec)
        assert float((extractor.maps(images) - behind).abs().max()) < near
        assert float((extractor.vector(images) - behind.mean((2, 3))).abs().max()) < near
    assert float((vector - behind.mean((2, 3))).abs().max()) > 1e-2  # the two are not the same


def test_named_and_incomplete_ones(tmp_path: Path) -> None:
    theirs = write(Released(scaled=False), tmp_path / "theirs.pth")
    spec = f"{theirs}?backbone=convnext_tiny&depths={DEPTHS}&dims={DIMS}"
    assert FeatureExtractor.load(spec).channels == DIMS[-1]
    network = Released(scaled=True)
    network.stages[1][1].gamma = None
    write(network, theirs)
    with pytest.raises(ValueError, match=r"1 missing \[stages.1.blocks.1.gamma\]"):
        import_file(theirs, tmp_path / "ours.pth")
