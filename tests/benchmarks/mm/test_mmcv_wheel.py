"""Which mmcv is there and what is done about it. Nothing is compiled, and pip is not called."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.mm import mmcv_build, mmcv_wheel
from benchmarks.mm.mmcv_build import BuildError

TAG = "torch2.14.cpu"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """An environment with nothing but torch 2.14.1; called, it holds an mmcv as well."""
    folder = tmp_path / "site"
    monkeypatch.setattr(sys, "path", [str(folder)])
    for name in [name for name in sys.modules if name.split(".")[0] == "mmcv"]:
        monkeypatch.delitem(sys.modules, name)

    def package(
        name: str,
        version: str,
        *,
        module: str = "mmcv",
        operators: bool = True,
        record: bool = True,
    ) -> Path:
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (folder / module).mkdir(exist_ok=True)
        (folder / module / "__init__.py").touch()
        if operators:
            (folder / module / "_ext.cpython-311.so").touch()
        if record:
            (info / "RECORD").write_text(f"{module}/__init__.py,,\n")
        return folder

    package("torch", "2.14.1+cu130", module="torch", operators=False)
    return package


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list]:
    """A machine without GPU and with an empty cache, on which compiling and installing is only
    noted.
    """
    done: dict[str, list] = {"built": [], "installed": [], "failing": [], "unloadable": []}
    monkeypatch.setenv("PIXELPRETEXT_WHEELS", str(tmp_path / "wheels"))
    for name in ("PIXELPRETEXT_NO_BUILD", "PIXELPRETEXT_CUDA", "TORCH_CUDA_ARCH_LIST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(mmcv_wheel, "architectures", lambda: ())
    monkeypatch.setattr(mmcv_wheel, "_gpus", lambda: ())

    def build(target: Path, *, tag: str, architectures: tuple[str, ...], log: Path) -> Path:
        done["built"].append(tag)
        if tag in done["failing"]:
            log.write_text("words")
            raise BuildError(f"no {tag}")
        return wheel(target, tag)

    def install(path: Path) -> None:
        if path.name in done["unloadable"]:
            done["unloadable"].remove(path.name)
            raise BuildError(f"{path} does not load")
        done["installed"].append(path)

    monkeypatch.setattr(mmcv_build, "build", build)
    monkeypatch.setattr(mmcv_wheel, "_install", install)
    return done


def wheel(folder: Path, tag: str, *members: str) -> Path:
    """Writes a wheel of mmcv for this Python and machine."""
    python = mmcv_wheel._PYTHON
    machine = mmcv_wheel.platform.machine()
    name = f"mmcv-2.1.0+{tag}-{python}-{python}{sys.abiflags}-linux_{machine}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        for member in members or ("mmcv/__init__.py", "mmcv/_ext.so"):
            archive.writestr(member, b"x" * 1000)
    return folder / name


def test_tag_names_torch_and_device(
    site: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mmcv_wheel.build_tag() == "torch2.14.cpu"
    assert mmcv_wheel.build_tag(("8.0", "9.0")) == "torch2.14.cuda80.90"
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(
        BuildError, match="torch, which is not installed: bash tools/setup.sh transfer"
    ):
        mmcv_wheel.build_tag()


@pytest.mark.parametrize(
    ("package", "problem"),
    [
        (None, "mmcv is not installed"),
        (dict(name="mmcv", version="2.1.0+torch2.14.cpu"), ""),
        (dict(name="mmcv", version="2.1.0+torch2.14.cuda80.90"), ""),
        (
            dict(name="mmcv", version="2.1.0+torch2.1.cpu"),
            "compiled for torch2.1.cpu, the installed torch is 2.14.1",
        ),
        (dict(name="mmcv", version="2.1.0+torch2.14.cpu", record=False), "was interrupted"),
        (dict(name="mmcv", version="2.2.0"), ""),
        (dict(name="onedl-mmcv", version="2.3.1"), ""),
        (dict(name="mmcv", version="1.7.2"), "mmcv 1.7.2 is installed"),
        (dict(name="mmcv", version="2.1.0", operators=False), "without compiled operators"),
        (dict(name="mmcv-lite", version="2.1.0", operators=False), "without compiled operators"),
    ],
)
def test_what_is_installed(site: Callable[..., Path], package: dict | None, problem: str) -> None:
    if package:
        site(**package)
    said = mmcv_wheel.unusable(mmcv_wheel.installed())
    assert problem in said if problem else said == ""


def test_files_that_no_package_owns_are_an_installation_cut_off(site: Callable[..., Path]) -> None:
    for path in (
        site("mmcv", "2.1.0+torch2.14.cpu") / "mmcv-2.1.0+torch2.14.cpu.dist-info"
    ).iterdir():
        path.unlink()
    (path.parent).rmdir()
    assert "interrupted" in mmcv_wheel.unusable(mmcv_wheel.installed())


def test_cache_gives_what_fits_and_deletes_what_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    good = wheel(tmp_path, TAG)
    wheel(tmp_path, "torch2.13.cpu")
    assert mmcv_wheel.cached_wheel(tmp_path, TAG) == good
    assert (
        mmcv_wheel.cached_wheel(tmp_path, "torch2.14.cuda90") is None
        and capsys.readouterr().out == ""
    )
    data = bytearray(good.read_bytes())
    data[500] ^= 1  # within a member: only its checksum tells
    for damaged in (bytes(data), bytes(data[:700]), b""):
        good.write_bytes(damaged)
        assert mmcv_wheel.cached_wheel(tmp_path, TAG) is None and not good.exists()
        assert "is damaged" in capsys.readouterr().out
    wheel(tmp_path, TAG, "mmcv/__init__.py")
    assert mmcv_wheel.cached_wheel(tmp_path, TAG) is None  # without operators


def test_first_compiles_then_takes_the_cache(
    site: Callable[..., Path], machine: dict[str, list]
) -> None:
    assert "compiled for torch2.14.cpu, kept as" in mmcv_wheel.ensure()
    assert "from the wheel cache" in mmcv_wheel.ensure()
    assert machine["built"] == [TAG] and len(machine["installed"]) == 2
    assert "compiled" in mmcv_wheel.ensure(rebuild=True) and machine["built"] == [TAG, TAG]


@pytest.mark.parametrize("version", ["2.1.0+torch2.14.cpu", "2.1.0+torch2.14.cuda90", "2.2.0"])
def test_what_serves_stays(
    site: Callable[..., Path], machine: dict[str, list], version: str
) -> None:
    site("mmcv", version)
    assert mmcv_wheel.ensure() == "" and machine["built"] == machine["installed"] == []


def test_mmcv_from_elsewhere_that_does_not_serve_is_not_touched(
    site: Callable[..., Path], machine: dict[str, list]
) -> None:
    site("mmcv-lite", "2.1.0", operators=False)
    with pytest.raises(
        BuildError, match="without compiled operators; .* pip uninstall mmcv mmcv-lite, then"
    ):
        mmcv_wheel.ensure()
    assert machine["installed"] == []


def test_ours_for_another_torch_is_replaced(
    site: Callable[..., Path], machine: dict[str, list]
) -> None:
    site("mmcv", "2.1.0+torch2.13.cpu")
    assert "compiled for torch2.14.cpu" in mmcv_wheel.ensure()


def test_a_wheel_that_does_not_load_is_made_anew(
    site: Callable[..., Path],
    machine: dict[str, list],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    machine["unloadable"].append(wheel(tmp_path / "wheels", TAG).name)
    assert "compiled" in mmcv_wheel.ensure() and machine["built"] == [TAG]
    assert "does not load\nBuilding the wheel again." in capsys.readouterr().out


def test_nothing_is_compiled_when_that_is_forbidden(
    site: Callable[..., Path],
    machine: dict[str, list],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIXELPRETEXT_NO_BUILD", "1")
    with pytest.raises(
        BuildError, match="PIXELPRETEXT_NO_BUILD is set, and .*wheels has no wheel for cp3.*cpu"
    ):
        mmcv_wheel.ensure()
    wheel(tmp_path / "wheels", TAG)
    assert "from the wheel cache" in mmcv_wheel.ensure() and machine["built"] == []


def test_cache_that_cannot_be_written(
    site: Callable[..., Path],
    machine: dict[str, list],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    (tmp_path / "wheels").write_text("a file in the place of the folder")
    assert "compiled for torch2.14.cpu, not kept" in mmcv_wheel.ensure()
    assert "cannot be written: the wheel is not kept" in capsys.readouterr().out
    assert len(machine["installed"]) == 1 and not machine["installed"][0].exists()


def test_cuda_that_cannot_be_compiled_gives_way_once(
    site: Callable[..., Path],
    machine: dict[str, list],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(mmcv_wheel, "architectures", lambda: ("9.0",))
    machine["failing"] += ["torch2.14.cuda90", TAG]
    with pytest.raises(BuildError, match="no torch2.14.cpu"):
        mmcv_wheel.ensure()
    machine["failing"].remove(TAG)
    machine["built"].clear()
    for _ in range(2):  # both failed before, so CUDA is tried again, but not a third time
        mmcv_wheel.ensure()
    assert (
        machine["built"] == ["torch2.14.cuda90", TAG]
        and len(list((tmp_path / "wheels").glob("*cuda90*.log"))) == 1
    )
    machine["failing"].clear()
    assert "compiled for torch2.14.cuda90" in mmcv_wheel.ensure(rebuild=True)


def test_another_gpu_wants_another_wheel(
    site: Callable[..., Path], machine: dict[str, list], monkeypatch: pytest.MonkeyPatch
) -> None:
    site("mmcv", "2.1.0+torch2.14.cuda80.90")
    monkeypatch.setattr(mmcv_wheel, "architectures", lambda: ("9.0",))
    assert mmcv_wheel.ensure() == ""
    monkeypatch.setattr(mmcv_wheel, "architectures", lambda: ("12.0",))
    assert "compiled for torch2.14.cuda120" in mmcv_wheel.ensure()


def test_architectures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, answer in (("nvcc", ""), ("nvidia-smi", "printf '9.0\\n9.0\\n8.0\\n'")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{answer}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(mmcv_wheel, "_torch_has_cuda", lambda: True)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    for name in ("PIXELPRETEXT_CUDA", "TORCH_CUDA_ARCH_LIST"):
        monkeypatch.delenv(name, raising=False)
    assert mmcv_wheel.architectures() == ("8.0", "9.0")
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "9.0+PTX")
    assert mmcv_wheel.architectures() == ("9.0",)
    monkeypatch.setenv("PIXELPRETEXT_CUDA", "0")
    assert mmcv_wheel.architectures() == ()
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST")
    monkeypatch.setenv("PIXELPRETEXT_CUDA", "1")
    assert mmcv_wheel.architectures() == mmcv_wheel.DEFAULT_ARCHITECTURES
    monkeypatch.delenv("PIXELPRETEXT_CUDA")
    assert mmcv_wheel.architectures() == ()
    monkeypatch.setattr(mmcv_wheel, "_torch_has_cuda", lambda: False)
    monkeypatch.setenv("PIXELPRETEXT_CUDA", "1")
    assert mmcv_wheel.architectures() == ()


def test_two_processes_do_not_compile_at_once(
    site: Callable[..., Path],
    machine: dict[str, list],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / ".lock").touch()
    holder = subprocess.Popen(
        ["flock", str(tmp_path / "wheels" / ".lock"), "sh", "-c", "echo locked; sleep 1"],
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout.readline() == b"locked\n"
        mmcv_wheel.ensure()
        # The lock is free when its holder's files are closed, a moment before its end can be seen.
        assert holder.wait() == 0
    assert "Another process is compiling mmcv: waiting" in capsys.readouterr().out


def test_command_line(
    site: Callable[..., Path],
    machine: dict[str, list],
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mmcv_wheel.signal, "signal", lambda *_: None)
    assert (
        mmcv_wheel.install(quiet=False, check=True, rebuild=False) == 1 and machine["built"] == []
    )
    assert capsys.readouterr().err == "Transfer cannot be used: mmcv is not installed\n"
    machine["failing"].append(TAG)
    assert (
        mmcv_wheel.install(quiet=False, check=False, rebuild=False) == 1
        and capsys.readouterr().err == f"Transfer cannot be used: no {TAG}\n"
    )
    site("mmcv", "2.2.0")
    assert (
        mmcv_wheel.install(quiet=False, check=False, rebuild=False) == 0
        and capsys.readouterr().out == "mmcv 2.2.0 is installed.\n"
    )
    assert (
        mmcv_wheel.install(quiet=True, check=False, rebuild=False) == 0
        and capsys.readouterr().out == ""
    )
