"""Shapes and textures: no shape or texture names a class, and all are large enough to see."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from pretrain.data.scenes import CLASSES, GROUND, IGNORE, LABEL_NAMES
from pretrain.data.scenes.classes import SHAPES, TEXTURES
from pretrain.data.scenes.shapes import EXTENT, inside
from pretrain.data.scenes.textures import pattern, sample_texture


def test_neither_shape_nor_texture_names_a_class():
    assert Counter(c.shape for c in CLASSES) == dict.fromkeys(SHAPES, 2)
    assert Counter(c.texture for c in CLASSES) == dict.fromkeys(TEXTURES, 2)
    assert len({(c.shape, c.texture) for c in CLASSES}) == len(CLASSES) == 10
    assert [c.label for c in CLASSES] == list(range(1, GROUND))
    assert LABEL_NAMES[IGNORE] == "ignore" and LABEL_NAMES[GROUND] == "ground"


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_have_equal_area_and_their_extent(shape: str):
    side = np.linspace(-2, 2, 1001)
    x, y = np.meshgrid(side, side)
    actual = inside(shape, x, y)
    assert actual.sum() * (side[1] - side[0]) ** 2 == pytest.approx(math.pi, rel=0.005)
    assert np.hypot(x, y)[actual].max() == pytest.approx(EXTENT[shape], abs=0.01)


def test_an_unknown_shape_is_named():
    with pytest.raises(ValueError, match="'hexagon'.*disc, square"):
        inside("hexagon", np.zeros(1), np.zeros(1))


@pytest.mark.parametrize("name", TEXTURES)
def test_textures_use_both_colours_over_an_object(name: str):
    at = np.linspace(0, 0.3, 90, dtype=np.float32)
    x, y = np.meshgrid(at, at)
    for seed in range(20):
        value = pattern(sample_texture(name, np.random.default_rng(seed)), x, y)
        assert value.min() >= 0 and value.max() <= 1
        assert 0.1 < value.mean() < 0.9
