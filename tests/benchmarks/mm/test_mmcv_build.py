"""Compiling mmcv: what is changed in the source, the compiler's stand-in, progress and failures.
pip is a stand-in.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.mm import mmcv_build, precompiled
from benchmarks.mm.mmcv_build import BuildError

SETUP = "flags = ['-std=c++17']\nnvcc = ['-std=c++17']\nsetup(name='mmcv', version=get_version())\n"
# "download" leaves a source release, "wheel" notes its environment, says what PIP_SAYS holds and
# leaves a wheel.
PIP = """#!{python}
import os, sys, tarfile, time, zipfile
from pathlib import Path
words = sys.argv[1:]
if "download" in words:
    source = Path(words[words.index("-d") + 1], "mmcv-2.1.0")
    header = source / "mmcv/ops/csrc/common/pytorch_cpp_helper.hpp"
    header.parent.mkdir(parents=True)
    header.write_text("#include <vector>\\n")
    (source / "setup.py").write_text({setup!r})
    with tarfile.open(f"{{source}}.tar.gz", "w:gz") as archive:
        archive.add(source, source.name)
    absent = "ERROR: No matching distribution found for mmcv==2.1.0"
    sys.exit(absent if os.environ.get("PIP_SAYS") == "none" else 0)
notes = ["FORCE_CUDA", "CXX", "CFLAGS", "MAX_JOBS", "CUDA_VISIBLE_DEVICES"]
notes += ["TORCH_CUDA_ARCH_LIST", "MMCV_CUDA_ARGS"]
lines = [f"{{n}}={{os.environ.get(n)}}" for n in notes]
Path({notes!r}).write_text("\\n".join(lines) + "\\n" + str(os.getpid()))
print(os.environ.get("PIP_SAYS", "  [1/2] c++\\n  [2/2] c++"), flush=True)
if "PIP_SAYS" in os.environ:
    time.sleep(float(os.environ.get("PIP_SLEEPS", 0)))
    sys.exit(1)
version = Path(words[-1], "setup.py").read_text().split("'+")[1].split("'")[0]
folder = Path(words[words.index("-w") + 1])
with zipfile.ZipFile(folder / f"mmcv-2.1.0+{{version}}-cp1-cp1-x.whl", "w") as wheel:
    wheel.writestr("mmcv/_ext.so", b"")
"""


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts a stand-in for pip in place; returns the file with the environment of `pip wheel`."""
    notes = tmp_path / "notes"
    script = tmp_path / "python"
    script.write_text(PIP.format(python=sys.executable, setup=SETUP, notes=str(notes)))
    script.chmod(0o755)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(mmcv_build.tempfile, "tempdir", str(tmp_path / "scratch"))
    for name in (
        "CXX",
        "PIP_SAYS",
        "TORCH_CUDA_ARCH_LIST",
        "CUDA_VISIBLE_DEVICES",
        "MMCV_CUDA_ARGS",
        "MAX_JOBS",
    ):
        monkeypatch.delenv(name, raising=False)
    return notes


def test_wheel_is_all_that_is_left(pip: Path, tmp_path: Path) -> None:
    before = dict(os.environ)
    log = tmp_path / "mmcv.log"
    (tmp_path / "wheels").mkdir()
    wheel = mmcv_build.build(tmp_path / "wheels", tag="torch2.14.cpu", architectures=(), log=log)
    assert (
        wheel == tmp_path / "wheels/mmcv-2.1.0+torch2.14.cpu-cp1-cp1-x.whl"
        and wheel.stat().st_size > 0
    )
    assert list((tmp_path / "wheels").iterdir()) == [wheel] and not log.exists()
    assert list((tmp_path / "scratch").iterdir()) == [] and dict(os.environ) == before
    seen = dict(line.split("=", 1) for line in pip.read_text().splitlines() if "=" in line)
    assert (
        seen["FORCE_CUDA"] == "0"
        and seen["CUDA_VISIBLE_DEVICES"] == ""
        and seen["CFLAGS"] == "-O2 -g0"
    )
    assert seen["CXX"].endswith("precompiled/compiler") and int(seen["MAX_JOBS"]) >= 1


def test_cuda_is_asked_for_by_the_environment_alone(pip: Path, tmp_path: Path) -> None:
    mmcv_build.build(
        tmp_path, tag="torch2.14.cuda80.90", architectures=("8.0", "9.0"), log=tmp_path / "log"
    )
    seen = dict(line.split("=", 1) for line in pip.read_text().splitlines() if "=" in line)
    assert seen["FORCE_CUDA"] == "1" and seen["TORCH_CUDA_ARCH_LIST"] == "8.0;9.0"
    assert seen["CUDA_VISIBLE_DEVICES"] == "None" == seen["MMCV_CUDA_ARGS"]


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("g++: fatal error: Killed signal terminated program cc1plus", "MAX_JOBS=1"),
        ("error: could not write: No space left on device", "the disk is full"),
        ("  a.cpp:1:10: fatal error: Python.h: No such file or directory", "python3-dev"),
        ("WARNING: Retrying after connection broken by 'NewConnectionError'", "no network"),
        ("none", "PIP_INDEX_URL"),
        (
            "  noise\n  a.cpp:7:1: error: 'at' does not name a type\n  more",
            "a.cpp:7:1: error: 'at' does not name",
        ),
        ("nothing of use", "without saying why"),
    ],
)
def test_failure_is_told_by_its_cause(
    pip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, words: str
) -> None:
    monkeypatch.setenv("PIP_SAYS", says)
    log = tmp_path / "mmcv.log"
    with pytest.raises(BuildError) as caught:
        mmcv_build.build(tmp_path / "wheels", tag="t", architectures=(), log=log)
    first, *rest = str(caught.value).splitlines()
    assert (
        words in first
        and rest[-1] == f"  all of it: {log}"
        and log.read_text().splitlines()[-1] in rest[-2]
    )
    assert not (tmp_path / "wheels").exists() and list((tmp_path / "scratch").iterdir()) == []


def test_interruption_ends_the_compilers_and_leaves_no_log(
    pip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_SAYS", "[1/9] c++")
    monkeypatch.setenv("PIP_SLEEPS", "100000")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mmcv_build, "print", interrupt, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(KeyboardInterrupt):
        mmcv_build.build(tmp_path, tag="t", architectures=(), log=tmp_path / "mmcv.log")
    assert not (tmp_path / "mmcv.log").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pip.read_text().splitlines()[-1]), 0)


def test_patch(tmp_path: Path) -> None:
    setup = tmp_path / "setup.py"
    setup.write_text(SETUP)
    mmcv_build.patch(tmp_path, "torch2.14.cpu")
    assert setup.read_text().count("-std=c++20") == 2 and "c++17" not in setup.read_text()
    assert "version=get_version() + '+torch2.14.cpu')" in setup.read_text()
    with pytest.raises(BuildError, match="has no '-std=c[+][+]17'"):
        mmcv_build.patch(tmp_path, "torch2.14.cpu")


def test_compiler_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler -m64")
    with pytest.raises(
        BuildError, match="CXX=no-such-compiler -m64: no-such-compiler is not a program"
    ):
        mmcv_build.find_compiler()
    monkeypatch.delenv("CXX")
    with pytest.raises(BuildError, match="no C[+][+] compiler: install g[+][+]"):
        mmcv_build.find_compiler()


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Always."""
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_progress(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    shown = Terminal() if terminal else io.StringIO()
    clock = iter([0.0, 40.0, 60.0, 119.0, 125.0, 130.0])
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(mmcv_build.time, "monotonic", lambda: next(clock))
    with mmcv_build._progress() as on_line:
        for line in (
            "  running build_ext",
            "  [1/6] c++",
            "  [2/6] c++",
            "[3/6] c++",
            "[4/6] c++",
            "[6/6] c++",
        ):
            on_line(line)
    lines = [
        line.strip() for line in shown.getvalue().replace("\r", "\n").split("\n") if line.strip()
    ]
    second = "2 of 6 files, 1:00 min, about 1:20 min left"  # 20 s for one file
    if terminal:
        assert len(lines) == 5 and shown.getvalue().count("\n") == 1
        assert lines[:2] == ["1 of 6 files, 0:40 min", second] and lines[-1].endswith(
            "2:10 min, about 0:00 min left"
        )
    else:
        assert lines == [second, "4 of 6 files, 2:05 min, about 0:56 min left"]


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """The compiler's stand-in for a source folder with a small header, and two files that include
    it.
    """
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    header = tmp_path / "mmcv/ops/csrc/common/pytorch_cpp_helper.hpp"
    header.parent.mkdir(parents=True)
    header.write_text(
        "#pragma once\n#include <cstddef>\ninline std::size_t twice(std::size_t n) { return N * "
        "n; }\n"
    )
    for name in ("a", "b"):
        (tmp_path / f"{name}.cpp").write_text(
            f'#include "{header}"\nstd::size_t {name}() {{ return twice(sizeof(int)); }}\n'
        )
    return mmcv_build.stand_in(tmp_path, ["g++", "-O0"])


def test_header_is_precompiled_once_and_used(stand_in: Path, tmp_path: Path) -> None:
    copy = stand_in.with_name("pytorch_cpp_helper.hpp.gch")
    times = []
    for name in ("a", "b"):
        target = tmp_path / f"{name}.o"
        words = [
            "-MMD",
            "-MF",
            f"{target}.d",
            "-DN=2",
            "-H",
            "-c",
            str(tmp_path / f"{name}.cpp"),
            "-o",
            str(target),
        ]
        done = subprocess.run([str(stand_in), *words], capture_output=True, text=True)
        assert done.returncode == 0 and f"! {copy}" in done.stderr, (
            done.stderr
        )  # "!": g++ read the copy
        assert target.is_file()
        times.append(copy.stat().st_mtime_ns)
    assert times[0] == times[1]
    other = [
        str(stand_in),
        "-DN=3",
        "-H",
        "-c",
        str(tmp_path / "a.cpp"),
        "-o",
        str(tmp_path / "c.o"),
    ]
    done = subprocess.run(other, capture_output=True, text=True)
    assert (
        done.returncode == 0 and "not used because" in done.stderr
    )  # -Winvalid-pch: no silent slowness


def test_other_uses_of_the_compiler_and_a_header_that_fails(stand_in: Path, tmp_path: Path) -> None:
    assert (
        "g++" in subprocess.run([str(stand_in), "--version"], capture_output=True, text=True).stdout
    )
    assert not stand_in.with_name("pytorch_cpp_helper.hpp.gch").exists()
    stand_in.with_name("pytorch_cpp_helper.hpp").write_text(
        "#ifdef N\n#else\nno C++\n#endif\n#define N 2\n"
    )
    compiler = tmp_path / "cxx"
    compiler.write_text('#!/bin/sh\ncase "$*" in *c++-header*) exit 1 ;; esac\nexec g++ "$@"\n')
    compiler.chmod(0o755)
    header = stand_in.with_name("pytorch_cpp_helper.hpp")
    words = ["-DN=2", "-c", str(tmp_path / "a.cpp"), "-o", str(tmp_path / "a.o")]
    for _ in range(2):
        command = precompiled.command(header, [str(compiler)], words)
        assert command == [str(compiler), *words]
    assert subprocess.run(command).returncode == 0 and (tmp_path / "a.o").is_file()


def test_flags_that_decide_on_the_header() -> None:
    words = ["-MMD", "-MF", "x.o.d", "-Iinclude", "-fPIC", "-c", "x.cpp", "-o", "x.o", "-std=c++20"]
    assert precompiled.header_flags(words, "x.cpp") == ["-Iinclude", "-fPIC", "-std=c++20"]
