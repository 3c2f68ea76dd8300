"""Normal maps: what their values mean, and errors that say what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.data import NormalFolder
from benchmarks.data.normals import normals_of


def test_values_by_hand() -> None:
    values = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [128, 128, 255]]], np.uint8)
    normals = normals_of(values)
    third = 3**-0.5
    np.testing.assert_allclose(
        normals[0, :3], [[0] * 3, [third] * 3, [third, -third, -third]], rtol=1e-6
    )
    tilt = np.array([1 / 255, 1 / 255, 1])
    np.testing.assert_allclose(normals[0, 3], tilt / np.linalg.norm(tilt), rtol=1e-6)


def test_unit_length_and_unknown_pixels(toy_normals: NormalFolder) -> None:
    image, normals = toy_normals.val.load(0)
    assert image.shape == normals.shape == (40, 48, 3) and normals.dtype == np.float32
    known = toy_normals.val.counts(normals)
    np.testing.assert_allclose(np.linalg.norm(normals[known], axis=-1), 1, rtol=1e-6)
    assert not normals[~known].any() and 0.8 < known.mean() < 0.97
    batch = next(toy_normals.train.batches((20, 24), 3))
    assert batch.masks.shape == (3, 20, 24, 3)


@pytest.mark.parametrize(
    ("values", "suffix", "message"),
    [
        (np.full((4, 4), 3, np.uint8), ".png", "of mode L; a normal map must be 8-bit RGB"),
        (np.full((4, 5, 3), 3, np.uint8), ".png", "is 5x4 pixels, its image"),
        (np.zeros((4, 4, 3), np.uint8), ".png", "no normal is known: all maps of the val part"),
    ],
)
def test_mistakes_are_named(values: np.ndarray, suffix: str, message: str, tmp_path: Path) -> None:
    for number, part in enumerate(("train", "val")):
        (tmp_path / part).mkdir()
        shade = np.full((4, 4, 3), 40 * number + 9, np.uint8)
        Image.fromarray(shade).save(tmp_path / part / "a_img.png")
        Image.fromarray(shade).save(tmp_path / part / "a_norm.png")
    Image.fromarray(values).save(tmp_path / "val" / f"a_norm{suffix}")
    with pytest.raises(ValueError, match=message):
        NormalFolder(tmp_path, images="{split}/*_img.png", normals="{split}/*_norm.png")
    with pytest.raises(ValueError, match=r"needs images= and normals=; missing \['normals'\]"):
        NormalFolder(tmp_path, images="{split}/*_img.png")
