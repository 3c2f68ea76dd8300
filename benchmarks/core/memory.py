"""Free memory of a device, and bytes as text."""

from __future__ import annotations

from pathlib import Path

import torch


def available_bytes(device: torch.device | str) -> int:
    """Free bytes of the device; on a CPU what the system calls available, or what the container's
    limit leaves.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = 1 << 62
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = meminfo.read_text().splitlines()
        free = next(int(x.split()[1]) << 10 for x in lines if x.startswith("MemAvailable"))
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and limit.read_text().strip().isdigit():
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return max(free, 0)


def gigabytes(count: int) -> str:
    """Bytes as text, ``1.53 GB`` (10⁹), or MB below one gigabyte."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
