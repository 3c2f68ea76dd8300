"""Pages whose code runs: ``test_adding_x.py`` gets ``docs/adding_x.md`` by the fixture ``page``."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


class Page:
    """A page that shows how something is added.

    Attributes:
        text: all of it.
        blocks: path of a file, named in the block's first line -> Python code of the block.
        files: paths in the table of files that are to be written or changed.
    """

    def __init__(self, name: str) -> None:
        self.text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        self.blocks = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", self.text, re.DOTALL))
        self.files: list[str] = re.findall(r"^\| ([\w./]+/[\w./]+)", self.text, re.MULTILINE)
        self.loaded: list[str] = []

    def load(self, path: str, within: ModuleType | None = None) -> ModuleType:
        """Runs a block as the module that its file would be.

        Args:
            path: of the block.
            within: a module that the block is a part of; its names are known to the block.
        """
        module = ModuleType(path.removesuffix(".py").replace("/", "."))
        if within is not None:
            module = ModuleType(f"{module.__name__} on a page")
            known = {name: value for name, value in vars(within).items() if name[:2] != "__"}
            module.__dict__.update(known)
        sys.modules[module.__name__] = module  # typing and imports of other blocks look there
        self.loaded.append(module.__name__)
        exec(compile(self.blocks[path], path, "exec"), module.__dict__)
        return module

    def tests(self, path: str) -> dict[str, Callable[..., None]]:
        """The test functions of a block by name."""
        found = vars(self.load(path)).items()
        return {name: value for name, value in found if name.startswith("test_")}


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page that the test's file is named after; its modules are forgotten after the test."""
    loaded = Page(Path(request.path).stem.removeprefix("test_"))
    yield loaded
    for name in loaded.loaded:
        sys.modules.pop(name, None)
