"""Threads of each of several processes: the smaller of its share and what the user said."""

from __future__ import annotations

import pytest

from pretrain import threads


@pytest.mark.parametrize(
    ("cores", "processes", "given", "expected"),
    [
        (8, 2, {}, ("4", "4")),
        (8, 1, {"OMP_NUM_THREADS": "1"}, ("1", "1")),
        (8, 2, {"OMP_NUM_THREADS": "6"}, ("4", "4")),
        (8, 2, {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "3"}, ("2", "3")),
        (8, 2, {"MKL_NUM_THREADS": "1"}, ("4", "1")),
        (8, 1, {"OMP_NUM_THREADS": "2,3"}, ("2", "2")),
        (8, 1, {"OMP_NUM_THREADS": "many", "MKL_NUM_THREADS": "0"}, ("8", "8")),
        (2, 5, {}, ("1", "1")),
    ],
)
def test_the_smaller_of_share_and_wish(
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    processes: int,
    given: dict[str, str],
    expected: tuple[str, str],
) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: cores)
    limits = threads.thread_limits(processes, given)
    assert (limits["OMP_NUM_THREADS"], limits["MKL_NUM_THREADS"]) == expected


def test_a_process_may_need_fewer_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: 8)
    for at_most, expected in ((3, "3"), (9, "4"), (None, "4")):
        assert threads.thread_limits(2, {}, at_most=at_most)["OMP_NUM_THREADS"] == expected
