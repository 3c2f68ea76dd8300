"""Compiles the operators of feature upsampling into the wheel where that is possible; all else is
in pyproject.toml.
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

PACKAGE = Path("heads", "upsamplers")


def builder() -> ModuleType:
    """heads/upsamplers/build.py, loaded by its path: the project is not importable while it is
    being installed.
    """
    path = Path(__file__).resolve().parent / PACKAGE / "build.py"
    spec = importlib.util.spec_from_file_location("operators_build", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildWithOperators(build_py):
    """Adds the compiled libraries, and their sources for a machine that can compile them only
    later.
    """

    def run(self) -> None:
        """Never fails because of the operators: without them plain torch computes the same."""
        super().run()
        build, target = builder(), Path(self.build_lib) / PACKAGE
        failures = {device: build.attempt(device) for device in build.devices()}
        self.libraries = [
            build.built(device)[0] for device, failure in failures.items() if not failure
        ]
        for failure in filter(None, failures.values()):
            print(failure, file=sys.stderr)
        if self.editable_mode:
            return
        for name in ("csrc", "compiled"):  # an earlier build's
            shutil.rmtree(target / name, ignore_errors=True)
        shutil.copytree("csrc", target / "csrc")
        for library in self.libraries:
            (target / "compiled").mkdir(exist_ok=True)
            shutil.copy2(library, target / "compiled")


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


setup(cmdclass={"build_py": BuildWithOperators, "bdist_wheel": PlatformWheel})
