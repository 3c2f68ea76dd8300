"""One fine-tuning: the library's own runner from pretrained weights to its metrics, resumable."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from timm.layers import convert_sync_batchnorm
from torch import nn

from benchmarks.data.groups import read_groups
from benchmarks.transfer.weights import Placement
from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.checkpoint_file import safe_globals
from pretrain.engine.distributed import broadcast
from pretrain.files import atomic_path
from pretrain.progress import Progress


class TransferRunner(Runner):
    """mmengine's runner, quiet on the screen: its log goes to a file in the work directory."""

    def build_logger(
        self, log_level: str | int = "INFO", log_file: str | None = None, **kwargs: Any
    ) -> MMLogger:
        """Builds the logger; only warnings reach the screen."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.setLevel(logging.WARNING)
        return logger


def prepare(config: Config, *, seed: int, work_dir: Path, name: str) -> Config:
    """Completes a fitted recipe for one run; changes it in place and returns it.

    Args:
        config: the recipe with data, classes, backbone and machine in place.
        seed: of initial heads, order, augmentation.
        work_dir: of the run.
        name: unique in this process; mmengine keeps its loggers and visualisers by name.
    """
    config.work_dir, config.experiment_name = str(work_dir), name
    config.randomness = dict(seed=seed, deterministic=False)
    # mmengine joins the group that is open.
    config.launcher = "pytorch" if dist.is_initialized() else "none"
    config.resume = latest(work_dir) is not None
    config.load_from = str(latest(work_dir) or work_dir / "initial.pth")
    config.custom_hooks = [*config.get("custom_hooks", []), dict(type="RandomState")]
    # Two, because mmengine deletes the oldest before it has written the next.
    config.default_hooks.checkpoint.update(max_keep_ckpts=2, save_best=None)
    config.default_hooks.pop("visualization", None)
    config.pop("visualizer", None)
    if config.train_cfg.get("type") == "IterBasedTrainLoop":
        config.train_cfg.type = "ResumableLoop"
    for evaluator in (config.get("val_evaluator"), config.test_evaluator):
        for metric in evaluator if isinstance(evaluator, list) else [evaluator or {}]:
            _place_metric(metric)
    # Maps of a timm network need not pass all of it: a ViT's last norm, stages behind the last map.
    timm_networks = ("TimmBackbone", "SinCosViT")
    config.find_unused_parameters = config.model.backbone.get("type") in timm_networks
    if torch.cuda.is_available():
        config.model_wrapper_cfg = None
    else:
        config.model_wrapper_cfg = dict(
            type="MMDistributedDataParallel",
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=config.find_unused_parameters,
        )
    return config


def _place_metric(metric: dict[str, Any]) -> None:
    """Puts ours in the place of a library's metric."""
    if metric.get("type") == "IoUMetric":
        metric["type"] = "CountedIoU"
    if metric.get("type") == "CocoMetric":
        metric.update(type="CompleteCoco", classwise=True)


def latest(work_dir: Path) -> Path | None:
    """Returns the newest checkpoint of a run that was cut off."""
    pointer = work_dir / "last_checkpoint"
    path = work_dir / Path(pointer.read_text().strip()).name if pointer.is_file() else None
    return path if path is not None and path.is_file() else None


def keep_last(work_dir: Path) -> None:
    """Renames the newest checkpoint of a finished run to ``final.pth`` and deletes the others."""
    newest = latest(work_dir)
    if newest is None:
        return
    newest.replace(work_dir / "final.pth")
    for other in (*work_dir.glob("iter_*.pth"), *work_dir.glob("epoch_*.pth")):
        other.unlink()


def build_model(config: Config) -> nn.Module:
    """Builds the recipe's model on the CPU.

    Raises:
        ValueError: it does not build; says why.
    """
    scope = DefaultScope.overwrite_default_scope(config.default_scope)
    try:
        with scope, _printing_to(Path(os.devnull)):
            return MODELS.build(copy.deepcopy(config.model))
    except (TypeError, KeyError, AssertionError, ValueError) as error:
        raise ValueError(
            f"the recipe's model does not build: {type(error).__name__}: {error}"
        ) from error


def write_initial(placed: Placement, work_dir: Path, spec: str) -> None:
    """Writes ``initial.pth``: pretrained weights under the model's own key names. Collective."""
    if is_main_process():
        with atomic_path(work_dir / "initial.pth") as temporary:
            torch.save({"state_dict": placed.state, "meta": {"source": spec}}, temporary)
    broadcast(None)  # the others read the file only when it is there


def train_and_test(
    config: Config, progress: Progress | None = None
) -> tuple[dict[str, float], dict[str, Any]]:
    """Trains as the recipe says and evaluates the last weights once.

    Args:
        config: from :func:`prepare`, with ``initial.pth`` written.
        progress: called as (phase, done, total).

    Returns:
        The library's metrics, and counts per class and image where its metric keeps them, with
        ``groups`` of images that belong together where the data say so.

    Raises:
        ValueError: training diverged.
    """
    # mmengine calls torch.load as it stands, which is the safe loader since torch 2.6.
    known = torch.serialization.safe_globals(safe_globals())
    with known, _printing_to(Path(config.work_dir) / "printed.txt"):
        runner = TransferRunner.from_cfg(config)
        _synchronise(runner.model)
        runner.register_hook(_ProgressHook(progress), priority="LOWEST")
        runner.train()
        refuse_divergence(runner.model)
        # Statistics that no SyncBN joined are each process's own; the checkpoint holds those of the
        # first.
        for buffer in runner.model.buffers() if dist.is_initialized() else ():
            dist.broadcast(buffer, src=0)
        metrics = runner.test()
    counts: dict[str, Any] = {}
    for metric in runner.test_evaluator.metrics:
        counts |= getattr(metric, "counts", {})
        classes = (metric.dataset_meta or {}).get("classes")
        counts |= {"classes": list(classes)} if classes else {}
    if "per_image" in counts:
        groups = _groups(Path(config.data_root), runner.test_dataloader.dataset)
        counts |= {} if groups is None else {"groups": groups}
    numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    return {name: float(value) for name, value in numbers.items()}, counts


def _groups(root: Path, scored: Any) -> list[int] | None:
    """Which scored images belong together, if the prepared data say so."""
    files = [Path(scored.get_data_info(index)["img_path"]) for index in range(len(scored))]
    return read_groups(root, files)


def refuse_divergence(model: nn.Module) -> None:
    """Checks weights and statistics after training; such a network's metrics would be 0, as if it
    were a bad one.

    Raises:
        ValueError: one of them is not finite.
    """
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(
                f"training diverged: {name} is not finite; lower optim_wrapper.optimizer.lr"
            )


def _synchronise(model: nn.Module) -> None:
    """BatchNorm inside a timm network joins the processes as the library's own SyncBN does. timm's
    converter, because torch's would drop the activation that timm fuses into its norm layers."""
    if get_world_size() == 1 or not torch.cuda.is_available():
        return
    for module in list(model.modules()):
        if isinstance(module, TimmBackbone):
            module.model = convert_sync_batchnorm(module.model)


class _ProgressHook(Hook):
    """Tells how far training and evaluation are."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress or (lambda phase, done, total: None)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self._progress("training", runner.iter + 1, runner.max_iters)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self._progress("evaluation", batch_idx + 1, len(runner.test_dataloader))

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self._progress("validation", batch_idx + 1, len(runner.val_dataloader))


@contextlib.contextmanager
def _printing_to(path: Path) -> Iterator[None]:
    """What the libraries print (pycocotools prints its tables) goes to a file; warnings that say
    nothing go nowhere.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(path, "a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
