"""Class folders whose classes differ in hue, small enough for a few seconds of training."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def split_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder ``{train,val}/{blue,green,red}/<name>.jpg``: 8 and 4 images a class; read-only by
    convention.
    """
    root = tmp_path_factory.mktemp("split_folder")
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 4)):
        for channel, name in enumerate(("blue", "green", "red")):
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                image = rng.integers(0, 96, (40, 48, 3), dtype=np.uint8)
                image[..., channel] += 128
                assert cv2.imwrite(
                    str(root / part / name / f"{name}_{index}.jpg"),
                    cv2.GaussianBlur(image, (0, 0), 2),
                )
    return root
