"""Reading, resizing and caching of evaluation images: each file is decoded once, on a few threads,
in order.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from pretrain.threads import usable_cores

In = TypeVar("In")
Out = TypeVar("Out")

# Resized sets up to this size stay in memory, so that the second network evaluated on them decodes
# nothing.
CACHE_BYTES = 1 << 30


# Images are cut before they are enlarged where the enlarged whole would have more pixels than this
# (50 MB).
_MOST_PIXELS = 1 << 24


def resize_image(
    image: np.ndarray, size: tuple[int, int], resample: Image.Resampling = Image.Resampling.BILINEAR
) -> np.ndarray:
    """Resizes (h, w, 3) uint8 to ``size`` (H, W), aspect ratio not kept, with antialiasing
    (Pillow's).
    """
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], resample))


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes (h, w, …) labels to ``size`` (H, W): pixel i takes the label under its own centre,
    (i + 0.5) · h / H.
    """
    if mask.shape[:2] == tuple(size):
        return mask
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for old, new in zip(mask.shape[:2], size, strict=True)
    )
    return mask[rows[:, None], columns[None, :]]


def centre_crop(
    image: np.ndarray,
    size: int,
    fraction: float,
    *,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> np.ndarray:
    """Shorter side to ``size / fraction`` pixels (rounded), then the central ``size`` x ``size``;
    (h, w, 3) uint8.

    Of a very long and narrow image (``_MOST_PIXELS``) only what the square shows is resized: the
    same square, but for a rounding of single grey levels.
    """
    height, width = image.shape[:2]
    short = max(size, round(size / fraction))
    scale = short / min(height, width)
    new = max(short, round(height * scale)), max(short, round(width * scale))
    top, left = (new[0] - size) // 2, (new[1] - size) // 2
    if new[0] * new[1] > _MOST_PIXELS:
        part = top, left, top + size, left + size
        return _resized_part(image, new, part=part, resample=resample)
    image = resize_image(image, new, resample)
    return image[top : top + size, left : left + size]


def _resized_part(
    image: np.ndarray,
    size: tuple[int, int],
    *,
    part: tuple[int, int, int, int],
    resample: Image.Resampling,
) -> np.ndarray:
    """What :func:`resize_image` to ``size`` (H, W) shows in ``part`` (top, left, bottom, right),
    without the rest.
    """
    top, left, bottom, right = part
    # Pixels of the image per new pixel.
    rows, columns = image.shape[0] / size[0], image.shape[1] / size[1]
    # Few pixels of the image are cut out first: Pillow's box has the precision of float32, coarse
    # in a long image.
    reach = 4  # of the widest filter, in pixels of the coarser of both grids
    first_row = max(0, int(top * rows - reach * max(1, rows)))
    first_column = max(0, int(left * columns - reach * max(1, columns)))
    last_row = min(image.shape[0], int(bottom * rows + reach * max(1, rows)) + 1)
    last_column = min(image.shape[1], int(right * columns + reach * max(1, columns)) + 1)
    near = np.ascontiguousarray(image[first_row:last_row, first_column:last_column])
    box = (
        left * columns - first_column,
        top * rows - first_row,
        min(right * columns - first_column, near.shape[1]),
        min(bottom * rows - first_row, near.shape[0]),
    )
    return np.asarray(Image.fromarray(near).resize((right - left, bottom - top), resample, box=box))


_waited = 0.0


def waited_seconds() -> float:
    """Seconds that this process has waited for images so far, a clock to be read twice: where it
    runs fast, the cores that decode are too few for the device that encodes.
    """
    return _waited


def ordered_map(function: Callable[[In], Out], items: Iterable[In], ahead: int) -> Iterator[Out]:
    """``map`` on threads, results in order, at most ``ahead`` of them waiting (decoding releases
    Python's lock, and a device encodes meanwhile).
    """
    with ThreadPoolExecutor(min(8, usable_cores())) as pool:
        waiting: deque = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield _first_of(waiting)
            while waiting:
                yield _first_of(waiting)
        finally:
            for future in waiting:
                future.cancel()


def _first_of(waiting: deque[Future[Out]]) -> Out:
    """Takes the next result, and adds what that took to :func:`waited_seconds`."""
    global _waited
    start = time.perf_counter()
    try:
        return waiting.popleft().result()
    finally:
        _waited += time.perf_counter() - start


def sample_keys(images: int, seed: int) -> Iterator[tuple[int, int]]:
    """Yields (epoch, image) of training samples without end: a permutation of the images per
    epoch.
    """
    for epoch in count():
        for image in np.random.default_rng([seed, 3, epoch]).permutation(images):
            yield epoch, int(image)


def fingerprint(rows: Iterable[tuple[str, ...]]) -> str:
    """Content key of a data set: first 12 hex digits of SHA-256 over its rows (names and file
    sizes, no paths above the root), so that a moved copy keeps its protocol hash and a changed one
    does not.
    """
    text = "\n".join("\t".join(row) for row in rows)
    # names that are not UTF-8 give their own bytes back, as the file system has them
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def file_size(path: Path) -> str:
    """Bytes of a file, as text."""
    return str(path.stat().st_size)
