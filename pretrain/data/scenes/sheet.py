"""One picture that shows what a data set looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pretrain.files import atomic_path


def write_sheet(scenes: str | Path, path: str | Path, *, count: int = 24, columns: int = 8) -> None:
    """Puts the first ``count`` training images of a written data set side by side into a PNG.

    Args:
        scenes: folder of the data set.
        path: the PNG to write; 256 colours, which keeps the sheet of 24 images of 96 px below 200
            kB.
        count: number of images; fewer are shown if the set has fewer.
        columns: images per row.
    """
    files = sorted((Path(scenes) / "images" / "train").glob("*.jpg"))[:count]
    images = [np.asarray(Image.open(file)) for file in files]
    size = images[0].shape[0]
    images += [np.full_like(images[0], 255)] * (-len(images) % columns)
    rows = np.stack(images).reshape(-1, columns, size, size, 3)
    sheet = rows.transpose(0, 2, 1, 3, 4).reshape(-1, columns * size, 3)
    with atomic_path(path) as temporary:
        picture = Image.fromarray(sheet).quantize(256, dither=Image.Dither.NONE)
        picture.save(temporary, optimize=True)
