"""Freed memory stays in the process, seen by the page faults of allocating again; the peak is the
process's own.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from pretrain.memory import peak_resident

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
    return subprocess.run(
        run, capture_output=True, text=True, check=True, env={**CLEAN, **environment}
    ).stdout.strip()


def test_large_tensors_are_allocated_without_page_faults() -> None:
    kept = faults("keep")
    if kept == "unsupported":
        pytest.skip("this C library has no mallopt")
    assert int(kept) < 100
    assert int(faults("default")) > 5000, "without the setting each comes from the kernel"


def test_the_users_own_choice_is_respected() -> None:
    assert faults("keep", MALLOC_ARENA_MAX="2") == "unsupported"


LARGE = 200_000_000  # bytes: many times a bare interpreter, whose peak must not show them


def test_the_peak_is_not_the_parents() -> None:
    """``ru_maxrss`` of the child would be at least what this process held when it started it."""
    held = np.ones(LARGE, dtype=np.uint8)
    code = "from pretrain.memory import peak_resident; print(peak_resident())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(held) < peak_resident()
    assert 5e6 < int(child.stdout) < 0.5 * LARGE


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells of other processes"
)
def test_the_peak_of_a_child_stays_when_it_frees() -> None:
    code = "b = b'x' * 100_000_000; del b; print('freed', flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True
    ) as child:
        assert child.stdout.readline() == "freed\n"
        assert 100e6 < peak_resident(child.pid) < 200e6
        child.communicate("\n")
    with pytest.raises(ProcessLookupError, match=f"pid={child.pid}: no such process"):
        peak_resident(child.pid)
