"""Findings about the machine and the advice that follows from them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.speed.doctor import machine, measure, parts, report


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


def test_processor_features_and_memory_are_read_from_proc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, memory = tmp_path / "cpuinfo", tmp_path / "meminfo"
    cpu.write_text("model name: avx512f by name only\nflags\t\t: fpu avx2 sse avx512_bf16\n")
    memory.write_text("MemTotal:  8388608 kB\nMemAvailable:  4194304 kB\n")
    files = {"/proc/cpuinfo": cpu, "/proc/meminfo": memory}
    monkeypatch.setattr(machine, "Path", lambda name: files[name])
    assert machine.cpu_features() == ["avx2", "avx512_bf16"]
    assert machine.memory_gib() == dict(total=8.0, available=4.0)
    for file in files.values():
        file.unlink()
    assert machine.cpu_features() == [] and machine.memory_gib() == {}


def test_a_gpu_that_only_the_driver_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = machine.subprocess.CompletedProcess([], 0, stdout="GPU 0: Example\n")
    monkeypatch.setattr(machine.subprocess, "run", lambda *command, **options: listing)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(machine.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert machine.silent_gpu() and machine.accelerators() == []
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert not machine.silent_gpu()


def test_a_package_of_the_core_that_does_not_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_example.py").write_text("raise OSError('libx.so: cannot open\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    core = dict(
        json=("json", ""), broken_example=("pip", "reinstall it"), absent_example=("x", "y")
    )
    monkeypatch.setattr(parts, "CORE", core)
    fine, broken, absent = parts.core()
    assert fine.there and fine.detail == "present"
    assert not broken.there and broken.advice == "reinstall it"
    assert broken.detail.endswith("OSError: libx.so: cannot open")
    assert absent.detail.startswith("not installed: ModuleNotFoundError")
    assert absent.advice == "bash tools/setup.sh core"


def test_operators_say_why_they_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from heads.upsamplers import library

    monkeypatch.setattr(library, "status", lambda: dict(cpu="", cuda="not built"))
    monkeypatch.setattr(library, "cure", lambda reason: f"mend: {reason}")
    part = parts.operators()
    assert not part.there and part.advice == "mend: not built"
    assert part.detail == "cpu: in use; cuda: not built"
    monkeypatch.setattr(library, "status", lambda: dict(cpu=""))
    part = parts.operators()
    assert part.there and part.detail == "cpu: in use; cuda: no GPU"


def test_trackers_are_there_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "version", lambda name: "0.2" if name == "mlflow" else None)
    wandb, mlflow = parts.trackers()
    assert not wandb.there and wandb.advice == "pip install wandb"
    assert mlflow.there and mlflow.detail == "0.2" and "MLflowVisBackend" in mlflow.gives
