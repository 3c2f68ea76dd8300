"""Throws the results of arms away, unless somebody still makes them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare.executors import EXECUTORS, Executor
from benchmarks.compare.names import PlanError
from pretrain.folder_lock import holders


def discard(work_dir: Path, arms: Sequence[str], executor: Executor) -> None:
    """Removes the folders of arms; of a tuned arm, its search as well.

    Takes up to ten seconds where a process of another machine has to show that it lives.

    Args:
        work_dir: of the comparison.
        arms: names.
        executor: of this run; an earlier one may have had any other.

    Raises:
        PlanError: a trial of them runs, or waits in the queue of a cluster; nothing is removed.
    """
    folders: dict[Path, str] = {}
    for arm in arms:
        for file in sorted((work_dir / arm).rglob("trial.json")):
            folders[file.parent] = arm
    living = holders(list(folders))
    for folder, arm in folders.items():
        name = folder.relative_to(work_dir)
        if folder in living:
            raise PlanError(
                f"--redo {arm}: {name} is running{living[folder].describe()}; wait for it or end it"
            )
        for kind in {*EXECUTORS.values(), type(executor)}:
            left = kind.left_behind(folder)
            if left:
                raise PlanError(
                    f"--redo {arm}: {name} was left to go on by an earlier run, {left}; or run "
                    "again without --redo, which waits for it"
                )
    for arm in arms:
        shutil.rmtree(work_dir / arm, ignore_errors=True)
