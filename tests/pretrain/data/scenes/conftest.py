"""One small set of scenes for all of these tests; none of them changes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pretrain.data.scenes import write_scenes


@pytest.fixture(scope="package")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 images of 96 px and 3 sequences, seed 3."""
    folder = tmp_path_factory.mktemp("scenes") / "set"
    return write_scenes(folder, 70, size=96, seed=3, sequences=3)
