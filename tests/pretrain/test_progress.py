"""Bars of long work."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pretrain.progress import Bars


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100)


def test_a_bar_shows_title_phase_and_counts_until_its_work_is_done() -> None:
    screen = console(terminal=True)
    with Bars(screen) as bars:
        with bars.bar("network [a]") as progress:
            progress("train", 3, 12)
            (task,) = bars.tasks
            assert (task.description, task.completed, task.total) == ("network [a]: train", 3, 12)
            bars.refresh()
        assert bars.tasks == []
    text = screen.file.getvalue()
    assert "network [a]: train" in text and "3/12" in text


def test_a_bar_ends_with_an_error_too_and_a_followed_one_stays() -> None:
    with Bars(console(terminal=True)) as bars:
        bars.follow("data")("", 1, 2)
        with pytest.raises(KeyError), bars.bar("work"):
            raise KeyError
        assert [task.description for task in bars.tasks] == ["data"]


def test_nothing_is_drawn_where_there_is_no_terminal() -> None:
    log = console(terminal=False)
    with Bars(log) as bars, bars.bar("work") as progress:
        progress("train", 1, 2)
    assert log.file.getvalue() == ""
