"""What the engine and its hooks may ask of the model that they train."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import Tensor, nn

from pretrain.engine.settings import ConfigError
from pretrain.host_buffers import HostBuffers


class TrainedModel(BaseModel):
    """Base of everything that :class:`pretrain.engine.runner.PretrainRunner` trains.

    ``forward(batch, mode="loss")`` returns {name: scalar}; terms whose name contains "loss" are
    summed and minimised.

    Attributes:
        backbone: the network that ``load_from`` fills, a
            :class:`pretrain.backbones.timm_backbone.TimmBackbone`.
        objectives: what reads the views; each says so in ``reads``, ``views_per_group`` and
            ``needs_labels``.

    Optional, for hooks that name them in ``asks_of_model`` (:func:`check_hooks`):

    - ``target_backbone``: the EMA follower of ``backbone``, or None;
    - ``group``, ``last_features``: the view group that hooks look at and its features of the last
      step;
    - ``weights``, ``term_name(index, name)``: of each objective, and the key of its terms in the
      output;
    - ``momentum_at(progress)``: weight of the targets' old values;
    - on each of ``objectives``: ``online_groups``, ``target_groups``, ``bounds``
      (:class:`pretrain.objectives.parts.base.Objective`); asked for as ``objectives.online_groups``
      and so on.
    """

    backbone: nn.Module
    objectives: Sequence[nn.Module]

    @property
    def networks(self) -> list[nn.Module]:
        """The backbones; the engine compiles each as a whole, and shards each as one unit."""
        return [self.backbone]

    def describe(self) -> dict[str, Any]:
        """Returns plain values for checkpoints: enough to build the model again."""
        raise NotImplementedError

    def copies(self) -> list[tuple[nn.Module, nn.Module]]:
        """Returns every (original, copy) pair of modules that begin with equal weights.

        Start weights are loaded after the model was built; copies are then made anew from what was
        loaded.
        """
        return []

    def after_step(self, progress: float) -> None:
        """Called after each optimiser step; ``progress`` = steps done / steps of the run."""


class DrawingModel(HostBuffers, TrainedModel):
    """A model that draws random numbers which depend on the run's seed and the step alone.

    They are the same for all processes and micro-batches of a step, and after a resume.

    Attributes:
        draws: (2,) int64, the seed of what a step draws, and steps done; saved with the weights.
    """

    on_host = ("draws",)
    draws: Tensor

    def start_draws(self) -> None:
        """Draws the seed from torch's generator."""
        self.register_buffer(
            "draws", torch.stack([torch.randint(2**31, ()), torch.zeros((), dtype=torch.int64)])
        )

    def after_step(self, progress: float) -> None:
        """Counts an optimiser step."""
        self.draws[1] += 1


def check_hooks(hooks: Iterable[Hook], model: nn.Module) -> None:
    """Checks that the model has what each hook names in its ``asks_of_model``; None is lacking.

    A hook may also have ``check_start()``, which raises ValueError or OSError for what else it
    would stop the run at.

    Raises:
        ConfigError: names the hook, the model and what is lacking.
    """
    for hook in hooks:
        lacking = [name for name in getattr(hook, "asks_of_model", ()) if not _has(model, name)]
        if lacking:
            raise ConfigError(
                f"hooks: {type(hook).__name__} asks the model for {', '.join(lacking)}, which "
                f"{type(model).__name__} "
                "does not have; leave the hook out" + getattr(hook, "without_asking", "")
            )
        if hasattr(hook, "check_start"):
            try:
                hook.check_start()
            except (ValueError, OSError) as error:
                raise ConfigError(f"hooks: {error}") from error


def _has(model: nn.Module, name: str) -> bool:
    """Tells whether the model has the attribute; for ``objectives.NAME`` each of them."""
    owner, _, attribute = name.rpartition(".")
    owners = getattr(model, owner) if owner else [model]
    return all(getattr(each, attribute, None) is not None for each in owners)
