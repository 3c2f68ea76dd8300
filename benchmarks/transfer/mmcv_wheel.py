"""Compiles mmcv once per Python and torch, keeps the wheel in the user's cache and installs it from there.

mmcv's last release that mmdet and mmsegmentation accept is source only, and its own build takes about a quarter of an
hour on two cores. Three changes make that a few minutes: C++20 (torch >= 2.13 headers need it), ``-O2 -g0``, and one
precompiled header, because nearly all of the time goes into reading torch's headers some sixty times.

Needs the standard library, pip, a C++ compiler and an environment that has torch, setuptools < 81 and ninja.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

VERSION = "2.1.0"
_HEADER = "mmcv/ops/csrc/common/pytorch_cpp_helper.hpp"

# Stands in for the compiler: takes the header from a precompiled copy, which the first call makes with its own flags,
# because a precompiled header serves only compilations with exactly the flags it was made with.
_COMPILER = """#!/usr/bin/env python3
import fcntl, os, subprocess, sys
compiler, header = {compiler!r}, {header!r}
arguments = sys.argv[1:]
sources = [a for a in arguments if a.endswith(".cpp") and "mmcv" in a]
if "-c" not in arguments or not sources:
    os.execvp(compiler[0], compiler + arguments)
with open(header + ".lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not os.path.exists(header + ".gch"):
        flags, skip = [], False
        for argument in arguments:
            if skip or argument in ("-c", "-MMD", "-MD") or argument in sources:
                skip = False
            elif argument in ("-o", "-MF"):
                skip = True
            else:
                flags.append(argument)
        made = subprocess.run(compiler + flags + ["-x", "c++-header", header, "-o", header + ".gch.part"])
        if made.returncode:
            sys.exit(made.returncode)
        os.rename(header + ".gch.part", header + ".gch")
os.execvp(compiler[0], compiler + ["-Winvalid-pch", "-include", header] + arguments)
"""


class BuildError(RuntimeError):
    """mmcv could not be had; the message says what is missing and what to do."""


def build_tag(cuda: bool) -> str:
    """Returns what a wheel is tied to beside Python: ``torch2.14.cpu`` or ``torch2.14.cuda``.

    Raises:
        BuildError: no torch in this environment.
    """
    try:
        release = metadata.version("torch")
    except metadata.PackageNotFoundError:
        raise BuildError("mmcv is compiled against torch, which is not installed: bash tools/setup.sh transfer") from None
    return f"torch{'.'.join(release.split('.')[:2])}.{'cuda' if cuda else 'cpu'}"


def cache_folder() -> Path:
    """Returns where wheels are kept: ``$PIXELPRETEXT_WHEELS``, else ``pixelpretext/wheels`` in the user's cache folder."""
    given = os.environ.get("PIXELPRETEXT_WHEELS")
    return Path(given or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pixelpretext", "wheels"))


def cached_wheel(folder: Path, tag: str) -> Path | None:
    """Returns the wheel of this Python, machine and ``tag`` in ``folder``, if there is one."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    found = sorted(folder.glob(f"mmcv-{VERSION}+{tag}-{python}-*_{platform.machine()}.whl"))
    return found[-1] if found else None


def has_cuda() -> bool:
    """Whether CUDA operators can be compiled and used here: nvcc on the path, and a GPU that answers."""
    if not shutil.which("nvcc") or not shutil.which("nvidia-smi"):
        return False
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return listed.returncode == 0 and "GPU" in listed.stdout


def installed() -> str | None:
    """Returns the version of the installed mmcv with its build tag, None if there is none."""
    try:
        return metadata.version("mmcv")
    except metadata.PackageNotFoundError:
        return None


def ensure(*, cuda: bool | None = None, quiet: bool = False) -> str:
    """Makes sure that mmcv with operators for this Python and torch is installed.

    An mmcv that somebody else installed, which has no build tag of ours, stays as it is.

    Args:
        cuda: with CUDA operators; None = if :func:`has_cuda`.
        quiet: say nothing where nothing is to be done.

    Returns:
        What was done, in a sentence.

    Raises:
        BuildError: no compiler, no source, or a compilation that failed.
    """
    started = time.monotonic()
    tag = build_tag(has_cuda() if cuda is None else cuda)
    found = installed()
    if found == f"{VERSION}+{tag}" or (found and "+torch" not in found):
        return "" if quiet else f"mmcv {found} is installed."
    folder = cache_folder()
    with _lock(folder):
        wheel = cached_wheel(folder, tag)
        said = "from the wheel cache"
        if wheel is None:
            wheel = _build(folder, tag)
            said = f"compiled; the wheel is kept in {folder}"
        _pip("install", "--no-deps", "--force-reinstall", str(wheel))
    return f"mmcv {VERSION} ({tag}) is ready after {time.monotonic() - started:.0f} s ({said})."


def _build(folder: Path, tag: str) -> Path:
    compiler = shlex.split(os.environ.get("CXX", "")) or [shutil.which("g++") or shutil.which("c++") or ""]
    if not shutil.which(compiler[0] or "none"):
        raise BuildError("mmcv is compiled from source and there is no C++ compiler: install g++ (Debian: build-essential)")
    print(f"Compiling mmcv {VERSION} for {tag}: about 4 minutes on two cores, once …", flush=True)
    with tempfile.TemporaryDirectory(prefix="mmcv-") as scratch:
        _pip("download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "-d", scratch, f"mmcv=={VERSION}")
        with tarfile.open(next(Path(scratch).glob("mmcv-*.tar.gz"))) as archive:
            archive.extractall(scratch, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        source = Path(scratch, f"mmcv-{VERSION}")
        _patch(source, tag)
        environment = os.environ | dict(
            MMCV_WITH_OPS="1", FORCE_CUDA="1" if tag.endswith("cuda") else "0", CXX=str(_compiler(source, compiler)),
            MAX_JOBS=os.environ.get("MAX_JOBS", str(_jobs())), CFLAGS="-O2 -g0",
        )  # fmt: skip
        if not tag.endswith("cuda"):
            environment["CUDA_VISIBLE_DEVICES"] = ""  # mmcv compiles CUDA operators wherever torch sees a GPU
        _pip("wheel", "--no-deps", "--no-build-isolation", "-w", scratch, str(source), environment=environment)
        made = next(Path(scratch).glob("mmcv-*.whl"))
        kept = folder / made.name
        partial = folder / f".{made.name}.{os.getpid()}"
        shutil.copyfile(made, partial)
        os.replace(partial, kept)
    return kept


def _patch(source: Path, tag: str) -> None:
    """C++20 instead of C++17, and the build tag in the wheel's version."""
    setup = source / "setup.py"
    text = setup.read_text(encoding="utf-8")
    text = text.replace("-std=c++17", "-std=c++20").replace("version=get_version()", f"version=get_version() + '+{tag}'")
    if "c++20" not in text or tag not in text:
        raise BuildError(f"mmcv's setup.py is not the one of {VERSION}: give an mmcv wheel of your own")
    setup.write_text(text, encoding="utf-8")
    if tag.endswith("cuda"):
        # nvcc takes the standard from torch unless it is named; the host code of both must be the same.
        os.environ.setdefault("MMCV_CUDA_ARGS", "-std=c++20")


def _compiler(source: Path, compiler: list[str]) -> Path:
    """Writes the stand-in for the compiler beside a copy of the header that nearly every file includes."""
    header = source / "precompiled" / Path(_HEADER).name
    header.parent.mkdir()
    shutil.copyfile(source / _HEADER, header)
    script = header.with_name("compiler.py")
    script.write_text(_COMPILER.format(compiler=compiler, header=str(header)), encoding="utf-8")
    script.chmod(0o755)
    return script


def _jobs() -> int:
    """Compilations at once: one per core, but 2 GiB of memory for each."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        available = int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1)) >> 21
    except (OSError, AttributeError):
        available = cores
    return max(1, min(cores, available))


def _pip(*arguments: str, environment: dict[str, str] | None = None) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise BuildError(f"`pip {' '.join(arguments)}` failed; its last words:\n{last}")


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One build at a time per cache, also between users of one clone."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: list[str] | None = None) -> int:
    """Command line of ``tools/build_mmcv.py``; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="tools/build_mmcv.py", description="Installs mmcv with operators, compiled once per Python and torch.",
        epilog="example: .venv/bin/python tools/build_mmcv.py",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="say nothing if it is installed")
    parser.add_argument("--cuda", action=argparse.BooleanOptionalAction, default=None,
                        help="with CUDA operators (default: if there is nvcc and a GPU)")
    parser.add_argument("--check", action="store_true", help="install nothing, tell what is lacking")
    options = parser.parse_args(arguments)
    try:
        if options.check and installed() is None:
            raise BuildError("it is not there, and nothing is installed with PIXELPRETEXT_NO_VENV")
        said = ensure(cuda=options.cuda, quiet=options.quiet)
    except BuildError as error:
        print(f"mmcv could not be installed: {error}", file=sys.stderr)
        return 1
    if said:
        print(said)
    return 0
