"""Holds the first steps of a run short."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class EarlyClipHook(Hook):
    """Clips the total gradient norm harder in the first optimiser steps; ``engine.clip_grad`` holds
    afterwards.

    Args:
        norm: largest total gradient norm in these steps; FeatUp's code takes 1e-4.
        steps: how many; FeatUp's code takes 10.

    Raises:
        ValueError: a norm that is not positive, or ``steps`` below 1.
    """

    priority = "NORMAL"

    def __init__(self, norm: float = 1e-4, steps: int = 10) -> None:
        if norm <= 0 or steps < 1:
            raise ValueError(
                f"EarlyClipHook(norm={norm}, steps={steps}): norm must be above 0, steps at least 1"
            )
        self.norm, self.steps = norm, steps

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Sets the limit of the step that begins."""
        runner.optim_wrapper.max_norm = (
            self.norm if runner.iter < self.steps else runner.settings.clip_grad
        )
