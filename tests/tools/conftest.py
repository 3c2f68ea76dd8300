"""Fixtures of the tests that install the project."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = (
    "setup.py",
    "MANIFEST.in",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "requirements",
    "configs",
    "csrc",
    "heads",
    "pretrain",
    "benchmarks",
)


@pytest.fixture(scope="session")
def copy_project() -> Callable[..., Path]:
    """Returns ``copy(folder, *left_out)``: copies what the package is made of, because building
    writes into its folder; returns the folder.
    """

    def copy(folder: Path, *left_out: str) -> Path:
        ignore = shutil.ignore_patterns("__pycache__", *left_out)
        for name in PROJECT:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=ignore)
            else:
                shutil.copy2(ROOT / name, folder)
        return folder

    return copy
