"""The meter: what it measures, against the obvious, and that it leaves the network as it is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from pretrain.backbones.timm_backbone import Features
from pretrain.data.sources import ImageFolder
from pretrain.hooks.dense_structure import class_parts, dimension
from pretrain.hooks.feature_statistics import unit_rows
from pretrain.hooks.structure_meter import MeterSettings, StructureMeter
from pretrain.views.preprocessor import ViewPreprocessor

SMALL = dict(images=16, size=(32, 32), group=2, clusters=2, rank_cells=64, seed=0)


@pytest.fixture
def source(image_folder: Path) -> ImageFolder:
    return ImageFolder(str(image_folder))


class Colours(nn.Module):
    """Cells of 16 pixels that are their mean colour, left as normalised."""

    def forward(self, images: Tensor) -> Features:
        maps = nn.functional.avg_pool2d(images, 16)
        return Features({16: maps}, maps.mean((2, 3)))


class Halves(nn.Module):
    """Cells of two directions: left and right half."""

    def forward(self, images: Tensor) -> Features:
        maps = torch.zeros(len(images), 3, 2, 2)
        maps[:, 0, :, 0], maps[:, 1, :, 1] = 2.0, 3.0
        return Features({16: maps}, maps.mean((2, 3)))


def test_two_directions_are_known_on_paper(source: ImageFolder) -> None:
    reading = StructureMeter(source, MeterSettings(**SMALL)).read(Halves(), ViewPreprocessor())
    assert (reading.structure.inter, reading.structure.intra) == pytest.approx((2, 0))
    assert reading.structure.dimension == pytest.approx(2)
    assert np.allclose(reading.shares, (2, 2)) and len(reading.shares) == 4
    assert reading.cells.shape == (64, 3)


def test_the_parts_are_means_over_groups_and_the_rank_is_of_all_cells(source: ImageFolder) -> None:
    """With every cell drawn and a cluster per image, the parts are those of a loop."""
    meter = StructureMeter(source, MeterSettings(**SMALL | dict(clusters=8)))
    reading = meter.read(Colours(), ViewPreprocessor())
    cells = unit_rows(reading.cells)
    assert reading.structure.dimension == pytest.approx(dimension(cells), abs=1e-5)
    inter = []
    for group in cells.split(8):  # two images of four cells, each a cluster of its own
        inter.append(class_parts(group, torch.arange(8))[0])
    assert reading.structure.inter == pytest.approx(np.mean(inter), abs=1e-5)
    assert reading.structure.intra == pytest.approx(0, abs=1e-9)
    shares = [class_part for class_part, _ in reading.shares]
    assert np.mean(shares) == pytest.approx(reading.structure.class_part)
    of_first = torch.cat([cells.split(8)[0], cells.split(8)[4]])
    assert reading.shares[0][1] == pytest.approx(dimension(of_first), abs=1e-5)


def test_images_are_centre_crops_spread_over_the_source(source: ImageFolder) -> None:
    meter = StructureMeter(source, MeterSettings(**SMALL | dict(images=12, group=3)))
    assert meter.images == 12
    seen: list[Tensor] = []

    class Watches(Colours):
        def forward(self, images: Tensor) -> Features:
            seen.append(images)
            return super().forward(images)

    plain = ViewPreprocessor(mean=(0, 0, 0), std=(1, 1, 1))
    meter.read(Watches(), plain)
    assert len(seen) == 4
    pixels = torch.cat(seen).flatten(2).mean(2)  # (12, 3)
    for place, number in enumerate(range(0, 24, 2)):
        image = cv2.imread(source.name(number))[..., ::-1]
        top, left = (image.shape[0] - 48) // 2, (image.shape[1] - 48) // 2
        expected = image[top : top + 48, left : left + 48].mean((0, 1)) / 255
        own = (place % 4) * 3 + place // 4  # groups are made of images that lie far apart
        assert pixels[own].numpy() == pytest.approx(expected, abs=0.01)


def test_reading_changes_nothing_and_repeats_itself(
    source: ImageFolder, tiny_backbone: dict[str, object]
) -> None:
    network = MODELS.build(tiny_backbone).train()
    network.model.conv1.eval()
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    meter = StructureMeter(source, MeterSettings(**SMALL))
    first, second = (meter.read(network, ViewPreprocessor()) for _ in range(2))
    assert first.structure == second.structure and torch.equal(first.cells, second.cells)
    assert modes == [module.training for module in network.modules()]
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_facts_say_what_makes_readings_comparable(source: ImageFolder) -> None:
    facts = StructureMeter(source, MeterSettings(**SMALL)).facts()
    assert facts["size"] == [32, 32] and facts["images"] == 16
    other = StructureMeter(source, MeterSettings(**SMALL | dict(images=8))).facts()
    assert other["pixels"] != facts["pixels"]
    assert StructureMeter(source, MeterSettings(**SMALL)).facts() == facts


def test_cells_that_are_not_finite_give_nothing(source: ImageFolder) -> None:
    class Broken(Colours):
        def forward(self, images: Tensor) -> Features:
            return super().forward(images / 0)

    assert StructureMeter(source, MeterSettings(**SMALL)).read(Broken(), ViewPreprocessor()) is None


def test_what_does_not_fit_is_named(source: ImageFolder) -> None:
    with pytest.raises(ValueError, match="group=30: the source has 24 images"):
        StructureMeter(source, MeterSettings(**SMALL | dict(images=30, group=30)))
    meter = StructureMeter(source, MeterSettings(**SMALL | dict(clusters=9)))
    with pytest.raises(ValueError, match=r"clusters=9: a group of 2 images .* has 8 cells"):
        meter.read(Colours(), ViewPreprocessor())


def test_fewer_groups_than_shares_have_none(source: ImageFolder) -> None:
    meter = StructureMeter(source, MeterSettings(**SMALL | dict(images=6)))
    assert meter.read(Colours(), ViewPreprocessor()).shares == ()
