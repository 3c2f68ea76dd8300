"""Notices when features collapse, says so in plain words and names the likely knob."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from pretrain.backbones.timm_backbone import Features
from pretrain.engine.model import TrainedModel
from pretrain.geometry import pixel_positives
from pretrain.hooks import feature_statistics as statistics
from pretrain.hooks.diagnosis import Limits, describe_loss, find_signs, likely_knobs, loss_sign
from pretrain.objectives.parts.base import Bounds
from pretrain.structures import Batch, Views

# Entries of the positive mask that one look may cost; more images than fit are left out of the
# cells' gap.
MASK_ENTRIES = 4_000_000


class FeatureCollapse(RuntimeError):
    """Features have collapsed and the hook was told to stop."""


class _Loss(NamedTuple):
    """One objective's loss; ``value`` is unweighted, None without weight or a term of that name."""

    objective: str
    value: float | None
    bounds: Bounds


@HOOKS.register_module()
class CollapseHook(Hook):
    """Looks at the backbone's features every ``every`` optimiser steps; independent of the method
    that trains them.

    Scalars, under ``watch/`` in ``curve.csv`` and TensorBoard:

    - ``vector_spread``, ``cell_spread``: 1 = spread like a sphere, 0 = all alike;
      ``cell_spread_within``: the same for the cells of one image;
    - ``vector_rank``, ``cell_rank``: effective rank of at most ``rows`` of them;
    - ``vector_gap``, ``cell_gap``: mean cosine of positive pairs (two views of an image; cells that
      show one place) minus that of pairs from different images;
    - ``<Objective>.best``, ``.collapsed``, ``.fresh``: known values of its loss, as far as there
      are any.

    A value beyond its limit (:class:`Limits`) in ``patience`` looks running, after ``grace`` steps,
    is a warning: once, and again only after the value has recovered in between. The first process
    looks, at its own images of the last micro-batch; one look costs two singular value
    decompositions of ``rows`` × D, about 0.1 s on one core.

    Args:
        every: optimiser steps between looks; the first step is always looked at, it shows the fresh
            network.
        grace: optimiser steps without warnings; None = 5 % of the run.
        patience: looks running that must agree.
        limits: fields of :class:`Limits` that differ from its defaults.
        rows: vectors and cells, each, that enter spread and rank.
        stop: end the run with :class:`FeatureCollapse` instead of warning.

    Raises:
        ValueError: ``every``, ``patience`` or ``rows`` out of range.
    """

    priority = "NORMAL"
    asks_of_model = ("group", "weights", "term_name", "momentum_at", "objectives.bounds")

    def __init__(
        self,
        every: int = 100,
        *,
        grace: int | None = None,
        patience: int = 2,
        limits: Mapping[str, float] | None = None,
        rows: int = 512,
        stop: bool = False,
    ) -> None:
        for name, value, least in (
            ("every", every, 1),
            ("patience", patience, 1),
            ("rows", rows, 2),
        ):
            if value < least:
                raise ValueError(f"CollapseHook.{name}={value}: must be at least {least}")
        self.every, self.grace, self.patience, self.rows = every, grace, patience, rows
        self.stop = stop
        self.limits = Limits(**(limits or {}))
        self._seen: dict[str, int] = {}  # sign -> looks running

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Batch | None = None, outputs: Any = None
    ) -> None:
        """Looks if it is time."""
        step = runner.iter + 1
        if not is_main_process() or (step % self.every and step != 1):
            return
        model: TrainedModel = runner.raw_model
        features, views = model.last_features, data_batch.views[model.group]
        values = {} if features is None else self.measure(features, views)
        losses = list(_watched_losses(model, data_batch, outputs))
        for name, value in values.items():
            runner.message_hub.update_scalar(f"train/watch/{name}", value)
        for loss in losses:
            for name, value in loss.bounds.known().items():
                runner.message_hub.update_scalar(f"train/watch/{loss.objective}.{name}", value)
        self._report(runner, values, losses)
        signs = find_signs(values, self.limits)
        for loss in losses:
            sign = None if loss.value is None else loss_sign(loss.value, loss.bounds, self.limits)
            if sign is not None:
                signs[loss.objective] = f"{loss.objective}: {sign}"
        self._judge(runner, signs, [loss.bounds for loss in losses], images=len(data_batch.ids))

    @torch.no_grad()
    def measure(self, features: list[Features], views: Views | None) -> dict[str, float]:
        """Returns the statistics of one step's features; see the class for names.

        Args:
            features: one per view. views: where they lie; None leaves the cells' gap out.
        """
        vectors = [f.vector for f in features]
        maps = [f.map() for f in features]
        rows = statistics.evenly(torch.cat(vectors), self.rows)
        cells = statistics.evenly(statistics.cells_as_rows(maps[0]), self.rows)
        values = {
            "vector_spread": statistics.spread(rows),
            "vector_rank": statistics.effective_rank(rows),
        }
        values |= {
            "cell_spread": statistics.spread(cells),
            "cell_rank": statistics.effective_rank(cells),
        }
        if maps[0].shape[2] * maps[0].shape[3] > 1:
            values["cell_spread_within"] = statistics.spread_within(maps[0])
        if len(features) < 2 or len(vectors[0]) < 2:
            return values
        positive, random = statistics.pair_cosines(*vectors[:2])
        values["vector_gap"] = positive - random
        cosines = None if views is None else self._cell_cosines(maps, views.geometry)
        if cosines is not None:
            values["cell_gap"] = cosines[0] - cosines[1]
        return values

    def _cell_cosines(self, maps: list[Tensor], geometry: Tensor) -> tuple[float, float] | None:
        """Cosines of cells at the same place and in different images; None without any pair.
        geometry (B, V, 2, 3).
        """
        sizes = [m.shape[2:] for m in maps[:2]]
        geometry = geometry.to(maps[0].device)
        images = max(2, MASK_ENTRIES // (sizes[0].numel() * sizes[1].numel()))
        positives = pixel_positives(
            geometry[:images, 0], geometry[:images, 1], size_q=sizes[0], size_k=sizes[1]
        )
        return statistics.cell_pair_cosines(maps[0][:images], maps[1][:images], positives)

    def _report(self, runner: Runner, values: dict[str, float], losses: list[_Loss]) -> None:
        """One line in the log."""
        texts = [f"{name} {value:.3g}" for name, value in values.items()]
        for loss in losses:
            if loss.value is not None:
                texts.append(f"{loss.objective}.loss {describe_loss(loss.value, loss.bounds)}")
        runner.logger.info(f"watch, step {runner.iter + 1}: {'  '.join(texts)}")

    def _judge(
        self, runner: Runner, signs: dict[str, str], bounds: list[Bounds], *, images: int
    ) -> None:
        """Counts looks running per sign and speaks when one is confirmed for the first time."""
        step = runner.iter + 1
        grace = self.grace if self.grace is not None else runner.max_iters // 20
        if step <= grace:
            return
        self._seen = {name: self._seen.get(name, 0) + 1 for name in signs}
        if not any(count == self.patience for count in self._seen.values()):
            return
        confirmed = [signs[name] for name, count in self._seen.items() if count >= self.patience]
        model: TrainedModel = runner.raw_model
        knobs = likely_knobs(
            model.objectives,
            bounds,
            momentum=model.momentum_at(step / runner.max_iters),
            lr=runner.optim_wrapper.param_groups[0]["lr"],
            images=images,
        )
        lines = [f"step {step}: the features look collapsed."]
        lines += [f"  - {sign}" for sign in confirmed]
        lines.append("What to try, likeliest first:")
        lines += [f"  {number}. {knob}" for number, knob in enumerate(knobs, 1)]
        message = "\n".join(lines)
        if self.stop:
            raise FeatureCollapse(
                f"{message}\nThe run stops because CollapseHook(stop=True); earlier checkpoints "
                "remain."
            )
        runner.logger.warning(f"{message}\nCollapseHook(stop=True) would end the run here.")


def _watched_losses(
    model: TrainedModel, batch: Batch, outputs: Mapping[str, Tensor]
) -> Iterator[_Loss]:
    """Yields the loss of every objective.

    Args:
        batch: the step's last micro-batch. outputs: the model's terms, means over micro-batches.
    """
    for index, (objective, weight) in enumerate(zip(model.objectives, model.weights, strict=True)):
        prefix = model.term_name(index, "")
        terms = {}
        for key, term in outputs.items():
            if key.startswith(prefix):
                terms[key.removeprefix(prefix)] = term
        value = float(terms["loss"]) / weight if weight and "loss" in terms else None
        yield _Loss(prefix.removesuffix("."), value, objective.bounds(batch, terms))
