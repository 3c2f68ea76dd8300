"""Boxes of objects through sequences: they hold what is visible, and frame pairs read them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pretrain.data import FramePairs, SourceError
from pretrain.data.scenes.regions import write_tracks


def test_boxes_hold_the_visible_parts_of_objects(scenes: Path, tmp_path: Path) -> None:
    sequences = scenes / "sequences/train"
    rows = json.loads(write_tracks(sequences, tmp_path / "tracks.json").read_text())
    assert {row["video"] for row in rows} == {path.name for path in sequences.iterdir()}
    boxes: dict[tuple[str, str], int] = {}
    for row in rows:
        with np.load(sequences / row["video"] / "tracks.npz") as content:
            drawn = content["instances"][row["frame"]] == int(row["track"])
        inside = np.zeros_like(drawn)
        inside[row["y1"] : row["y2"], row["x1"] : row["x2"]] = True
        assert (drawn & inside).sum() == drawn.sum() > 0  # all of the object …
        cut = drawn[row["y1"] : row["y2"], row["x1"] : row["x2"]]
        for edge in (cut[0], cut[-1], cut[:, 0], cut[:, -1]):
            assert edge.any()  # … and no more
        assert min(cut.shape) >= 96 / 8
        boxes[row["video"], row["track"]] = boxes.get((row["video"], row["track"]), 0) + 1
    assert min(boxes.values()) > 1 and len(boxes) > 6
    assert set(rows[0]) == {"video", "track", "frame", "x1", "y1", "x2", "y2"}  # no label


def test_frame_pairs_show_one_object_at_two_times(scenes: Path, tmp_path: Path) -> None:
    sequences = scenes / "sequences/train"
    tracks = write_tracks(sequences, tmp_path / "tracks.json")
    source = FramePairs(sequences, min_gap=2, tracks=tracks, margin=0.1)
    rows = json.loads(tracks.read_text())
    grown = {}
    for row in rows:
        x, y = 0.1 * (row["x2"] - row["x1"]), 0.1 * (row["y2"] - row["y1"])
        box = row["x1"] - x, row["y1"] - y, row["x2"] + x, row["y2"] + y
        place = row["video"], row["frame"], tuple(np.clip(np.array(box) / 96, 0, 1).round(6))
        grown[place] = row["track"]
    regions = 0
    for index in range(len(source)):
        images = source.source_images(index, np.random.default_rng(index))
        times = [int(Path(image.name).stem) for image in images]
        assert abs(times[0] - times[1]) >= 2
        if images[0].box is None:
            continue
        regions += 1
        names = [(Path(image.name).parent.name, int(Path(image.name).stem)) for image in images]
        shown = [grown[(*n, tuple(np.round(i.box, 6)))] for n, i in zip(names, images, strict=True)]
        assert shown[0] == shown[1] and source.label(index) is None
    assert regions > len(source) / 2


def test_a_folder_without_sequences_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no seq_.*draw sequences with make_scenes.py OUT"):
        write_tracks(tmp_path, tmp_path / "tracks.json")
