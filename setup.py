"""Puts configs and, where possible, compiled operators into the wheel; all else is in
pyproject.toml.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

UPSAMPLERS = Path("heads", "upsamplers")
CONFIGS = Path("pretrain", "configs")  # in the wheel; at the top level of a checkout
LAYERS = ("transfer", "slurm", "ray", "tune", "hdf5", "test")


def requirements(layer: str) -> list[str]:
    """Lines of requirements/LAYER.txt; those of the layer below (``-r``) left out."""
    lines = Path("requirements", f"{layer}.txt").read_text(encoding="utf-8").splitlines()
    stripped = (line.partition("#")[0].strip() for line in lines)
    return [line for line in stripped if line and not line.startswith("-r ")]


def builder() -> ModuleType:
    """heads/upsamplers/build.py, loaded by its path: the project is not importable while it is
    being installed.
    """
    path = Path(__file__).resolve().parent / UPSAMPLERS / "build.py"
    spec = importlib.util.spec_from_file_location("operators_build", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def replace_folder(source: Path, target: Path) -> None:
    """Copies a folder in the place of an earlier build's."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))


class BuildPackages(build_py):
    """Adds the configs, the compiled operators, and their sources for a machine that can compile
    them only later.
    """

    def run(self) -> None:
        """Never fails because of the operators: without them plain torch computes the same."""
        super().run()
        build, packages = builder(), Path(self.build_lib)
        failures = {device: build.attempt(device) for device in build.devices()}
        self.libraries = [
            build.built(device)[0] for device, failure in failures.items() if not failure
        ]
        for failure in filter(None, failures.values()):
            print(failure, file=sys.stderr)
        if self.editable_mode:
            return
        replace_folder(Path("configs"), packages / CONFIGS)
        replace_folder(Path("csrc"), packages / UPSAMPLERS / "csrc")
        compiled = packages / UPSAMPLERS / "compiled"
        shutil.rmtree(compiled, ignore_errors=True)
        for library in self.libraries:
            compiled.mkdir(exist_ok=True)
            shutil.copy2(library, compiled)


class PlatformWheel(bdist_wheel):
    """A wheel with a library serves one platform and every Python, one without serves all."""

    def run(self) -> None:
        """Builds first, because only then it is known what the wheel holds."""
        self.run_command("build")
        if self.get_finalized_command("build_py").libraries:
            self.root_is_pure = False
            self.distribution.has_ext_modules = lambda: (
                True
            )  # so that files go where platform-specific ones belong
        super().run()

    def get_tag(self) -> tuple[str, str, str]:
        """The library uses torch's stable ABI and nothing of Python's."""
        tag = super().get_tag()
        return tag if self.root_is_pure else ("py3", "none", tag[2])


setup(
    cmdclass={"build_py": BuildPackages, "bdist_wheel": PlatformWheel},
    extras_require={layer: requirements(layer) for layer in LAYERS},
)
