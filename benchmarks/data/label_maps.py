"""Reading one label map: raw values of a mask or a depth map, whatever the file is, and what is
wrong with them.

Nothing here needs a data set: :func:`check_label_map` looks at a single file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from pretrain.data.decode import MAX_PIXELS, DecodeError, open_image, probe

IGNORE = -1  # the label of pixels that count nowhere, in every mask the readers hand out

UNKNOWN = -2  # a raw value that the layout does not know: an error when met
MOST_CLASSES = 32_767  # that the int16 of labels can tell apart
RAW_VALUES = 65_536  # 0 up to here: raw values that can be a class or ignored
#: Files that hold a label map, lower case. JPEG changes values and GIF renumbers them, so these
#: are none.
ENDINGS = (".png", ".tif", ".tiff", ".bmp", ".pgm", ".pfm", ".npy")
#: Pillow's, of one channel; P: palette indices.
MASK_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "F")
DEPTH_MODES = ("L", "I", "I;16", "I;16B", "I;16L", "F")
_GAP = rb"(?:\s|#[^\n]*\n)+"
_PGM = re.compile(rb"P5" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)\s")


def read_raw(path: Path, *, word: str = "mask", modes: Collection[str] = MASK_MODES) -> np.ndarray:
    """Reads the raw values of one channel, of a palette image its indices.

    Args:
        path: One of ``ENDINGS``.
        word: What the file is called in messages.
        modes: Pillow's modes that are accepted.

    Returns:
        (h, w) bool, integers or floats as the file has them.

    Raises:
        ValueError: not readable, several channels, or too large; names the file.
    """
    data = path.read_bytes()
    try:
        if path.suffix.lower() == ".npy":
            return _one_channel(np.load(io.BytesIO(data), allow_pickle=False))
        grey = _read_pgm(data)
        return _read_image(data, word, modes) if grey is None else grey
    except _Unsuitable as error:
        raise ValueError(f"{path} {error}") from error
    except MemoryError as error:
        raise MemoryError(f"{path}: not enough memory to read this {word}") from error
    # numpy's and our own; DecodeError is a ValueError.
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"{path}: not readable as a {word} ({str(error) or type(error).__name__})"
        ) from error


def class_numbers(path: Path, table: np.ndarray, *, advice: str) -> np.ndarray:
    """Reads a mask as classes.

    Args:
        path: The file.
        table: (65536,) int16, raw value -> class, ``IGNORE`` or ``UNKNOWN``.
        advice: What to do about unknown values, as the end of a sentence; ``{values}`` in it is
            replaced by the values of this mask that are not ignored, separated by commas.

    Returns:
        (h, w) int16 classes or ``IGNORE``.

    Raises:
        ValueError: as :func:`read_raw`; fractions; values that the table does not know; names the
            file.
    """
    raw = read_raw(path)
    if raw.dtype.kind == "f":
        whole = raw.astype(np.int64) if np.isfinite(raw).all() else None
        if whole is None or (whole != raw).any():
            raise ValueError(
                f"{path} holds fractions or NaN; a mask must hold whole class numbers: convert "
                "it first"
            )
        raw = whole
    # Nothing to look for outside the table.
    known = raw.dtype.kind in "bu" and raw.dtype.itemsize <= 2
    raw = raw.astype(np.uint8) if raw.dtype.kind == "b" else raw
    inside = raw if known else np.clip(raw, 0, RAW_VALUES - 1)
    labels = table[inside]
    if not known:
        labels[inside != raw] = UNKNOWN
    if (labels == UNKNOWN).any():
        values = np.unique(raw[labels == UNKNOWN])[:5].tolist()
        classes = len(np.unique(table[table >= 0]))
        raise ValueError(
            f"{path} holds the values {values}, which are neither a class (there are {classes}) "
            "nor ignored; " + advice.replace("{values}", _listed(raw[labels != IGNORE]))
        )
    return labels


def check_label_map(
    path: Path,
    *,
    values: Collection[int],
    image: Path | None = None,
    advice: str = "convert the mask first",
) -> None:
    """Reads one mask of class numbers as evaluation does, and says what is wrong with it.

    Args:
        path: The mask.
        values: The raw values that it may hold, those that are ignored among them.
        image: The image that it belongs to; None: its size is not compared.
        advice: As for :func:`class_numbers`.

    Raises:
        ValueError: not readable, colours, other values, or another size than the image (upright);
            names the file.
    """
    labels = class_numbers(path, value_table(tuple(values)), advice=advice)
    if image is None:
        return
    try:
        size = probe(image.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{image}: {error}") from error
    check_size(labels, path, size=size, image=image)


def check_size(
    labels: np.ndarray, path: Path, *, size: tuple[int, int], image: Path, cure: str = ""
) -> None:
    """Compares the size of a label map (h, w, …) with ``size`` (H, W) of its upright image.

    Raises:
        ValueError: they differ; names both files.
    """
    if labels.shape[:2] != tuple(size):
        raise ValueError(
            f"{path} is {labels.shape[1]}x{labels.shape[0]} pixels, its image {image} (upright) is "
            f"{size[1]}x{size[0]}; a label map must have its image's size{cure}"
        )


def value_table(
    values: tuple[int, ...],
    ignore: tuple[int, ...] = (),
    *,
    classes: tuple[int, ...] = (),
    keep_ignored: bool = False,
) -> np.ndarray:
    """Raw value -> class, (65536,) int16: position in ``values``, ``IGNORE`` or ``UNKNOWN``.

    Args:
        values: Raw values of classes 0, 1, …
        ignore: Raw values that count nowhere.
        classes: The class of each of ``values`` where it is not its position.
        keep_ignored: Make one more class, the last, of the ignored values.
    """
    numbers = classes or tuple(range(len(values)))
    table = np.full(RAW_VALUES, UNKNOWN, np.int16)
    table[list(ignore)] = max(numbers, default=-1) + 1 if keep_ignored else IGNORE
    table[list(values)] = numbers
    return table


class _Unsuitable(Exception):
    """A file that is readable, but holds what a label map may not; continues the sentence that
    names the file.
    """


def _read_image(data: bytes, word: str, modes: Collection[str]) -> np.ndarray:
    image = open_image(data)
    if image.mode not in modes:
        raise _Unsuitable(
            f"is a {image.mode} image; a {word} must be one channel of numbers, not colours: "
            "convert it first"
        )
    return np.array(image)


def _one_channel(array: np.ndarray) -> np.ndarray:
    """The content of a .npy file without axes of length 1 around (h, w)."""
    outer = (0, 2) if array.ndim == 3 else ()
    flat = array.squeeze(tuple(axis for axis in outer if array.shape[axis] == 1))
    if flat.ndim != 2 or flat.dtype.kind not in "buif":
        raise _Unsuitable(
            f"holds {array.shape} values of {array.dtype}; expected are (height, width) numbers"
        )
    _require_pixels(flat.shape[1], flat.shape[0])
    return flat


def _require_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _Unsuitable(
            f"has {width} x {height} pixels, more than the limit of {MAX_PIXELS:,}; scale it down"
        )


def _read_pgm(data: bytes) -> np.ndarray | None:
    """(h, w) values of a binary PGM file, None for others: Pillow stretches them to 8 or 16 bit."""
    header = _PGM.match(data)
    if header is None:
        return None
    width, height, largest = map(int, header.groups())
    dtype = np.dtype(">u2" if largest > 255 else "u1")
    _require_pixels(width, height)
    pixels = data[header.end() : header.end() + width * height * dtype.itemsize]
    if len(pixels) < width * height * dtype.itemsize:
        raise ValueError("the file is truncated")
    return np.frombuffer(pixels, dtype).reshape(height, width).astype(dtype.newbyteorder("="))


def _listed(raw: np.ndarray, most: int = 16) -> str:
    values = np.unique(raw)[: most + 1].tolist()
    return ",".join(map(str, values[:most])) + (",…" if len(values) > most else "")
