"""Regions of images and several images per sample: dealing views out, and the samples they give."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pretrain import geometry
from pretrain.data.dataset import ViewDataset, limit_threads
from pretrain.data.dealing import deal_views, join_views
from pretrain.data.sampler import EpochSampler
from pretrain.data.source_image import RegionSource, SourceImage, source_images_of, widened
from pretrain.data.sources import ImageFolder
from pretrain.structures import collate
from pretrain.views.recipe import ViewRecipe


def ramp(height: int, width: int, blue: int = 0) -> np.ndarray:
    """(H, W, 3) RGB whose red tells x and whose green tells y: 255 · the pixel centre's place in
    the unit square.
    """
    red = np.broadcast_to((np.arange(width) + 0.5) / width, (height, width))
    green = np.broadcast_to(((np.arange(height) + 0.5) / height)[:, None], (height, width))
    return (
        np.stack([red * 255, green * 255, np.full((height, width), blue)], -1)
        .round()
        .astype(np.uint8)
    )


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])


class Parts:
    """A source of given images: (file, box) for each sample."""

    classes = None

    def __init__(self, samples: list[list[tuple[Path, tuple | None]]]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, index: int) -> bytes:
        return self.samples[index][0][0].read_bytes()

    def name(self, index: int) -> str:
        return str(self.samples[index][0][0])

    def label(self, index: int) -> None:
        return None

    def source_images(self, index: int, rng: np.random.Generator) -> tuple[SourceImage, ...]:
        return tuple(
            SourceImage(str(path), path.read_bytes, box) for path, box in self.samples[index]
        )


def places_shown(images: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """(V,) largest difference between where a view's pixels say they lie in the ramp and where its
    map says.
    """
    shown = images[:, :2].flatten(2).mT.double() / 255
    return (shown - geometry.cell_centres(maps, images.shape[-2:])).abs().amax((1, 2))


def in_image(maps: torch.Tensor, box: tuple) -> torch.Tensor:
    return geometry.compose(geometry.from_box(torch.tensor(box, dtype=torch.float64)), maps)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize(
    "box", [(0.3, 0.1, 0.9, 0.7), (0.0, 0.5, 0.331, 1.0), (0.777, 0.123, 1.0, 0.91)]
)
def test_views_lie_where_their_geometry_says_inside_the_box(
    tmp_path: Path, suffix: str, box: tuple
) -> None:
    """480 × 640 px to views of 24 px: JPEGs are decoded at a fraction of their size."""
    path = tmp_path / f"ramp.{suffix}"
    write(path, ramp(480, 640))
    recipe = ViewRecipe({"global": [dict(size=24, scale=(0.3, 1.0))] * 4})
    data = ViewDataset(Parts([[(path, box)]]), recipe)
    for epoch in range(6):
        views = data[epoch, 0].views["global"]
        assert ((0 <= geometry.apply(views.geometry, torch.rand(9, 2).double())) <= 1).all()
        # The box is in whole pixels, 0.5 / 480 off at most; 8-bit values and JPEG take the rest.
        assert places_shown(views.images, in_image(views.geometry, box)).max() < 0.012


def test_whole_image_box_is_the_whole_image(image_folder: Path) -> None:
    source = ImageFolder(image_folder)
    recipe = ViewRecipe({"global": [dict(size=16)] * 2})
    boxed = Parts([[(Path(source.name(i)), (0.0, 0.0, 1.0, 1.0))] for i in range(4)])
    for index in range(4):
        plain, part = (ViewDataset(s, recipe)[1, index].views["global"] for s in (source, boxed))
        assert torch.equal(plain.images, part.images) and torch.equal(plain.geometry, part.geometry)


def test_margin() -> None:
    assert widened((0.2, 0.5, 0.6, 0.9), 0.25) == pytest.approx((0.1, 0.4, 0.7, 1.0))
    assert widened((0.2, 0.5, 0.6, 0.9), 0.0) == (0.2, 0.5, 0.6, 0.9)


@pytest.fixture
def pair(tmp_path: Path) -> Parts:
    """Samples of two ramps that differ in size and in blue (0 and 255)."""
    write(tmp_path / "a.png", ramp(48, 64))
    write(tmp_path / "b.png", ramp(40, 40, blue=255))
    return Parts([[(tmp_path / "a.png", None), (tmp_path / "b.png", (0.25, 0.0, 0.75, 1.0))]] * 8)


def test_views_alternate_between_the_source_images(pair: Parts) -> None:
    recipe = ViewRecipe(
        {"global": [dict(size=16)] * 5, "context": [dict(size=8)], "local": [dict(size=4)] * 2}
    )
    sample = ViewDataset(pair, recipe)[0, 0]
    assert list(sample.views) == ["global", "context", "local"]
    assert sample.views["global"].images[:, 2].flatten(1).float().mean(1).tolist() == [
        0,
        255,
        0,
        255,
        0,
    ]
    assert sample.views["local"].images[:, 2].flatten(1).float().mean(1).tolist() == [0, 255]
    assert sample.views["context"].images[0, 2].max() == 0
    for name, views in sample.views.items():
        second = torch.arange(len(views.images)) % 2 == 1
        maps = torch.where(
            second[:, None, None], in_image(views.geometry, pair.samples[0][1][1]), views.geometry
        )
        assert places_shown(views.images, maps).max() < 0.04, name
        assert views.photometric.order.shape == (len(views.images), 4)


def test_photometrics_stay_with_their_view(pair: Parts) -> None:
    specs = [dict(size=8, solarise=dict(p=1.0, threshold=t / 10)) for t in range(1, 6)]
    recipe = ViewRecipe({"global": specs})
    for settings in ("device", "workers"):
        views = ViewDataset(pair, recipe, photometrics=settings)[0, 0].views["global"]
        if settings == "workers":
            assert views.photometric is None
        else:
            assert views.photometric.solarise.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_views_within_a_view_come_from_the_same_source_image(pair: Parts) -> None:
    inner = dict(size=8, scale=(0.1, 0.5), within="context", rotation=20)
    recipe = ViewRecipe(
        {
            "context": [dict(size=24, scale=(0.3, 0.6))],
            "exemplar": [inner] * 3,
            "other": [dict(size=4)] * 2,
        }
    )
    assert [(p.image, p.places) for p in deal_views(recipe, 2)] == [
        (0, {"context": (0,), "exemplar": (0, 1, 2), "other": (0,)}),
        (1, {"other": (1,)}),
    ]
    sample = ViewDataset(pair, recipe)[0, 0]
    assert sample.views["exemplar"].images[:, 2].max() == 0
    assert sample.views["exemplar"].images.shape == (3, 3, 8, 8)
    assert sample.views["other"].images[:, 2].flatten(1).float().mean(1).tolist() == [0, 255]


def test_one_source_image_keeps_the_recipe_and_unused_ones_are_not_read(pair: Parts) -> None:
    recipe = ViewRecipe({"global": [dict(size=8)]})
    (part,) = deal_views(recipe, 1)
    assert part.recipe is recipe and part.places == {"global": (0,)}
    views = recipe.render(ramp(20, 20), recipe.plan(20, 20, np.random.default_rng(0)))
    assert join_views((part,), [views]) is views
    pair.samples[0] = [pair.samples[0][0], (Path("/nowhere"), None)]
    assert ViewDataset(pair, recipe)[0, 0].skipped == ()


@pytest.mark.parametrize("images, views", list(itertools.product((2, 3, 4), (1, 2, 3, 6))))
def test_every_view_is_dealt_out_once(images: int, views: int) -> None:
    recipe = ViewRecipe({"global": [dict(size=8)] * views})
    parts = deal_views(recipe, images)
    dealt = [(v, part.image) for part in parts for v in part.places["global"]]
    assert sorted(dealt) == [(v, v % images) for v in range(views)]


def test_an_unreadable_second_image_is_named_and_the_sample_replaced(
    pair: Parts, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    pair.samples[3] = [pair.samples[3][0], (tmp_path / "bad.png", None)]
    data = ViewDataset(pair, ViewRecipe({"global": [dict(size=8)] * 2}))
    sample = data[0, 3]
    ((index, reason),) = sample.skipped
    assert index == 3 and sample.ids != 3
    assert reason.startswith(f"{tmp_path / 'bad.png'}: ") and "empty" in reason


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_and_pickling_change_nothing(pair: Parts, context: str) -> None:
    recipe = ViewRecipe({"global": [dict(size=16, jitter=dict(brightness=0.4, p=1.0))] * 2})
    data = ViewDataset(pair, recipe, seed=2)
    _ = data[0, 0]  # what it keeps must survive pickling, too
    assert pickle.loads(pickle.dumps(data))[1, 5].ids == 5
    sampler = EpochSampler(len(data), 4, seed=2)
    common = dict(sampler=sampler, collate_fn=collate, worker_init_fn=limit_threads)
    here = DataLoader(data, 4, **common)
    there = DataLoader(data, 4, num_workers=1, multiprocessing_context=context, **common)
    for _, a, b in zip(range(3), here, there, strict=False):
        for x, y in ((a.views["global"].images, b.views["global"].images), (a.ids, b.ids)):
            assert torch.equal(x, y)
        assert torch.equal(
            a.views["global"].photometric.brightness, b.views["global"].photometric.brightness
        )


def test_plain_sources_have_one_image_and_draw_nothing(image_folder: Path) -> None:
    source = ImageFolder(image_folder)
    rng = np.random.default_rng(0)
    (image,) = source_images_of(source, 3, rng)
    assert (image.name, image.box, image.read()) == (source.name(3), None, source.read(3))
    assert rng.random() == np.random.default_rng(0).random()
    assert not isinstance(source, RegionSource)
