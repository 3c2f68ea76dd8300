"""mmcv with operators in the environment: what is there, what this machine wants, the wheel cache,
the installation.

mmcv's last release that mmdet and mmsegmentation accept is source only. It is compiled once per
Python and torch (:mod:`benchmarks.mm.mmcv_build`), the wheel is kept in the user's cache folder and
installed from there. Standard library alone and torch not imported: ``tools/environment.sh`` asks
at every start.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from benchmarks.mm.mmcv_build import VERSION, BuildError
from pretrain.places import how_to_install

COMMAND = how_to_install("transfer")
# PIXELPRETEXT_CUDA=1 without a GPU, as for the operators of feature upsampling.
DEFAULT_ARCHITECTURES = ("8.0", "9.0")
_PYTHON = f"cp{sys.version_info.major}{sys.version_info.minor}"
_DISTRIBUTIONS = ("mmcv", "mmcv-lite", "mmcv-full", "onedl-mmcv")
_LOAD = """
import glob, importlib.util, torch
folder, *_ = importlib.util.find_spec("mmcv").submodule_search_locations
library = glob.glob(folder + "/_ext*.so")[0]
importlib.util.module_from_spec(importlib.util.spec_from_file_location("_ext", library))
"""


@dataclass(frozen=True)
class Installed:
    """The mmcv of this environment.

    Attributes:
        version: as its metadata tell it; empty if it has none.
        tag: what ours was compiled for, such as ``torch2.14.cpu``; empty for an mmcv from
            elsewhere.
        operators: the compiled library, None if there is none.
        complete: False if its installation was cut off.
    """

    version: str
    tag: str
    operators: Path | None
    complete: bool

    @property
    def architectures(self) -> set[str]:
        """The CUDA architectures of an mmcv of ours, such as ``{"90"}``."""
        return set(self.tag.partition(".cuda")[2].split(".")) - {""}


def installed() -> Installed | None:
    """Looks for mmcv without importing it; None if there is none."""
    spec = util.find_spec("mmcv")
    if spec is None or not spec.submodule_search_locations:
        return None
    library = None
    for folder in map(Path, spec.submodule_search_locations):
        for path in (*folder.glob("_ext*.so"), *folder.glob("_ext*.pyd")):
            library = library or path
    for name in _DISTRIBUTIONS:
        with suppress(metadata.PackageNotFoundError):
            package = metadata.distribution(name)
            tag = package.version.partition("+")[2]
            ours = tag if tag.startswith("torch") else ""
            # pip writes the record last.
            return Installed(package.version, ours, library, complete=bool(package.files))
    return Installed("", "", library, complete=False)


def build_tag(architectures: tuple[str, ...] = ()) -> str:
    """Returns what a wheel is tied to beside Python: ``torch2.14.cpu``, or ``torch2.14.cuda80.90``
    for 8.0 and 9.0.

    Raises:
        BuildError: no torch in this environment.
    """
    try:
        release = metadata.version("torch")
    except metadata.PackageNotFoundError:
        raise BuildError(
            f"mmcv is compiled against torch, which is not installed: {COMMAND}"
        ) from None
    device = "cuda" + ".".join(map(_digits, architectures)) if architectures else "cpu"
    return f"torch{'.'.join(release.split('.')[:2])}.{device}"


def unusable(mmcv: Installed | None) -> str:
    """Returns why ``mmcv`` does not serve transfer, "" if it does; whether it has CUDA operators
    does not matter.
    """
    if mmcv is None:
        return "mmcv is not installed"
    if not mmcv.complete:
        return "the installation of mmcv was interrupted"
    if mmcv.operators is None:
        return f"mmcv {mmcv.version} is installed without compiled operators"
    if mmcv.tag and not mmcv.tag.startswith(build_tag().removesuffix("cpu")):
        return (
            f"mmcv is compiled for {mmcv.tag}, the installed torch is {metadata.version('torch')}"
        )
    if re.match(r"[01]\.", mmcv.version):
        return f"mmcv {mmcv.version} is installed, and mmdet and mmsegmentation need 2"
    return ""


def architectures() -> tuple[str, ...]:
    """Returns the CUDA architectures to compile for, such as ``("9.0",)``: those of the GPUs that
    answer.

    Empty = for the CPU alone: no nvcc, no CUDA build of torch, no GPU, or PIXELPRETEXT_CUDA=0.
    PIXELPRETEXT_CUDA=1 asks for CUDA without a GPU as well, for ``TORCH_CUDA_ARCH_LIST`` or
    ``DEFAULT_ARCHITECTURES``.
    """
    asked = os.environ.get("PIXELPRETEXT_CUDA", "")
    folders = os.pathsep.join(
        (os.environ.get("CUDA_HOME", "") + "/bin", os.environ.get("PATH", os.defpath))
    )
    nvcc = shutil.which("nvcc", path=f"{folders}{os.pathsep}/usr/local/cuda/bin")
    if asked == "0" or nvcc is None or not _torch_has_cuda():
        return ()
    listed = tuple(re.findall(r"\d+\.\d+", os.environ.get("TORCH_CUDA_ARCH_LIST", "")))
    if asked:
        return listed or _gpus() or DEFAULT_ARCHITECTURES
    return (listed or _gpus()) if _gpus() else ()


def cache_folder() -> Path:
    """Returns where wheels are kept: ``$PIXELPRETEXT_WHEELS``, or a folder of ours in the user's
    cache folder.
    """
    if os.environ.get("PIXELPRETEXT_WHEELS"):
        return Path(os.environ["PIXELPRETEXT_WHEELS"])
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "pixelpretext", "wheels")


def cached_wheel(folder: Path, tag: str) -> Path | None:
    """Returns the wheel of this Python, machine and ``tag`` in ``folder``; a damaged one is
    deleted.
    """
    pattern = f"mmcv-{VERSION}+{tag}-{_PYTHON}-{_PYTHON}{sys.abiflags}-*_{platform.machine()}.whl"
    for wheel in sorted(folder.glob(pattern), reverse=True):
        try:
            with zipfile.ZipFile(wheel) as archive:
                names = "\n".join(archive.namelist())
                if archive.testzip() is None and "mmcv/_ext" in names:
                    return wheel
        except (OSError, zipfile.BadZipFile, EOFError):
            pass
        print(f"{wheel} is damaged and is built again.", flush=True)
        with suppress(OSError):
            wheel.unlink()
    return None


def ensure(*, rebuild: bool = False) -> str:
    """Makes sure that mmcv with operators for this Python and torch is installed.

    An mmcv from elsewhere that serves stays as it is. Where CUDA operators cannot be compiled,
    those for the CPU are taken; a log in the cache then keeps the next start from trying again.

    Args:
        rebuild: compile and install even where there is one, and try CUDA again.

    Returns:
        What was done, in a sentence; "" if nothing.

    Raises:
        BuildError: no compiler, no source, a compilation that failed, or an mmcv from elsewhere in
            the way.
    """
    mmcv = installed()
    problem = unusable(mmcv)
    if mmcv and mmcv.complete and not mmcv.tag:
        if problem:
            raise BuildError(
                f"{problem}; it is not of this project: pip uninstall mmcv mmcv-lite, then "
                f"{COMMAND}"
            )
        return ""
    folder = cache_folder()
    has = mmcv.architectures if mmcv else set()
    if not problem and not rebuild and set(map(_digits, _wanted(folder))) <= has:
        return ""
    started = time.monotonic()
    with _kept(folder) as place:
        wanted = architectures() if rebuild else _wanted(folder)
        try:
            source = _provide(place, wanted, rebuild=rebuild)
        except BuildError as error:
            if not wanted:
                raise
            print(
                f"mmcv with CUDA operators could not be installed: {error}\nUsing those for the "
                "CPU.",
                flush=True,
            )
            try:
                source = _provide(place, (), rebuild=rebuild)
            except BuildError:
                # It was not CUDA that failed.
                _log(place, build_tag(wanted)).unlink(missing_ok=True)
                raise
    return f"mmcv {VERSION} is ready after {time.monotonic() - started:.0f} s: {source}."


def _wanted(folder: Path) -> tuple[str, ...]:
    """The architectures of this machine, unless they could not be compiled before: then the log of
    it is there.
    """
    wanted = architectures()
    return () if wanted and _log(folder, build_tag(wanted)).exists() else wanted


def _provide(place: Path, wanted: tuple[str, ...], *, rebuild: bool) -> str:
    """Installs the cached wheel for ``wanted``, or compiles one into ``place``; returns where it
    came from.
    """
    tag = build_tag(wanted)
    wheel = None if rebuild else cached_wheel(cache_folder(), tag)
    if wheel is not None:
        try:
            _install(wheel)
            return f"from the wheel cache, {wheel}"
        except BuildError as error:
            print(f"{error}\nBuilding the wheel again.", flush=True)
    if os.environ.get("PIXELPRETEXT_NO_BUILD", "0") not in ("", "0"):
        raise BuildError(
            f"PIXELPRETEXT_NO_BUILD is set, and {cache_folder()} has no wheel for {_PYTHON} and "
            f"{tag}"
        )
    if not wanted and _gpus():
        print(
            "There is a GPU, but no nvcc that fits torch: operators for the CPU only, so no "
            "detection on the GPU."
        )
    wheel = _build(place, tag, wanted)
    _install(wheel)
    kept = f"kept as {wheel}" if place == cache_folder() else "not kept"
    return f"compiled for {tag}, {kept}"


def _build(place: Path, tag: str, wanted: tuple[str, ...]) -> Path:
    from benchmarks.mm import mmcv_build

    needed = "long, on few cores an hour" if wanted else "3 minutes on two idle cores"
    print(f"Compiling mmcv {VERSION} for {tag} (once; {needed}) …", flush=True)
    log = _log(place, tag)
    if place != cache_folder():
        print(
            f"{cache_folder()} cannot be written: the wheel is not kept. PIXELPRETEXT_WHEELS "
            "names another folder."
        )
        handle, name = tempfile.mkstemp(prefix="mmcv-", suffix=".log")
        os.close(handle)
        log = Path(name)
    return mmcv_build.build(place, tag=tag, architectures=wanted, log=log)


def _install(wheel: Path) -> None:
    """Installs the wheel and loads its library once, which shows whether it fits the torch that is
    here.
    """
    mmcv = installed()
    # Of an installation that was cut off pip does not know what to remove.
    replace = "--ignore-installed" if mmcv and not mmcv.complete else "--force-reinstall"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    install = [*pip, "install", "--no-deps", "--no-index", replace, str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"pip could not install {wheel}: {_last_line(done)}")
    done = subprocess.run([sys.executable, "-c", _LOAD], capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"the operators of {wheel} do not load: {_last_line(done)}")


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


def _digits(architecture: str) -> str:
    return re.sub(r"\D", "", architecture)


def _log(folder: Path, tag: str) -> Path:
    return folder / f"mmcv-{VERSION}+{tag}-{_PYTHON}.log"


def _torch_has_cuda() -> bool:
    spec = util.find_spec("torch")
    version = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    if version is None or not version.is_file():
        return False
    return bool(re.search(r"^cuda\b.*= ['\"]", version.read_text(), re.MULTILINE))


def _gpus() -> tuple[str, ...]:
    """Compute capabilities of the GPUs that answer."""
    if not shutil.which("nvidia-smi"):
        return ()
    query = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    with suppress(OSError, subprocess.TimeoutExpired):
        listed = subprocess.run(query, capture_output=True, text=True, timeout=30)
        return tuple(sorted(set(re.findall(r"^\d+\.\d+$", listed.stdout, re.MULTILINE))))
    return ()


@contextmanager
def _kept(folder: Path) -> Iterator[Path]:
    """Gives the cache, one process at a time, or a folder that vanishes if it is not writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "a")
    except OSError:
        with tempfile.TemporaryDirectory(prefix="wheels-") as scratch:
            yield Path(scratch)
        return
    with lock:
        with suppress(ImportError, OSError):  # no locks on this file system
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("Another process is compiling mmcv: waiting for it.", flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def install(*, quiet: bool, check: bool, rebuild: bool) -> int:
    """Installs mmcv with operators and prints what came of it; returns the exit code.

    Args:
        quiet: say nothing if it is installed.
        check: install nothing, say what is in the way of transfer.
        rebuild: compile it anew, whatever is installed or kept.
    """
    # So that compilers end as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        report = ensure(rebuild=rebuild) if not check else ""
        mmcv = installed()
        if check and unusable(mmcv):
            raise BuildError(unusable(mmcv))
    except (BuildError, OSError) as error:
        print(f"Transfer cannot be used: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: nothing half-made is kept.", file=sys.stderr)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)  # so that the calling shell stops too
    if report or not quiet:
        print(report or f"mmcv {mmcv.version} is installed.")
    return 0
