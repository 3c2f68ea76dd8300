"""How far long work is: the callback it reports to and the bars that show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rich.progress
from rich.console import Console

# Called with the name of the present phase, how many steps of it are done, and of how many.
Progress = Callable[[str, int, int], None]


class Bars(rich.progress.Progress):
    """Progress bars with elapsed and remaining time, shown on a terminal until the work is done.

    Args:
        console: where the bars are drawn; None = standard output.
        redirect_stdout: print what the work prints above the bars.
    """

    def __init__(self, console: Console | None = None, *, redirect_stdout: bool = True) -> None:
        console = console or Console()
        super().__init__(
            rich.progress.TextColumn("{task.description}", markup=False),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TimeRemainingColumn(),
            console=console,
            transient=True,
            redirect_stdout=redirect_stdout,
            disable=not console.is_terminal,
        )

    def follow(self, title: str) -> Progress:
        """Adds a bar and returns the callback that moves it."""
        task = self.add_task(title, total=None)
        return self._mover(task, title)

    @contextmanager
    def bar(self, title: str) -> Iterator[Progress]:
        """Gives the callback that moves a bar, which is there as long as the context is."""
        task = self.add_task(title, total=None)
        try:
            yield self._mover(task, title)
        finally:
            self.remove_task(task)

    def _mover(self, task: rich.progress.TaskID, title: str) -> Progress:
        def progress(phase: str, done: int, total: int) -> None:
            description = f"{title}: {phase}" if phase else title
            self.update(task, description=description, completed=done, total=total)

        return progress
