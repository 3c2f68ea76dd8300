"""The benchmark on toy videos: against the obvious way, and what it says of sizes and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.data import VideoFolder
from benchmarks.frozen.video.run import BENCHMARK, METRICS, Settings, VideoTally, track
from benchmarks.frozen.video.scores import contour, region

SMALL = Settings(short_side=None, long_multiple=8, last_frames=2, radius=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_davis: Callable[..., Path]) -> VideoFolder:
    return VideoFolder(write_davis(tmp_path_factory.mktemp("davis")))


def test_means_are_those_over_all_objects(data: VideoFolder, colour_grid: Any) -> None:
    network = colour_grid()
    record = BENCHMARK.measure(network, data, SMALL)
    j, f = [], []
    for video in data.videos:
        masks = list(track(network, video, SMALL))
        assert len(masks) == 3 and masks[0].shape == (40, 64)
        for number in range(1, video.objects + 1):
            pairs = [(m == number, video.mask(t) == number) for t, m in enumerate(masks, start=1)]
            j.append(100 * np.mean([region(*pair) for pair in pairs]))
            f.append(100 * np.mean([contour(*pair) for pair in pairs]))
    values = {name: metric.value for name, metric in record.metrics.items()}
    assert tuple(values) == METRICS
    assert values["J"] == pytest.approx(np.mean(j)) and values["F"] == pytest.approx(np.mean(f))
    assert values["J_and_F"] == pytest.approx((values["J"] + values["F"]) / 2)
    table = record.counts["per_image"]
    assert table["image"] == [0, 1, 2] and record.counts["groups"] == [0, 1, 1]
    assert record.counts["video"] == ["bike", "two-dogs", "two-dogs"]
    assert (record.counts["object"], record.counts["frames"]) == ([1, 1, 2], [3, 3, 3])
    assert np.mean(table["J_decay"]) == pytest.approx(values["J_decay"])


def test_colours_follow_a_coloured_square(data: VideoFolder, colour_grid: Any) -> None:
    """The square moves by 4 of its 16 pixels a frame, so that what stays is soon wrong."""
    moved = BENCHMARK.measure(colour_grid(4), data, SMALL).metrics["J"].value
    still = BENCHMARK.measure_baseline("still", data, SMALL, stride=4).metrics["J"].value
    assert moved > 75 > 60 > still


@pytest.mark.parametrize(
    ("settings", "frame", "multiple", "size"),
    [
        (Settings(), (480, 854), 16, (480, 832)),
        (Settings(), (480, 910), 8, (480, 896)),
        (Settings(), (854, 480), 16, (832, 480)),
        (Settings(), (240, 432), 16, (480, 832)),
        (Settings(), (480, 854), 14, (476, 826)),
        (Settings(short_side=None, long_multiple=1), (480, 854), 14, (476, 854)),
        (Settings(short_side=None, long_multiple=1), (480, 854), 8, (480, 848)),
    ],
)
def test_sizes_of_the_input(
    settings: Settings, frame: tuple[int, int], multiple: int, size: tuple[int, int]
) -> None:
    assert settings.input_size(frame, multiple) == size


def test_mistakes_are_named(data: VideoFolder, colour_grid: Any) -> None:
    with pytest.raises(ValueError, match="short_side=0 must be at least 1"):
        Settings(short_side=0)
    with pytest.raises(ValueError, match="last_frames=-1 must be 0 or more"):
        Settings(last_frames=-1)
    with pytest.raises(ValueError, match="shape='round' is not one of square, disc"):
        Settings(shape="round")
    with pytest.raises(ValueError, match="of a frame of 40 x 64 pixels nothing is left"):
        BENCHMARK.measure(colour_grid(), data, Settings(short_side=4))
    tally, video = VideoTally(data), data.videos[0]
    with pytest.raises(ValueError, match=r"objects up to 2; legal is \(40, 64\) with at most 1"):
        tally.add(video, 1, np.full((40, 64), 2))
