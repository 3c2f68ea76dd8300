"""Bytes of an image file -> upright 8-bit RGB pixels, or a :class:`DecodeError` that says what is
wrong.

JPEG goes through simplejpeg (libjpeg-turbo, wheels for every platform), everything else through
Pillow. Measured on 100 COCO photographs re-encoded to about 466 x 396 pixels, images per CPU
second: Pillow 1,335, OpenCV 1,693, simplejpeg 1,736; simplejpeg scaled to 1/2: 2,028, 3/8: 1,902,
1/4: 2,183, but to 5/8 only 1,382 and to 7/8 only 1,023, which is why scaling starts at a factor of
2. All three give the same bytes on sound RGB files. On damaged ones only simplejpeg's strict mode
reports all that libjpeg noticed (Pillow and OpenCV return garbled pixels for a damaged middle
part), which is why it also is the judge of what is corrupt. The price: a writer that pads inside
the picture data ("extraneous bytes before marker") cannot be told from damage.

Conventions: EXIF orientation is applied; transparent pixels are composited onto :data:`BACKGROUND`;
16-bit samples keep their high byte; CMYK follows Adobe's inverted convention; colour profiles are
ignored; of an animation the first frame is taken.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

try:
    import simplejpeg
except (
    ImportError
):  # an exotic platform without a wheel: Pillow decodes JPEG too, slower and less strict
    simplejpeg = None

#: RGB behind transparent pixels: white, which is what browsers and viewers show logos and cut-outs
#: on.
BACKGROUND = (255, 255, 255)
#: Larger decodes are refused (1 GiB of RGB is about 358 M pixels): a damaged header must not
#: exhaust the memory.
MAX_PIXELS = 2**28

T = TypeVar("T")

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112
#: libjpeg's warnings after which pixels are wrong. What else simplejpeg refuses (rare chroma
#: subsampling, odd but harmless headers) Pillow decides: it fails on every error, but ignores
#: exactly these warnings.
_DAMAGE = ("corrupt", "premature", "inconsistent progression")


class DecodeError(ValueError):
    """The bytes are no readable image; the message is the reason, without the file's name."""


def probe(data: bytes) -> tuple[int, int]:
    """Reads the size from the header: ``(height, width)`` in pixels of the upright image. About 5
    µs for a JPEG.

    A file that is damaged behind its header passes here and fails in :func:`decode`.

    Raises:
        DecodeError: empty, no image, or the header is damaged.
    """
    _require_bytes(data)
    if data.startswith(_JPEG) and simplejpeg is not None:
        size = _jpeg_size(data)
        if size is not None:
            return size[::-1] if _jpeg_orientation(data) >= 5 else size
    with _open(data) as image:
        if (
            image.format == "TIFF"
        ):  # Pillow turns it on loading and forgets the tag: only the loaded image tells
            return _guarded(lambda: _turned(image).size[::-1])
        width, height = image.size
        return (width, height) if _sideways(image) else (height, width)


def decode(data: bytes, min_size: tuple[int, int] | None = None) -> np.ndarray:
    """Decodes an image file.

    Args:
        data: The whole file.
        min_size: ``(height, width)`` in pixels of the upright image. A JPEG may then come back
            scaled down by 2 or more, as long as it stays at least this large in both; None or
            another format: full size. A scaled image has ``ceil(size * k / 8)`` pixels, so its unit
            square exceeds the source's by less than one of its own pixels at the right and lower
            edge.

    Returns:
        (H, W, 3) uint8, RGB, C-contiguous, upright.

    Raises:
        DecodeError: empty, no image, corrupt, truncated, larger than the memory or the limits
            (:data:`MAX_PIXELS`, and 178,956,970 pixels for what Pillow reads), or of a kind whose
            value range is undefined (floats).
    """
    try:
        return _decode(data, min_size)
    except MemoryError as error:  # its own text is empty
        raise DecodeError(
            "decoding it takes more memory than there is; scale the file down"
        ) from error


def decode_file(path: str | Path) -> np.ndarray:
    """Decodes the image file ``path`` at full size, for readers that cannot do without it.

    Returns:
        See :func:`decode`.

    Raises:
        DecodeError: as :func:`decode`; names the file.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        return decode(data)
    except DecodeError as error:
        raise DecodeError(f"{path}: {error}") from error


def open_image(data: bytes) -> Image.Image:
    """Opens and loads a file as it is stored, not turned and not converted: for label maps, whose
    values count.

    Raises:
        DecodeError: empty, no image, corrupt, truncated, or larger than the memory or Pillow's
            limit.
    """
    _require_bytes(data)
    image = _open(data)
    _guarded(image.load)
    return image


def _decode(data: bytes, min_size: tuple[int, int] | None) -> np.ndarray:
    _require_bytes(data)
    if data.startswith(_JPEG) and simplejpeg is not None:
        pixels = _decode_jpeg(data, min_size)
        if pixels is not None:
            return pixels
    if data.startswith(_PNG):
        _check_png(data)
    with _open(data) as image:
        if min_size is not None and image.format in ("JPEG", "MPO"):
            _draft(image, min_size if _sideways(image) else min_size[::-1])
        _require_pixels(*image.size)
        return _guarded(lambda: np.ascontiguousarray(_to_rgb(_turned(image))))


def _require_bytes(data: bytes) -> None:
    if not data:
        raise DecodeError("the file is empty (0 bytes)")
    if not data.strip(b"\0"):
        raise DecodeError(f"the file holds nothing but {len(data)} zero bytes")


def _require_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DecodeError(
            f"{width} x {height} pixels exceed the limit of {MAX_PIXELS}; if the header is "
            "right, scale the file down"
        )


# ---- JPEG through simplejpeg


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Stored (height, width), before EXIF; None where simplejpeg fails and Pillow should try."""
    try:
        return tuple(simplejpeg.decode_jpeg_header(data)[:2])
    except ValueError as error:
        _raise_if_damaged(error)
        return None


def _decode_jpeg(data: bytes, min_size: tuple[int, int] | None) -> np.ndarray | None:
    """(H, W, 3) uint8 upright; None when simplejpeg cannot and Pillow should try."""
    orientation = _jpeg_orientation(data)
    size = _jpeg_size(data)
    if size is None:
        return None
    smallest = size if min_size is None else min_size[::-1] if orientation >= 5 else min_size
    scale = (
        {}
        if min_size is None
        else dict(min_height=smallest[0], min_width=smallest[1], min_factor=2)
    )
    height, width = simplejpeg.decode_jpeg_header(data, **scale)[:2]
    _require_pixels(width, height)
    try:
        # strict: whatever libjpeg would only warn of (premature end, extraneous bytes) left wrong
        # pixels behind
        pixels = simplejpeg.decode_jpeg(data, "RGB", **scale, strict=True)
    except ValueError as error:
        _raise_if_damaged(error)
        return None
    return pixels if orientation == 1 else np.ascontiguousarray(_upright(pixels, orientation))


def _raise_if_damaged(error: ValueError) -> None:
    reason = str(error)
    if any(word in reason.lower() for word in _DAMAGE):
        raise DecodeError(reason) from error


def _jpeg_orientation(data: bytes) -> int:
    """EXIF orientation 1 to 8; 1 when there is none or it is nonsense, as every viewer does."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker, length = (
            data[position + 1],
            int.from_bytes(data[position + 2 : position + 4], "big"),
        )
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in (0xDA, 0xD9) or length < 2:  # pixels start, or the file ends
            break
        if marker == 0xE1 and data[position + 4 : position + 10] == b"Exif\0\0":
            return _exif_orientation(data[position + 10 : position + 2 + length])
        position += 2 + length
    return 1


def _exif_orientation(tiff: bytes) -> int:
    """Orientation in the first directory of an EXIF block (a TIFF header and what follows)."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(entries):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return value if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Applies EXIF orientation 2 to 8 to (H, W, 3); 5 to 8 exchange the axes. A view, no copy."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    # after the exchange: 5 nothing, 6 mirror x, 7 mirror both, 8 mirror y
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


# ---- everything else through Pillow


def _guarded(action: Callable[[], T]) -> T:
    """Runs a piece of Pillow; whatever a malformed file makes it raise becomes a DecodeError."""
    try:
        return action()
    except DecodeError:
        raise
    except MemoryError as error:
        raise DecodeError("it takes more memory than there is; scale the file down") from error
    except (
        Image.DecompressionBombError
    ) as error:  # "Image size (n pixels) exceeds limit of m pixels, could be ..."
        raise DecodeError(
            f"{str(error).split(',')[0]}; if the header is right, scale the file down"
        ) from error
    except (
        Exception
    ) as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error, IndexError, ...
        raise DecodeError(
            f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        ) from error


def _open(data: bytes) -> Image.Image:
    try:
        return _guarded(lambda: Image.open(io.BytesIO(data)))
    except DecodeError as error:
        if "cannot identify" in str(error):
            raise DecodeError(
                f"not a known image format (the file starts with {data[:8]!r})"
            ) from error
        raise


def _sideways(image: Image.Image) -> bool:
    """Whether EXIF exchanges the axes; a malformed EXIF block counts as none."""
    try:
        return image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except Exception:  # see _guarded
        return False


def _turned(image: Image.Image) -> Image.Image:
    """The loaded image, upright."""
    image.load()  # apart, because its errors count and those of malformed EXIF do not
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # see _guarded
        return image


def _draft(image: Image.Image, smallest: tuple[int, int]) -> None:
    """Lets Pillow scale a JPEG by 2, 4 or 8, to at least ``smallest`` (width, height)."""
    if image.mode in ("L", "RGB"):
        image.draft(image.mode, (max(smallest[0], 1), max(smallest[1], 1)))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yields (type, type + content, stored checksum) of each chunk."""
    position = len(_PNG)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        body = data[position + 4 : position + 8 + length]
        checksum = int.from_bytes(data[position + 8 + length : position + 12 + length], "big")
        yield body[:4], body, checksum
        position += 12 + length


def _check_png(data: bytes) -> None:
    """Checks the checksums, which Pillow skips for pixels, and would return a garbled image. About
    1 GB/s.
    """
    for kind, body, checksum in _png_chunks(data):
        critical = kind[
            :1
        ].isupper()  # broken ancillary chunks (colour profiles, text) are common and harmless
        if critical and zlib.crc32(body) != checksum:
            raise DecodeError(
                f"corrupt or truncated PNG: wrong checksum in chunk {kind.decode('latin-1')}"
            )
        if kind == b"IEND":
            return
    raise DecodeError("truncated PNG: the end chunk is missing")


def _to_rgb(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 from an image of any Pillow mode."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _sixteen_bit_to_rgb(image)
    if image.mode == "F":
        raise DecodeError(
            "floating-point pixels have no defined range; convert the file to 8 or 16 bits"
        )
    if image.has_transparency_data:
        background = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        image = Image.alpha_composite(background, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def _sixteen_bit_to_rgb(image: Image.Image) -> np.ndarray:
    """Grey levels 0 to 65535 to their high byte (as Pillow reduces colour); its own conversion
    would clip.
    """
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise DecodeError(
            f"grey levels {values.min()}..{values.max()} exceed 16 bits; convert the file to 8 bits"
        )
    pixels = np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2)
    key = image.info.get("transparency")
    if isinstance(key, int):
        pixels[values == key] = BACKGROUND
    return pixels
