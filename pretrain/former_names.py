"""Modules that have moved: their former names work for one more release, with a warning."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class FormerNames(MetaPathFinder, Loader):
    """Finds a module under its former dotted name and hands out the one that it has become.

    Configs and objectives of one's own hold such names. The finder must be asked before Python's
    own: a module below a moved package would otherwise be found on the package's path and be loaded
    a second time under its former name.

    Args:
        moved: former dotted name -> present one.
    """

    def __init__(self, moved: Mapping[str, str]) -> None:
        self.moved = dict(moved)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns a spec for former names, and names below them, only."""
        return ModuleSpec(fullname, self) if self.present(fullname) else None

    def present(self, name: str) -> str:
        """Returns what a former name has become; empty for all other names."""
        parent, _, rest = name.rpartition(".")
        if name in self.moved or not parent:
            return self.moved.get(name, "")
        above = self.present(parent)
        return f"{above}.{rest}" if above else ""

    def exec_module(self, module: ModuleType) -> None:
        """Puts the present module in the place of ``module``, so that both names are one object."""
        former = module.__name__
        present = self.present(former)
        warnings.warn(
            f"{former} is now {present}; the next release drops the former name",
            FutureWarning,
            stacklevel=2,
        )
        sys.modules[former] = importlib.import_module(present)


def forward(moved: Mapping[str, str]) -> None:
    """Lets the former names of ``moved`` be imported from now on."""
    sys.meta_path.insert(0, FormerNames(moved))
