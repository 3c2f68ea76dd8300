"""A toy set in the layout of VOC, and presets of its own size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pretrain.places import configs

TRAIN, VAL = 3, 2
COLOURS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], np.uint8)


@pytest.fixture(scope="session")
def toy_voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of VOC 2012 with 3 images in ``trainaug`` and 2 in ``val``, of 48 × 64 pixels in the
    colours of 3 classes, some pixels 255.
    """
    root, rng = tmp_path_factory.mktemp("toy_voc"), np.random.default_rng(0)
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationClassAug"):
        (root / folder).mkdir()
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for part, count in (("trainaug", TRAIN), ("val", VAL)):
        names = [f"{part}_{index}" for index in range(count)]
        (lists / f"{part}.txt").write_text("\n".join(names) + "\n")
        folder = "SegmentationClassAug" if part == "trainaug" else "SegmentationClass"
        for name in names:
            mask = np.kron(rng.integers(0, 3, (3, 4)), np.ones((16, 16), np.int64))
            image = COLOURS[mask] + rng.integers(-40, 55, (*mask.shape, 3))
            mask[rng.random(mask.shape) < 0.1] = 255
            Image.fromarray(image.astype(np.uint8)).save(root / "JPEGImages" / f"{name}.jpg")
            Image.fromarray(mask.astype(np.uint8)).save(root / folder / f"{name}.png")
    return root


@pytest.fixture
def write_preset(tmp_path: Path) -> Callable[..., str]:
    """Returns ``write_preset(text, base)``: writes a preset that builds on one of ours, and returns
    the path of its file.
    """

    def write(text: str, *, base: str = "hummingbird-voc", name: str = "toy") -> str:
        path = tmp_path / f"{name}.py"
        start = f"_base_ = {str(configs() / 'presets' / f'{base}.py')!r}\n" if base else ""
        path.write_text(start + text)
        return str(path)

    return write


@pytest.fixture
def toy_preset(write_preset: Callable[..., str]) -> str:
    """``hummingbird-voc`` with the counts of the toy set, small images and one published row."""
    return write_preset(
        f"""
counts = dict(train_images=({TRAIN}, "ours"), val_images=({VAL}, "ours"))
input = dict(size=(dict(by_stride={{16: (64, 64), 8: (64, 64)}}), "ours", "nothing"))
train = dict(memory_size=(None, "ours", "nothing"))
score = dict(compat=(("blue-std-0.255",), "ours", "nothing"))
published = [
    dict(model="toy", metric="mIoU", value="50.0", source="ours", kind="authors"),
    dict(model="toy", metric="mIoU", value="200", source="ours", kind="authors"),
]
"""
    )
