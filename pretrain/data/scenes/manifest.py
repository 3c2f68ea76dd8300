"""A data set folder: the request it answers, its state on disk, its table of contents."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from pretrain.data.folders import SourceError
from pretrain.data.listings import read_json
from pretrain.files import atomic_write

from .annotations import coco_header
from .classes import CLASSES, GROUND, IGNORE, LABEL_NAMES
from .factors import FACTOR_TABLE, as_csv

LAYOUT = 1  # raised whenever the same seed would give other bytes
MANIFEST = "scenes.json"
CHECKSUMS = "SHA256SUMS"
PARTS = ".parts"  # what is finished of an unfinished data set; gone when it is complete
SPLITS = ("train", "val")


@dataclass(frozen=True)
class Request:
    """Everything that the bytes of a data set depend on, besides the versions of the libraries."""

    images: int  # over both splits
    size: int  # pixels, images are square
    seed: int
    sequences: int  # over both splits
    layout: int = LAYOUT
    factors: int = 0  # sets of images of each class in which one factor varies, and of each factor

    def __post_init__(self) -> None:
        """Raises ValueError where a value is out of range."""
        limits = {
            "images": (
                5,
                10**6,
                "one image in five is for validation, and file names have six digits",
            ),
            "size": (32, 2048, "below 32 px the textures are finer than the pixels"),
            "seed": (0, 2**63 - 1, "it keys the random generator"),
            "sequences": (0, 10**4, "0 = none; file names have four digits"),
            "factors": (0, 10**4, "0 = none; file names have four digits"),
        }
        for name, (low, high, reason) in limits.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ValueError(
                    f"{name}={value!r} must be an integer from {low} to {high}: {reason}"
                )

    def split_sizes(self, total: int) -> dict[str, int]:
        """Numbers of training and validation members of ``total``: 4 to 1, at least one of each
        from two on.
        """
        val = max(total // 5, 1) if total > 1 else 0
        return {"train": total - val, "val": val}

    def as_dict(self) -> dict[str, int]:
        """What the table of contents says; without sets it is that of a folder that has none."""
        entries = asdict(self)
        return entries if self.factors else {k: v for k, v in entries.items() if k != "factors"}

    def __str__(self) -> str:
        sets = f", factors {self.factors}" if self.factors else ""
        return (
            f"images {self.images}, size {self.size} px, seed {self.seed}, "
            f"sequences {self.sequences}, layout {self.layout}{sets}"
        )


def versions() -> dict[str, str]:
    """Versions of the libraries that the bytes depend on."""
    return {"numpy": np.__version__, "opencv": cv2.__version__}


def find_finished(out: Path, request: Request) -> dict | None:
    """The manifest of ``out`` if it holds the requested data set completely, None if there is work
    to do.

    Raises:
        FileExistsError: ``out`` holds another data set, part of another one, or something else.
        SourceError: its table of contents is damaged.
    """
    if (out / MANIFEST).exists():
        manifest = _read_request(out / MANIFEST)
        _demand_same(out, "holds", manifest["request"], request)
        return manifest
    begun = out / PARTS / "request.json"
    if begun.exists():
        asked = _read_request(begun)
        _demand_same(out, "holds an unfinished part of", asked["request"], request)
        if asked["versions"] != versions():
            raise FileExistsError(
                f"{out} was begun with {asked['versions']} and would be finished with "
                f"{versions()}: its parts would not fit together; delete the folder or go back "
                "to those versions"
            )
    elif out.exists() and any(entry.name != PARTS for entry in out.iterdir()):
        raise FileExistsError(
            f"{out} is not empty and holds no scenes (no {MANIFEST}); choose another folder"
        )
    return None


def _read_request(path: Path) -> dict:
    """Reads a file that holds a request and versions."""
    content = read_json("scenes", path)
    if not isinstance(content, dict) or not {"request", "versions"} <= content.keys():
        raise SourceError(
            f"scenes: {path} was not written by make_scenes.py, or is damaged; "
            "choose another folder"
        )
    return content


def _demand_same(out: Path, verb: str, there: dict, request: Request) -> None:
    if there != request.as_dict():
        try:
            theirs = str(Request(**there))
        except (TypeError, ValueError):  # of another version
            theirs = str(there)
        raise FileExistsError(
            f"{out} {verb} a different data set: there {theirs}; asked for {request}. "
            f"Choose another folder, or delete that one"
        )


def begin(out: Path, request: Request) -> None:
    """Notes in ``out`` what is being written, so that a later run can tell whether it may go on."""
    note = {"request": request.as_dict(), "versions": versions()}
    atomic_write(out / PARTS / "request.json", json.dumps(note, indent=2) + "\n")


def finish(out: Path, request: Request, parts: Iterable[Path]) -> dict:
    """Joins the parts into the COCO files, the check sums and, last of all, the manifest, which it
    returns.
    """
    files: dict[str, str] = {}
    coco = {split: {**coco_header(split), "images": [], "annotations": []} for split in SPLITS}
    pixels = {split: np.zeros(len(LABEL_NAMES), dtype=np.int64) for split in SPLITS}
    crops = {split: Counter() for split in SPLITS}
    varied: list[tuple[str, ...]] = []
    for path in parts:
        part = json.loads(path.read_text())
        split = part["split"]
        for name, (_, checksum) in part["files"].items():
            files[name] = checksum
        coco[split]["images"] += part["images"]
        coco[split]["annotations"] += part["annotations"]
        pixels[split] += np.array(part["label_pixels"])
        crops[split].update(part["crops"])
        varied += part["varied"]
    if varied:
        text = as_csv(varied)
        atomic_write(out / FACTOR_TABLE, text)
        files[FACTOR_TABLE] = sha256(text.encode()).hexdigest()
    for split in SPLITS:
        text = json.dumps(coco[split], separators=(",", ":"))
        atomic_write(out / f"instances_{split}.json", text)
        files[f"instances_{split}.json"] = sha256(text.encode()).hexdigest()
    for leftover in out.rglob(".*.tmp*"):  # what atomic_path had begun when a process was killed
        leftover.unlink()
    checksums = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
    atomic_write(out / CHECKSUMS, checksums)
    counts = {}
    for split in SPLITS:
        counts[split] = {
            "images": len(coco[split]["images"]),
            "sequences": request.split_sizes(request.sequences)[split],
            "objects": _count_objects(coco[split]["annotations"]),
            "crops": {c.name: crops[split][c.name] for c in CLASSES},
            "label_pixels": dict(zip(LABEL_NAMES, pixels[split].tolist(), strict=True)),
        }
    # The files were not synced one by one, which on a busy disk takes longer than drawing them.
    os.sync()
    manifest = {
        "request": request.as_dict(),
        "versions": versions(),
        "classes": [asdict(c) | {"name": c.name} for c in CLASSES],
        "labels": {"names": list(LABEL_NAMES), "ignore": IGNORE, "ground": GROUND},
        "counts": counts,
        "files": len(files),
        "sha256": sha256(checksums.encode()).hexdigest(),  # of SHA256SUMS, so of every file
    }
    atomic_write(out / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return manifest


def _count_objects(annotations: list[dict]) -> dict[str, int]:
    counts = Counter(annotation["category_id"] for annotation in annotations)
    return {c.name: counts[c.label] for c in CLASSES}
