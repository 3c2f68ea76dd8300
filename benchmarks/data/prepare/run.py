"""Which data sets can be rewritten for transfer, and when that has been done already."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.data.prepare.bccd import write_bccd
from benchmarks.data.prepare.coco100 import write_coco100
from benchmarks.data.prepare.folders import is_prepared, new_folder, write_origin
from benchmarks.data.prepare.originals import check_mirror, open_original
from benchmarks.data.prepare.scenes import write_scene_objects
from benchmarks.data.prepare.segmentation import write_ade
from pretrain.files import sha256_of
from pretrain.names import check_choice
from pretrain.progress import Progress

_VERSION = 2  # of what the converters write; another number makes prepared folders stale


@dataclass(frozen=True)
class Rewriting:
    """How one data set is rewritten.

    Attributes:
        write: ``write(root, target, progress)`` fills an empty folder and returns a text about
            what it wrote.
        original: what it starts from, of ``ORIGINALS``; empty for the sets of scenes.
    """

    write: Callable[[Path, Path, Progress | None], str]
    original: str = ""


SETS = {
    "scenes_segmentation": Rewriting(partial(write_ade, layout="scenes")),
    "scenes_detection": Rewriting(write_scene_objects),
    "camvid": Rewriting(partial(write_ade, layout="camvid"), "camvid"),
    "bccd": Rewriting(write_bccd, "bccd"),
    "coco100": Rewriting(write_coco100, "coco100"),
}


def prepare_sets(
    names: Iterable[str],
    out: str | Path,
    *,
    scenes: str | Path,
    mirror: str = "",
    progress: Callable[[str], Progress] | None = None,
) -> dict[str, str]:
    """Writes ``out/<name>`` for each data set that is not there yet; a folder is complete or not
    there at all.

    Args:
        names: Of ``SETS``.
        out: Folder of all of them.
        scenes: What ``pixelpretext make-scenes`` wrote; read for the sets of scenes only.
        mirror: Folder or URL of packed originals; empty: they are downloaded.
        progress: Given a data set's name, returns what to call with its progress.

    Returns:
        name -> what was done, as text.

    Raises:
        ValueError: an unknown name, or ``out/<name>`` was made from something else.
        FileNotFoundError: the scenes, or a file of the mirror, are missing; the message says where
            they were looked for. Nothing is written then.
        OSError: a download failed.
    """
    origins = {name: _origin(name, Path(scenes), mirror) for name in names}
    written = {}
    for name, origin in origins.items():
        target = Path(out) / name
        if is_prepared(target, origin):
            written[name] = "there already"
            continue
        follow = progress(name) if progress else None
        with (
            new_folder(target) as folder,
            _original(name, Path(scenes), mirror, near=target.parent, progress=follow) as root,
        ):
            written[name] = SETS[name].write(root, folder, follow)
            write_origin(folder, origin, written=written[name])
    return written


def _origin(name: str, scenes: Path, mirror: str) -> dict[str, str | int]:
    """What a prepared folder depends on, after checking that its original can be there."""
    check_choice("data set", name, SETS)
    own = dict(data=name, version=_VERSION)
    if SETS[name].original:
        check_mirror(SETS[name].original, mirror)
        return own
    file = scenes / "scenes.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"data set {name}: no {file.name} in {scenes}; run pixelpretext make-scenes, or name "
            "it with --scenes"
        )
    return own | dict(sha256=sha256_of(file))


def _original(
    name: str, scenes: Path, mirror: str, *, near: Path, progress: Progress | None
) -> AbstractContextManager[Path]:
    """Gives the folder of the original."""
    if not SETS[name].original:
        return nullcontext(scenes)
    return open_original(SETS[name].original, near=near, mirror=mirror, progress=progress)
