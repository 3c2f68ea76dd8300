"""Watches the dense structure of a run's checkpoints, without labels and without disturbing it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from pretrain.engine.checkpoints import saved_steps
from pretrain.engine.distributed import current_device, from_first_rank
from pretrain.engine.hooks.saving import FINAL
from pretrain.engine.settings import ConfigError
from pretrain.engine.sharding import is_sharded
from pretrain.hooks.dense_structure import candidates
from pretrain.hooks.feature_statistics import pair_cosines
from pretrain.hooks.structure_advice import (
    Limits,
    advise_run,
    drift_share,
    find_fall,
    scores,
)
from pretrain.hooks.structure_course import (
    COURSE,
    RANDOM,
    Look,
    read_course,
    read_start_cells,
    write_course,
    write_start_cells,
)
from pretrain.hooks.structure_meter import MeterSettings, StructureMeter
from pretrain.hooks.structure_text import advice_text, drift_text, fall_text, look_text
from pretrain.names import check_choice
from pretrain.random_state import undisturbed_random

_LOSSES = "dense_structure_losses"  # in checkpoints that are written between two looks
PATIENCE = 2  # checkpoints running that must show a fall before it is told


@HOOKS.register_module()
class DenseStructureHook(Hook):
    """Measures the parts of DSE (:mod:`pretrain.hooks.dense_structure`) of every checkpoint on
    fixed images: centre crops of the run's own source, evenly spread over it, labels not read. The
    network as the run begins is checkpoint 0 and competes.

    - ``dense_structure.jsonl`` in the work_dir has a line per checkpoint, ``curve.csv`` the latest
      values as ``watch/structure.…``.
    - Beside the newest checkpoints, those of the ``keep`` highest local maxima of DSE stay on disk,
      with λ over the checkpoints so far, and those where a part of it is highest.
    - A run that began from given weights is warned when a part has fallen while the loss improved,
      and when its cells have turned away from what they were at the start; again only after a
      recovery. In runs from random weights neither means harm.
    - At its end the run says which checkpoint is advised, why, and how sure that is.

    The first process measures, the others wait. Weights, modes and random numbers stay as they are.
    A look costs a forward pass over the images, and per group k-means of at most 20 · cells ·
    clusters · D multiply-adds.

    Args:
        images: how many, rounded down to whole groups; they are held as bytes.
        size: (H, W) of the crops in pixels; None: that of the model's group's first view.
        group: images whose cells are clustered together. clusters: of each group.
        rank_cells: cells that M_dim counts, equally many of each image; drift is theirs, too.
        weights: ``online`` or ``target`` backbone.
        keep: how many local maxima keep their checkpoints.
        fall, drift: see :class:`pretrain.hooks.structure_advice.Limits`.
        seed: of the places of cells and of the starts of k-means.

    Raises:
        ValueError: a value out of range. ConfigError, when training begins: images, size and
            clusters do not fit source and network; earlier checkpoints were measured otherwise.
    """

    priority = "NORMAL"  # before checkpoints are written, and old ones removed

    def __init__(
        self,
        images: int = 256,
        *,
        size: tuple[int, int] | None = None,
        group: int = 8,
        clusters: int = 24,
        rank_cells: int = 2048,
        weights: str = "online",
        keep: int = 3,
        fall: float = 0.1,
        drift: float = 0.5,
        seed: int = 0,
    ) -> None:
        counts = dict(images=images, group=group, clusters=clusters, rank_cells=rank_cells)
        least = dict(images=max(1, group), group=1, clusters=2, rank_cells=2, keep=1, seed=0)
        for name, value in dict(counts, keep=keep, seed=seed).items():
            if value < least[name]:
                raise ValueError(
                    f"DenseStructureHook.{name}={value}: must be at least {least[name]}"
                )
        check_choice("DenseStructureHook.weights", weights, ("online", "target"))
        if size is not None and (not isinstance(size, Sequence) or len(size) != 2):
            raise ValueError(f"DenseStructureHook.size={size!r}: must be (height, width) in pixels")
        self.size, self.weights, self.keep = size, weights, keep
        self.limits = Limits(fall, drift)
        self._counts = dict(counts, seed=seed)
        self._meter: StructureMeter | None = None
        self._facts: dict[str, Any] = {}
        self._looks: list[Look] = []
        self._start: Tensor | None = None  # (n, D) cells of the network as the run began
        self._losses: list[Tensor] = []
        self._falling, self._drifted = 0, False

    @property
    def asks_of_model(self) -> tuple[str, ...]:
        """The network that is measured, and the group whose size the images have."""
        return ("backbone" if self.weights == "online" else "target_backbone", "group")

    def before_train(self, runner: Runner) -> None:
        """Reads the images; measures the network as the run begins, or finds what was measured."""
        if is_sharded(runner.raw_model):
            raise ConfigError(
                "hooks: DenseStructureHook: one process alone cannot run a model sharded by FSDP; "
                "use engine.strategy='ddp', or leave the hook out"
            )
        try:
            from_first_rank(lambda: self._begin(runner))
        except ValueError as error:
            raise ConfigError(f"hooks: DenseStructureHook: {error}") from error

    def _begin(self, runner: Runner) -> None:
        size = self.size or self._size_of_views(runner)
        network = self._network(runner)
        if hasattr(network, "check_size"):
            network.check_size(size)
        source = runner.train_dataloader.dataset.source
        self._meter = StructureMeter(source, MeterSettings(size=size, **self._counts))
        began = runner.start.get("start", {}).get("source", RANDOM)
        self._facts = dict(self._meter.facts(), weights=self.weights, start=began)
        if runner.iter == 0:
            self._look(runner, 0)
            return
        facts, looks = read_course(runner.work_dir)
        for name, value in self._facts.items():
            if facts and facts.get(name) != value:
                raise ValueError(
                    f"{Path(runner.work_dir) / COURSE}: earlier checkpoints were measured with "
                    f"{name}={facts.get(name)!r}, now it is {value!r}; restore it, or remove the "
                    "file"
                )
        self._looks = [look for look in looks if look.step <= runner.iter]
        self._start = read_start_cells(runner.work_dir) if self._looks else None
        for count in range(1, len(self._looks) + 1):
            self._warnings(self._looks[:count])  # so that none is repeated, and none comes late
        self._spare(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keeps the losses since the last look: a run may be stopped between two of them."""
        if self._losses:
            checkpoint[_LOSSES] = torch.stack(self._losses).cpu()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Goes on with them."""
        if is_main_process() and _LOSSES in checkpoint:
            self._losses = list(checkpoint[_LOSSES].to(current_device()))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Measures if a checkpoint is due."""
        step = runner.iter + 1
        if is_main_process():
            self._losses.append(outputs["loss"].detach())
        if step % runner.settings.checkpoint_every and step != runner.max_iters:
            return
        if is_main_process():
            self._look(runner, step)
        barrier()

    def _look(self, runner: Runner, step: int) -> None:
        """Measures the present weights, writes and tells what they are."""
        with undisturbed_random(current_device()):
            preprocess = runner.raw_model.data_preprocessor
            reading = self._meter.read(self._network(runner), preprocess)
        loss = float(torch.stack(self._losses).mean()) if self._losses else None
        self._losses = []
        if reading is None:
            runner.logger.warning(
                f"step {step}: cells are not finite, so dense structure was not measured"
            )
            return
        if step == 0:
            self._start = reading.cells
            write_start_cells(runner.work_dir, reading.cells)
        cosine = drift = None
        if self._start is not None:
            cosine = pair_cosines(reading.cells, self._start)[0]
            drift = drift_share(cosine, pair_cosines(self._start, self._start)[1])
        look = Look(
            **vars(reading.structure),
            step=step,
            samples=step * runner.schedule.global_batch,
            cosine=cosine,
            drift=drift,
            loss=loss,
            shares=reading.shares,
        )
        self._looks.append(look)
        write_course(runner.work_dir, self._facts | vars(self.limits), self._looks)
        self._publish(runner, look)
        self._spare(runner)
        if runner.start:
            for warning in self._warnings(self._looks):
                runner.logger.warning(warning)

    def _publish(self, runner: Runner, look: Look) -> None:
        dse = float(scores(self._looks)[-1])
        values = dict(inter=look.inter, intra=look.intra, dimension=look.dimension)
        if look.cosine is not None:
            values["cosine_to_start"] = look.cosine
        for name, value in values.items():
            runner.message_hub.update_scalar(f"train/watch/structure.{name}", value)
        runner.logger.info(look_text(look, dse))

    def _spare(self, runner: Runner) -> None:
        """Says which checkpoints stay on disk."""
        if self._looks:
            places = candidates(scores(self._looks), most=self.keep)
            places.append(int(np.argmax([look.class_part for look in self._looks])))
            places.append(int(np.argmax([look.dimension for look in self._looks])))
            runner.spared = {self._looks[place].step for place in places}

    def _warnings(self, looks: Sequence[Look]) -> list[str]:
        """What the last of these looks warns of, fall and drift, each once until it recovers.

        Args:
            looks: one more than the last time.
        """
        warnings = []
        fall = find_fall(looks, self.limits.fall)
        self._falling = 0 if fall is None else self._falling + 1
        if self._falling == PATIENCE:
            warnings.append(fall_text(fall, self._name(fall.best)))
        drift = looks[-1].drift
        drifted = drift is not None and drift >= self.limits.drift
        if drifted and not self._drifted:
            warnings.append(drift_text(looks[-1]))
        self._drifted = drifted
        return warnings

    def after_run(self, runner: Runner) -> None:
        """Says which checkpoint is advised, when the run has come to its end."""
        if not is_main_process() or not self._looks or self._looks[-1].step < runner.max_iters:
            return
        names = {step: str(path) for step, path in saved_steps(runner.work_dir)}
        names[runner.max_iters] = str(Path(runner.work_dir) / FINAL)
        if not self._looks[0].step:
            names[0] = self._name(self._looks[0])
        advice = advise_run(runner.work_dir)
        runner.logger.info(advice_text(advice, names, images=self._meter.images))

    def _network(self, runner: Runner) -> nn.Module:
        """The backbone that is measured."""
        model = runner.raw_model
        return model.backbone if self.weights == "online" else model.target_backbone

    def _name(self, look: Look) -> str:
        """What to call a checkpoint."""
        if look.step:
            return f"iter_{look.step}.pth"
        return f"the start ({self._facts['start']})"

    def _size_of_views(self, runner: Runner) -> tuple[int, int]:
        """(H, W) of the first view of the model's group."""
        return runner.train_dataloader.dataset.recipe.specs[runner.raw_model.group][0].size
