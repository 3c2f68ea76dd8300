"""Writes the data set "scenes" in several processes, and goes on where it was stopped."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
from rich.console import Console

from pretrain.files import atomic_write
from pretrain.folder_lock import FolderLock
from pretrain.progress import Bars

from .annotations import coco_annotations, cut_crops, find_instances, label_map
from .classes import CLASSES, LABEL_NAMES
from .factors import FACTORS, draw_set
from .layout import sample_scene, scene_rng
from .manifest import MANIFEST, PARTS, SPLITS, Request, begin, find_finished, finish, versions
from .render import render_frame
from .sequences import draw_sequence

_JPEG_QUALITY = 92
_IMAGES_PER_CHUNK = 16  # about a quarter of a second: what a killed run loses at most, per worker
_SEQUENCES_PER_CHUNK = 2
_SETS_PER_CHUNK = 4


@dataclass(frozen=True)
class Chunk:
    """A run of images, sequences or sets that is written, and noted as done, as a whole."""

    kind: str  # "image", "sequence" or "set"
    split: str
    first: int
    last: int  # not included

    def __len__(self) -> int:
        return self.last - self.first

    def note(self, out: Path) -> Path:
        """The file that says what the chunk has written."""
        return out / PARTS / f"{self.kind}_{self.split}_{self.first:06d}_{self.last:06d}.json"

    def is_done(self, out: Path) -> bool:
        """Whether all its files are there in full; after a loss of power some may be empty."""
        if not self.note(out).exists():
            return False
        try:
            files = json.loads(self.note(out).read_bytes())["files"]
        except ValueError:  # the note itself was cut short
            return False
        return all(
            (out / name).exists() and (out / name).stat().st_size == size
            for name, (size, _) in files.items()
        )


def write_scenes(
    out: str | Path,
    images: int,
    *,
    size: int = 96,
    seed: int = 0,
    workers: int = 1,
    sequences: int = 10,
    factors: int = 0,
    console: Console | None = None,
) -> Path:
    """Writes a data set, finishes one that was interrupted, or finds that it is there already.

    Image ``index`` of a split depends on (seed, split, index) only: a larger ``images`` repeats the
    earlier ones byte for byte, whatever ``workers`` is. Speed: about 75 images/s per core at 96 px.

    Args:
        out: folder of the data set; made if missing.
        images: number of images over both splits, ``images // 5`` of them for validation.
        size: side of the images in pixels.
        seed: 0 or larger; splits of one seed share no scene.
        workers: number of processes; 1 = this one.
        sequences: number of sequences over both splits.
        factors: number of sets of images in which one factor varies, of each class and factor, see
            :mod:`pretrain.data.scenes.factors`.
        console: where progress is shown; None = the standard error stream.

    Returns:
        ``out`` as a Path.

    Raises:
        ValueError: an argument is out of range.
        FileExistsError: ``out`` holds a different data set or something else.
    """
    request = Request(images, size, seed, sequences, factors=factors)
    if workers < 1:
        raise ValueError(f"workers={workers} must be 1 or more: the number of processes that draw")
    out = Path(out)
    console = console or Console(stderr=True)
    manifest = find_finished(out, request)
    if manifest is None:
        with _only_writer(out):
            # Another process may have finished it while this one waited.
            manifest = find_finished(out, request)
            if manifest is None:
                begin(out, request)
                chunks = list(_chunks(request))
                _run(out, request, chunks, workers=workers, console=console)
                finish(out, request, [chunk.note(out) for chunk in chunks])
                console.print(f"wrote scenes to {out}: {request}")
                return out
    theirs, note = manifest["versions"], ""
    if theirs != versions():
        note = f" (drawn with {theirs}; {versions()} may draw other bytes)"
    console.print(f"{out} already holds these scenes: {request}{note}")
    return out


@contextmanager
def _only_writer(out: Path) -> Iterator[None]:
    """Holds a lock that keeps other processes from writing the same folder; waits for them."""
    folder = out / PARTS
    with FolderLock(folder, "folder of scenes", wait_s=math.inf):
        yield
    # Left by a run that waited, or was killed at the very end.
    if (out / MANIFEST).exists() and folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


def _chunks(request: Request) -> Iterator[Chunk]:
    """All chunks of a request, in the order of the files."""
    for kind, total, step in (
        ("image", request.images, _IMAGES_PER_CHUNK),
        ("sequence", request.sequences, _SEQUENCES_PER_CHUNK),
    ):
        sizes = request.split_sizes(total)
        for split in SPLITS:
            for first in range(0, sizes[split], step):
                yield Chunk(kind, split, first, min(first + step, sizes[split]))
    sets = request.factors * len(FACTORS) * len(CLASSES)
    for first in range(0, sets, _SETS_PER_CHUNK):
        yield Chunk("set", "val", first, min(first + _SETS_PER_CHUNK, sets))


def _run(
    out: Path, request: Request, chunks: list[Chunk], *, workers: int, console: Console
) -> None:
    """Does the chunks that are not done, with a progress bar."""
    for split in SPLITS:
        # Readers of class folders expect every class, also where a small set has no crop of it.
        for c in CLASSES:
            (out / "crops" / split / c.name).mkdir(parents=True, exist_ok=True)
    missing = [chunk for chunk in chunks if not chunk.is_done(out)]
    total = sum(len(chunk) for chunk in chunks)
    done = total - sum(len(chunk) for chunk in missing)
    with Bars(console) as bars:
        bar = bars.add_task("drawing scenes", total=total, completed=done)
        if done:
            console.print(f"{out}: continuing after {done} finished images, sequences and sets")
        if workers == 1:
            with _one_thread():
                for chunk in missing:
                    bars.advance(bar, write_chunk(out, request, chunk))
            return
        # spawn: the caller may hold torch threads, which do not survive a fork.
        with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker) as pool:
            futures = [pool.submit(write_chunk, out, request, chunk) for chunk in missing]
            for future in as_completed(futures):
                bars.advance(bar, future.result())


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV in one thread: the pictures are too small to share out."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _start_worker() -> None:
    """One OpenCV thread per process, which ends when its parent is gone (a pool's worker would wait
    forever).
    """
    cv2.setNumThreads(1)
    parent = parent_process()

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def write_chunk(out: Path, request: Request, chunk: Chunk) -> int:
    """Draws and writes the files of one chunk, then its note; returns the number of images,
    sequences or sets.
    """
    writer = _Writer(out, request, chunk)
    add = dict(image=writer.add_image, sequence=writer.add_sequence, set=writer.add_set)[chunk.kind]
    for index in range(chunk.first, chunk.last):
        add(index)
    atomic_write(chunk.note(out), json.dumps(writer.part))
    return len(chunk)


class _Writer:
    """Writes files of one split and collects what the manifest and the COCO file need to know of
    them.
    """

    def __init__(self, out: Path, request: Request, chunk: Chunk) -> None:
        self.out, self.request, self.split = out, request, chunk.split
        self.part: dict = {
            "split": chunk.split,
            "files": {},
            "images": [],
            "annotations": [],
            "label_pixels": [0] * len(LABEL_NAMES),
            "crops": {},
            "varied": [],
        }

    def add_image(self, index: int) -> None:
        """Draws image ``index`` and writes image, label map, depth and crops."""
        scene = sample_scene(scene_rng(self.request.seed, self.split, "image", index))
        drawn = render_frame(scene, 0, self.request.size)
        instances = find_instances(scene, drawn)
        labels = label_map(drawn, instances)
        name = f"scene_{index:06d}"
        self._write(f"images/{self.split}/{name}.jpg", encode_jpeg(drawn.image))
        self._write(f"annotations/{self.split}/{name}.png", encode_png(labels))
        self._write(f"depth/{self.split}/{name}.png", encode_png(drawn.depth))
        for instance, crop in cut_crops(drawn, instances):
            folder = CLASSES[instance.label - 1].name
            self._write(
                f"crops/{self.split}/{folder}/{name}_{instance.number:02d}.jpg", encode_jpeg(crop)
            )
            self.part["crops"][folder] = self.part["crops"].get(folder, 0) + 1
        counts = np.bincount(labels.ravel(), minlength=len(LABEL_NAMES))
        self.part["label_pixels"] = [
            a + int(b) for a, b in zip(self.part["label_pixels"], counts, strict=True)
        ]
        size = self.request.size
        self.part["images"].append(
            {
                "id": index + 1,
                "file_name": f"{name}.jpg",
                "width": size,
                "height": size,
                "license": 1,
            }
        )
        self.part["annotations"] += coco_annotations(instances, index + 1)

    def add_sequence(self, index: int) -> None:
        """Draws sequence ``index`` and writes its frames and tracks."""
        frames, tracks = draw_sequence(self.request.seed, self.split, index, self.request.size)
        folder = f"sequences/{self.split}/seq_{index:04d}"
        for t, image in enumerate(frames):
            self._write(f"{folder}/{t:03d}.jpg", encode_jpeg(image))
        self._write(f"{folder}/tracks.npz", tracks)

    def add_set(self, index: int) -> None:
        """Draws set ``index`` and writes its images."""
        drawn = draw_set(self.request.seed, index, self.request.size)
        for step, (image, value) in enumerate(zip(drawn.images, drawn.values, strict=True)):
            place = f"{drawn.factor}/{drawn.kind.name}/set_{drawn.number:04d}_{step}.jpg"
            self._write(f"factors/{place}", encode_jpeg(image))
            row = [place, drawn.factor, drawn.kind.name, f"{drawn.number:04d}", f"{value:.4f}"]
            self.part["varied"].append(row)

    def _write(self, name: str, content: bytes) -> None:
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_bytes(content)
        os.replace(temporary, path)
        self.part["files"][name] = (len(content), sha256(content).hexdigest())


def encode_jpeg(image: np.ndarray) -> bytes:
    """JPEG of an image (H, W, 3) uint8 RGB."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return data.tobytes()


def encode_png(values: np.ndarray) -> bytes:
    """One-channel PNG of (H, W) uint8 (PIL mode L) or uint16 (16 bit)."""
    _, data = cv2.imencode(".png", values)
    return data.tobytes()
