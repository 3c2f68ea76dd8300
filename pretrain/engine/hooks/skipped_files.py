"""Unreadable image files: listed, counted over all processes, a reason to stop."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from pretrain.names import printable
from pretrain.structures import Batch


class TooManyBadFiles(ValueError):
    """More files are unreadable than ``loader.max_bad_fraction`` allows."""


@HOOKS.register_module()
class SkippedFilesHook(Hook):
    """Collects ``Batch.skipped`` of every step and stops the run when too many of the images seen
    are unreadable.

    Each unreadable file is counted once, warned of once, and written as one line ``id<TAB>path:
    reason`` to ``work_dir/skipped_files.txt``. With n = ``length`` of the source, s = min(images
    drawn by all processes, n) and b distinct unreadable files, the run stops when ``b >
    max_bad_fraction * max(s, min(min_images, n))``: before ``min_images`` were seen the count is
    judged as if they had been, so that two bad files in the first batch are no 3 %; and in a source
    smaller than that the bound is over the whole source. If not one image asked for so far was
    readable, the run stops at once whatever the size. (A batch for which no substitutes are found
    at all already fails in ``ViewDataset``.)

    Cost: nothing but a set union with one process; with several, one all-reduce of one number every
    ``interval`` iterations, and a gather of the new entries only if there are any. The first
    iteration is always checked. What other processes found in the iterations since the last
    exchange is not in a checkpoint; it is found again in the next epoch.

    Args:
        max_bad_fraction: Share of unreadable images that is tolerated, in [0, 1].
        min_images: See above. 1,000 keeps a source with 0.5 % bad files from being stopped by
            chance (1 in 70).
        interval: Iterations between two exchanges among processes.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self, max_bad_fraction: float = 0.01, min_images: int = 1000, interval: int = 20
    ) -> None:
        if not 0 <= max_bad_fraction <= 1:
            raise ValueError(
                f"loader.max_bad_fraction={max_bad_fraction}; legal is a share from 0 to 1"
            )
        if min_images < 1 or interval < 1:
            raise ValueError(f"min_images={min_images}, interval={interval}; legal is 1 or more")
        self.max_bad_fraction = max_bad_fraction
        self.min_images = min_images
        self.interval = interval
        self._bad: dict[int, str] = {}  # id -> "path: reason", known to all processes
        self._pending: dict[int, str] = {}  # found by this process since the last exchange
        self._drawn = 0  # by all processes until the last exchange
        self._drawn_here = 0  # by this process since then
        self._iterations = 0

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Batch | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Collects; every ``interval`` iterations exchanges and judges.

        Raises:
            TooManyBadFiles: on all processes in the same iteration.
        """
        # of the loop and not of data_batch, which with accumulation is only the step's last
        # micro-batch
        loop = runner.train_loop
        self._pending.update((i, reason) for i, reason in loop.skipped if i not in self._bad)
        self._drawn_here += sum(len(ids) for ids in loop.step_ids)
        if self._iterations % self.interval == 0 or get_world_size() == 1:
            self._exchange(runner)
        self._iterations += 1

    def after_train(self, runner: Runner) -> None:
        """Writes down what the last iterations found."""
        self._exchange(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Adds what is known to the checkpoint (no communication: only the main process may be
        here).
        """
        checkpoint["skipped_files"] = dict(
            bad={**self._bad, **self._pending},
            drawn=self._drawn + self._drawn_here * get_world_size(),
        )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Goes on counting where the checkpoint stopped."""
        state = checkpoint.get("skipped_files", dict(bad={}, drawn=0))
        self._bad, self._drawn = dict(state["bad"]), state["drawn"]
        self._pending, self._drawn_here = {}, 0

    def _exchange(self, runner: Runner) -> None:
        self._drawn += self._drawn_here * get_world_size()  # every process draws as many
        self._drawn_here = 0
        news = self._gather()
        if not news:
            return
        self._bad.update(news)
        if is_main_process():
            self._report(runner, news)
        self._judge(runner)

    def _gather(self) -> dict[int, str]:
        """New entries of all processes, in the same order everywhere; resets ``_pending``."""
        pending, self._pending = self._pending, {}
        if get_world_size() > 1:
            count = torch.tensor(len(pending))
            all_reduce(count)
            if count > 0:
                parts, pending = all_gather_object(pending), {}
                for part in parts:
                    pending.update(part)
        return {i: pending[i] for i in sorted(pending) if i not in self._bad}

    def _report(self, runner: Runner, news: dict[int, str]) -> None:
        path = self._list_path(runner)
        # a run resumed from an older checkpoint meets files that its predecessor has listed already
        listed = (
            set(path.read_text(errors="surrogateescape").splitlines()) if path.exists() else set()
        )
        with open(path, "a", errors="surrogateescape") as file:
            for i, reason in news.items():
                runner.logger.warning(
                    "unreadable image %d replaced by another one: %s", i, printable(reason)
                )
                line = f"{i}\t{' '.join(reason.splitlines())}"
                if line not in listed:
                    file.write(line + "\n")

    def _judge(self, runner: Runner) -> None:
        length = len(runner.train_dataloader.dataset)
        bad, seen = len(self._bad), min(self._drawn, length)
        if bad <= self.max_bad_fraction * max(seen, min(self.min_images, length)) and bad < seen:
            return
        examples = "; ".join(list(self._bad.values())[:3])
        raise TooManyBadFiles(
            f"{bad} unreadable file{'s' * (bad != 1)} among the first {seen} of {length} "
            f"images: more than loader.max_bad_fraction={self.max_bad_fraction:g} allows "
            f"({examples}). All are listed in {self._list_path(runner)}. Repair or remove them, "
            "or raise loader.max_bad_fraction"
        )

    @staticmethod
    def _list_path(runner: Runner) -> Path:
        return Path(runner.work_dir) / "skipped_files.txt"
