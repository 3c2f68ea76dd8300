"""Which data sets can be rewritten for transfer, where they come from, and when that has been done
already.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.data.prepare.bccd import write_bccd
from benchmarks.data.prepare.coco100 import write_coco100
from benchmarks.data.prepare.folders import CLASSES_FILE, new_folder
from benchmarks.data.prepare.scenes import write_scene_objects
from benchmarks.data.prepare.segmentation import write_ade
from pretrain.data.listings import read_json
from pretrain.files import atomic_write, sha256_of
from pretrain.names import check_choice
from pretrain.progress import Progress

_ORIGIN_FILE = "origin.json"
_VERSION = 1  # of what the converters write; another number makes prepared folders stale


@dataclass(frozen=True)
class Original:
    """Where one data set comes from and what writes it.

    Attributes:
        write: ``write(root, target, progress)`` fills an empty folder and returns a text about
            what it wrote.
        archive: Name of the ``.tar`` file that holds the original, without its ending; empty for
            the sets of scenes.
        inner: Folder of the archive at which the original starts.
    """

    write: Callable[[Path, Path, Progress | None], str]
    archive: str = ""
    inner: str = ""


SETS = {
    "scenes_segmentation": Original(partial(write_ade, layout="scenes")),
    "scenes_detection": Original(write_scene_objects),
    "camvid": Original(partial(write_ade, layout="camvid"), "seg_camvid", "seg_camvid"),
    "bccd": Original(write_bccd, "det_bccd", "det_bccd/BCCD"),
    "coco100": Original(write_coco100, "multi_coco_train100", "multi_coco_train100"),
}


def prepare_sets(
    names: Iterable[str],
    out: str | Path,
    *,
    scenes: str | Path,
    archives: str | Path,
    progress: Callable[[str], Progress] | None = None,
) -> dict[str, str]:
    """Writes ``out/<name>`` for each data set that is not there yet; a folder is complete or not
    there at all.

    Args:
        names: Of ``SETS``.
        out: Folder of all of them.
        scenes: What ``pixelpretext make-scenes`` wrote; read for the sets of scenes only.
        archives: Folder of the ``.tar`` files; read for the others.
        progress: Given a data set's name, returns what to call with its progress.

    Returns:
        name -> what was done, as text.

    Raises:
        ValueError: an unknown name, or ``out/<name>`` was made from something else.
        FileNotFoundError: an original is missing; the message says where it was looked for. Nothing
            is written then.
    """
    origins = {name: _origin(name, Path(scenes), Path(archives)) for name in names}
    done = {}
    for name, origin in origins.items():
        target = Path(out) / name
        if _is_complete(target, origin):
            done[name] = "there already"
            continue
        with (
            new_folder(target) as folder,
            _original(name, Path(scenes), Path(archives), near=folder.parent) as root,
        ):
            done[name] = SETS[name].write(root, folder, progress(name) if progress else None)
            atomic_write(
                folder / _ORIGIN_FILE,
                json.dumps(origin | dict(written=done[name]), indent=1) + "\n",
            )
    return done


def _origin(name: str, scenes: Path, archives: Path) -> dict[str, str | int]:
    """What a prepared folder depends on: SHA-256 of the archive, or of the description of the
    scenes.
    """
    check_choice("data set", name, SETS)
    archive = SETS[name].archive
    file = archives / f"{archive}.tar" if archive else scenes / "scenes.json"
    if not file.is_file():
        hint = (
            "name its folder with --archives"
            if archive
            else "run pixelpretext make-scenes, or name it with --scenes"
        )
        raise FileNotFoundError(f"data set {name}: no {file.name} in {file.parent}; {hint}")
    return dict(source=file.name, sha256=sha256_of(file), version=_VERSION)


def _is_complete(target: Path, origin: dict[str, str | int]) -> bool:
    if not target.exists():
        return False
    file = target / _ORIGIN_FILE
    if not file.is_file() or not (target / CLASSES_FILE).is_file():
        raise ValueError(
            f"{target} holds something other than prepared data: delete it or choose another folder"
        )
    stored = read_json("prepared data", file)
    if not isinstance(stored, dict) or stored | origin != stored:
        raise ValueError(
            f"{target} was made from another {origin['source']}: delete it or choose another folder"
        )
    return True


@contextmanager
def _original(name: str, scenes: Path, archives: Path, *, near: Path) -> Iterator[Path]:
    """Gives the folder of the original; an archive is unpacked into ``near``, the folder of the
    result, so that hard links are possible.
    """
    own = SETS[name]
    if not own.archive:
        yield scenes
        return
    with tempfile.TemporaryDirectory(prefix=f".{name}.", suffix=".unpacked", dir=near) as unpacked:
        path = archives / f"{own.archive}.tar"
        try:
            with tarfile.open(path) as archive:
                archive.extractall(unpacked, filter="data")
        except tarfile.TarError as error:
            raise ValueError(f"{path} cannot be unpacked; is it complete? ({error})") from error
        yield Path(unpacked) / own.inner
