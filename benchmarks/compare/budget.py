"""From a budget to the number of samples of each arm: counted or measured, never assumed.

``samples`` is the number itself. ``flops`` divides the budget by the floating point operations that
one sample costs this arm, counted while one real step runs (forward, backward, target passes).
``seconds`` divides by the seconds per sample of a short pilot run, made with as many trials beside
it as the comparison itself will have.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.registry import MODELS, TRANSFORMS
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.compare.configs import config_hash, relevant
from benchmarks.compare.names import PlanError
from pretrain.engine.check import register_all
from pretrain.files import atomic_write, read_dict
from pretrain.random_state import undisturbed_random
from pretrain.structures import Batch, collate
from pretrain.terms import total_loss

# cost per sample does not depend on the batch, but for the B×B similarities of image-level losses
PROBE_BATCH = 32


@dataclass(frozen=True)
class ArmBudget:
    """What one arm may spend.

    Attributes:
        samples: images to train on, a multiple of the global batch.
        flops_per_sample: counted, or None where it was not possible (``note`` says why).
        seconds_per_sample: of the pilot; None where the budget did not need one.
        config_hash: of the recipe these numbers belong to.
    """

    samples: int
    flops_per_sample: float | None
    seconds_per_sample: float | None
    config_hash: str
    note: str = ""

    def spends(self, kind: str) -> float:
        """What it will spend of a budget: samples, PFLOPs or seconds.

        Args:
            kind: ``samples``, ``flops`` or ``seconds``; of the latter two, the one it was made for.
        """
        costs = {"flops": self.flops_per_sample, "seconds": self.seconds_per_sample}
        cost = costs.get(kind, 1.0)
        return self.samples * cost / (1e15 if kind == "flops" else 1)

    def __str__(self) -> str:
        parts = [f"{self.samples:,} samples"]
        if self.flops_per_sample is not None:
            parts.append(f"{self.flops_per_sample / 1e9:.3g} GFLOPs each")
        if self.seconds_per_sample is not None:
            parts.append(f"{1 / self.seconds_per_sample:.1f} images/s in the pilot")
        return f"{', '.join(parts)} {self.note}".rstrip()


def samples_for(
    kind: str, amount: float, *, global_batch: int, cost_per_sample: float | None = None
) -> int:
    """Returns how many samples a budget buys, rounded down to whole steps.

    Args:
        kind: ``samples``, ``flops`` or ``seconds``.
        cost_per_sample: in the budget's unit; not read for ``samples``.

    Raises:
        PlanError: the budget does not pay for one step.
    """
    wanted = amount if kind == "samples" else amount / float(cost_per_sample)
    # A step more or less must not hang on the last bit of a division.
    steps = int(wanted / global_batch + 1e-9)
    if steps < 1:
        raise PlanError(
            f"budget {kind} = {amount:g} does not pay for one step of {global_batch} samples "
            f"({wanted:.1f} samples)"
        )
    return steps * global_batch


def with_samples(config: dict[str, Any], samples: int) -> dict[str, Any]:
    """Returns a copy of a resolved config whose schedule ends after ``samples`` images."""
    config = copy.deepcopy(config)
    schedule = config.setdefault("schedule", {})
    schedule.pop("epochs", None)
    schedule["samples"] = samples
    return config


def without_warmup(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a copy of a resolved config whose learning rate starts at its peak."""
    config = copy.deepcopy(config)
    for key in ("warmup_samples", "warmup_epochs"):
        config["schedule"].pop(key, None)
    return config


def recipe_hash(config: dict[str, Any]) -> str:
    """Fingerprint of a recipe without its seed and length: what a cost per sample depends on."""
    flat = relevant(config)
    for key in ("seed", "schedule.samples", "schedule.epochs"):
        flat.pop(key, None)
    return config_hash(flat)


def probe_batch(config: dict[str, Any], size: int) -> Batch:
    """Returns a batch of the recipe's views of noise images, with labels; its shapes are those of
    real input.
    """
    register_all()
    recipe = TRANSFORMS.build(copy.deepcopy(config["views"]))
    rng = np.random.default_rng(0)
    samples = []
    for index in range(size):
        image = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
        views = recipe.render(image, recipe.plan(256, 256, rng))
        samples.append(Batch(views, labels=torch.tensor(0), ids=torch.tensor(index)))
    return collate(samples)


def count_flops_per_sample(config: dict[str, Any]) -> float:
    """Counts the floating point operations of one training step of the recipe, divided by its
    samples.

    A real step runs on the CPU under torch's FlopCounterMode: matrix products and convolutions of
    every online pass, backward pass and target pass. Elementwise work (normalisation, losses'
    reductions, photometrics) is not counted, as is usual. Costs one step of at most ``PROBE_BATCH``
    samples.
    """
    register_all()
    size = min(int(config["schedule"]["global_batch"]), PROBE_BATCH)
    with undisturbed_random():
        torch.manual_seed(0)
        model = MODELS.build(copy.deepcopy(config["model"])).train()
        batch = probe_batch(config, size)
        with FlopCounterMode(display=False) as counter:
            data = model.data_preprocessor(batch, training=True)
            losses = model(**data, mode="loss")
            total_loss(losses).backward()
    return counter.get_total_flops() / size


def load_budgets(path: Path) -> dict[str, ArmBudget]:
    """Reads the recorded budgets; empty when there are none."""
    return {arm: ArmBudget(**values) for arm, values in read_dict(path).get("arms", {}).items()}


def plan_budgets(
    configs: dict[str, dict[str, Any]],
    path: Path,
    *,
    kind: str,
    amount: float,
    pilot: Callable[[list[str]], dict[str, float]],
    count: Callable[[dict[str, Any]], float] = count_flops_per_sample,
) -> dict[str, ArmBudget]:
    """Returns every trained arm's budget; what is on record for the same recipe and budget is kept,
    so that a comparison that goes on another day still trains all its seeds equally long.

    Args:
        configs: arm -> resolved recipe.
        path: JSON file that holds the record.
        pilot: runs pilots of the named arms and returns seconds per sample; called once, for
            ``seconds`` only.

    Raises:
        PlanError: the budget does not pay for one step of an arm.
    """
    known = {}
    if read_dict(path).get("budget") == {kind: amount}:
        for arm, budget in load_budgets(path).items():
            if arm in configs and budget.config_hash == recipe_hash(configs[arm]):
                known[arm] = budget
    todo = [arm for arm in configs if arm not in known]
    seconds = pilot(todo) if kind == "seconds" and todo else {}
    for arm in todo:
        config, flops, note = configs[arm], None, ""
        try:
            flops = count(config)
        except Exception as error:
            if kind == "flops":
                raise
            note = f"FLOPs not counted: {type(error).__name__}: {error}"
        samples = samples_for(
            kind,
            amount,
            global_batch=int(config["schedule"]["global_batch"]),
            cost_per_sample=flops if kind == "flops" else seconds.get(arm),
        )
        known[arm] = ArmBudget(samples, flops, seconds.get(arm), recipe_hash(config), note)
    budgets = {arm: known[arm] for arm in configs}
    record = {"budget": {kind: amount}, "arms": budgets}
    atomic_write(path, json.dumps(record, indent=1, default=asdict))
    return budgets
