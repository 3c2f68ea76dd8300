"""Freed memory stays in the process: seen by the page faults of allocating again."""

from __future__ import annotations

import subprocess
import sys

import pytest

CLEAN = {"OMP_NUM_THREADS": "1"}
SCRIPT = """
import resource, sys, torch
from pretrain.memory import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    print("unsupported"); sys.exit()
for _ in range(12):  # the heap grows to its working size
    torch.ones(12_000_000)  # 48 MB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(12_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str, **environment: str) -> str:
    run = [sys.executable, "-c", SCRIPT, mode]
    return subprocess.run(run, capture_output=True, text=True, check=True, env={**CLEAN, **environment}).stdout.strip()


def test_large_tensors_are_allocated_without_page_faults() -> None:
    kept = faults("keep")
    if kept == "unsupported":
        pytest.skip("this C library has no mallopt")
    assert int(kept) < 100
    assert int(faults("default")) > 5000, "without the setting each comes from the kernel"


def test_the_users_own_choice_is_respected() -> None:
    assert faults("keep", MALLOC_ARENA_MAX="2") == "unsupported"
