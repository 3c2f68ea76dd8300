"""The marker ``own_process``: memory and state end with the test, failures do not."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.own_process
KEPT: list[int] = []


@pytest.mark.parametrize("number", [1, 2])
def test_nothing_stays(number: int) -> None:
    KEPT.append(number)
    assert KEPT == [number]


@pytest.mark.xfail(strict=True, reason="a failure in the process is the test's")
def test_a_failure_is_reported() -> None:
    raise AssertionError("seen by the parent")


@pytest.mark.xfail(strict=True, reason="so is a process that dies")
def test_a_death_is_reported() -> None:
    os._exit(7)
