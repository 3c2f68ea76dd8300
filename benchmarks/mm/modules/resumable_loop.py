"""mmengine's loop over iterations, whose resumed runs go on exactly as uninterrupted ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS, LOOPS
from mmengine.runner import IterBasedTrainLoop, Runner

from pretrain.engine.checkpoints import gather_random_states
from pretrain.random_state import restore_random_state


@LOOPS.register_module()
class ResumableLoop(IterBasedTrainLoop):
    """``IterBasedTrainLoop`` that restores the random state of the checkpoint after it has skipped
    the data.

    mmengine reads the batches of the iterations that are done once more, to bring sampler and
    workers where they were; what the model drew meanwhile (dropout, proposals) would be missing.
    Needs the hook ``RandomState``, which saves it.
    """

    random_state: dict[str, Any] | None = None

    def run(self) -> Any:
        """Trains to the last iteration; returns the model."""
        self.dataloader_iterator = self._restoring(self.dataloader_iterator, skipped=self.iter)
        return super().run()

    def _restoring(self, batches: Iterator[Any], skipped: int) -> Iterator[Any]:
        """Passes on ``skipped`` batches, restores the random state, then passes on the rest."""
        for _ in range(skipped):
            yield next(batches)
        if self.random_state is not None:
            restore_random_state(self.random_state)
        while True:
            yield next(batches)


@HOOKS.register_module()
class RandomState(Hook):
    """Keeps every process's random state in checkpoints and hands it to :class:`ResumableLoop`."""

    priority = "VERY_HIGH"  # before the hook that saves, which calls only the first process

    def __init__(self) -> None:
        self._states: list[dict[str, Any]] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Collective: gathers the states of all processes where a checkpoint is about to be
        written.
        """
        saving = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        if saving and (
            self.every_n_train_iters(runner, saving.interval) or self.is_last_train_iter(runner)
        ):
            self._states = gather_random_states()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Adds the states, in the order of the processes."""
        checkpoint["random_states"] = self._states

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Takes this process's own state; does nothing for the initial weights, which have none."""
        states = checkpoint.get("random_states")
        rank, processes = get_rank(), get_world_size()
        if states and len(states) == processes and isinstance(runner.train_loop, ResumableLoop):
            runner.train_loop.random_state = states[rank]
