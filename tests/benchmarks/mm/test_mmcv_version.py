"""An mmcv that is newer than mmdet and mmsegmentation accept."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.mm import libraries


@pytest.mark.parametrize(
    ("version", "shown", "told"), [("2.2.0", "2.1.0", True), ("2.1.0", "2.1.0", False)]
)
def test_it_is_let_through_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch, version: str, shown: str, told: bool
) -> None:
    mmcv = ModuleType("mmcv")
    mmcv.__version__ = version
    monkeypatch.setitem(sys.modules, "mmcv", mmcv)
    said = libraries._accept_newer_mmcv()
    assert mmcv.__version__ == shown and bool(said) == told
    assert not told or said == "mmcv 2.2.0 is presented to mmdet and mmsegmentation as 2.1.0"


def test_records_tell_the_installed_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed = dict(mmcv="2.2.0", mmdet="3.3.0", mmsegmentation="1.2.2")
    for name, version in installed.items():
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    mmcv = ModuleType("mmcv")
    mmcv.__version__ = "2.2.0"
    monkeypatch.setitem(sys.modules, "mmcv", mmcv)
    libraries._accept_newer_mmcv()
    assert mmcv.__version__ == "2.1.0"
    assert libraries.versions() == dict(mmcv="2.2.0", mmdet="3.3.0", mmseg="1.2.2")
