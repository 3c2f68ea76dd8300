"""Which images belong together, from the files' names to the records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.core.scores import SegmentationTally
from benchmarks.data import SegmentationFolder
from benchmarks.data.groups import frame_blocks
from benchmarks.evaluate.suite import make_task


def test_one_drive_is_cut_into_blocks_of_neighbours() -> None:
    """CamVid's val part: 101 frames of drive 0016E5, every second one."""
    files = [Path(f"val/0016E5_{frame:05d}.jpg") for frame in range(7959, 8160, 2)]
    blocks = frame_blocks(files)
    assert blocks == sorted(blocks) and set(np.bincount(blocks)) == {10, 11} and max(blocks) == 9


def test_blocks_stay_within_a_video_and_follow_its_frames() -> None:
    names = ["B_f9", "B_f10", "B_f11", "A_1", "A_3", "A_2", "still", "A_10", "A_9"]
    blocks = dict(zip(names, frame_blocks([Path(f"{name}.png") for name in names]), strict=True))
    assert blocks["A_1"] == blocks["A_2"] == blocks["A_3"] == 0
    assert blocks["A_9"] == blocks["A_10"] == 1
    assert blocks["B_f9"] == blocks["B_f10"] == blocks["B_f11"] == 2 and blocks["still"] == 3


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    """9 scored frames of two drives in CamVid's layout."""
    random = np.random.default_rng(0)
    drives = dict(train=[("0001TP", 2)], val=[("0006R0", 6), ("0016E5", 3)])
    for part, videos in drives.items():
        for video, count in videos:
            for frame in range(count):
                for folder, shape, most in (
                    (part, (16, 24, 3), 256),
                    (f"{part}annot", (16, 24), 11),
                ):
                    path = tmp_path / folder / f"{video}_{frame:05d}.png"
                    path.parent.mkdir(exist_ok=True)
                    Image.fromarray(random.integers(0, most, shape).astype(np.uint8)).save(path)
    return tmp_path


def test_records_of_camvid_name_the_blocks_and_no_protocol_does(camvid: Path) -> None:
    arguments = dict(root=str(camvid), layout="camvid")
    task = make_task("retrieval", dict(type="retrieval", data=arguments, size=(16, 24)))
    record = task.benchmark.measure_baseline("majority", task.data, task.settings, stride=8)
    assert record.counts["groups"] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert "groups" not in record.protocol_line and "groups" not in task.data.protocol


def test_other_layouts_name_none(camvid: Path) -> None:
    data = SegmentationFolder(camvid, "plain", images="{split}", masks="{split}annot", classes=11)
    assert data.groups is None
    tally = SegmentationTally(11)
    assert "groups" not in tally.per_image()
