"""docs/adding_an_objective.md: its code is copied from the page, tested and trained through the
real engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from pretrain.engine.build import build_runner
from pretrain.engine.config import PretrainConfig
from pretrain.engine.settings import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def objective(page: Any) -> Iterator[ModuleType]:
    """The page's module, in the registry for the length of a test."""
    yield page.load(next(iter(page.blocks)))
    MODELS.module_dict.pop("MatchedCells")


@pytest.fixture
def small(
    page: Any, image_folder: Path, tiny_backbone: dict[str, object], tmp_path: Path
) -> dict[str, Any]:
    """The page's config, as written on its real base, with a tiny network and two steps of eight
    images.
    """
    _, _, config = page.blocks
    base = (ROOT / config).parent / "scenes64.py"
    path = tmp_path / "recipe.py"
    path.write_text(page.blocks[config].replace('"scenes64.py"', repr(str(base))))
    values = {
        key: value
        for key, value in Config.fromfile(path).to_dict().items()
        if not key.startswith("_")
    }
    values["model"]["backbone"] = dict(tiny_backbone)
    values["source"] = dict(type="ImageFolder", root=str(image_folder))
    values["schedule"].update(samples=16, global_batch=8, warmup_samples=0)
    return dict(values, work_dir=str(tmp_path / "run"), vis_backends=[])


def test_the_page_shows_the_files_it_lists(page: Any) -> None:
    files = re.findall(r"^\| (\S+/.*?) \|", page.text, re.MULTILINE)
    assert len(files) == 5 and files[:3] == list(page.blocks)


def test_the_tests_on_the_page_pass(page: Any, objective: ModuleType) -> None:
    _, path, _ = page.blocks
    tests = page.tests(path)
    assert len(tests) == 4
    for test in tests.values():
        test()


def test_the_objective_on_the_page_trains(
    objective: ModuleType, small: dict[str, Any], tmp_path: Path
) -> None:
    runner = build_runner(PretrainConfig(small))
    model = runner.model
    assert isinstance(model.objectives[0], objective.MatchedCells) and model.target_backbone is None
    before = [p.detach().clone() for p in model.parameters()]
    runner.train()
    after = list(model.parameters())
    assert all(torch.isfinite(p).all() for p in after)
    assert sum(not torch.equal(a, b) for a, b in zip(after, before, strict=True)) > len(after) // 2
    assert (tmp_path / "run" / "final.pth").is_file()


def test_a_misspelt_option_is_found_as_the_page_says(
    objective: ModuleType, small: dict[str, Any]
) -> None:
    small["model"]["objectives"][0]["spread_wait"] = 1.0
    with pytest.raises(ConfigError, match="did you mean 'spread_weight'"):
        build_runner(PretrainConfig(small))
