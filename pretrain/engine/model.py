"""What the engine and its hooks may ask of the model that they train."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import Tensor, nn

from pretrain.backbones.timm_backbone import Features
from pretrain.engine.settings import ConfigError
from pretrain.host_buffers import HostBuffers


class TrainedModel(BaseModel):
    """Base of everything that :class:`pretrain.engine.runner.PretrainRunner` trains.

    ``forward(batch, mode="loss")`` returns {name: scalar}; the losses among them
    (:func:`pretrain.terms.is_loss`) are summed and minimised.

    Attributes:
        backbone: the network that ``load_from`` or its own ``start`` fills, a
            :class:`pretrain.backbones.timm_backbone.TimmBackbone`.
        target_backbone: its EMA copy, or None.
        objectives: what reads the views; the ``needs`` of each (:class:`pretrain.needs.Needs`) say
            which.
        group: the view group that hooks look at, or None.
        progress, epoch: where the run stands in the present step: the share of its steps that are
            done, and passes over the data; both 0 outside a run.
        last_features: what the trained network made of that group in the last step, one per view,
            or None.

    A hook that needs one of them not to be None, or one of the following, names it in
    ``asks_of_model`` (:func:`check_hooks`):

    - ``weights``, ``term_name(index, name)``: of each objective, and the key of its terms in the
      output;
    - ``momentum_at(progress)``: weight of the targets' old values;
    - ``bounds(batch, terms)`` of each of ``objectives``
      (:class:`pretrain.objectives.parts.base.Objective`), asked for as ``objectives.bounds``.
    """

    backbone: nn.Module
    objectives: Sequence[nn.Module]
    group: str | None = None

    def __init__(self, *, data_preprocessor: dict[str, Any]) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.target_backbone: nn.Module | None = None
        self.last_features: list[Features] | None = None
        self.progress, self.epoch = 0.0, 0.0

    @property
    def networks(self) -> list[nn.Module]:
        """The backbones; the engine compiles each as a whole, and shards each as one unit."""
        return [self.backbone]

    def describe(self) -> dict[str, Any]:
        """Returns plain values for checkpoints: enough to build the model again."""
        raise NotImplementedError

    @property
    def remakes_start(self) -> bool:
        """Whether a resumed run needs the weights again that the run began with."""
        return False

    def begun(self) -> None:
        """Called when the weights are in place that a run begins with; when a run is resumed, only
        if the model :attr:`remakes_start`, before its checkpoint is loaded.

        Raises:
            ValueError, OSError: it needs further weights, which cannot be read.
        """

    def copies(self) -> list[tuple[nn.Module, nn.Module]]:
        """Returns every (original, copy) pair of modules that begin with equal weights.

        Start weights are loaded after the model was built; copies are then made anew from what was
        loaded.
        """
        return []

    def remarks(self, steps_per_epoch: int) -> list[str]:
        """Returns what the log should say of the model when a run begins, a sentence each."""
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


def _has(owner: Any, name: str) -> bool:
    """Tells whether the dotted attribute is there and neither None nor empty; every objective must
    have what ``objectives.NAME`` names.
    """
    first, _, rest = name.partition(".")
    value = getattr(owner, first, None)
    if first == "objectives" and rest:
        return all(_has(objective, rest) for objective in value)
    return _has(value, rest) if rest else value is not None and value != ()
