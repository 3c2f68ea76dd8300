"""docs/adding_an_upsampler.md: its code is copied from the page, tested and evaluated by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.upsamplers import kinds, load_upsampler
from benchmarks.frozen.decoder.settings import Settings
from benchmarks.frozen.probe.readout import Folded, read_out


@pytest.fixture
def upsampler(page: Any) -> Iterator[ModuleType]:
    """The page's module, in the registry for the length of a test."""
    yield page.load(next(iter(page.blocks)))
    MODELS.module_dict.pop("NearestColour")


def test_the_page_shows_the_files_it_lists(page: Any) -> None:
    assert page.files == [*page.blocks, "docs/upsamplers.md", "configs/upsamplers/"]


def test_the_tests_on_the_page_pass(page: Any, upsampler: ModuleType) -> None:
    tests = page.tests(list(page.blocks)[1])
    assert len(tests) == 5
    for test in tests.values():
        test()


def test_its_name_is_all_that_an_evaluation_needs(upsampler: ModuleType) -> None:
    network = FeatureExtractor.load("random:test_resnet?output_stride=8")
    spec = "nearest_colour?radius=2"
    behind = network.through(load_upsampler(spec, channels=network.channels), 2)
    assert behind.maps(torch.rand(2, 3, 32, 48)).shape == (2, network.channels, 16, 24)
    described = behind.describe()["upsampler"]
    assert described["spec"] == spec
    assert described["config"] == dict(type="NearestColour", radius=2)
    assert isinstance(read_out(behind.upsampler, (16, 24)), Folded)
    assert Settings(upsampler="nearest_colour").upsampler in kinds("")


def test_a_misspelt_option_and_a_file_are_refused_as_the_page_says(upsampler: ModuleType) -> None:
    with pytest.raises(ValueError, match="did you mean 'radius'"):
        load_upsampler("nearest_colour?raduis=2")
    with pytest.raises(ValueError, match="write 'nearest_colour' alone, it reads no file"):
        load_upsampler("nearest_colour:final.pth")


def test_the_row_on_the_page_names_kind_and_class(page: Any, upsampler: ModuleType) -> None:
    kind, name = re.search(r"^    \| `(\w+)` \| `(\w+)` \|", page.text, re.MULTILINE).groups()
    assert kinds()[kind].__name__ == name
