"""The configs that tools/train_upsampler.py completes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from mmengine.config import Config

from pretrain.engine.check import check_config
from pretrain.engine.config import PretrainConfig
from pretrain.engine.schedule import make_schedule

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs" / "upsamplers").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_config_says_what_to_expect_and_passes_the_checks(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    for field in ("Launch:   python tools/train_upsampler.py", "Hardware:", "Result:", "Knob:"):
        assert f"\n{field}" in text
    assert re.search("not reproduced by us|our own recipe", text)
    values = Config.fromfile(path).to_dict()
    values["model"]["backbone"] = dict(type="TimmBackbone", name="resnet50", output_stride=8)
    values["source"] = dict(type="ImageFolder", root="images")
    check_config(PretrainConfig(values))


def test_published_length() -> None:
    """2,000 steps of 4 images at a constant 1e-3."""
    settings = check_config(
        PretrainConfig(
            Config.fromfile(ROOT / "configs/upsamplers/consistency.py").to_dict()
            | dict(source=dict(type="ImageFolder", root="images"))
        )
    )
    schedule = make_schedule(settings.schedule, 100_000)
    assert schedule.steps == 2000 and {schedule.lr(step) for step in (0, 10, 1999)} == {1e-3}
