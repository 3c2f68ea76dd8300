"""Benchmarks during pretraining, with reduced settings, without disturbing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from benchmarks.core.extractor import IMAGENET, FeatureExtractor
from benchmarks.evaluate.suite import Task, find_benchmark, make_task
from pretrain.engine.distributed import current_device
from pretrain.engine.sharding import is_sharded
from pretrain.random_state import undisturbed_random


@HOOKS.register_module()
class EvaluationHook(Hook):
    """Runs benchmarks every ``every`` optimiser steps and after the last one.

    Configs name it after ``custom_imports = dict(imports=["benchmarks.evaluate.hook"])``: what
    trains does not import what measures.

    Process 0 evaluates, the others wait at a barrier: an evaluation must be shorter than the
    process group's timeout (30 minutes). Train mode and all random states are put back, so training
    goes on as it would have without the hook. Results go to the message hub and the visualizer as
    ``eval/NAME.metric`` and, as records, to ``evaluations.jsonl`` in the work_dir.

    Args:
        benchmarks: name -> dict(type=…, data=dict(…), settings…); the type may be left out if the
            name is one. What is not set is as the benchmark's ``quick`` says: seconds, not
            minutes, on small data.
        every: Optimiser steps between evaluations.
        weights: ``online`` or ``target`` backbone.

    Raises:
        ValueError: nothing to run, ``every`` < 1, unknown weights; at the start of training,
            mistakes in a benchmark, images of a size that the network refuses, a missing target
            network, or a model whose parameters are sharded over processes.
    """

    priority = "LOW"

    def __init__(
        self, benchmarks: dict[str, dict[str, Any]], every: int = 1000, weights: str = "online"
    ) -> None:
        if not benchmarks or every < 1:
            raise ValueError(
                f"EvaluationHook: benchmarks={benchmarks!r} must not be empty, every={every} at "
                "least 1"
            )
        if weights not in ("online", "target"):
            raise ValueError(f"EvaluationHook: weights={weights!r} must be 'online' or 'target'")
        self.benchmarks, self.every, self.weights = benchmarks, every, weights
        self._tasks: list[Task] = []

    def before_train(self, runner: Runner) -> None:
        """Makes sure that the network can be evaluated by one process, on images of this size, and
        that the data is open."""
        self._backbone(runner)
        if not self._tasks:
            self.check_start()
        with undisturbed_random(current_device()):
            for task in self._tasks:
                task.check(self._extractor(runner, 0))

    @property
    def asks_of_model(self) -> tuple[str, ...]:
        """The network that is evaluated."""
        return ("backbone" if self.weights == "online" else "target_backbone",)

    def check_start(self) -> None:
        """Opens the data, so that a mistake shows before the run begins."""
        if not is_main_process():
            return
        self._tasks = []
        for name, config in self.benchmarks.items():
            quick = find_benchmark(config.get("type", name)).quick
            self._tasks.append(make_task(name, dict(quick) | dict(config)))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Evaluates if it is time."""
        step = runner.iter + 1
        if step % self.every == 0 or step == runner.max_iters:
            if is_main_process():
                self.evaluate(runner, step)
            barrier()

    def evaluate(self, runner: Runner, step: int) -> None:
        """Runs all benchmarks on the present weights and logs them for ``step``."""
        with undisturbed_random(current_device()):
            extractor = self._extractor(runner, step)
            records = {}
            for task in self._tasks:
                view = task.view(extractor)
                records[task.name] = task.benchmark.measure(view, task.data, task.settings)
        scalars = {}
        for name, record in records.items():
            record.append(Path(runner.work_dir) / "evaluations.jsonl")
            for metric, measured in record.metrics.items():
                scalars[f"eval/{name}.{metric}"] = measured.value
        for key, value in scalars.items():
            runner.message_hub.update_scalar(key, value)
        runner.visualizer.add_scalars(scalars, step=step)
        texts = [f"{key} {value:.2f}" for key, value in scalars.items()]
        runner.logger.info(f"step {step}: {', '.join(texts)}")

    def _extractor(self, runner: Runner, step: int) -> FeatureExtractor:
        preprocessor = getattr(runner.raw_model, "data_preprocessor", None)
        normalisation = getattr(preprocessor, "normalisation", IMAGENET)
        return FeatureExtractor(
            self._backbone(runner),
            mean=normalisation["mean"],
            std=normalisation["std"],
            spec=f"step {step}",
            weights=self.weights,
            samples_seen=step * runner.schedule.global_batch,
        )

    def _backbone(self, runner: Runner) -> nn.Module:
        model = runner.raw_model
        if is_sharded(model):
            raise ValueError(
                "EvaluationHook: process 0 alone cannot run a model sharded by FSDP; evaluate "
                "checkpoints"
            )
        backbone = getattr(
            model, "backbone" if self.weights == "online" else "target_backbone", None
        )
        if backbone is None:
            raise ValueError(
                f"EvaluationHook: weights={self.weights!r}, but no objective keeps one; use "
                "'online'"
            )
        return backbone
