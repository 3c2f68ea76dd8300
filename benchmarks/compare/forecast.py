"""How long a comparison will take, from short pilots of its arms, said before it starts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch
from mmengine.registry import MODELS

from benchmarks.compare.parts import Plan, Trial
from benchmarks.compare.progress import clock
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.evaluate.suite import Task
from pretrain.backbones.timm_backbone import architecture
from pretrain.random_state import undisturbed_random

_BATCH = 8  # images that are encoded at once to see how fast that is


def forecast(
    plan: Plan,
    trials: Sequence[Trial],
    *,
    samples: Mapping[str, int],
    seconds: Mapping[str, float],
    tasks: Mapping[str, Task],
    at_once: int,
) -> str:
    """The line to print.

    Args:
        plan: the comparison.
        trials: those that are missing.
        samples: trained arm -> images of its budget.
        seconds: trained arm -> seconds per image, measured with as many trials at once.
        tasks: the opened benchmarks.
        at_once: trials at the same time.
    """
    training, each = 0.0, {}
    for trial in trials:
        arm = trial.arm.name
        if trial.arm.train:
            each[arm] = samples[arm] * seconds[arm]
            training += each[arm]
    encoding = len(trials) * encoding_seconds(plan, tasks)
    parallel = max(1, min(at_once, len(trials)))
    per_trial = ", ".join(f"{arm} {clock(spent)}" for arm, spent in each.items())
    return (
        f"Forecast: about {clock((training + encoding) / parallel)} with {parallel} trials at "
        f"once, for training ({per_trial} each) and for encoding the benchmarks' images "
        f"({clock(encoding / len(trials))} a trial). Training of probes and search of neighbours "
        "come on top."
    )


def encoding_seconds(plan: Plan, tasks: Mapping[str, Task]) -> float:
    """Seconds in which one trial's network encodes the images of all benchmarks, as this process
    does it.
    """
    with undisturbed_random():
        network = MODELS.build(architecture(plan.trials[0].config["model"]["backbone"]))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    extractor = FeatureExtractor(network.to(device).eval())
    total, rates = 0.0, {}
    for task in tasks.values():
        size = getattr(task.settings, "size", None)
        parts = [part for part in ("train", "val") if hasattr(task.data, part)]
        if size is None or not parts:
            continue
        size = (size, size) if isinstance(size, int) else tuple(size)
        if size not in rates:
            rates[size] = _seconds_per_image(extractor, size)
        total += rates[size] * sum(len(getattr(task.data, part)) for part in parts)
    return total


def _seconds_per_image(extractor: FeatureExtractor, size: tuple[int, int]) -> float:
    images = torch.zeros(_BATCH, 3, *size, dtype=torch.uint8)
    extractor.vector(images).cpu()  # pays for allocation
    started = time.perf_counter()
    extractor.vector(images).cpu()
    return (time.perf_counter() - started) / _BATCH
