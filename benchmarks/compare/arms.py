"""What can only be checked with the data opened: the table's columns, the sizes of images against
the arms' networks, and every trained arm."""

from __future__ import annotations

from collections.abc import Mapping

from mmengine.config import Config
from mmengine.registry import MODELS

from benchmarks.compare.budget import with_samples, without_warmup
from benchmarks.compare.names import PlanError, check_names
from benchmarks.compare.parts import Plan
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.evaluate.suite import Task
from pretrain.backbones.timm_backbone import architecture
from pretrain.engine.build import check


def check_columns(plan: Plan, tasks: Mapping[str, Task]) -> None:
    """Checks that the opened benchmarks will measure what ranks the arms and what is shown.

    Raises:
        PlanError: a metric that these data or settings do not give (top-5 of three classes, metres
            of relative depth).
    """
    for column in (plan.primary, *plan.columns):
        name, metric = column.split(".", 1)
        if tasks[name].metrics is not None:
            check_names(
                f"metric of benchmark {name!r} with these data and settings:",
                [metric],
                tasks[name].metrics,
            )


def check_sizes(plan: Plan, tasks: Mapping[str, Task]) -> None:
    """Checks that the network of each arm takes images of each benchmark's size.

    Args:
        plan: the comparison.
        tasks: benchmark -> the opened task.

    Raises:
        PlanError: a network cannot be built, or refuses a size; with the names of arm and
            benchmark.
    """
    networks = {trial.arm.name: trial.config["model"]["backbone"] for trial in plan.trials}
    for arm, network in networks.items():
        try:
            # Without pretrained weights: they do not change which sizes a network takes.
            backbone = MODELS.build(architecture(network)).eval()
        except (ValueError, OSError) as error:
            raise PlanError(f"arm {arm!r}: {error}") from error
        extractor = FeatureExtractor(backbone, spec=arm)
        for name, task in tasks.items():
            try:
                task.check(extractor)
            except ValueError as error:
                raise PlanError(f"arm {arm!r}, benchmark {name!r}: {error}") from error


def check_arms(plan: Plan, samples: Mapping[str, int]) -> None:
    """Builds all that the training of each arm will, once; writes nothing.

    A warm-up longer than the budget, data that are not there and an argument that a data set does
    not take would else be found by one arm after the other, hours apart.

    Args:
        plan: the comparison.
        samples: arm -> images that its budget buys. An arm without, whose budget is yet to be
            measured, is checked at the length of its recipe and without warm-up.

    Raises:
        PlanError: the first mistake, with the arm's name.
    """
    for arm, recipe in plan.recipes.items():
        config = with_samples(recipe, samples[arm]) if arm in samples else without_warmup(recipe)
        try:
            # A folder of its own: what lies in a trial's is looked at when that is written.
            check(Config({**config, "work_dir": str(plan.work_dir / "check")}))
        except (ValueError, OSError) as error:
            raise PlanError(f"arm {arm!r}: {error}") from error
