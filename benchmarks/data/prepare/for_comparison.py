"""Data that a comparison writes for itself if it is missing."""

from __future__ import annotations

import inspect
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.data.prepare import prepare_sets
from pretrain.data.folders import visible
from pretrain.data.scenes.write import write_scenes
from pretrain.files import atomic_write
from pretrain.names import check_names
from pretrain.places import checkout
from pretrain.progress import Bars
from pretrain.threads import usable_cores

SHARED_VARIABLE = "PIXELPRETEXT_SHARED"
CALTECH, CAMVID = "pretrain_caltech101_s128", "seg_camvid"
BACKGROUND = "BACKGROUND_Google"  # a mixture, not a class


def prepare_scenes(
    *, out: str, images: int, size: int = 96, seed: int = 0, sequences: int = 10
) -> None:
    """Writes the procedural data set; does nothing when it is there."""
    # With few images, starting processes takes longer than drawing.
    workers = usable_cores() if images >= 500 else 1
    write_scenes(
        out,
        images,
        size=size,
        seed=seed,
        sequences=sequences,
        workers=workers,
        console=Console(stderr=True),
    )


def shared_folder() -> Path:
    """Returns the archives' folder: ``data`` in ``$PIXELPRETEXT_SHARED``, else in ``shared`` next
    to the checkout, or in the current folder for an installed package.
    """
    root = checkout()
    usual = Path("shared") if root is None else root.parent / "shared"
    return Path(os.environ.get(SHARED_VARIABLE) or usual) / "data"


def prepare_real(*, out: str, archives: str | None = None, held_back: float = 0.2) -> None:
    """Unpacks the real photos: ``out/caltech101/{train,val}/<class>/*.jpg`` and
    ``out/camvid/{train,trainannot,val,valannot}``.

    Of every Caltech class a share is held back as ``val``: the files with the smallest SHA-256 of
    their name, so the same ones on every machine. Nothing that is evaluated on is pretrained on.
    The background folder is left out.

    Args:
        out: folder to make; left alone when it is complete.
        archives: folder of the ``.tar`` files; None = :func:`shared_folder`.
        held_back: share in (0, 1).

    Raises:
        FileNotFoundError: the archives are not there; says where they were looked for and how to
            name another place. Or ``held_back`` is not in (0, 1), or ``out`` was split at another
            share.
    """
    if not 0 < held_back < 1:
        raise ValueError(
            f"real images: held_back = {held_back} must lie between 0 and 1, both excluded"
        )
    target, share = Path(out), f"held_back={held_back}"
    if (target / "complete.txt").is_file():
        content = (target / "complete.txt").read_text().strip()
        if f"({share})" not in content:
            raise ValueError(
                f"real images: {target} holds {content!r}, not {share}: delete it or choose "
                "another out"
            )
        return
    source = Path(archives) if archives else shared_folder()
    for name in (CALTECH, CAMVID):
        if not (source / f"{name}.tar").is_file():
            raise FileNotFoundError(
                f"real images: no {name}.tar in {source}. Set {SHARED_VARIABLE} to the folder "
                f"that holds data/{name}.tar; without them run configs/comparisons/scenes.py, "
                "which draws its own images."
            )
    unpacking = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(unpacking, ignore_errors=True)
    for name in (CALTECH, CAMVID):
        with tarfile.open(source / f"{name}.tar") as archive:
            archive.extractall(unpacking, filter="data")
    kept, held = split_classes(unpacking / CALTECH, unpacking / "caltech101", held_back)
    (unpacking / CAMVID).rename(unpacking / "camvid")
    shutil.rmtree(unpacking / CALTECH)
    atomic_write(unpacking / "complete.txt", f"caltech101: {kept} train, {held} val ({share})\n")
    if target.exists():  # without complete.txt: the rest of something that was interrupted
        shutil.rmtree(target)
    unpacking.rename(target)


def prepare_transfer(
    *, out: str, sets: Sequence[str], scenes: str = "data/scenes", archives: str | None = None
) -> None:
    """Rewrites labelled data for fine-tuning with mmsegmentation and mmdet; leaves alone what is
    there.

    Args:
        out: folder to write one folder per set into.
        sets: names of :data:`benchmarks.data.prepare.SETS`.
        scenes: what :func:`prepare_scenes` wrote, for the sets made of it.
        archives: folder of the ``.tar`` files; None = :func:`shared_folder`.

    Raises:
        ValueError: an unknown set, or a folder that was made from another one.
        FileNotFoundError: an original is missing.
    """
    archives = archives or shared_folder()
    with Bars(Console(stderr=True)) as bars:
        prepare_sets(sets, out, scenes=scenes, archives=archives, progress=bars.follow)


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
    "real": prepare_real,
    "transfer": prepare_transfer,
}


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
