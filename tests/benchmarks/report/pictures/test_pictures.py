"""Pictures: the mathematics behind them, and that they are written and show something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmarks.report.pictures.curves import band, read_curve, thin
from benchmarks.report.pictures.pairs import draw_pairs, place_colours
from benchmarks.report.pictures.pca import ColourBasis, draw_pca, load_images, shared_colours
from pretrain import geometry as geo


def principal_colours(maps: torch.Tensor, clip: float = 0.01) -> np.ndarray:
    """Colours of maps in their own basis."""
    return ColourBasis.fit(maps, clip).colours(maps)


def assert_shows_something(path: Path, minimum_colours: int = 200) -> np.ndarray:
    """Returns the picture (H, W, 3) after checking that it is a PNG with many colours and little of
    it empty.
    """
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.array(image.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > minimum_colours
    assert (pixels < 250).any(-1).mean() > 0.02
    return pixels


def test_colours_follow_the_features_and_share_one_basis() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randn(3, 16, generator=generator)
    place = torch.tensor([[0, 0, 1, 1], [0, 2, 2, 1]])
    first = kinds[place].permute(2, 0, 1)  # (16, 2, 4)
    maps = torch.stack([first, first.flip(-1)])  # the second image is the first one mirrored
    colours = principal_colours(maps, clip=0.0)
    assert np.array_equal(colours[1], colours[0][:, ::-1])
    assert np.array_equal(colours[0, 0, 0], colours[0, 1, 0])
    distances = [
        np.abs(colours[0, 0, 0] - colours[0, 0, 2]).max(),
        np.abs(colours[0, 0, 0] - colours[0, 1, 1]).max(),
    ]
    assert min(distances) > 0.3


def test_colours_ignore_the_length_and_the_rotation_of_features() -> None:
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(2, 8, 4, 4, generator=generator, dtype=torch.float64)
    lengths = torch.rand(2, 1, 4, 4, generator=generator, dtype=torch.float64) + 0.5
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64))[0]
    turned = torch.einsum("dc,bchw->bdhw", rotation, maps * lengths)
    assert np.allclose(principal_colours(turned), principal_colours(maps), atol=1e-5)


def test_principal_direction_is_that_of_the_largest_variance() -> None:
    angle = torch.linspace(-0.5, 0.5, 16, dtype=torch.float64)
    maps = torch.stack([angle.cos(), angle.sin(), torch.zeros(16, dtype=torch.float64)]).view(
        1, 3, 4, 4
    )
    red = principal_colours(maps, clip=0.0)[0, ..., 0].reshape(-1)
    steps = np.diff(red)
    assert (steps > 0).all() or (steps < 0).all()  # the angle orders the first component
    assert {red.min(), red.max()} == {0.0, 1.0}


def test_collapsed_features_are_grey_and_broken_ones_an_error() -> None:
    assert (principal_colours(torch.ones(2, 4, 3, 3)) == 0.5).all()
    with pytest.raises(ValueError, match="nan or inf"):
        principal_colours(torch.full((1, 2, 2, 2), float("nan")))


def test_pca_sheet_has_a_row_of_inputs_and_one_per_network(
    tmp_path: Path, image_folder: Path
) -> None:
    images = load_images(image_folder, 4, 48)
    assert images.shape == (4, 3, 48, 48) and images.dtype == torch.uint8
    rows = {name: np.random.default_rng(0).random((4, 6, 6, 3)) for name in ("untrained", "PixPro")}
    path = draw_pca(images, rows, tmp_path / "pca.png", title="features")
    pixels = assert_shows_something(path)
    assert pixels.shape[1] > pixels.shape[0]
    with pytest.raises(FileNotFoundError, match="no images below"):
        load_images(tmp_path / "nothing", 4, 48)


def test_place_colours_tell_places_apart() -> None:
    colours = place_colours(
        torch.tensor([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9], [0.5, 0.5]])
    )
    gaps = np.abs(colours[:, None] - colours[None]).max(-1) + np.eye(5)
    assert gaps.min() > 0.2 and colours.min() >= 0 and colours.max() <= 1


def make_views(image: np.ndarray, boxes: torch.Tensor, size: int) -> torch.Tensor:
    """Views of signed boxes from an image by nearest neighbour: (V, 3, size, size) uint8."""
    centres = geo.cell_centres(geo.from_box(boxes), (size, size))  # (V, size², 2)
    height, width = image.shape[:2]
    rows = (centres[..., 1] * height).long().clamp(0, height - 1)
    columns = (centres[..., 0] * width).long().clamp(0, width - 1)
    return torch.from_numpy(image)[rows, columns].view(-1, size, size, 3).permute(0, 3, 1, 2)


def test_pairs_are_drawn_for_overlapping_flipped_and_disjoint_views(tmp_path: Path) -> None:
    y, x = np.mgrid[:120, :160]
    image = np.stack(
        [x * 255 / 160, y * 255 / 120, 127 + 127 * np.sin(x / 6) * np.cos(y / 6)], -1
    ).astype(np.uint8)
    boxes = torch.tensor(
        [
            [[0.1, 0.1, 0.8, 0.9], [0.9, 0.2, 0.3, 0.8]],
            [[0.0, 0.0, 0.3, 0.3], [0.6, 0.6, 1.0, 1.0]],
        ],
        dtype=torch.float64,
    )
    views = torch.stack([make_views(image, pair, 96) for pair in boxes])
    path = draw_pairs(
        views,
        geo.from_box(boxes),
        tmp_path / "pairs.png",
        sources=[image, image],
        title="two images",
    )
    with_sources = assert_shows_something(path)
    without = assert_shows_something(draw_pairs(views, geo.from_box(boxes), tmp_path / "bare.png"))
    assert with_sources.shape[1] > without.shape[1]
    with pytest.raises(ValueError, match=r"need \(B, 2, 3, H, W\)"):
        draw_pairs(views[:, :1], geo.from_box(boxes), tmp_path / "no.png")


def write_curve(
    path: Path, rows: int, columns: tuple[str, ...] = ("loss", "lr", "samples_per_s")
) -> Path:
    """Writes a curve.csv as the engine does."""
    step = np.arange(1, rows + 1)
    data = {
        "step": step,
        "samples": step * 64,
        **{name: np.exp(-step / rows) + i for i, name in enumerate(columns)},
    }
    pd.DataFrame(data).to_csv(path, index=False)
    return path


def test_a_band_holds_all_seeds_where_all_have_values() -> None:
    first = np.array([0.0, 10.0, 20.0, 30.0]), np.array([0.0, 10.0, 20.0, 30.0])
    second = np.array([10.0, 30.0]), np.array([30.0, 10.0])
    x, mean, low, high = band([first, second])
    assert x.tolist() == [10.0, 20.0, 30.0]
    assert mean.tolist() == [20.0, 20.0, 20.0]
    assert low.tolist() == [10.0, 20.0, 10.0] and high.tolist() == [30.0, 20.0, 30.0]
    apart = band([first, (np.array([50.0]), np.array([7.0]))])
    assert [len(part) for part in apart] == [1, 1, 1, 1]


def test_two_networks_have_one_basis_of_what_both_see() -> None:
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(2, 3, 6, 6, generator=generator).cumsum(-1)  # what both networks see
    turn = torch.linalg.qr(torch.randn(8, 8, generator=generator))[0]
    lifted = torch.cat([common, torch.ones(2, 5, 6, 6)], 1)
    maps = {"a": lifted, "b": torch.einsum("dc,bchw->bdhw", turn, 3 * lifted)}
    colours = shared_colours(maps)
    assert np.allclose(colours["a"], colours["b"], atol=1e-4)  # another space, the same picture
    assert colours["a"].shape == (2, 6, 6, 3) and np.ptp(colours["a"]) > 0.9
    collapsed = shared_colours(maps | {"c": torch.ones(2, 4, 3, 3)})
    assert (
        collapsed["c"].shape == (2, 3, 3, 3) and np.ptp(collapsed["c"].reshape(-1, 3), 0).max() == 0
    )
    with pytest.raises(ValueError, match="nan or inf"):
        shared_colours(maps | {"c": torch.full((2, 4, 3, 3), torch.nan)})


def test_a_curve_needs_its_columns_and_keeps_the_last_of_repeated_rows(tmp_path: Path) -> None:
    path = write_curve(tmp_path / "curve.csv", 4)
    with open(path, "a") as file:
        file.write("4,256,9.0,1.0,1.0\n")
    curve = read_curve(path)
    assert len(curve) == 4 and curve["loss"].iloc[-1] == 9.0
    (tmp_path / "bad.csv").write_text("step,value\n1,2\n")
    with pytest.raises(ValueError, match="no column samples, loss"):
        read_curve(tmp_path / "bad.csv")


def test_thinning_keeps_means_and_ends() -> None:
    curve = pd.DataFrame(
        {"samples": np.arange(1000.0), "loss": np.arange(1000.0), "note": ["x"] * 1000}
    )
    thinned = thin(curve, 100)
    assert list(thinned.columns) == ["samples", "loss"] and len(thinned) == 100
    assert thinned["loss"].iloc[0] == pytest.approx(4.5) and thinned["loss"].iloc[
        -1
    ] == pytest.approx(994.5)
    assert len(thin(curve, 2000)) == 1000
