"""The typed sections of a training config: one line per field, with its unit.

A config's other sections (``model``, ``source``, ``views``, ``optimizer``, ``hooks``,
``vis_backends``) are registry dicts; ``pretrain.engine.check`` holds the rules for both kinds.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pretrain.annotations import build
from pretrain.names import suggestion

T = TypeVar("T")


class ConfigError(ValueError):
    """A mistake in the config, found before anything is trained."""


@dataclass(frozen=True)
class LoaderSettings:
    """How images reach the model."""

    workers: int = (
        4  # loading processes per training process; 0 = load in the training process itself
    )
    photometrics: Literal["device", "workers"] = (
        "device"  # where colour, blur and solarise are computed
    )
    max_bad_fraction: float = 0.01  # share of files that may be undecodable before the run stops
    prefetch: int = 2  # batches that each worker holds ready
    images_per_class: int | None = (
        None  # show all classes equally often, so many images of one side by side; None: off
    )

    def __post_init__(self) -> None:
        require(self.workers >= 0, "loader.workers", self.workers, "an integer >= 0")
        require(
            0 <= self.max_bad_fraction <= 1,
            "loader.max_bad_fraction",
            self.max_bad_fraction,
            "within [0, 1]",
        )
        require(self.prefetch >= 1, "loader.prefetch", self.prefetch, "an integer >= 1")
        size = self.images_per_class
        require(
            size is None or size >= 1, "loader.images_per_class", size, "an integer >= 1 or None"
        )


@dataclass(frozen=True)
class ScheduleSettings:
    """How long and how fast. Give exactly one of ``epochs`` and ``samples``."""

    global_batch: int = 256  # images per optimiser step, over all processes and all accumulation
    epochs: float | None = None  # passes over the data
    samples: int | None = None  # images shown in all, epochs left aside
    warmup_epochs: float | None = None  # linear warm-up; none when both are None
    warmup_samples: int | None = None
    lr_rule: Literal["linear", "sqrt", "none"] = (
        "linear"  # how the peak follows the batch; none: `lr` is the peak
    )
    lr_per_256: float | None = None  # peak learning rate at a global batch of 256
    lr: float | None = None  # peak learning rate, only with lr_rule="none"
    warmup_from: float = 0.01  # learning rate at step 0, as a share of the peak
    lr_min: float = 1e-6  # learning rate after the last step of a cosine
    # epochs after each of which the rate falls tenfold, () for never; None: a cosine instead
    drop_epochs: tuple[float, ...] | None = None
    accumulate: int = 1  # micro-batches per optimiser step

    def __post_init__(self) -> None:
        require(
            self.global_batch >= 1, "schedule.global_batch", self.global_batch, "an integer >= 1"
        )
        require(self.accumulate >= 1, "schedule.accumulate", self.accumulate, "an integer >= 1")
        if (self.epochs is None) == (self.samples is None):
            raise ConfigError(
                f"schedule: epochs={self.epochs} and samples={self.samples}; give exactly one "
                "of the two"
            )
        if self.warmup_epochs is not None and self.warmup_samples is not None:
            raise ConfigError(
                "schedule: warmup_epochs and warmup_samples are both set; give at most one"
            )
        wanted, other = ("lr", "lr_per_256") if self.lr_rule == "none" else ("lr_per_256", "lr")
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise ConfigError(
                f"schedule: lr_rule={self.lr_rule!r} takes `{wanted}` and not `{other}`"
            )
        for name in ("epochs", "samples", wanted):
            value = getattr(self, name)
            require(value is None or value > 0, f"schedule.{name}", value, "> 0")
        drops = self.drop_epochs or ()
        require(
            all(epoch > 0 for epoch in drops) and sorted(set(drops)) == list(drops),
            "schedule.drop_epochs",
            self.drop_epochs,
            "ascending numbers > 0, () for a constant rate, or None for a cosine",
        )
        for name in ("warmup_epochs", "warmup_samples", "warmup_from", "lr_min"):
            value = getattr(self, name)
            require(value is None or value >= 0, f"schedule.{name}", value, ">= 0")


@dataclass(frozen=True)
class EngineSettings:
    """Precision, memory, processes, checkpoints."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the forward pass; losses stay fp32
    channels_last: bool = True  # memory layout of images and convolutions
    compile: bool = False  # torch.compile on the backbones
    sync_bn: bool = True  # batch statistics over all processes; only where CUDA is
    strategy: Literal["ddp", "fsdp"] = "ddp"  # how several processes share the model
    find_unused_parameters: bool = False  # DDP: allow parameters that take no part in the loss
    checkpoint_every: int = 1000  # optimiser steps
    keep_checkpoints: int = 2  # newest ones that stay on disk
    log_every: int = 10  # optimiser steps
    clip_grad: float | None = None  # largest total gradient norm
    deterministic: bool = False  # bit-equal repetitions on CUDA as well, slower

    def __post_init__(self) -> None:
        for name in ("checkpoint_every", "keep_checkpoints", "log_every"):
            require(
                getattr(self, name) >= 1, f"engine.{name}", getattr(self, name), "an integer >= 1"
            )
        require(
            self.clip_grad is None or self.clip_grad > 0,
            "engine.clip_grad",
            self.clip_grad,
            "> 0 or None",
        )


def require(condition: bool, name: str, value: Any, legal: str) -> None:
    """Raises a :class:`ConfigError` with name, value and what is legal, unless ``condition``."""
    if not condition:
        raise ConfigError(f"{name}={value!r}: must be {legal}")


def did_you_mean(name: str, options: typing.Iterable[str]) -> str:
    """Returns ``; did you mean 'x'?`` or, with nothing alike, the list of what is legal."""
    options = sorted(options)
    return suggestion(name, options) or f"; legal: {', '.join(options) or 'none'}"


def read_section(cls: type[T], section: str, values: Mapping[str, Any] | None) -> T:
    """Builds the settings dataclass ``cls`` from the config section of that name.

    Raises:
        ConfigError: an unknown field, a wrong type or an illegal value; names the field and what is
            legal.
    """
    try:
        return build(cls, {} if values is None else values, where=f"{section}.")
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error
