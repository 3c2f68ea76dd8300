"""Keypoint transfer: a network that knows the answer, one re-implemented slowly, answers without
looking.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from benchmarks.data import KeypointPairs
from benchmarks.frozen import correspondence
from heads.upsamplers.interpolation import Interpolation

SIZE = (32, 48)


@pytest.fixture
def willow(tmp_path: Path, write_willow: Callable[[Path], Path]) -> KeypointPairs:
    return KeypointPairs(write_willow(tmp_path / "willow"))


def test_pairs_are_ordered_within_a_subset(willow: KeypointPairs) -> None:
    folders = [image.folder for image in willow.images]
    assert folders == ["bottle"] * 2 + ["car(S)"] * 3
    pairs = [pair.images for pair in willow.pairs]
    assert pairs == [(0, 1), (1, 0), (2, 3), (2, 4), (3, 2), (3, 4), (4, 2), (4, 3)]
    assert all(image.size == willow.read(i).shape[:2] for i, image in enumerate(willow.images))
    assert willow.protocol["pairs"] == 8 and willow.protocol["images"] == 5
    every = KeypointPairs(willow.root, every=4).pairs
    assert [pair.images for pair in every] == [(0, 1), (3, 2)]
    height, width = willow.pairs[1].box
    x, y = willow.pairs[1].target_points.T
    assert (height, width) == pytest.approx((y.max() - y.min(), x.max() - x.min()))


def test_content_tells_data_apart(
    tmp_path: Path, willow: KeypointPairs, write_willow: Callable[[Path], Path]
) -> None:
    other = write_willow(tmp_path / "other")
    assert KeypointPairs(other).protocol == willow.protocol
    savemat(other / "bottle" / "0.mat", dict(pts_coord=np.ones((2, 4))))
    assert KeypointPairs(other).protocol["content"] != willow.protocol["content"]


def test_mistakes_are_named(tmp_path: Path, write_willow: Callable[[Path], Path]) -> None:
    root = write_willow(tmp_path / "willow")
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        KeypointPairs(tmp_path / "nowhere")
    with pytest.raises(
        ValueError, match="layout='pfwilow' is not one of .*; did you mean 'pfwillow'"
    ):
        KeypointPairs(root, layout="pfwilow")
    with pytest.raises(ValueError, match="every=0 must be at least 1"):
        KeypointPairs(root, every=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no two images with keypoints in one folder"):
        KeypointPairs(tmp_path / "empty")
    cases: list[tuple[Any, str]] = [
        (
            dict(pts_coord=np.ones((3, 4))),
            r"must be \(2, K\) finite numbers, x and y; found shape \(3, 4\)",
        ),
        (dict(pts_coord=np.full((2, 4), np.nan)), "finite"),
        (dict(points=np.ones((2, 4))), "has no variable 'pts_coord'"),
        (dict(pts_coord=np.ones((2, 3))), r"folder 'bottle': images have \[3, 4\] keypoints"),
    ]
    for content, message in cases:
        savemat(root / "bottle" / "0.mat", content)
        with pytest.raises(ValueError, match=message):
            KeypointPairs(root)
    (root / "bottle" / "0.mat").write_bytes(b"nothing of MATLAB's")
    with pytest.raises(ValueError, match="0.mat: not readable as a MATLAB file"):
        KeypointPairs(root)
    savemat(root / "bottle" / "lonely.mat", dict(pts_coord=np.ones((2, 4))))
    (root / "bottle" / "0.mat").unlink()
    with pytest.raises(ValueError, match="lonely.mat has no image next to it"):
        KeypointPairs(root)


def transfer_slowly(network: Any, data: KeypointPairs, relative_to: str) -> list[np.ndarray]:
    """‖prediction − truth‖ / L of every keypoint, pair by pair, in loops."""
    results = []
    for pair in data.pairs:
        source, target = pair.images
        unit = []
        for index in (source, target):
            pixels = np.asarray(
                Image.fromarray(data.read(index)).resize(SIZE[::-1], Image.Resampling.BILINEAR)
            )
            maps = (
                network.maps(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])[0]
                .double()
                .numpy()
            )
            unit.append(maps / np.linalg.norm(maps, axis=0))
        a, b = data.images[source], data.images[target]
        grid, errors = unit[0].shape[1:], []
        for (x, y), truth in zip(pair.source_points, pair.target_points, strict=True):
            feature = unit[0][:, int(y / a.size[0] * grid[0]), int(x / a.size[1] * grid[1])]
            best, found = -2.0, (0.0, 0.0)
            for row in range(grid[0]):
                for column in range(grid[1]):
                    cosine = feature @ unit[1][:, row, column]
                    if cosine > best + 1e-7:
                        best = cosine
                        found = (
                            (column + 0.5) / grid[1] * b.size[1],
                            (row + 0.5) / grid[0] * b.size[0],
                        )
            x, y = pair.target_points.T
            side = max(np.ptp(x), np.ptp(y)) if relative_to == "box" else max(b.size)
            errors.append(np.hypot(*(np.array(found) - truth)) / side)
        results.append(np.array(errors))
    return results


@pytest.mark.parametrize("relative_to", ["box", "image"])
def test_equals_the_slow_reimplementation(
    willow: KeypointPairs, colour_grid: Any, relative_to: str
) -> None:
    network = colour_grid(4)
    settings = correspondence.Settings(size=SIZE, relative_to=relative_to, batch_size=2)
    record = correspondence.BENCHMARK.measure(network, willow, settings)
    expected = transfer_slowly(network, willow, relative_to)
    np.testing.assert_allclose(record.counts["relative_error"], expected, atol=1e-5)
    for alpha in (0.05, 0.1, 0.15):
        wanted = 100 * np.mean([np.mean(error <= alpha) for error in expected])
        assert record.metrics[f"PCK@{alpha}"].value == pytest.approx(wanted)
    assert record.counts["pairs"] == [list(pair.images) for pair in willow.pairs]


def test_only_images_of_pairs_are_encoded(willow: KeypointPairs, colour_grid: Any) -> None:
    told: list[tuple] = []
    settings = correspondence.Settings(size=SIZE)
    some = KeypointPairs(willow.root, every=4)
    record = correspondence.BENCHMARK.measure(
        colour_grid(4), some, settings, progress=lambda *step: told.append(step)
    )
    assert told == [("sources", 2, 2), ("targets", 2, 2)]
    everything = correspondence.BENCHMARK.measure(colour_grid(4), willow, settings).counts[
        "relative_error"
    ]
    assert record.counts["relative_error"] == everything[::4]


def test_features_that_are_the_place_find_the_place(tmp_path: Path, colour_grid: Any) -> None:
    """Images whose colour is the position: the answer is exact up to a cell, and finer cells are
    more exact.
    """
    root = tmp_path / "place"
    (root / "a").mkdir(parents=True)
    points = np.random.default_rng(1).random((2, 6))
    for name, (height, width) in (("0", (40, 64)), ("1", (64, 40))):
        y, x = (np.mgrid[:height, :width] + 0.5) / np.array([height, width])[:, None, None]
        pixels = np.stack([255 * x, 255 * y, 255 * (1 - x) * (1 - y)], -1).astype(np.uint8)
        Image.fromarray(pixels).save(root / "a" / f"{name}.png")
        savemat(root / "a" / f"{name}.mat", dict(pts_coord=points * np.array([[width], [height]])))
    errors = []
    for stride in (8, 4, 2):
        record = correspondence.BENCHMARK.measure(
            colour_grid(stride), KeypointPairs(root), correspondence.Settings(size=(64, 64))
        )
        errors.append(np.mean(record.counts["relative_error"]))
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.03


def test_an_upsampled_map_is_searched(willow: KeypointPairs, colour_grid: Any) -> None:
    class Fine(colour_grid):
        def maps(self, images: torch.Tensor) -> torch.Tensor:
            return Interpolation("bilinear").upsample(
                images, super().maps(images), tuple(images.shape[-2:])
            )

    settings = correspondence.Settings(size=SIZE)
    low, fine = (
        correspondence.BENCHMARK.measure(kind(8), willow, settings) for kind in (colour_grid, Fine)
    )
    assert low.counts["relative_error"] != fine.counts["relative_error"]
    assert low.protocol_hash == fine.protocol_hash


def test_answers_without_looking(willow: KeypointPairs, colour_grid: Any) -> None:
    settings = correspondence.Settings(size=SIZE)
    identity, centre = (
        correspondence.BENCHMARK.measure_baseline(name, willow, settings)
        for name in ("identity", "centre")
    )
    for number, pair in enumerate(willow.pairs):
        a, b = (willow.images[index] for index in pair.images)
        moved = pair.source_points * np.array(b.size[::-1]) / a.size[::-1]
        distance = np.hypot(*(moved - pair.target_points).T) / max(pair.box)
        np.testing.assert_allclose(identity.counts["relative_error"][number], distance, atol=1e-6)
        middle = np.array(b.size[::-1]) / 2
        distance = np.hypot(*(middle - pair.target_points).T) / max(pair.box)
        np.testing.assert_allclose(centre.counts["relative_error"][number], distance, atol=1e-6)
    network = correspondence.BENCHMARK.measure(colour_grid(8), willow, settings)
    assert network.protocol_hash == identity.protocol_hash == centre.protocol_hash
    assert identity.subject["spec"] == "identity"


def test_collapsed_features_are_an_error(willow: KeypointPairs, colour_grid: Any) -> None:
    network = colour_grid(8, torch.zeros(2, 3))
    with pytest.raises(ValueError, match="0.png: a feature is zero or not finite"):
        correspondence.BENCHMARK.measure(network, willow, correspondence.Settings(size=SIZE))
    with pytest.raises(ValueError, match="relative_to='bbox' is not one of"):
        correspondence.Settings(relative_to="bbox")
    with pytest.raises(ValueError, match="two positive sides"):
        correspondence.Settings(size=(0, 3))


def test_identity_on_the_real_pairs(shared_data: Path, tmp_path: Path) -> None:
    with tarfile.open(shared_data / "corr_pfwillow.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    data = KeypointPairs(tmp_path)
    assert len(data.images) == 60 and len(data.pairs) == 540
    for relative_to, expected in (("box", 32.15), ("image", 44.67)):
        settings = correspondence.Settings(relative_to=relative_to)
        record = correspondence.BENCHMARK.measure_baseline("identity", data, settings)
        assert record.metrics["PCK@0.1"].value == pytest.approx(expected, abs=0.005)


def test_a_prediction_that_is_no_number_is_refused_not_counted_as_a_miss(
    willow: KeypointPairs,
) -> None:
    predicted = [pair.target_points.copy() for pair in willow.pairs]
    settings = correspondence.Settings(size=SIZE)
    result = correspondence.result_of(willow, settings, predicted)
    assert result.metrics["PCK@0.1"].value == 100
    predicted[1][0, 0] = np.nan
    target = willow.images[willow.pairs[1].target].path.name
    with pytest.raises(
        ValueError, match=f"{target}: a pair without keypoints, or with a point or prediction"
    ):
        correspondence.result_of(willow, settings, predicted)
