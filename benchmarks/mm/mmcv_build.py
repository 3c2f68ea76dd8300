"""Compiles mmcv from its source release into a wheel.

Its own build takes about a quarter of an hour on two cores. Three changes make that about three
minutes: C++20 (the headers of torch >= 2.13 need it), ``-O2 -g0``, and one precompiled header,
because nearly all of the time goes into reading torch's headers some sixty times. Needs the
standard library, pip and a C++ compiler, in an environment that has torch, setuptools < 81 and
ninja.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from benchmarks.mm import precompiled

VERSION = "2.1.0"
_HEADER = "mmcv/ops/csrc/common/pytorch_cpp_helper.hpp"

# What a failed build's log holds -> what it means. The first that fits counts.
_CAUSES = (
    (
        r"No space left on device",
        "the disk is full: free 2 GB in the temporary folder (TMPDIR chooses another)",
    ),
    (
        r"Killed signal|signal 9|virtual memory exhausted|Cannot allocate memory|out of memory",
        "the compiler was killed, most likely because memory ran out: start again with MAX_JOBS=1",
    ),
    (
        r"NewConnectionError|NameResolutionError|name resolution|Network is "
        r"unreachable|ConnectTimeout|Read timed out|ProxyError|Connection refused|Max retries "
        r"exceeded|SSLError",
        "no network, or the package index does not answer: connect (or set PIP_INDEX_URL or "
        "PIP_PROXY), then start again",
    ),
    (
        r"No matching distribution found for mmcv",
        f"the package index has no source of mmcv {VERSION}: choose another with PIP_INDEX_URL",
    ),
    (
        r"Python\.h: No such file",
        "Python's headers are missing: install python3-dev (Debian; python3.X-dev)",
    ),
    (
        r"No module named '(pkg_resources|setuptools)'",
        "setuptools below 81 is missing: pip install 'setuptools<81'",
    ),
    (
        r"detected CUDA version .* mismatches",
        "nvcc is of another CUDA than torch: install that one, or set CUDA_HOME",
    ),
)


class BuildError(RuntimeError):
    """mmcv could not be had; the message says what is missing and what to do."""


def build(target: Path, *, tag: str, architectures: Sequence[str], log: Path) -> Path:
    """Compiles mmcv; nothing is left behind but the wheel, and on failure the log.

    Args:
        target: folder for the wheel.
        tag: goes into the wheel's version, ``2.1.0+TAG``.
        architectures: CUDA compute capabilities such as ``9.0``; none = operators for the CPU
            alone.
        log: file for all that pip and the compilers say.

    Returns:
        The wheel.

    Raises:
        BuildError: no compiler, no source, or a compilation that failed; the log is kept.
    """
    compiler = find_compiler()
    try:
        wheel = _compile(target, compiler, tag=tag, architectures=architectures, log=log)
    except BuildError:
        raise
    except BaseException:
        log.unlink(missing_ok=True)
        raise
    log.unlink()
    return wheel


def _compile(
    target: Path, compiler: Sequence[str], *, tag: str, architectures: Sequence[str], log: Path
) -> Path:
    with (
        tempfile.TemporaryDirectory(prefix="mmcv-") as scratch,
        open(log, "w", encoding="utf-8") as text,
    ):
        _pip(
            text,
            *("download", "--retries", "2", "--no-deps", "--no-binary", ":all:"),
            *("--no-build-isolation", "-d", scratch, f"mmcv=={VERSION}"),
            environment=_environment(architectures),
        )
        source = unpack(next(Path(scratch).glob("mmcv-*.tar.gz")))
        patch(source, tag)
        environment = _environment(architectures) | {"CXX": str(stand_in(source, compiler))}
        with _progress() as on_line:
            _pip(
                text,
                *("wheel", "--verbose", "--no-deps", "--no-build-isolation"),
                *("-w", scratch, str(source)),
                environment=environment,
                on_line=on_line,
            )
        wheel = next(Path(scratch).glob("mmcv-*.whl"))
        kept, partial = target / wheel.name, target / f".{wheel.name}.{os.getpid()}"
        try:
            shutil.copyfile(wheel, partial)
            os.replace(partial, kept)
        finally:
            partial.unlink(missing_ok=True)
    return kept


def find_compiler() -> list[str]:
    """Returns the C++ compiler's command: ``$CXX``, else g++, c++ or clang++.

    Raises:
        BuildError: there is none.
    """
    compiler = shlex.split(os.environ.get("CXX", ""))
    compiler = compiler or list(filter(shutil.which, ("g++", "c++", "clang++")))[:1]
    if not compiler:
        raise BuildError(
            "mmcv must be compiled, and there is no C++ compiler: install g++ (Debian: "
            "build-essential)"
        )
    if not shutil.which(compiler[0]):
        raise BuildError(
            f"CXX={os.environ['CXX']}: {compiler[0]} is not a program; name a C++ compiler or "
            "unset CXX"
        )
    return compiler


def unpack(archive: Path) -> Path:
    """Unpacks the source release where it lies; returns its folder."""
    options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as opened:
        opened.extractall(archive.parent, **options)
    return archive.with_name(archive.name.removesuffix(".tar.gz"))


def patch(source: Path, tag: str) -> None:
    """Sets C++20 in place of C++17, for nvcc too, and the build tag in the wheel's version.

    Raises:
        BuildError: setup.py is not the one this was made for.
    """
    setup = source / "setup.py"
    text = setup.read_text(encoding="utf-8")
    for old, new in (
        ("-std=c++17", "-std=c++20"),
        ("version=get_version()", f"version=get_version() + '+{tag}'"),
    ):
        if old not in text:
            raise BuildError(
                f"the setup.py of this mmcv has no {old!r}, so it is not {VERSION}: install "
                "mmcv yourself"
            )
        text = text.replace(old, new)
    setup.write_text(text, encoding="utf-8")


def stand_in(source: Path, compiler: Sequence[str]) -> Path:
    """Writes the program that compiles with the precompiled header; returns it.

    The header lies in a folder of its own, so that nothing else finds the copy.
    """
    header = source / "precompiled" / Path(_HEADER).name
    header.parent.mkdir()
    shutil.copyfile(source / _HEADER, header)
    script = header.with_name("compiler")
    command = [sys.executable, "-S", "-E", precompiled.__file__, str(header), *compiler]
    script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} -- "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return script


def jobs() -> int:
    """Returns how many compilations run at once: one per core, but 2 GiB of memory for each."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    try:
        listed = Path("/proc/meminfo").read_text()
        kibibytes = int(re.search(r"MemAvailable:\s+(\d+)", listed).group(1))
    except (OSError, AttributeError):
        return cores
    return max(1, min(cores, kibibytes >> 21))


def cause(log: str) -> str:
    """Returns in one sentence why a build failed, from its ``log``."""
    for pattern, sentence in _CAUSES:
        if re.search(pattern, log):
            return sentence
    for line in log.splitlines():
        if re.search(r"\berror\b", line, re.IGNORECASE):
            return line.strip()[:300]
    return "pip stopped without saying why"


def _environment(architectures: Sequence[str]) -> dict[str, str]:
    """The environment of pip and the compilers; this process's own stays as it is."""
    environment = dict(
        os.environ,
        MMCV_WITH_OPS="1",
        FORCE_CUDA="1" if architectures else "0",
        CFLAGS="-O2 -g0",
        PYTHONUNBUFFERED="1",
        # torch looks for ninja on the path, and the environment's folder need not be there.
        PATH=os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath))),
    )
    environment.setdefault("MAX_JOBS", str(jobs()))
    if architectures:
        environment["TORCH_CUDA_ARCH_LIST"] = ";".join(architectures)
        # Libraries that torch's headers name and a small CUDA toolkit lacks; the toolkit's own come
        # first.
        packaged = Path(sysconfig.get_path("purelib"), "nvidia").glob("cu*/include")
        folders = [os.environ.get("CPATH", ""), *map(str, packaged)]
        environment["CPATH"] = os.pathsep.join(filter(None, folders))
    else:
        # mmcv compiles CUDA operators wherever torch sees a GPU.
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return environment


def _pip(
    log: TextIO,
    *arguments: str,
    environment: Mapping[str, str],
    on_line: Callable[[str], None] = lambda line: None,
) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    log.write(f"$ {shlex.join(command)}\n")
    # A group of its own: interrupted, pip and every compiler below it end together.
    running = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        for line in running.stdout:
            log.write(line)
            log.flush()
            on_line(line)
        code = running.wait()
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        running.stdout.close()
    if code:
        text = Path(log.name).read_text(encoding="utf-8")
        last = "\n".join(f"  | {line}" for line in text.strip().splitlines()[-8:])
        raise BuildError(f"{cause(text)}\n{last}\n  all of it: {log.name}")


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Shows ninja's [n/N] lines: one line that changes on a terminal, a line per minute elsewhere.

    The remaining time follows from the files after the first, which made the precompiled header
    too.
    """
    started = shown = time.monotonic()
    first: tuple[int, float] | None = None
    terminal = sys.stdout.isatty()

    def on_line(line: str) -> None:
        nonlocal shown, first
        match = re.match(r"\s*\[(\d+)/(\d+)\]", line)
        if not match:
            return
        done, total, now = int(match[1]), int(match[2]), time.monotonic()
        first = first or (done, now)
        if not terminal and now - shown < 60:
            return
        shown = now
        text = f"  {done} of {total} files, {_minutes(now - started)}"
        if done > first[0]:
            left = (now - first[1]) / (done - first[0]) * (total - done)
            text += f", about {_minutes(left)} left"
        print(f"\r{text:<60}" if terminal else text, end="" if terminal else "\n", flush=True)

    try:
        yield on_line
    finally:
        if terminal and shown != started:
            print()


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"
