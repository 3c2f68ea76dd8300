"""Findings about the machine and the advice that follows from them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.doctor import machine, measure, parts, report


def test_describe_is_plausible(tmp_path: Path) -> None:
    found = machine.describe(tmp_path)
    assert 1 <= found["cores"] <= 4096
    assert 0 < found["memory_gib"]["available"] <= found["memory_gib"]["total"]
    assert 0 <= found["disk_gib"]["free"] <= found["disk_gib"]["total"]


def workers(advice: str) -> int:
    """Returns the number that an advice gives."""
    return int(re.search(r"loader\.workers = (\d+)", advice).group(1))


@pytest.mark.parametrize(
    ("cores", "devices", "expected"),
    [(1, 0, 1), (2, 0, 1), (64, 0, 2), (16, 1, 15), (64, 8, 7), (4, 8, 1)],
)
def test_worker_advice(cores: int, devices: int, expected: int) -> None:
    assert workers(measure.worker_advice(800.0, cores, devices)) == expected


def test_worker_advice_states_the_supply() -> None:
    assert "320 images/s" in measure.worker_advice(200.0, 5, 1)  # 4 workers × 200 / 2.5


def test_example_jpegs_cost_like_photographs() -> None:
    files = measure.example_jpegs(2)
    assert files == measure.example_jpegs(2)
    for data in files:
        assert data[:2] == b"\xff\xd8"
        assert 0.5 < len(data) / (375 * 500) < 0.75  # bytes per pixel; COCO's photographs: 0.62


def test_best_rate_takes_the_fastest_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 0.0, 4.0, 4.0, 4.0, 6.0, 20.0])  # two calls: 4 s and 2 s
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    assert measure.best_rate(lambda: 8, seconds=10.0) == 4.0


def test_failing_check_becomes_a_missing_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def transfer() -> list[parts.Part]:
        raise OSError("unreadable folder")

    monkeypatch.setattr(parts, "transfer", transfer)
    found = next(part for part in parts.optional() if part.name == "transfer")
    assert not found.there and "unreadable folder" in found.detail


def test_both_faiss_packages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "version", lambda name: "1.0" if name.startswith("faiss") else None)
    found = parts.nearest_neighbours()
    assert not found.there and "uninstall both" in found.advice


def test_small_shared_memory_and_disk_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "silent_gpu", lambda: True)
    described = {"disk_gib": {"free": 1.5}, "shared_memory_gib": 0.1}
    found = {"machine": described, "pins": ["numpy is 2.5 (wanted ==2.4.6)"]}
    text = "\n".join(report.machine_advice(found))
    for words in ("GPU that torch does not see", "1.5 GiB of disk", "--shm-size", "numpy is 2.5"):
        assert words in text
