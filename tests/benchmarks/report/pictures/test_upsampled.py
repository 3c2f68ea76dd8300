"""One basis for maps of several grids, and the sheet drawn from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.report.figures import Sources, draw_figures
from benchmarks.report.pictures.pca import ColourBasis
from benchmarks.report.pictures.upsampled import (
    BEFORE,
    FEATURES,
    draw_upsampled,
    feature_colours,
)
from heads.upsamplers.interpolation import Interpolation


def principal_colours(maps: torch.Tensor, clip: float = 0.01) -> np.ndarray:
    """Colours of maps in their own basis."""
    return ColourBasis.fit(maps, clip).colours(maps)


def test_maps_of_other_grids_get_the_colours_of_the_basis() -> None:
    maps = torch.randn(2, 8, 4, 6, generator=torch.Generator().manual_seed(0))
    basis = ColourBasis.fit(maps)
    own = basis.colours(maps)
    assert np.array_equal(own, principal_colours(maps))
    fine = basis.colours(maps.repeat_interleave(3, 2).repeat_interleave(2, 3))
    assert np.array_equal(fine, own.repeat(3, 1).repeat(2, 2))
    assert np.array_equal(basis.colours(maps[1:, :, 1:, 2:3]), own[1:, 1:, 2:3])
    assert not np.array_equal(principal_colours(maps[1:, :, 1:, 2:3]), own[1:, 1:, 2:3])


def test_a_basis_knows_its_width_and_refuses_nan() -> None:
    basis = ColourBasis.fit(torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(0)))
    assert (
        basis.colours(torch.rand(1, 2, 5, 5))[..., 2] == 0.5
    ).all()  # two channels have no third component
    with pytest.raises(ValueError, match="the basis is one of 2 channels"):
        basis.colours(torch.rand(1, 3, 5, 5))
    with pytest.raises(ValueError, match="nan or inf"):
        basis.colours(torch.full((1, 2, 1, 1), float("nan")))


def test_colours_before_and_behind_upsamplers(tmp_path: Path) -> None:
    extractor = FeatureExtractor.load("random:test_resnet?output_stride=8")
    images = torch.randint(
        0, 256, (3, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    upsamplers = {mode: Interpolation(mode) for mode in ("nearest", "bilinear")}
    rows = feature_colours(extractor, images, upsamplers)
    assert list(rows) == [BEFORE, "nearest", "bilinear"]
    assert rows[BEFORE].shape == (3, 4, 6, 3) and rows["bilinear"].shape == (3, 32, 48, 3)
    np.testing.assert_allclose(rows["nearest"], rows[BEFORE].repeat(8, 1).repeat(8, 2), atol=1e-5)
    path = draw_upsampled(
        images,
        rows | {"a name that is far too long for one line": rows[BEFORE]},
        tmp_path / "a.png",
    )
    with Image.open(path) as picture:
        pixels = np.array(picture.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 200
    taller = draw_upsampled(images, rows, tmp_path / "b.png", title="features")
    with Image.open(taller) as picture:
        assert picture.size[0] == pixels.shape[1]


def test_a_sheet_per_network_with_bilinear_always(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    draw = "benchmarks.report.pictures.upsampled.draw_upsampled"
    monkeypatch.setattr(draw, lambda images, rows, path: drawn.append((list(rows), path)))
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    networks = ["random:test_resnet?output_stride=8", "random:test_resnet?output_stride=16"]
    sources = Sources(
        networks={spec: spec for spec in networks},
        images=lambda: images,
        upsamplers=["none", "nearest"],
    )
    pictures = draw_figures((FEATURES,), sources, tmp_path, console=Console())
    assert [picture.file for picture in pictures] == [
        "pictures/features_0.png",
        "pictures/features_1.png",
    ]
    assert [path for _, path in drawn] == [tmp_path / picture.file for picture in pictures]
    assert [names for names, _ in drawn] == [["backbone", "bilinear", "nearest"]] * 2
    for network, picture in zip(networks, pictures, strict=True):
        assert picture.caption.startswith(f"{network}: the three main components")
