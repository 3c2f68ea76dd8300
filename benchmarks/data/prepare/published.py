"""From what authors publish to the folders that our readers start from.

Each function gets a downloaded archive and an empty folder. Where photos are encoded anew, it is
as they were for the numbers in ``docs/results``. Another version of the JPEG library may differ in
the last bit of a pixel.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from benchmarks.data.prepare.folders import place
from pretrain.data.listings import read_json, read_lines
from pretrain.files import atomic_write
from pretrain.progress import Progress

CALTECH_PHOTOS = Path(__file__).with_name("caltech101_photos.txt")
PACS_IMAGES = Path(__file__).with_name("pacs_images.txt")
# The subsets of PF-WILLOW that we read, 10 images each.
WILLOW = ("car(G)", "car(M)", "car(S)", "winebottle(M)", "winebottle(wC)", "winebottle(woC)")
SHORT_SIDE = 128
_JPEG = dict(quality=85)
_CAMVID_PARTS = ("train", "val")
_COCO_LABELS = "panoptic_segmentation/annotations/panoptic_train2017"
_COCO_KINDS = (
    "images/train2017",
    _COCO_LABELS,
    "semantic_segmentation/masks/train2017",
    "instance_segmentation/labels/train2017",
)


def caltech101(archive: Path, target: Path, progress: Progress | None = None) -> None:
    """Caltech-101's zip file -> ``<class>/image_NNNN.jpg`` of the photos in ``CALTECH_PHOTOS``.

    RGB, reduced to ``SHORT_SIDE`` pixels on the shorter side (Lanczos), JPEG of quality 85.

    Raises:
        ValueError: the archive cannot be unpacked or lacks a photo.
    """
    photos = caltech_photos()
    with _unzipped(archive, near=target) as folder:
        inner = _only(folder, "*/101_ObjectCategories.tar.gz", archive)
        try:
            with tarfile.open(inner) as packed:
                packed.extractall(folder, filter="data")
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise ValueError(f"{archive}: {inner.name} cannot be unpacked: {error}") from error
        for done, name in enumerate(photos, start=1):
            source = _existing(folder / "101_ObjectCategories" / name, archive)
            with Image.open(source) as image:
                _save_jpeg(_reduced(image.convert("RGB")), target / name)
            if progress is not None:
                progress("photos", done, len(photos))


def caltech_photos() -> list[str]:
    """Returns the photos of Caltech-101 that we read: ``class/image_NNNN.jpg``, sorted."""
    names = []
    for line in read_lines(CALTECH_PHOTOS)[1:]:
        kind, *numbers = line.split()
        names += [f"{kind}/image_{int(number):04d}.jpg" for number in numbers]
    return names


def pacs(archive: Path, target: Path, progress: Progress | None = None) -> None:
    """The zip file with PACS -> ``<domain>/<class>/*.jpg`` of the images in ``PACS_IMAGES``,
    unchanged.

    Raises:
        ValueError: the archive cannot be unpacked or lacks an image.
    """
    images = pacs_images()
    with _unzipped(archive, near=target) as folder:
        root = _only(folder, "*/**/art_painting", archive).parent
        for done, name in enumerate(images, start=1):
            place(_existing(root / name, archive), target / name)
            if progress is not None:
                progress("images", done, len(images))


def pacs_images() -> list[str]:
    """Returns the images of PACS that we read: ``domain/class/NAME.jpg``, sorted."""
    names = []
    for line in read_lines(PACS_IMAGES)[1:]:
        folder, *stems = line.split()
        names += [f"{folder}/{stem}.jpg" for stem in stems]
    return names


def pfwillow(archive: Path, target: Path, progress: Progress | None = None) -> None:
    """The zip file with PF-WILLOW -> ``<subset>/NAME.png`` and ``.mat`` of the six ``WILLOW``
    subsets, unchanged.

    Raises:
        ValueError: the archive cannot be unpacked or lacks a subset.
    """
    with _unzipped(archive, near=target) as folder:
        root = _only(folder, f"*/PF-dataset*/{WILLOW[0]}", archive).parent
        _place_folders(root, WILLOW, archive=archive, target=target, progress=progress)


def bmx_trees(archive: Path, target: Path, progress: Progress | None = None) -> None:
    """The zip file with the video -> ``bmx-trees/*.jpg`` and ``bmx-trees_mask/*.png``, unchanged.

    Raises:
        ValueError: the archive cannot be unpacked or lacks a folder.
    """
    folders = ("bmx-trees", "bmx-trees_mask")
    with _unzipped(archive, near=target) as folder:
        root = _only(folder, f"*/**/{folders[0]}", archive).parent
        _place_folders(root, folders, archive=archive, target=target, progress=progress)


def camvid(archive: Path, target: Path, progress: Progress | None = None) -> None:
    """The SegNet tutorial's zip file -> ``{train,val}/*.jpg`` and ``{train,val}annot/*.png``.

    Frames become JPEG of quality 85, masks stay as they are. The test part is left out.

    Raises:
        ValueError: the archive cannot be unpacked or lacks a folder.
    """
    with _unzipped(archive, near=target) as folder:
        root = _only(folder, "*/CamVid", archive)
        frames = []
        for part in _CAMVID_PARTS:
            frames += sorted(_existing(root / part, archive).glob("*.png"))
        for done, frame in enumerate(frames, start=1):
            part = frame.parent.name
            mask = _existing(root / f"{part}annot" / frame.name, archive)
            place(mask, target / f"{part}annot" / mask.name)
            with Image.open(frame) as image:
                _save_jpeg(image.convert("RGB"), target / part / f"{frame.stem}.jpg")
            if progress is not None:
                progress("frames", done, len(frames))


def bccd(archive: Path, target: Path, progress: Progress | None = None) -> None:
    """The blood cells' zip file -> ``BCCD/{Annotations,JPEGImages,ImageSets/Main}``: what the lists
    of train and val name, unchanged.

    Raises:
        ValueError: the archive cannot be unpacked or lacks a file.
    """
    with _unzipped(archive, near=target) as folder:
        root, own = _only(folder, "*/BCCD", archive), target / "BCCD"
        stems = []
        for part in ("train", "val"):
            names = _existing(root / "ImageSets" / "Main" / f"{part}.txt", archive)
            place(names, own / "ImageSets" / "Main" / names.name)
            stems += read_lines(names)
        for done, stem in enumerate(stems, start=1):
            for name in (f"Annotations/{stem}.xml", f"JPEGImages/{stem}.jpg"):
                place(_existing(root / name, archive), own / name)
            if progress is not None:
                progress("photos", done, len(stems))


def coco100(archive: Path, target: Path, progress: Progress | None = None) -> None:
    """The small COCO's zip file -> ``images/train2017`` and the panoptic labels of those photos
    that have labels of every kind, unchanged.

    Raises:
        ValueError: the archive cannot be unpacked or lacks a file.
    """
    with _unzipped(archive, near=target) as folder:
        labels = _only(folder, f"*/{_COCO_LABELS}.json", archive)
        root = folder / labels.relative_to(folder).parts[0]
        stems = set.intersection(*(_stems(_existing(root / kind, archive)) for kind in _COCO_KINDS))
        for done, stem in enumerate(sorted(stems), start=1):
            for name in (f"images/train2017/{stem}.jpg", f"{_COCO_LABELS}/{stem}.png"):
                place(_existing(root / name, archive), target / name)
            if progress is not None:
                progress("photos", done, len(stems))
        content = read_json("coco100", labels)
        for key in ("images", "annotations"):
            content[key] = [row for row in content[key] if Path(row["file_name"]).stem in stems]
        atomic_write(target / f"{_COCO_LABELS}.json", json.dumps(content))


def _place_folders(
    root: Path,
    names: Sequence[str],
    *,
    archive: Path,
    target: Path,
    progress: Progress | None,
) -> None:
    """Makes ``target`` hold the files of these folders of ``root``, each in its folder."""
    files: list[Path] = []
    for name in names:
        files += sorted(_existing(root / name, archive).iterdir())
    for done, file in enumerate(files, start=1):
        place(file, target / file.relative_to(root))
        if progress is not None:
            progress("files", done, len(files))


@contextmanager
def _unzipped(archive: Path, *, near: Path) -> Iterator[Path]:
    """Gives a folder with the content of a zip file, on the disk of ``near``."""
    with tempfile.TemporaryDirectory(prefix=".unzipped.", dir=near) as made:
        try:
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(made)  # keeps names that leave the folder inside it
        except (zipfile.BadZipFile, EOFError, zlib.error) as error:
            raise ValueError(
                f"{archive} cannot be unpacked ({error}): delete it and try again"
            ) from error
        yield Path(made)


def _only(folder: Path, pattern: str, archive: Path) -> Path:
    matches = sorted(folder.glob(pattern))
    if len(matches) != 1:
        raise ValueError(
            f"{archive} holds {len(matches)} of {pattern}, not 1: delete it and try again; if it "
            "stays so, the publisher has changed it"
        )
    return matches[0]


def _existing(path: Path, archive: Path) -> Path:
    if not path.exists():
        raise ValueError(
            f"{archive} has no {path.parent.name}/{path.name}: delete it and try again; if it "
            "stays so, the publisher has changed it"
        )
    return path


def _stems(folder: Path) -> set[str]:
    return {file.stem for file in folder.iterdir()}


def _reduced(image: Image.Image) -> Image.Image:
    """The image with its shorter side at most ``SHORT_SIDE`` pixels."""
    factor = SHORT_SIDE / min(image.size)
    if factor >= 1:
        return image
    width, height = (max(SHORT_SIDE, round(factor * side)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _save_jpeg(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "JPEG", **_JPEG)
