"""Compiles csrc/ into one small library per device, which serves every torch from 2.11 on (its stable ABI).

Needs the C++ compiler (``$CXX``, else c++, g++ or clang++) and, for CUDA, nvcc (``$CUDA_HOME/bin`` or the path) and a
CUDA build of torch. Nothing of torch is imported, only its headers are read: it works inside pip's build isolation.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "csrc"
LIBRARIES = Path(__file__).resolve().parent / "compiled"
_STABLE = "-DTORCH_TARGET_VERSION=0x020b000000000000"  # torch 2.11: the oldest whose libraries must satisfy ours
ARCHITECTURES = ("80", "90")


class BuildError(RuntimeError):
    """A library could not be built; the message says what is missing or what the compiler said."""


def built(device: str) -> tuple[Path | None, str]:
    """Returns the library of ``device`` (cpu, cuda) that fits the sources, or None and the reason."""
    files = sorted(LIBRARIES.glob(f"{device}-*.so"))
    if SOURCES.is_dir():  # a checkout: a library of older sources would not fit
        wanted = _library(device)
        if wanted in files:
            return wanted, ""
        return None, "built from other sources" if files else "not built"
    return (files[-1], "") if files else (None, "not built")


def build(device: str, *, force: bool = False) -> Path:
    """Compiles the library of ``device`` unless it is there; returns its path. 10 s for the CPU, a minute for CUDA.

    Raises:
        BuildError: no compiler, no torch headers, or a compiler's error.
    """
    target = _library(device)
    if target.is_file() and not force:
        return target
    command = cpu_command(target) if device == "cpu" else cuda_command(target)
    LIBRARIES.mkdir(exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}.part")
    command[command.index(str(target))] = str(partial)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        partial.unlink(missing_ok=True)
        raise BuildError(f"{' '.join(command)}\n{done.stderr[-4000:]}")
    os.replace(partial, target)
    for old in LIBRARIES.glob(f"{device}-*.so"):
        if old != target:
            old.unlink(missing_ok=True)
    return target


def cpu_command(target: Path) -> list[str]:
    """The command that compiles the CPU library; instruction sets are chosen at run time, so it runs on any machine."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None:
        raise BuildError("no C++ compiler found: install g++ or clang++, or name one in CXX")
    undefined = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    return [
        *compiler.split(), "-O3", "-std=c++20", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wno-psabi",
        "-ffp-contract=fast", _STABLE, f"-I{SOURCES}", f"-isystem{_torch() / 'include'}", *undefined,
        *map(str, sorted((SOURCES / "cpu").glob("*.cpp"))), "-o", str(target),
    ]  # fmt: skip


def cuda_command(target: Path, architectures: Sequence[str] = ARCHITECTURES) -> list[str]:
    """The command that compiles the CUDA library for ``architectures``, with PTX of the newest for later cards."""
    nvcc = shutil.which("nvcc", path=os.environ.get("CUDA_HOME", "") + "/bin") or shutil.which("nvcc")
    if nvcc is None:
        raise BuildError("no nvcc found: install the CUDA toolkit of torch's version, or set CUDA_HOME")
    codes = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures]
    codes.append(f"-gencode=arch=compute_{architectures[-1]},code=compute_{architectures[-1]}")
    packaged = sorted((_torch().parent / "nvidia").glob("cu*/include"))  # headers that came with torch's libraries
    return [
        nvcc, "-O3", "-std=c++20", "--shared", "-Xcompiler=-fPIC,-fvisibility=hidden", "--expt-relaxed-constexpr",
        *codes, "-DUSE_CUDA", _STABLE, f"-I{SOURCES}", f"-I{_torch() / 'include'}", *(f"-I{p}" for p in packaged),
        *map(str, sorted((SOURCES / "cuda").glob("*.cu"))), "-o", str(target),
    ]  # fmt: skip


def _library(device: str) -> Path:
    """Where the library goes: its name tells the sources, the machine and this file's flags."""
    digest = hashlib.sha256(platform.machine().encode() + Path(__file__).read_bytes())
    for file in sorted([*SOURCES.glob("*.h"), *(p for p in (SOURCES / device).rglob("*") if p.is_file())]):
        digest.update(file.relative_to(SOURCES).as_posix().encode() + file.read_bytes())
    return LIBRARIES / f"{device}-{digest.hexdigest()[:16]}.so"


def _torch() -> Path:
    """The installed torch's folder; found without importing it, also from inside pip's isolated build."""
    folders = [*sys.path, sysconfig.get_path("platlib"), sysconfig.get_path("purelib")]
    for folder in folders:
        if (Path(folder or ".") / "torch/include/torch/csrc/stable/library.h").is_file():
            return Path(folder or ".") / "torch"
    raise BuildError("torch 2.11 or newer is not installed: its headers are needed")
