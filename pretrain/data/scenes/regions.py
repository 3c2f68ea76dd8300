"""Boxes of the objects of sequences through time, as a tracker would give them, without labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pretrain.data.folders import SourceError, visible
from pretrain.files import atomic_write

_LEAST_SIDE = 1 / 8  # of a box, in image widths: of less a crop shows nothing


def write_tracks(sequences: str | Path, out: str | Path) -> Path:
    """Writes the boxes of all objects as a file that ``FramePairs(tracks=…)`` reads.

    A box holds the visible part of an object. Boxes with a side below an eighth of the image are
    left out, and so are objects with a single box.

    Args:
        sequences: folder of ``seq_0000``, …, such as ``OUT/sequences/train`` of
            :func:`pretrain.data.scenes.write_scenes`.
        out: json file to write.

    Returns:
        ``out`` as a Path.

    Raises:
        SourceError: the folder holds no sequence.
    """
    rows: list[dict] = []
    for folder in visible(Path(sequences).glob("seq_*")):
        with np.load(folder / "tracks.npz") as content:
            rows += _rows(folder.name, content["instances"])
    if not rows:
        raise SourceError(
            f"scenes: {sequences} holds no seq_*/tracks.npz; draw sequences with make_scenes.py "
            "OUT --sequences 100"
        )
    out = Path(out)
    atomic_write(out, "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    return out


def _rows(video: str, instances: np.ndarray) -> list[dict]:
    """The entries of one sequence, of its instances (T, S, S) uint8, track by track."""
    least = _LEAST_SIDE * instances.shape[1]
    rows = []
    for number in range(1, int(instances.max()) + 1):
        track = []
        for frame, drawn in enumerate(instances == number):
            ys, xs = np.nonzero(drawn)
            if len(xs) and min(np.ptp(xs), np.ptp(ys)) + 1 >= least:
                corners = dict(x1=xs.min(), y1=ys.min(), x2=xs.max() + 1, y2=ys.max() + 1)
                box = {key: int(value) for key, value in corners.items()}
                track.append(dict(video=video, track=str(number), frame=frame, **box))
        rows += track if len(track) > 1 else []
    return rows
