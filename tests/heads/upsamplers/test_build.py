"""Building the operators: what is compiled when, what is kept, and one sentence for whatever can go
wrong.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from heads.upsamplers import build

ROOT = Path(__file__).resolve().parents[3]
SOURCE = 'extern "C" int answer() { return 42; }\n'


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CXX", "CUDA_HOME", "PIXELPRETEXT_NO_BUILD", "PIXELPRETEXT_CUDA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for csrc/ and the folder of libraries."""
    (tmp_path / "csrc" / "cpu").mkdir(parents=True)
    (tmp_path / "csrc" / "cpu" / "answer.cpp").write_text(SOURCE)
    monkeypatch.setattr(build, "SOURCES", tmp_path / "csrc")
    monkeypatch.setattr(build, "LIBRARIES", tmp_path / "compiled")
    return tmp_path / "csrc"


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in that notes its calls and writes what it is asked for; ``said`` beside it makes it
    fail with that.
    """
    script = tmp_path / "compiler"
    script.write_text(
        f"#!/bin/sh\necho run >> {tmp_path}/calls\n"
        f"if [ -e {tmp_path}/said ]; then cat {tmp_path}/said >&2; exit 1; fi\n"
        'while [ "$1" != -o ]; do shift; done\necho library > "$2"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    return script


def calls(compiler: Path) -> int:
    return len((compiler.parent / "calls").read_text().splitlines())


def test_a_library_is_compiled_once_for_its_sources(sources: Path, compiler: Path) -> None:
    assert build.built("cpu") == (None, "not built")
    first = build.build("cpu")
    assert (
        build.built("cpu") == (first, "") and build.build("cpu") == first and calls(compiler) == 1
    )
    assert build.build("cpu", force=True) == first and calls(compiler) == 2
    (sources / "cpu" / "answer.cpp").write_text(SOURCE.replace("42", "43"))
    assert build.built("cpu") == (None, "built from other sources")
    second = build.build("cpu")
    assert second != first and [path.name for path in build.LIBRARIES.iterdir()] == [second.name]
    (sources / "shared.h").write_text("// headers count\n")
    assert build.built("cpu")[0] is None


def test_a_compiler_that_fails_leaves_its_words_and_no_library(
    sources: Path, compiler: Path
) -> None:
    (compiler.parent / "said").write_text(
        "answer.cpp: In function\nanswer.cpp:1:5: error: no such thing\nmore\n"
    )
    told = build.attempt("cpu")
    assert (
        "not compiled" in told
        and "answer.cpp:1:5: error: no such thing" in told
        and len(told.splitlines()) == 1
    )
    assert [path.name for path in build.LIBRARIES.iterdir()] == ["cpu.log"]
    assert (build.LIBRARIES / "cpu.log").read_text().endswith("more\n")
    (compiler.parent / "said").unlink()
    assert build.attempt("cpu") == "" and not (build.LIBRARIES / "cpu.log").exists()


def test_what_is_missing_is_told(
    sources: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no C++ compiler found: install g++" in build.attempt("cpu")
    assert f"{sources}/cuda holds no sources" in build.attempt("cuda")
    monkeypatch.setenv("CXX", "/nowhere/c++")
    assert "/nowhere/c++ cannot be run" in build.attempt("cpu")


def test_torch_that_is_missing_too_old_or_without_cuda_is_told(
    sources: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch = tmp_path / "torch"
    header = torch / "include/torch/csrc/stable/library.h"
    spec = type("Spec", (), {"origin": str(torch / "__init__.py")})
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    (sources / "cuda").mkdir()
    (sources / "cuda" / "answer.cu").write_text(SOURCE)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvcc").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "nvcc").chmod(0o755)
    assert "torch 2.11 or newer is not installed" in build.attempt("cuda")
    header.parent.mkdir(parents=True)
    header.touch()
    (torch / "version.py").write_text("__version__ = '2.14.1'\ncuda: Optional[str] = None\n")
    assert "CPU build" in build.attempt("cuda")
    (torch / "version.py").write_text(
        "__version__ = '2.14.1+cu130'\ncuda: Optional[str] = '13.0'\n"
    )
    command = build.cuda_command(tmp_path / "x.so")
    assert command[0] == str(tmp_path / "bin" / "nvcc") and command[-5:-3] == [
        "-o",
        str(tmp_path / "x.so"),
    ]
    codes = [word.split("code=")[-1] for word in command if word.startswith("-gencode")]
    assert codes == ["sm_80", "sm_90", "compute_90"]


@pytest.mark.parametrize(
    ("no_build", "cuda", "gpu", "expected"),
    [
        ("", "", False, ["cpu"]),
        ("", "", True, ["cpu", "cuda"]),
        ("", "1", False, ["cpu", "cuda"]),
        ("", "0", True, ["cpu"]),
        ("1", "1", True, []),
        ("0", "", False, ["cpu"]),
    ],
)
def test_devices(
    no_build: str, cuda: str, gpu: bool, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXELPRETEXT_NO_BUILD", no_build)
    monkeypatch.setenv("PIXELPRETEXT_CUDA", cuda)
    monkeypatch.setattr(build, "_has_gpu", lambda: gpu)
    assert build.devices() == expected


def test_command_line(
    sources: Path,
    compiler: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIXELPRETEXT_CUDA", "0")
    assert build.build_all(cuda=False, force=False, quiet=True) == 0
    assert capsys.readouterr().out == "Compiling the cpu operators of feature upsampling …\n"
    assert (
        build.build_all(cuda=False, force=False, quiet=True) == 0 and capsys.readouterr().out == ""
    )
    assert (
        build.build_all(cuda=False, force=False, quiet=False) == 0
        and capsys.readouterr().out == f"cpu: {build.built('cpu')[0]}\n"
    )
    assert (
        build.build_all(cuda=True, force=False, quiet=True) == 1
        and "holds no sources" in capsys.readouterr().out
    )
    monkeypatch.setenv("PIXELPRETEXT_NO_BUILD", "1")
    assert (
        build.build_all(cuda=True, force=False, quiet=False) == 0
        and "nothing is compiled" in capsys.readouterr().out
    )


def test_torch_is_found_where_this_process_does_not_see_it() -> None:
    """As inside pip's isolated build: -S leaves site-packages out."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from heads.upsamplers import build; "
        "print(build._torch())"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (Path(done.stdout.strip()) / "version.py").is_file()


def test_compiled_operators_can_be_refused() -> None:
    code = """
import os, sys, warnings
os.environ["PIXELPRETEXT_NO_COMPILED"] = "1"
import torch
from heads.upsamplers import library
from heads.upsamplers.operators import adaptive_conv
assert set(library.status().values()) == {"PIXELPRETEXT_NO_COMPILED is set"}, library.status()
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for _ in range(2):
        adaptive_conv(torch.rand(1, 2, 3, 3), torch.rand(1, 3, 3, 1, 1))
assert len(told) == 1
reason = "PIXELPRETEXT_NO_COMPILED is set): same results, but slower; unset it"
assert reason in str(told[0].message)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
