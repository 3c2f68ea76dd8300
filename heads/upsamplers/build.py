"""Compiles csrc/ into one small library per device, which serves every torch from 2.11 on (its
stable ABI).

Needs the C++ compiler (``$CXX``, else c++, g++ or clang++) and, for CUDA, nvcc (``$CUDA_HOME/bin``,
the path or /usr/local/cuda) and a CUDA build of torch. torch is not imported, only its headers are
read, so this file also works while a package is being installed. PIXELPRETEXT_NO_BUILD=1 builds
nothing, PIXELPRETEXT_CUDA=1 builds for CUDA without a GPU, 0 never does.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parents[1]
# An installed package carries a copy, so that it can be compiled where torch came later.
SOURCES = _CHECKOUT / "csrc" if (_CHECKOUT / "setup.py").is_file() else _PACKAGE / "csrc"
LIBRARIES = _PACKAGE / "compiled"
COMMAND = (
    "python tools/build_operators.py"
    if SOURCES.parent == _CHECKOUT
    else "pixelpretext build-operators"
)
# torch 2.11: the oldest whose libraries must satisfy ours
_STABLE = "-DTORCH_TARGET_VERSION=0x020b000000000000"
ARCHITECTURES = ("80", "90")


class BuildError(RuntimeError):
    """A library could not be built; the message is one sentence, the compiler's own words are in a
    file it names.
    """


def built(device: str) -> tuple[Path | None, str]:
    """Returns the library of ``device`` (cpu, cuda) for these sources, or None and the reason."""
    wanted = _library(device)
    if wanted.is_file():
        return wanted, ""
    return None, "built from other sources" if any(
        LIBRARIES.glob(f"{device}-*.so")
    ) else "not built"


def devices() -> list[str]:
    """The devices to build for on this machine: the CPU, and CUDA (a minute) where there is a GPU
    or it is asked for.

    Empty with PIXELPRETEXT_NO_BUILD=1.
    """
    if os.environ.get("PIXELPRETEXT_NO_BUILD", "0") not in ("", "0"):
        return []
    asked = os.environ.get("PIXELPRETEXT_CUDA", "")
    return ["cpu", "cuda"] if asked not in ("", "0") or (not asked and _has_gpu()) else ["cpu"]


def build(device: str, *, force: bool = False) -> Path:
    """Compiles the library of ``device`` unless it is there; returns its path. 10 s for the CPU, a
    minute for CUDA.

    Raises:
        BuildError: no sources, no compiler, no torch headers, or a compiler's error.
    """
    target = _library(device)
    if target.is_file() and not force:
        return target
    if not any((SOURCES / device).glob("*.c*")):
        raise BuildError(f"{SOURCES / device} holds no sources")
    command = cpu_command(target) if device == "cpu" else cuda_command(target)
    try:
        _compile(device, command, target)
    except OSError as error:
        raise BuildError(
            f"{command[0]} cannot be run or {LIBRARIES} not be written to: {error}"
        ) from None
    for old in LIBRARIES.glob(f"{device}-*.so"):
        if old != target:
            old.unlink(missing_ok=True)
    return target


def attempt(device: str, *, force: bool = False) -> str:
    """As :func:`build`, but returns "" or one sentence on why it failed."""
    try:
        build(device, force=force)
    except BuildError as error:
        return (
            f"The {device} operators of feature upsampling were not compiled, torch's own do it "
            f"more slowly: {error}"
        )
    return ""


def cpu_command(target: Path) -> list[str]:
    """The command that compiles the CPU library; instruction sets are chosen at run time, so it
    runs on any machine.
    """
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None:
        raise BuildError("no C++ compiler found: install g++ or clang++, or name one in CXX")
    torch = _torch()
    found_later = [
        "-undefined",
        "dynamic_lookup",
    ]  # macOS finds symbols in what is loaded by then, Linux by name
    return [
        *compiler.split(),
        "-O3",
        "-std=c++20",
        "-fPIC",
        "-shared",
        "-fvisibility=hidden",
        "-Wall",
        "-Wno-psabi",
        "-ffp-contract=fast",
        _STABLE,
        f"-I{SOURCES}",
        f"-isystem{torch / 'include'}",
        *map(str, sorted((SOURCES / "cpu").glob("*.cpp"))),
        "-o",
        str(target),
        *(found_later if sys.platform == "darwin" else [f"-L{torch / 'lib'}", "-ltorch_cpu"]),
    ]


def cuda_command(target: Path, architectures: Sequence[str] = ARCHITECTURES) -> list[str]:
    """The command that compiles the CUDA library for ``architectures``, with PTX of the newest for
    later cards.
    """
    folders = os.pathsep.join(
        (os.environ.get("CUDA_HOME", "") + "/bin", os.environ.get("PATH", os.defpath))
    )
    nvcc = shutil.which("nvcc", path=f"{folders}{os.pathsep}/usr/local/cuda/bin")
    if nvcc is None:
        raise BuildError(
            "no nvcc found: install the CUDA toolkit of torch's version, or set CUDA_HOME"
        )
    torch = _torch()
    if not re.search(r"^cuda\b.*= ['\"]", (torch / "version.py").read_text(), re.MULTILINE):
        raise BuildError("the installed torch is a CPU build: install one for CUDA")
    codes = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures]
    codes.append(f"-gencode=arch=compute_{architectures[-1]},code=compute_{architectures[-1]}")
    packaged = sorted(
        (torch.parent / "nvidia").glob("cu*/include")
    )  # headers that came with torch's libraries
    return [
        nvcc,
        "--threads=0",
        "-O3",
        "-std=c++20",
        "--shared",
        "-Xcompiler=-fPIC,-fvisibility=hidden",
        "--expt-relaxed-constexpr",
        *codes,
        "-DUSE_CUDA",
        _STABLE,
        f"-I{SOURCES}",
        f"-I{torch / 'include'}",
        *(f"-I{p}" for p in packaged),
        *map(str, sorted((SOURCES / "cuda").glob("*.cu"))),
        "-o",
        str(target),
        f"-L{torch / 'lib'}",
        "-ltorch_cpu",
        "-ltorch_cuda",
    ]


def build_all(*, cuda: bool, force: bool, quiet: bool) -> int:
    """Builds what this machine can use and prints what came of it; returns 0, or 1 if something
    could not be built.

    Args:
        cuda: for CUDA as well, also where no GPU is seen.
        force: compile also what is already there.
        quiet: print only what was compiled or went wrong.
    """
    wanted = devices()
    if cuda and "cpu" in wanted and "cuda" not in wanted:
        wanted.append("cuda")
    if not wanted and not quiet:
        print("PIXELPRETEXT_NO_BUILD is set: nothing is compiled.")
    failures = 0
    for device in wanted:
        if built(device)[0] is None or force:
            print(f"Compiling the {device} operators of feature upsampling …", flush=True)
        failure = attempt(device, force=force)
        failures += bool(failure)
        if failure or not quiet:
            print(failure or f"{device}: {_library(device)}", flush=True)
    return 1 if failures else 0


def _compile(device: str, command: list[str], target: Path) -> None:
    """Runs the command; the library appears under its name only when it is whole."""
    LIBRARIES.mkdir(exist_ok=True)
    partial, log = target.with_suffix(f".{os.getpid()}.part"), LIBRARIES / f"{device}.log"
    command = [str(partial) if word == str(target) else word for word in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            log.write_text(f"{' '.join(command)}\n{done.stderr}")
            errors = [line for line in done.stderr.splitlines() if "error" in line]
            raise BuildError(f"{(errors or ['the compiler failed'])[0]} (all it said: {log})")
        os.replace(partial, target)
        log.unlink(missing_ok=True)
    finally:
        partial.unlink(missing_ok=True)


def _library(device: str) -> Path:
    """Where the library goes: its name tells the sources, the machine and this file's flags."""
    digest = hashlib.sha256(platform.machine().encode() + Path(__file__).read_bytes())
    for file in sorted(
        [*SOURCES.glob("*.h"), *(p for p in (SOURCES / device).rglob("*") if p.is_file())]
    ):
        digest.update(file.relative_to(SOURCES).as_posix().encode() + file.read_bytes())
    return LIBRARIES / f"{device}-{digest.hexdigest()[:16]}.so"


def _torch() -> Path:
    """The installed torch's folder, found without importing it.

    Inside pip's isolated build this process sees pip's own folders only; the interpreter started
    without them sees what the user installed.
    """
    found = importlib.util.find_spec("torch")
    if found is not None:
        origin = found.origin
    else:
        find = (
            "import importlib.util as u; found = u.find_spec('torch'); print(found.origin if "
            "found else '')"
        )
        command = [sys.executable, "-E", "-c", find]
        origin = subprocess.run(
            command, capture_output=True, text=True, cwd=sys.prefix
        ).stdout.strip()
    if not origin or not (Path(origin).parent / "include/torch/csrc/stable/library.h").is_file():
        raise BuildError("torch 2.11 or newer is not installed: its headers are needed")
    return Path(origin).parent


def _has_gpu() -> bool:
    listing = shutil.which("nvidia-smi") and subprocess.run(
        ["nvidia-smi", "-L"], capture_output=True, text=True
    )
    return bool(listing) and listing.returncode == 0 and "GPU" in listing.stdout
