"""Reading on threads in order, and the content key of a data set."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from benchmarks.data import loading
from benchmarks.data.loading import file_size, fingerprint, ordered_map


@pytest.mark.parametrize("cores", [1, 4])
def test_results_come_in_order(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "usable_cores", lambda: cores)

    def slow_for_even(number: int) -> int:
        time.sleep(0.002 * (number % 2 == 0))
        return number * number

    assert list(ordered_map(slow_for_even, range(20), 5)) == [n * n for n in range(20)]


def test_no_more_wait_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "usable_cores", lambda: 4)
    taken = []

    def items() -> object:
        for number in range(100):
            taken.append(number)
            yield number

    results = ordered_map(lambda number: number, items(), 6)
    assert next(results) == 0 and len(taken) == 7
    results.close()
    assert len(taken) == 7


@pytest.mark.parametrize("cores", [1, 4])
def test_a_mistake_arrives_at_its_place(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "usable_cores", lambda: cores)

    def third_fails(number: int) -> int:
        if number == 2:
            raise ValueError("2.jpg: broken")
        return number

    results = ordered_map(third_fails, range(9), 4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match=r"2\.jpg: broken"):
        next(results)


def test_threads_end_with_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "usable_cores", lambda: 4)
    before = threading.active_count()
    results = ordered_map(lambda number: number, range(50), 8)
    next(results)
    assert threading.active_count() > before
    results.close()
    assert threading.active_count() == before


def test_a_fingerprint_is_that_of_its_rows_text() -> None:
    """The rule, spelled out: records of years ago keep their hash."""
    text = b"a/1.jpg\t120\nb/2.jpg\t7"
    expected = hashlib.sha256(text).hexdigest()[:12]
    assert fingerprint([("a/1.jpg", "120"), ("b/2.jpg", "7")]) == expected
    assert fingerprint([("b/2.jpg", "7"), ("a/1.jpg", "120")]) != expected
    odd = b"\xe9.jpg".decode("utf-8", "surrogateescape")  # a name that is not UTF-8
    assert fingerprint([(odd, "1")]) == hashlib.sha256(b"\xe9.jpg\t1").hexdigest()[:12]


def test_a_size_is_text(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert file_size(tmp_path / "a") == "5"


def test_waiting_is_counted_and_work_meanwhile_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three results are ready while the reader works; a slow fourth is waited for."""
    monkeypatch.setattr(loading, "usable_cores", lambda: 1)
    results = ordered_map(lambda number: time.sleep(0.2 * (number == 3)), range(5), 2)
    next(results)
    time.sleep(0.05)
    before = loading.waited_seconds()
    next(results)
    ready = loading.waited_seconds() - before
    list(results)
    assert ready < 0.05 < 0.15 < loading.waited_seconds() - before
