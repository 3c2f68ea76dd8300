"""The setting loader.images_per_class: what it is refused for, and a resumed run with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from pretrain.data import ClassBalancedSampler
from pretrain.engine.build import build_runner, check
from pretrain.engine.settings import ConfigError


@pytest.mark.parametrize(
    "overrides, message",
    [
        (
            dict(loader__images_per_class=0),
            "loader.images_per_class=0: must be an integer >= 1 or None",
        ),
        (
            dict(loader__images_per_class=3),
            "loader.images_per_class=3: must be at least 1 and divide the global batch",
        ),
        (
            dict(
                loader__images_per_class=2,
                source__labels=False,
                model__objectives=[dict(type="SimCLR", hidden=8)],
            ),
            "loader.images_per_class=2: needs a source with labels",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    make_config: Callable[..., Config], tmp_path: Path, overrides: dict[str, Any], message: str
) -> None:
    for start in (check, build_runner):
        with pytest.raises(ConfigError, match=message):
            start(make_config(tmp_path, **overrides))


def test_a_run_resumes_exactly(
    make_config: Callable[..., Config], train: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    objective = dict(type="SupCon", hidden=8, dim=4)
    overrides = dict(loader__images_per_class=2, model__objectives=[objective])
    whole = train(make_config(tmp_path / "whole", **overrides))
    resumed = train(
        make_config(tmp_path / "resumed", **overrides), resume=tmp_path / "whole" / "iter_6.pth"
    )
    assert resumed["sampler"] == whole["sampler"] and whole["sampler"]["images_per_class"] == 2
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name
    runner = build_runner(make_config(tmp_path / "third", **overrides))
    assert isinstance(runner.sampler, ClassBalancedSampler)
