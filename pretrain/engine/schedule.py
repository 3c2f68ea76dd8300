"""From epochs or samples to optimiser steps, and the learning rate of each step.

Everything counts optimiser steps: gradient accumulation and the number of processes change nothing
here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pretrain.engine.settings import ConfigError, ScheduleSettings


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then cosine or drops, per optimiser step.

    Attributes:
        steps: optimiser steps of the whole run.
        warmup_steps: steps until the peak is reached.
        peak: highest learning rate.
        start: learning rate of step 0 when there is a warm-up.
        end: learning rate after the last step of a cosine.
        global_batch: images per step.
        per_epoch: steps of one pass over the data.
        drops: steps from which on the rate is a tenth of what it was; None: cosine.
    """

    steps: int
    warmup_steps: int
    peak: float
    start: float
    end: float
    global_batch: int
    per_epoch: int
    drops: tuple[int, ...] | None = None

    def lr(self, step: int) -> float:
        """Returns the learning rate used by optimiser step ``step`` (0 = first; ``steps`` = after
        the last).

        Warm-up: start + (peak − start)·step/warmup_steps. Then, with u running from 0 to 1 over the
        remaining steps, end + (peak − end)·(1 + cos(π u))/2. With drops, peak · 0.1^k after k of
        them.
        """
        if step < self.warmup_steps:
            return self.start + (self.peak - self.start) * step / self.warmup_steps
        if self.drops is not None:
            return self.peak * 0.1 ** sum(step >= drop for drop in self.drops)
        remaining = max(1, self.steps - self.warmup_steps)
        u = min(1.0, (step - self.warmup_steps) / remaining)
        return cosine(self.peak, self.end, u)

    def progress(self, steps_done: int) -> float:
        """Returns the share of the run done after ``steps_done`` optimiser steps, in [0, 1]."""
        return min(1.0, steps_done / self.steps)


def cosine(start: float, end: float, progress: float) -> float:
    """Returns end + (start − end)·(1 + cos(π·progress))/2, for ``progress`` in [0, 1]."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


def peak_lr(settings: ScheduleSettings) -> float:
    """Returns the peak learning rate for the global batch G.

    linear: lr_per_256·G/256. sqrt: lr_per_256·√(G/256); the PixPro authors' lr = 4·√(G/1024) is
    lr_per_256=2. none: ``lr`` as it is.
    """
    if settings.lr_rule == "none":
        return settings.lr
    ratio = settings.global_batch / 256
    return settings.lr_per_256 * (ratio if settings.lr_rule == "linear" else math.sqrt(ratio))


def make_schedule(settings: ScheduleSettings, images: int) -> Schedule:
    """Returns the schedule for a source of ``images`` images.

    An epoch has ⌊images / global_batch⌋ steps, because the sampler drops the smaller last batch.
    ``samples`` is a budget: the run stops before it would exceed it.

    Raises:
        ConfigError: the data or the budget does not fill one batch, or the warm-up is as long as
            the run.
    """
    batch = settings.global_batch
    per_epoch = images // batch
    if per_epoch == 0:
        raise ConfigError(
            f"schedule.global_batch={batch}: larger than the source ({images} images); lower it"
        )
    if settings.epochs is not None:
        steps = math.floor(settings.epochs * per_epoch)
    else:
        steps = settings.samples // batch
    if steps == 0:
        asked = (
            f"epochs={settings.epochs}"
            if settings.epochs is not None
            else f"samples={settings.samples}"
        )
        raise ConfigError(f"schedule.{asked}: less than one step of global_batch={batch}; raise it")
    if settings.warmup_samples is not None:
        warmup = settings.warmup_samples // batch
    else:
        warmup = math.floor((settings.warmup_epochs or 0) * per_epoch)
    if warmup >= steps and warmup > 0:
        raise ConfigError(
            f"schedule: the warm-up takes {warmup} of {steps} steps; shorten it or train longer"
        )
    peak = peak_lr(settings)
    drops = None
    if settings.drop_epochs is not None:
        drops = tuple(math.floor(epoch * per_epoch) for epoch in settings.drop_epochs)
    return Schedule(
        steps=steps,
        warmup_steps=warmup,
        peak=peak,
        start=peak * settings.warmup_from,
        end=min(settings.lr_min, peak),
        global_batch=batch,
        per_epoch=per_epoch,
        drops=drops,
    )


def micro_batch(settings: ScheduleSettings, world: int) -> int:
    """Returns the images per process and forward pass: global_batch / (world · accumulate).

    Raises:
        ConfigError: the global batch does not divide evenly; names the nearest batch that does.
    """
    parts = world * settings.accumulate
    if settings.global_batch % parts:
        nearest = max(parts, round(settings.global_batch / parts) * parts)
        raise ConfigError(
            f"schedule.global_batch={settings.global_batch}: not divisible by {world} processes × "
            f"accumulate={settings.accumulate}; {nearest} would be"
        )
    return settings.global_batch // parts
