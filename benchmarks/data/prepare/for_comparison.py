"""Data that a comparison writes for itself if it is missing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.data.prepare.folders import is_prepared, new_folder, write_origin
from benchmarks.data.prepare.originals import BACKGROUND, ORIGINALS, mirror_of, open_original
from benchmarks.data.prepare.run import prepare_sets
from pretrain.data.folders import visible
from pretrain.data.scenes.regions import write_tracks
from pretrain.data.scenes.write import write_scenes
from pretrain.names import check_names
from pretrain.progress import Bars
from pretrain.threads import usable_cores


def prepare_scenes(
    *,
    out: str,
    images: int,
    size: int = 96,
    seed: int = 0,
    sequences: int = 10,
    factors: int = 0,
) -> None:
    """Writes the procedural data set; does nothing when it is there."""
    # With few images, starting processes takes longer than drawing.
    workers = usable_cores() if images >= 500 or factors else 1
    write_scenes(
        out,
        images,
        size=size,
        seed=seed,
        sequences=sequences,
        factors=factors,
        workers=workers,
        console=Console(stderr=True),
    )


def prepare_factors(*, out: str, factors: int = 10, size: int = 96, seed: int = 0) -> None:
    """Writes sets of scenes in which one factor varies, and as few other images as possible; does
    nothing when they are there.
    """
    prepare_scenes(out=out, images=5, size=size, seed=seed, sequences=0, factors=factors)


def prepare_tracks(*, out: str, sequences: str) -> None:
    """Writes the boxes of the objects of sequences, see
    :func:`pretrain.data.scenes.regions.write_tracks`, anew each time.
    """
    write_tracks(sequences, out)


def prepare_caltech101(*, out: str, held_back: float = 0.2, mirror: str | None = None) -> None:
    """Writes 3,562 photos of Caltech-101 as ``out/{train,val}/<class>/*.jpg``; does nothing when
    they are there.

    Of every class a share is held back as ``val``: the files with the smallest SHA-256 of their
    name, so the same ones on every machine. Nothing that is evaluated on is pretrained on. The
    background folder is left out.

    Args:
        out: folder to make.
        held_back: share in (0, 1).
        mirror: see :func:`open_original`; None: ``$PIXELPRETEXT_MIRROR``, where it is set.

    Raises:
        ValueError: ``held_back`` is not in (0, 1), or ``out`` holds something else.
        FileNotFoundError, OSError: the original cannot be had.
    """
    if not 0 < held_back < 1:
        raise ValueError(
            f"caltech101: held_back = {held_back} must lie between 0 and 1, both excluded"
        )

    def split(original: Path, folder: Path) -> str:
        kept, held = split_classes(original, folder, held_back)
        return f"{kept} train, {held} val"

    _prepare_once("caltech101", Path(out), split, mirror=mirror, held_back=held_back)


def prepare_folders(name: str, *, out: str, mirror: str | None = None) -> None:
    """Writes an original whose folders are read as they are, such as CamVid's
    ``{train,trainannot,val,valannot}``, into ``out``; does nothing when they are there.

    Args:
        name: of the original.
        out: folder to make.
        mirror: see :func:`open_original`; None: ``$PIXELPRETEXT_MIRROR``, where it is set.

    Raises:
        ValueError: ``out`` holds something else.
        FileNotFoundError, OSError: the original cannot be had.
    """
    _prepare_once(name, Path(out), _move_folders, mirror=mirror)


def _move_folders(original: Path, folder: Path) -> str:
    parts = sorted(visible(original.iterdir()))
    for part in parts:
        part.rename(folder / part.name)
    return ", ".join(part.name for part in parts)


def _prepare_once(
    name: str,
    out: Path,
    write: Callable[[Path, Path], str],
    *,
    mirror: str | None,
    **settings: float,
) -> None:
    """Makes the folder ``out`` of an original, whole or not at all, unless it is there.

    Args:
        name: of the original.
        out: gets ``origin.json``, which says what the folder was made from.
        write: called with the original and an empty folder; returns what it wrote, as text.
        mirror: see :func:`prepare_caltech101`.
        settings: what the folder's content depends on.
    """
    origin = dict(data=name, **settings)
    if is_prepared(out, origin):
        return
    with Bars(Console(stderr=True)) as bars:
        original = open_original(
            name,
            near=out.parent,
            mirror=mirror_of(mirror),
            progress=bars.follow(name),
            console=bars.console,
        )
        with original as source, new_folder(out) as folder:
            write_origin(folder, origin, written=write(source, folder))


def prepare_transfer(
    *, out: str, sets: Sequence[str], scenes: str = "data/scenes", mirror: str | None = None
) -> None:
    """Rewrites labelled data for fine-tuning with mmsegmentation and mmdet; leaves alone what is
    there.

    Args:
        out: folder to write one folder per set into.
        sets: names of :data:`benchmarks.data.prepare.SETS`.
        scenes: what :func:`prepare_scenes` wrote, for the sets made of it.
        mirror: see :func:`open_original`; None: ``$PIXELPRETEXT_MIRROR``, where it is set.

    Raises:
        ValueError: an unknown set, or a folder that was made from another one.
        FileNotFoundError: an original is missing.
    """
    with Bars(Console(stderr=True)) as bars:
        prepare_sets(sets, out, scenes=scenes, mirror=mirror_of(mirror), progress=bars.follow)


def _lot(file: Path) -> str:
    """A number that depends on the names of a file and its class alone."""
    name = f"{file.parent.name}/{file.name}"
    return sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def split_classes(source: Path, target: Path, held_back: float) -> tuple[int, int]:
    """Moves ``source/<class>/*`` to ``target/train`` and ``target/val``; returns both counts."""
    counts = {"train": 0, "val": 0}
    for folder in visible(source.iterdir()):
        if not folder.is_dir() or folder.name == BACKGROUND:
            continue
        files = sorted(visible(folder.iterdir()), key=_lot)
        held = max(1, round(held_back * len(files)))
        for part, chosen in (("val", files[:held]), ("train", files[held:])):
            (target / part / folder.name).mkdir(parents=True)
            for file in chosen:
                file.rename(target / part / folder.name / file.name)
            counts[part] += len(chosen)
    return counts["train"], counts["val"]


PREPARERS: dict[str, Callable[..., None]] = {
    "scenes": prepare_scenes,
    "factors": prepare_factors,
    "tracks": prepare_tracks,
    "caltech101": prepare_caltech101,
    "transfer": prepare_transfer,
}
for _name in ("camvid", "pacs", "pfwillow", "bmx-trees"):
    PREPARERS[_name] = partial(prepare_folders, _name)


# Those that make a folder of one published data set.
PUBLISHED = {name: PREPARERS[name] for name in ORIGINALS if name in PREPARERS}


def check_arguments(name: str, arguments: Any) -> None:
    """Raises ``ValueError`` unless ``arguments`` fit the preparer of that name."""
    parameters = inspect.signature(PREPARERS[name]).parameters
    if not isinstance(arguments, dict):
        raise ValueError(
            f"prepare {name} = {arguments!r}: must be a dict of {', '.join(parameters)}"
        )
    check_names(f"argument of prepare {name}:", arguments, parameters)
    needed = [name for name, own in parameters.items() if own.default is own.empty]
    missing = [name for name in needed if name not in arguments]
    if missing:
        raise ValueError(f"prepare {name}: missing {', '.join(missing)}")
