"""Removal of place from a network's features: what is left, to which it belongs, and how planes are
fitted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.analysis.stand_ins import Noise
from benchmarks.core import place_removal
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.features import FeatureSettings
from benchmarks.core.place import BlackBasis, Moments, coordinates, remove, ridge
from benchmarks.core.place_removal import BlackImage, FitSettings, Planes, fit_planes
from benchmarks.core.subject import identity
from benchmarks.core.upsamplers import load_upsampler
from benchmarks.evaluate.suite import make_task

VIT = "random:vit_tiny_patch16_224?depth=2&embed_dim=24&num_heads=2&img_size=64"
FIT = FitSettings(size=(40, 48), rounds=2, epochs=3, batch_size=4, learning_rate=0.05)


@pytest.fixture(scope="module")
def plain() -> FeatureExtractor:
    return FeatureExtractor.load(VIT)


def images(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, height, width), generator=generator, dtype=torch.uint8)


def black_maps(extractor: FeatureExtractor, size: tuple[int, int]) -> Tensor:
    return extractor.encode(torch.zeros(1, 3, *size, dtype=torch.uint8))


def test_a_black_images_directions_are_gone(plain: FeatureExtractor) -> None:
    cleaned = FeatureExtractor.load(VIT + "&without_place=black:3")
    maps = cleaned.maps(images(64, 80))
    basis = BlackBasis.of(black_maps(plain, (64, 80)), 3)
    torch.testing.assert_close(maps, basis.clean(plain.maps(images(64, 80))))
    inside = torch.einsum("bdhw,dk->bkhw", maps, basis.directions.float())
    assert inside.abs().max() < 1e-5
    torch.testing.assert_close(maps.norm(dim=1), torch.ones(2, 4, 5))
    assert torch.equal(cleaned.vector(images(64, 80)), plain.vector(images(64, 80)))


def test_a_black_image_belongs_to_one_size_of_a_measurement(plain: FeatureExtractor) -> None:
    cleaned = plain.without_place(BlackImage(3))
    cleaned.maps(images(64, 80))
    with pytest.raises(
        ValueError, match="images of 64 x 64 pixels: without_place=black:3 belongs to 64 x 80"
    ):
        cleaned.maps(images(64, 64))
    anew = cleaned.through(None, 16)  # what the next benchmark gets
    expected = BlackBasis.of(black_maps(plain, (64, 64)), 3).clean(plain.maps(images(64, 64)))
    torch.testing.assert_close(anew.maps(images(64, 64)), expected)


def test_the_removal_is_of_the_features_that_are_read(plain: FeatureExtractor) -> None:
    """Whichever of the two is asked for first; an upsampler sees what is left."""
    settings = FeatureSettings(layers=(0, 1), norm=False)
    read = plain.reading(settings)
    expected = BlackBasis.of(black_maps(read, (64, 64)), 2).clean(read.maps(images(64, 64)))
    for cleaned in (
        plain.without_place(BlackImage(2)).reading(settings),
        read.without_place(BlackImage(2)),
    ):
        torch.testing.assert_close(cleaned.maps(images(64, 64)), expected)
    behind = read.without_place(BlackImage(2)).through(load_upsampler("bilinear"), 8)
    larger = F.interpolate(expected, (8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(behind.maps(images(64, 64)), larger)


def test_other_colours_are_those_of_the_black_image_too(plain: FeatureExtractor) -> None:
    colours = (0.1, 0.2, 0.3), (0.5, 0.4, 0.3)
    other = plain.coloured(*colours)
    assert (other.mean, other.std) == colours and other.describe()["std"] == colours[1]
    expected = BlackBasis.of(black_maps(other, (64, 64)), 2).clean(other.maps(images(64, 64)))
    cleaned = plain.without_place(BlackImage(2)).coloured(*colours)
    torch.testing.assert_close(cleaned.maps(images(64, 64)), expected)


def test_records_say_what_was_removed(plain: FeatureExtractor) -> None:
    cleaned = plain.without_place(BlackImage(3))
    described = json.loads(json.dumps(cleaned.describe()))
    assert described["without_place"] == dict(kind="black", directions=3)
    assert identity(described) != identity(plain.describe())
    assert "without_place" not in plain.describe()


def test_what_reads_no_maps_refuses_it(plain: FeatureExtractor, image_folder: Path) -> None:
    task = make_task("knn", dict(data=dict(root=str(image_folder)), size=64))
    task.check(plain)
    with pytest.raises(ValueError, match="benchmark knn: it reads more .* without_place= changes"):
        task.check(plain.without_place(BlackImage(2)))


def planes_of(extractor: FeatureExtractor, count: int = 2) -> Planes:
    directions = torch.linalg.qr(torch.randn(24, count, generator=torch.Generator().manual_seed(0)))
    return Planes(directions.Q, network=extractor.fingerprint, fitted=dict(rounds=1))


def test_planes_come_back_from_their_file(plain: FeatureExtractor, tmp_path: Path) -> None:
    planes, file = planes_of(plain), tmp_path / "planes.pth"
    planes.save(file)
    cleaned = FeatureExtractor.load(f"{VIT}&without_place={file}")
    for size in ((64, 64), (48, 80)):
        maps, whole = cleaned.maps(images(*size)), plain.maps(images(*size))
        expected = remove(whole.movedim(1, -1), planes.directions).movedim(-1, 1)
        torch.testing.assert_close(maps, expected)
        twice = planes.clean(maps, size)
        torch.testing.assert_close(twice, maps, atol=1e-5, rtol=1e-5)
    described = cleaned.describe()["without_place"]
    assert (described["kind"], described["directions"], described["rounds"]) == ("planes", 2, 1)


def test_planes_of_other_features_are_refused(plain: FeatureExtractor, tmp_path: Path) -> None:
    foreign = FeatureExtractor.load(VIT + "&seed=1")
    with pytest.raises(ValueError, match=f"fitted to the network {foreign.fingerprint}, this one"):
        plain.without_place(planes_of(foreign))
    both = plain.reading(FeatureSettings(layers=(0, 1))).without_place(planes_of(plain))
    with pytest.raises(ValueError, match="fitted to maps of 24 channels, these have 48"):
        both.maps(images(64, 64))


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("black:0", ValueError, "without_place=black:0: at least 1 direction is needed"),
        ("blak:3", FileNotFoundError, "without_place='blak:3': no such file; write black:K"),
        ("{other}", ValueError, "other.pth': not a file of pixelpretext fit-place"),
    ],
)
def test_mistakes_are_named(
    spec: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    torch.save(dict(state_dict={}), tmp_path / "other.pth")
    with pytest.raises(error, match=message):
        FeatureExtractor.load(f"{VIT}&without_place=" + spec.format(other=tmp_path / "other.pth"))


class Placed:
    """Three channels of noise, the same for the same image, and two of place around its middle."""

    fingerprint = "0123"

    def encode(self, images: Tensor) -> Tensor:
        noise = 0.3 * Noise(8).maps(images)[:, :3]
        places = coordinates(tuple(noise.shape[2:])).float().T.reshape(1, 2, *noise.shape[2:])
        return torch.cat([noise, (places - 0.5).expand(len(noise), -1, -1, -1)], 1)


def readable(cells: Tensor, grid: tuple[int, int]) -> float:
    """R² of place in cells (images, P, D), read where it was fitted."""
    places, moments = coordinates(grid), Moments(cells.shape[2], 2)
    for image in cells.double():
        moments.add(image, places)
    predicted = ridge(moments, 1e-6)(cells.double().flatten(0, 1)).view(len(cells), -1, 2)
    spread = (places - places.mean(0)).square().sum() * len(cells)
    return 1 - float((predicted - places).square().sum() / spread)


def test_fitted_planes_hold_the_place(toy_data: Callable[..., Any]) -> None:
    network, split = Placed(), toy_data().train
    planes = fit_planes(network, split, replace(FIT, rounds=1, epochs=100), described={})
    directions = planes.directions
    torch.testing.assert_close(directions.T @ directions, torch.eye(2), atol=1e-5, rtol=0)
    maps = network.encode(split.take(range(6), (40, 48)).images)
    before, after = (
        readable(cells.flatten(2).transpose(1, 2), (5, 6))
        for cells in (maps, planes.clean(maps, (40, 48)))
    )
    assert before > 0.9 and after < 0.2


@pytest.mark.parametrize("kept", [True, False])
def test_the_first_plane_equals_the_obvious_way(
    kept: bool, toy_data: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether features are kept or encoded once per epoch; a second round adds a plane."""
    if not kept:
        monkeypatch.setattr(place_removal, "available_bytes", lambda device: 0)
    network, split, seen = Placed(), toy_data().train, []
    planes = fit_planes(
        network, split, FIT, described=dict(a=1), progress=lambda *step: seen.append(step)
    )
    maps = network.encode(split.take(range(6), (40, 48)).images)
    cells, places = maps.flatten(2).transpose(1, 2), coordinates((5, 6)).float()
    torch.manual_seed(0)
    weight = torch.nn.Linear(5, 2, bias=False).weight
    optimiser = torch.optim.AdamW([weight], 0.05, weight_decay=0.01)
    order = torch.Generator().manual_seed(0)
    for _ in range(3):
        shuffled = torch.randperm(6, generator=order)
        for batch in (shuffled[:4], shuffled[4:]):
            loss = ((cells[batch] @ weight.T).sigmoid() - places).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    first = F.normalize(weight.detach()[0], dim=0)
    second = weight.detach()[1] - weight.detach()[1] @ first * first
    expected = torch.stack([first, F.normalize(second, dim=0)], 1)
    assert planes.directions.shape == (5, 4)
    torch.testing.assert_close(planes.directions[:, :2], expected, atol=1e-4, rtol=1e-4)
    assert planes.fitted["data"] == dict(a=1) and planes.fitted["size"] == [40, 48]
    assert seen[0] == ("fit", 1, 12) and seen[-1] == ("fit", 12, 12)


def test_settings_of_the_fit_are_checked() -> None:
    with pytest.raises(ValueError, match="rounds=0 must be greater than 0"):
        FitSettings(rounds=0)
    with pytest.raises(ValueError, match=r"size=\(518,\) must be \(height, width\)"):
        FitSettings(size=(518,))
