"""Installing the project with pip, with and without a compiler: the same numbers. Nothing is
downloaded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from heads.upsamplers import build

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = """
import sys, warnings
warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as told:
    import torch
    from heads.upsamplers import library
    from heads.upsamplers.jbu import JBUStack
    torch.manual_seed(0)
    stack = JBUStack(20, factor=4).eval()
    image, features = torch.randn(2, 3, 32, 40), torch.randn(2, 20, 8, 10, requires_grad=True)
    out = stack.upsample(image, features, (32, 40))
    out.square().mean().backward()
gradients = {name: p.grad for name, p in stack.named_parameters()}
told = [str(w.message) for w in told if "compiled operators" in str(w.message)]
torch.save(dict(out=out.detach(), features=features.grad, **gradients), sys.argv[1])
print(library.__file__, *told, sep="\\n")
"""


def install(project: Path, folder: Path, **environment: str) -> Path:
    """Makes a venv that sees this Python's packages and installs the project into it; returns its
    site-packages.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "beside.pth").write_text(sysconfig.get_path("purelib"))
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        folder / "bin" / "python",
        "install",
        "--no-deps",
        "--no-index",
    ]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--verbose", project]
    keep = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("PIXELPRETEXT_", "PYTHONPATH", "CXX", "PIP_"))
    }
    done = subprocess.run(command, capture_output=True, text=True, env=keep | environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "log").write_text(done.stdout + done.stderr)
    return packages


def numbers(folder: Path, packages: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Runs ``NUMBERS`` outside the checkout; returns the tensors and the warnings about compiled
    operators.
    """
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("PIXELPRETEXT_", "PYTHONPATH"))
    }
    command = [folder / "bin" / "python", "-c", NUMBERS, folder / "numbers.pt"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    module, *told = done.stdout.splitlines()
    assert Path(module).is_relative_to(packages), f"{module}: not the installed package"
    return torch.load(folder / "numbers.pt", weights_only=True), told


def test_without_a_compiler_the_numbers_are_the_same(
    tmp_path: Path, copy_project: Callable[..., Path]
) -> None:
    if build.built("cpu")[0] is None:
        pytest.skip("no compiled operators to compare with: python tools/build_operators.py")
    (tmp_path / "empty").mkdir()
    (tmp_path / "without").mkdir()
    (tmp_path / "with").mkdir()
    without = install(
        copy_project(tmp_path / "without", "compiled"),
        tmp_path / "newcomer",
        PATH=str(tmp_path / "empty"),
    )
    compiled = install(
        copy_project(tmp_path / "with"), tmp_path / "builder"
    )  # takes the library that is built already
    log = (tmp_path / "newcomer" / "log").read_text()
    assert "not compiled, torch's own do it more slowly: no C++ compiler found" in log
    for packages, tag in ((without, "Tag: py3-none-any"), (compiled, "Tag: py3-none-")):
        assert tag in next(packages.glob("pixelpretext-*.dist-info/WHEEL")).read_text()
    assert [p.name for p in (compiled / "heads/upsamplers/compiled").glob("*.so")] == [
        build.built("cpu")[0].name
    ]
    ours, told = numbers(tmp_path / "newcomer", without)
    expected, silent = numbers(tmp_path / "builder", compiled)
    assert len(told) == 1 and "pixelpretext build-operators" in told[0] and silent == []
    for name, tensor in expected.items():
        assert (ours[name] - tensor).abs().max() <= 1e-5 * tensor.abs().max(), name


def test_build_can_be_switched_off_and_an_old_one_is_not_taken_along(
    tmp_path: Path, copy_project: Callable[..., Path]
) -> None:
    project = copy_project(tmp_path)
    stale = project / "build/lib/heads/upsamplers/compiled/cpu-0.so"
    stale.parent.mkdir(parents=True)
    stale.touch()
    packages = install(project, tmp_path / "venv", PIXELPRETEXT_NO_BUILD="1")
    assert not (packages / "heads/upsamplers/compiled").exists()
    sources = packages / "heads/upsamplers/csrc"
    found = {
        path.relative_to(sources): path.read_bytes()
        for path in sources.rglob("*")
        if path.is_file()
    }
    csrc = ROOT / "csrc"
    assert found == {
        path.relative_to(csrc): path.read_bytes() for path in csrc.rglob("*") if path.is_file()
    }
