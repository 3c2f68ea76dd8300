"""The contact sheet, the speeds and what corruptions share: sizes, lengths, bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks.data.loading import centre_crop
from benchmarks.robustness import speed
from benchmarks.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt, generator
from benchmarks.robustness.pixels import (
    as_bytes,
    as_float,
    drawing_size,
    length_scale,
    reduce_to,
)
from benchmarks.robustness.sheet import contact_sheet, write_sheet
from pretrain.data.decode import decode_file


@pytest.fixture
def photo(tmp_path: Path, picture: Callable[..., np.ndarray]) -> Path:
    Image.fromarray(picture(40, 60, 1)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_row_per_corruption_and_a_column_per_severity(photo: Path, tmp_path: Path) -> None:
    sheet = contact_sheet(photo, 32, shown=32, seed=5)
    rows = np.array(sheet)
    square = contact_sheet(photo, 32, shown=32, seed=6)
    assert sheet.size == square.size and (np.array(square) != rows).any()  # noise is drawn by seed
    step = 32 + 3
    assert sheet.size[0] >= (1 + len(SEVERITIES)) * step
    assert sheet.size[1] >= len(CORRUPTIONS) * step
    write_sheet(sheet, tmp_path / "sheet.png")
    assert (np.array(Image.open(tmp_path / "sheet.png")) == rows).all()


def test_the_sheet_shows_the_square_and_its_corruptions(photo: Path) -> None:
    pixels = np.array(contact_sheet(photo, 32, shown=32, seed=0))
    square = centre_crop(decode_file(photo), 32, 1.0)
    row = list(CORRUPTIONS).index("contrast")
    top = pixels.shape[0] - (len(CORRUPTIONS) - row) * (32 + 3)
    for column in (0, 3):  # the original and severity 3
        left = pixels.shape[1] - (6 - column) * (32 + 3)
        expected = square
        if column:
            draws = generator(0, "photo.png", "contrast", column)
            expected = corrupt(square, "contrast", column, draws)
        assert (pixels[top : top + 32, left : left + 32] == expected).all()


def test_speeds_are_images_per_second_of_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of which each corruption takes a quarter of a second."""
    clock = iter(np.arange(0, 10_000, 0.25))
    monkeypatch.setattr(speed.time, "thread_time", lambda: float(next(clock)))
    monkeypatch.setattr(speed, "corrupt", lambda *arguments: None)
    steps: list[tuple[str, int, int]] = []
    threads = cv2.getNumThreads()
    speeds = speed.images_per_cpu_second(8, repeats=2, progress=lambda *step: steps.append(step))
    assert list(speeds) == list(CORRUPTIONS) and set(speeds.values()) == {4.0}
    assert steps[0] == ("corruptions", 1, 15) and steps[-1] == ("corruptions", 15, 15)
    assert cv2.getNumThreads() == threads


def test_bytes_and_floats() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (as_bytes(as_float(every)) == every).all() and as_float(every).dtype == np.float32
    assert as_bytes(np.array([-1.0, 0.4 / 255, 0.6 / 255, 2.0])).tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize(
    ("shape", "size", "scale"),
    [
        ((224, 300, 3), (224, 300), 1.0),
        ((448, 448, 3), (448, 448), 2.0),
        ((112, 224, 3), (224, 448), 1.0),  # drawn at twice the size, reduced afterwards
        ((56, 896, 3), (64, 1024), 64 / 224),  # a strip: no longer than 1024
    ],
)
def test_textures_of_small_images_are_drawn_larger(
    shape: tuple[int, ...], size: tuple[int, int], scale: float
) -> None:
    drawn, factor = drawing_size(shape)
    assert drawn == size and factor == pytest.approx(scale)
    assert length_scale(shape) == min(shape[:2]) / 224
    texture = np.ones(drawn, np.float32)
    assert reduce_to(texture, shape).shape == shape[:2]


def test_a_texture_of_the_right_size_is_itself() -> None:
    texture = np.zeros((5, 7), np.float32)
    assert reduce_to(texture, (5, 7, 3)) is texture
    blocks = np.kron(np.array([[0.0, 1.0]], np.float32), np.ones((4, 4), np.float32))
    assert reduce_to(blocks, (2, 2)).tolist() == [[0, 1], [0, 1]]
