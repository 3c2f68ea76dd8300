"""What a run tells while it runs: log lines or a bar, ``progress.json``, ``curve.csv``, TensorBoard
and its kin.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from pretrain.engine.sharding import mean_over_ranks
from pretrain.files import atomic_write
from pretrain.progress import Bars

CURVE = "curve.csv"
PROGRESS = "progress.json"


@HOOKS.register_module()
class ProgressHook(Hook):
    """Every ``every`` optimiser steps: means of all logged values since the last time, over all
    ranks.

    Values stay on the device between times. ``curve.csv`` has one row per time (step, samples, lr,
    values, grad_norm, samples_per_s, and the latest ``watch/…`` values that other hooks put on the
    message hub); a resumed run cuts off the rows after its checkpoint. ``progress.json`` holds
    step, total, samples_per_s, eta_s and state (``running``, ``stopped``, ``done``).

    Args:
        every: optimiser steps between times.
        bar: show a bar where the output is a terminal; rich draws one at a time, so a caller with
            its own says no.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, every: int, bar: bool = True) -> None:
        self.every, self.bar = every, bar
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._since = 0.0
        self._rate = 0.0
        self._bar: Bars | None = None
        self._columns: list[str] = []

    def before_train(self, runner: Runner) -> None:
        """Publishes mmengine's values, cuts the curve to the resumed step, starts the bar."""
        loop = runner.train_loop
        hub = runner.message_hub
        hub.update_info("loop_stage", "train")
        hub.update_info("max_iters", loop.max_iters)
        self._since = time.perf_counter()
        if not is_main_process():
            return
        self._columns = cut_curve(Path(runner.work_dir) / CURVE, loop.iter)
        self._write_progress(runner, loop.iter, "running")
        if self.bar and sys.stdout.isatty():
            self._bar = Bars()
            self._bar.start()
            self._task = self._bar.add_task("training", total=loop.max_iters, completed=loop.iter)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keeps mmengine's message hub on the current step."""
        runner.message_hub.update_info("iter", runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Adds the step's values; tells them when it is time."""
        for name, value in dict(outputs, grad_norm=runner.optim_wrapper.grad_norm).items():
            self._sums[name] = (
                self._sums[name] + value if name in self._sums else value.detach().clone()
            )
        self._count += 1
        steps = runner.iter + 1
        if self._bar is not None:
            self._bar.update(self._task, completed=steps)
        if steps % self.every == 0 or steps == runner.max_iters:
            self._tell(runner, steps)

    def _tell(self, runner: Runner, steps: int) -> None:
        """Reduces over ranks (collective), then rank 0 writes."""
        values = (
            torch.stack([value.double().reshape(()) for value in self._sums.values()]) / self._count
        )
        values = mean_over_ranks(values)
        now = time.perf_counter()
        schedule = runner.train_loop.schedule
        self._rate = schedule.global_batch * self._count / max(1e-9, now - self._since)
        means = dict(zip(self._sums, values.tolist(), strict=True))
        self._sums, self._count, self._since = {}, 0, now
        if not is_main_process():
            return
        row = {
            "step": steps,
            "samples": steps * schedule.global_batch,
            "lr": schedule.lr(steps - 1),
            **means,
        }
        row["samples_per_s"] = round(self._rate, 3)
        row.update(watched(runner))
        self._columns = append_curve(Path(runner.work_dir) / CURVE, self._columns, row)
        for name, value in means.items():
            runner.message_hub.update_scalar(f"train/{name}", value)
        scalars = {f"train/{k}": v for k, v in row.items() if k not in ("step", "samples")}
        runner.visualizer.add_scalars(scalars, step=steps)
        self._write_progress(runner, steps, "running")
        if self._bar is None:
            terms = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
            left = _duration(self._eta(runner, steps))
            runner.logger.info(
                f"step {steps}/{runner.max_iters}  {terms}  {self._rate:.1f} images/s  {left} left"
            )
        else:
            self._bar.update(self._task, description=f"loss {means.get('loss', float('nan')):.4f}")

    def _eta(self, runner: Runner, steps: int) -> float | None:
        """Returns the seconds left, None before anything was measured."""
        left = (runner.max_iters - steps) * runner.train_loop.schedule.global_batch
        return left / self._rate if self._rate else None

    def _write_progress(self, runner: Runner, steps: int, state: str) -> None:
        eta = self._eta(runner, steps)
        record = {
            "step": steps,
            "total": runner.max_iters,
            "samples_per_s": round(self._rate, 3),
            "eta_s": None if eta is None else round(eta, 1),
            "seconds": round(runner.seconds(), 1),
            "state": state,
        }
        atomic_write(Path(runner.work_dir) / PROGRESS, json.dumps(record))

    def after_train(self, runner: Runner) -> None:
        """Ends the bar and writes the last state; runs before the pre-emption hook leaves."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if is_main_process():
            self._write_progress(
                runner, runner.iter, "done" if runner.iter >= runner.max_iters else "stopped"
            )

    def after_run(self, runner: Runner) -> None:
        """Closes TensorBoard and its kin."""
        runner.visualizer.close()


def _duration(seconds: float | None) -> str:
    """Returns seconds as ``h:mm:ss``."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def cut_curve(path: Path, steps: int) -> list[str]:
    """Drops the rows after ``steps`` and incomplete ones; returns the columns."""
    if not path.exists():
        return []
    lines = list(csv.reader(path.read_text().splitlines()))
    if not lines:
        return []
    columns = lines[0]
    kept = [row for row in lines[1:] if len(row) == len(columns) and int(row[0]) <= steps]
    if not kept:
        path.unlink()
        return []
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *kept])
    atomic_write(path, text.getvalue())
    return columns


def watched(runner: Runner) -> dict[str, float]:
    """Returns the latest of the values that hooks have put on the message hub as ``train/watch/…``,
    by ``watch/…``.
    """
    scalars = runner.message_hub.log_scalars
    return {
        k.removeprefix("train/"): float(v.current())
        for k, v in scalars.items()
        if k.startswith("train/watch/")
    }


def append_curve(path: Path, columns: list[str], row: dict[str, Any]) -> list[str]:
    """Appends one row in a single write; returns the columns.

    The first row gives the columns. Names that first appear later are added at the right, for which
    the file is written anew, with empty cells in the rows before.
    """
    new = [name for name in row if name not in columns]
    if columns and new:
        lines = list(csv.reader(path.read_text().splitlines()))
        text = io.StringIO()
        wider = [columns + new, *(line + [""] * len(new) for line in lines[1:])]
        csv.writer(text, lineterminator="\n").writerows(wider)
        atomic_write(path, text.getvalue())
    text = io.StringIO()
    writer = csv.DictWriter(text, columns + new, lineterminator="\n")
    if not columns:
        writer.writeheader()
    writer.writerow(row)
    with open(path, "a") as file:
        file.write(text.getvalue())
    return writer.fieldnames
