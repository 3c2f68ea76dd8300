"""An mmcv that is newer than mmdet and mmsegmentation accept."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from benchmarks.transfer import libraries


@pytest.mark.parametrize(("version", "shown", "told"), [("2.2.0", "2.1.0", True), ("2.1.0", "2.1.0", False)])
def test_it_is_let_through_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch, version: str, shown: str, told: bool
) -> None:
    mmcv = ModuleType("mmcv")
    mmcv.__version__ = version
    monkeypatch.setitem(sys.modules, "mmcv", mmcv)
    said = libraries._accept_newer_mmcv()
    assert mmcv.__version__ == shown and bool(said) == told
    assert not told or said == "mmcv 2.2.0 says it is 2.1.0 to mmdet and mmsegmentation"
