"""Decoding: every kind of odd but legal image comes out right, every kind of damage is reported."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps

from pretrain.data import decode as module
from pretrain.data.decode import BACKGROUND, DecodeError, decode, decode_file, open_image, probe


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """(48, 80, 3) uint8, smooth enough that JPEG at quality 95 keeps it within a few levels."""
    coarse = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((80, 48), Image.Resampling.BICUBIC))


@pytest.fixture(params=["simplejpeg", "pillow"])
def both_jpeg_decoders(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test with simplejpeg and, as on a platform without its wheel, with Pillow alone."""
    if request.param == "pillow":
        monkeypatch.setattr(module, "simplejpeg", None)
    return request.param


def encode(image: np.ndarray | Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    options = {"quality": 95, "subsampling": 0, **options} if kind == "JPEG" else options
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def difference(image: np.ndarray, expected: np.ndarray) -> float:
    assert image.shape == expected.shape and image.dtype == np.uint8 and image.flags.c_contiguous
    return float(np.abs(image.astype(int) - expected).max())


def turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """Slow re-implementation of the EXIF table: where the stored row 0 and column 0 are to be
    shown.
    """
    row, column = {1: "TL", 2: "TR", 3: "BR", 4: "BL", 5: "LT", 6: "RT", 7: "RB", 8: "LB"}[
        orientation
    ]
    height, width = image.shape[:2]
    swapped = row in "LR"
    shown = np.zeros((width, height, 3) if swapped else (height, width, 3), image.dtype)
    for i in range(height):
        for j in range(width):
            # the stored row runs along the visual side `row`, counted from it; columns likewise
            y, x = (
                (j if column == "T" else width - 1 - j, i if row == "L" else height - 1 - i)
                if swapped
                else (i if row == "T" else height - 1 - i, j if column == "L" else width - 1 - j)
            )
            shown[y, x] = image[i, j]
    return shown


# ---- legal images


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 2}, {"quality": 70}]
)
def test_jpeg_equals_pillow(picture: np.ndarray, options: dict) -> None:
    data = encode(picture, **options)
    assert difference(decode(data), np.asarray(Image.open(io.BytesIO(data)))) == 0
    assert probe(data) == (48, 80)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_jpeg(
    picture: np.ndarray, orientation: int, both_jpeg_decoders: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(picture, exif=exif)
    expected = turn(decode(encode(picture)), orientation)
    assert difference(decode(data), expected) == 0
    assert probe(data) == expected.shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_of_other_formats(
    picture: np.ndarray, orientation: int, kind: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(picture, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    expected = turn(picture, orientation)
    assert difference(decode(data), expected) == 0
    assert probe(data) == expected.shape[:2]


def test_big_endian_exif_and_segments_before_it(picture: np.ndarray) -> None:
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + b"\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    plain = encode(picture)
    comment = b"\xff\xfe\0\x06abcd"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    assert (
        difference(decode(plain[:2] + comment + segment + plain[2:]), turn(decode(plain), 6)) == 0
    )


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's own
@pytest.mark.parametrize(
    "content", [b"", b"II*\0\xff\xff\xff\x7f", b"MM\0*\0\0\0\x08\xff\xff", b"rubbish" * 9]
)
def test_malformed_exif_spoils_no_image(
    picture: np.ndarray, content: bytes, both_jpeg_decoders: str
) -> None:
    plain, exif = encode(picture), b"Exif\0\0" + content
    data = plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]
    assert difference(decode(data), decode(plain)) == 0
    assert probe(data) == (48, 80)


def test_grey_jpeg(picture: np.ndarray, both_jpeg_decoders: str) -> None:
    grey = Image.fromarray(picture).convert("L")
    assert difference(decode(encode(grey)), np.repeat(np.asarray(grey)[..., None], 3, 2)) <= 6


def test_cmyk_jpeg(both_jpeg_decoders: str) -> None:
    ink = np.zeros((32, 64, 4), np.uint8)
    ink[:, :32] = (0, 200, 100, 0)
    ink[:, 32:] = (255, 0, 0, 128)
    image = decode(encode(Image.fromarray(ink, "CMYK")))
    # closed form of uncalibrated inks: channel = (255 - ink) (255 - black) / 255
    assert np.abs(image[8, 8].astype(int) - (255, 55, 155)).max() <= 6
    assert np.abs(image[8, 56].astype(int) - (0, 127, 127)).max() <= 6


def test_ycck_jpeg(both_jpeg_decoders: str) -> None:
    inverted = np.zeros((32, 64, 4), np.uint8)  # Adobe stores 255 - ink
    inverted[:, :32] = (255, 55, 155, 255)
    inverted[:, 32:] = (0, 255, 255, 127)
    data = simplejpeg.encode_jpeg(inverted, quality=95, colorspace="CMYK", colorsubsampling="444")
    assert simplejpeg.decode_jpeg_header(data)[2] == "YCCK"
    image = decode(data)
    assert np.abs(image[8, 8].astype(int) - (255, 55, 155)).max() <= 6
    assert np.abs(image[8, 56].astype(int) - (0, 127, 127)).max() <= 6


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits(extension: str, channels: int) -> None:
    values = np.random.default_rng(1).integers(0, 65536, (20, 30, channels)).astype(np.uint16)
    data = cv2.imencode(extension, values)[1].tobytes()
    expected = np.broadcast_to((values >> 8)[..., ::-1], (20, 30, 3))  # OpenCV writes BGR
    assert difference(decode(data), expected) == 0
    assert probe(data) == (20, 30)


def test_sixteen_bit_alpha() -> None:
    values = np.zeros((4, 6, 4), np.uint16)
    values[:, :3] = (0x1000, 0x2000, 0x3000, 0xFFFF)  # BGRA, opaque; the rest is transparent
    image = decode(cv2.imencode(".png", values)[1].tobytes())
    assert (image[:, :3] == (0x30, 0x20, 0x10)).all() and (image[:, 3:] == BACKGROUND).all()


def test_alpha_is_composited_on_the_background() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0] = [(10, 20, 30, 255), (200, 0, 0, 0), (100, 100, 100, 51)]
    image = decode(encode(Image.fromarray(rgba, "RGBA"), "PNG"))
    mixed = np.round(0.2 * 100 + 0.8 * np.array(BACKGROUND))  # 51 / 255 = 0.2
    assert difference(image, np.array([[(10, 20, 30), BACKGROUND, mixed]])) <= 1


def test_grey_with_alpha() -> None:
    image = decode(encode(Image.fromarray(np.array([[[80, 255], [80, 0]]], np.uint8), "LA"), "PNG"))
    assert image.tolist() == [[[80] * 3, list(BACKGROUND)]]


def test_palette() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert decode(encode(image, "PNG")).tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    transparent = decode(encode(image, "PNG", transparency=1))
    assert transparent.tolist() == [[[255, 0, 0], list(BACKGROUND), [0, 0, 255]]]
    assert decode(encode(image, "GIF", transparency=1)).tolist() == transparent.tolist()
    half = decode(
        encode(image, "PNG", transparency=bytes([255, 0, 51]))
    )  # one alpha per palette entry
    assert np.abs(half[0, 2].astype(int) - (204, 204, 255)).max() <= 1


@pytest.mark.parametrize(
    ("mode", "key", "dark"), [("L", 7, 7), ("RGB", (7, 7, 7), 7), ("I;16", 1800, 7)]
)
def test_transparent_colour(mode: str, key: object, dark: int) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.array([[1800, 1801]], np.uint16))
    else:
        image = Image.fromarray(np.array([[dark, 90]], np.uint8)).convert(mode)
    first, second = decode(encode(image, "PNG", transparency=key))[0].tolist()
    assert first == list(BACKGROUND) and second == ([7] * 3 if mode == "I;16" else [90] * 3)


def test_one_bit() -> None:
    image = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert decode(encode(image, "PNG")).tolist() == [[[0] * 3, [255] * 3]]


@pytest.mark.parametrize("kind", ["BMP", "GIF", "PPM", "TIFF", "WEBP"])
def test_other_formats(picture: np.ndarray, kind: str) -> None:
    data = encode(picture, kind, **({"lossless": True} if kind == "WEBP" else {}))
    tolerance = 40 if kind == "GIF" else 0  # 256 colours
    assert difference(decode(data), picture) <= tolerance
    assert probe(data) == (48, 80)


def test_real_photographs(shared_data: Path) -> None:
    """100 COCO images as cameras and Flickr wrote them: equal to Pillow, and none is mistaken for
    damaged.
    """
    with tarfile.open(shared_data / "multi_coco_train100.tar") as archive:
        photographs = [archive.extractfile(m).read() for m in archive if m.name.endswith(".jpg")]
    assert len(photographs) == 100
    for data in photographs:
        image = decode(data)
        assert probe(data) == image.shape[:2]
        assert (
            difference(
                image,
                np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")),
            )
            == 0
        )


# ---- scaled decoding


@pytest.mark.parametrize("orientation", [1, 6])
def test_scaled_decoding_keeps_the_minimum(orientation: int, both_jpeg_decoders: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.random.default_rng(2).integers(0, 256, (6, 10, 3), dtype=np.uint8))
    data = encode(stored.resize((240, 160), Image.Resampling.BICUBIC), exif=exif)
    height, width = probe(data)
    full = decode(data)
    for part in (1.0, 0.6, 0.5, 0.3, 0.25, 0.2, 0.1, 0.01):
        smallest = (round(height * part), round(width * part))
        image = decode(data, smallest)
        assert image.shape[0] >= smallest[0] and image.shape[1] >= smallest[1]
        if part > 0.5:
            assert image.shape == full.shape  # no factor below 2: slower than decoding all
        elif part >= 0.2:
            assert image.shape[0] <= height * 0.51 + 1
        area = cv2.resize(full, image.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(image.astype(int) - area).mean() < 4
    assert decode(data, (10**6, 1)).shape == full.shape


def test_scaled_decoding_of_sizes_that_are_no_multiple() -> None:
    """One row and column more than 8 n: the last scaled pixel covers them, nothing is cut off."""
    data = encode(np.full((161, 241, 3), 90, np.uint8))
    assert decode(data, (40, 60)).shape == (41, 61, 3)
    assert decode(data, (41, 61)).shape == (41, 61, 3)
    assert decode(data, (81, 121)).shape == (81, 121, 3)
    assert decode(data, (82, 121)).shape == (161, 241, 3)


def test_other_formats_ignore_the_minimum(picture: np.ndarray) -> None:
    assert decode(encode(picture, "PNG"), (5, 5)).shape == picture.shape


# ---- damage


def test_empty() -> None:
    for action in (decode, probe):
        with pytest.raises(DecodeError, match="empty"):
            action(b"")
        with pytest.raises(DecodeError, match="100 zero bytes"):
            action(bytes(100))


@pytest.mark.parametrize(
    "data", [b"no image at all", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"<html>404</html>" * 20]
)
def test_not_an_image(data: bytes, both_jpeg_decoders: str) -> None:
    with pytest.raises(DecodeError):
        decode(data)
    with pytest.raises(DecodeError):
        probe(data)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("kept", [0.05, 0.3, 0.5, 0.9, 0.99, -2, -1])
def test_truncated_jpeg(
    picture: np.ndarray, progressive: bool, kept: float, both_jpeg_decoders: str
) -> None:
    data = encode(picture, progressive=progressive)
    with pytest.raises(DecodeError):
        decode(data[: int(kept) if kept < 0 else int(len(data) * kept)])


@pytest.mark.parametrize("min_size", [None, (10, 10)])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_damaged_inside(
    picture: np.ndarray, progressive: bool, min_size: tuple[int, int] | None
) -> None:
    """Pillow and OpenCV return garbled pixels here; the run would train on them."""
    data = bytearray(encode(picture, quality=99, progressive=progressive))
    middle = len(data) // 2
    data[middle : middle + 100] = bytes(100)
    assert Image.open(io.BytesIO(data)).convert("RGB").size == (80, 48)
    with pytest.raises(DecodeError, match="Corrupt"):
        decode(bytes(data), min_size)


def test_bytes_behind_the_end_are_harmless(picture: np.ndarray) -> None:
    data = encode(picture)
    assert difference(decode(data + b"thumbnail" * 50), decode(data)) == 0


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "WEBP"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_other_formats_truncated(picture: np.ndarray, kind: str, kept: float) -> None:
    data = encode(picture, kind)
    with pytest.raises(DecodeError):
        decode(data[: int(len(data) * kept)])


def test_png_damaged_inside(picture: np.ndarray) -> None:
    data = encode(picture, "PNG")
    for position in (20, len(data) // 2, len(data) - 20, len(data) - 6):
        damaged = bytearray(data)
        damaged[position] ^= 0x55
        with pytest.raises(DecodeError, match="PNG"):
            decode(bytes(damaged))


def test_floats_are_refused() -> None:
    data = encode(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF")
    with pytest.raises(DecodeError, match="floating-point"):
        decode(data)


def test_absurd_size_is_refused(picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PIXELS", 1000)
    for kind in ("JPEG", "PNG"):
        with pytest.raises(DecodeError, match="80 x 48 pixels"):
            decode(encode(picture, kind))


def test_pillows_limit_is_a_broken_file(
    picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``Image.DecompressionBombError`` is no ValueError and would end a run or an evaluation with a
    traceback.
    """
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    data = encode(picture, "PNG")
    message = r"Image size \(3840 pixels\) exceeds limit of 2000 pixels; .* scale the file down"
    for read in (probe, decode, open_image):
        with pytest.raises(DecodeError, match=message):
            read(data)
    (tmp_path / "large.png").write_bytes(data)
    with pytest.raises(ValueError, match=f"{tmp_path}/large.png: {message}"):
        decode_file(tmp_path / "large.png")


def test_too_little_memory_has_words(picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "_turned", refuse)
    with pytest.raises(DecodeError, match="more memory than there is"):
        decode(encode(picture, "PNG"))
    if module.simplejpeg is not None:
        monkeypatch.setattr(module.simplejpeg, "decode_jpeg", refuse)
        with pytest.raises(DecodeError, match="more memory than there is"):
            decode(encode(picture, "JPEG"))


def test_label_maps_keep_their_values() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(np.asarray(open_image(encode(Image.fromarray(values), "PNG"))), values)
    with pytest.raises(DecodeError, match="not a known image format"):
        open_image(b"<html>")
    with pytest.raises(DecodeError, match="truncated"):
        open_image(encode(Image.fromarray(values), "BMP")[:-40])
