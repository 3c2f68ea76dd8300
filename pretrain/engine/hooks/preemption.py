"""Leaving in good order when a scheduler takes the machine away, or somebody presses Ctrl-C.

SIGTERM, SIGUSR1 or SIGUSR2 on any process → the step in progress is finished, every rank stops
after the same step, a checkpoint is written, and the process exits with ``REQUEUE_EXIT_CODE`` (75,
sysexits' "temporary failure"): the caller should start the same command again with ``--resume``.
``tools/dist_train.sh`` and ``tools/slurm_train.sh`` pass the code on; the latter requeues the job
by itself.

Ctrl-C (SIGINT) does the same and exits with ``INTERRUPT_EXIT_CODE`` (130, what shells show for it).
A second Ctrl-C ends the process at once, with what the last checkpoint holds.
"""

from __future__ import annotations

import os
import signal
import time
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

REQUEUE_EXIT_CODE = 75
INTERRUPT_EXIT_CODE = 130
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
# One press reaches a process twice where the terminal and a launcher both pass it on.
SAME_PRESS_S = 1.0
_INTERRUPTED = (
    b"\ninterrupted: the step in progress ends, then a checkpoint is written; Ctrl-C again stops "
    b"at once\n"
)


class Preempted(SystemExit):
    """Raised after the checkpoint is on disk; carries the exit code."""

    def __init__(self, code: int = REQUEUE_EXIT_CODE) -> None:
        super().__init__(code)


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Watches for the signals and stops all ranks after the same step.

    Ranks agree through two integers per step, summed over a gloo group in the background and read
    one step later, so that no step waits for it. Registered by the engine; runs after all other
    hooks.
    """

    priority = "LOWEST"

    def __init__(self) -> None:
        self._asked = self._interrupted = False
        self._pressed_at = 0.0
        self._previous: dict[int, Any] = {}
        self._group: dist.ProcessGroup | None = None
        self._pending: tuple[torch.Tensor, Any] | None = None
        self._preempted = False

    def before_train(self, runner: Runner) -> None:
        """Installs the signal handlers and opens the control group."""
        if dist.is_initialized() and self._group is None:
            self._group = dist.new_group(backend="gloo")
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Remembers the signal; the second Ctrl-C raises KeyboardInterrupt."""
        self._asked = True
        if number != signal.SIGINT:
            return
        if not self._interrupted:
            self._interrupted, self._pressed_at = True, time.monotonic()
            if is_main_process():
                os.write(2, _INTERRUPTED)  # print is not safe within a signal handler
        elif time.monotonic() - self._pressed_at > SAME_PRESS_S:
            self._restore_handlers()
            raise KeyboardInterrupt

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Stops the loop if any rank was asked to."""
        if not self._all_ranks_agree():
            return
        loop = runner.train_loop
        if loop.iter + 1 >= loop.max_iters:
            return  # the run ends with this step anyway
        self._preempted = loop.stop = True
        runner.call_hook("stop_early", steps=loop.iter + 1)

    def _all_ranks_agree(self) -> bool:
        """Returns whether some rank had the signal; alike on every rank at the same step."""
        if self._group is None:
            return self._asked
        stop = False
        if self._pending is not None:
            flag, work = self._pending
            work.wait()
            stop, self._interrupted = bool(flag[0]), bool(flag[1]) or self._interrupted
        flag = torch.tensor([int(self._asked), int(self._interrupted)])
        self._pending = (flag, dist.all_reduce(flag, group=self._group, async_op=True))
        return stop

    def after_train(self, runner: Runner) -> None:
        """Puts the old handlers back; after a pre-emption exits with the requeue code."""
        if self._pending is not None:
            self._pending[1].wait()
            self._pending = None
        self._restore_handlers()
        if self._preempted:
            code = INTERRUPT_EXIT_CODE if self._interrupted else REQUEUE_EXIT_CODE
            why = "interrupted" if self._interrupted else "pre-empted"
            runner.logger.info(
                f"{why}, a checkpoint is written: continue with --resume (exit code {code})"
            )
            runner.visualizer.close()
            raise Preempted(code)

    def _restore_handlers(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def ignore_in_worker(worker: int) -> None:
    """Loader worker initialiser: schedulers signal whole process trees, and a worker must outlive
    the last step.

    A second SIGTERM ends the worker, so that it can never outlive its parent.
    """
    seen = []

    def first_is_ignored(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) > 1:
            raise SystemExit(0)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, first_is_ignored)
