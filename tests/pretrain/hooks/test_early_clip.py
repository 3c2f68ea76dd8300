"""Clipping in the first steps only."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pretrain.hooks.early_clip import EarlyClipHook


@pytest.mark.parametrize("later", [None, 3.0])
def test_limit_of_the_first_steps_gives_way_to_the_engines(later: float | None) -> None:
    hook, limits = EarlyClipHook(norm=0.1, steps=2), []
    for step in range(4):
        runner = SimpleNamespace(
            iter=step,
            optim_wrapper=SimpleNamespace(max_norm=later),
            settings=SimpleNamespace(clip_grad=later),
        )
        hook.before_train_iter(runner, step)
        limits.append(runner.optim_wrapper.max_norm)
    assert limits == [0.1, 0.1, later, later]


@pytest.mark.parametrize("options", [dict(norm=0.0), dict(steps=0)])
def test_mistakes_are_named(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="norm must be above 0, steps at least 1"):
        EarlyClipHook(**options)
