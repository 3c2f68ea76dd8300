"""What the machine has: Python, cores, processor features, memory, disk, accelerators."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pretrain.threads import usable_cores

# The instruction sets that torch and our operators have kernels for.
CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")


def cpu_features() -> list[str]:
    """Returns which of ``CPU_FEATURES`` the processor has; empty where the system does not tell."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return []
    fields: set[str] = set()
    for line in info.read_text().splitlines():
        if line.lower().startswith(("flags", "features")):
            fields |= set(line.split(":", 1)[1].split())
    return [feature for feature in CPU_FEATURES if feature in fields]


def memory_gib() -> dict[str, float]:
    """Returns ``total`` and ``available`` memory in GiB; empty where the system does not tell."""
    info = Path("/proc/meminfo")
    if not info.exists():
        return {}
    kib = {line.split(":")[0]: int(line.split()[1]) for line in info.read_text().splitlines()}
    return {
        "total": round(kib["MemTotal"] / 2**20, 1),
        "available": round(kib["MemAvailable"] / 2**20, 1),
    }


def disk_gib(folder: Path) -> dict[str, float]:
    """Returns ``total`` and ``free`` disk space in GiB of the file system that holds ``folder``."""
    usage = shutil.disk_usage(folder)
    return {"total": round(usage.total / 2**30, 1), "free": round(usage.free / 2**30, 1)}


def shared_memory_gib() -> float | None:
    """Returns the free space in GiB of ``/dev/shm``, through which workers hand over batches; None
    without one.
    """
    folder = Path("/dev/shm")
    return round(shutil.disk_usage(folder).free / 2**30, 1) if folder.exists() else None


def accelerators() -> list[dict[str, object]]:
    """Returns one entry per CUDA device: name, memory in GiB, compute capability, bf16 support."""
    import torch

    if not torch.cuda.is_available():
        return []
    devices = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append(
            {
                "name": properties.name,
                "memory_gib": round(properties.total_memory / 2**30, 1),
                "capability": f"{properties.major}.{properties.minor}",
                "bf16": properties.major >= 8,
            }
        )
    return devices


def in_words(accelerator: Mapping[str, object]) -> str:
    """Returns one entry of :func:`accelerators` as text."""
    bf16 = ", bf16" if accelerator["bf16"] else ""
    name, memory = accelerator["name"], accelerator["memory_gib"]
    return f"{name}, {memory} GiB, capability {accelerator['capability']}{bf16}"


def silent_gpu() -> bool:
    """Returns whether the driver shows a GPU that torch cannot use (a CPU-only torch, a driver that
    is too old).
    """
    import torch

    if torch.cuda.is_available() or shutil.which("nvidia-smi") is None:
        return False
    listing = subprocess.run(
        ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False
    )
    return listing.returncode == 0 and "GPU" in listing.stdout


def describe(folder: Path) -> dict[str, object]:
    """Returns everything above as one dictionary; disk space is that of ``folder``."""
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": platform.platform(),
        "cores": usable_cores(),
        "cpu_features": cpu_features(),
        "memory_gib": memory_gib(),
        "disk_gib": disk_gib(folder),
        "shared_memory_gib": shared_memory_gib(),
    }
