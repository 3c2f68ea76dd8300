"""Matching in 3-D: published vectors, a ball whose colour is its surface, loops."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.features import FeatureSettings
from benchmarks.data import ViewPairs
from benchmarks.data.correspondences.navi import read_depth
from benchmarks.data.correspondences.view import rotation_angle, rotation_of
from benchmarks.frozen.matching import BENCHMARK, Settings
from benchmarks.frozen.matching.cut import cut_view
from benchmarks.frozen.matching.matches import match_errors, match_points
from benchmarks.frozen.matching.run import _on_cells

Write = Callable[[str, Path], Path]
SMALL = Settings(size=(96, 96), copy_side=0, stride=4, matches=50)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, write_point_pairs: Write) -> Path:
    return write_point_pairs("navi", tmp_path_factory.mktemp("data") / "navi_v1")


def test_weights_of_matches_on_a_circle() -> None:
    """The specification's V8: sources at 0, 20 and 90 degrees, targets at 5, 60 and 85."""

    def circle(*degrees: float) -> torch.Tensor:
        angles = torch.tensor(degrees).double().deg2rad()
        return torch.stack([angles.cos(), angles.sin()], 1)

    matches = match_points(circle(0, 20, 90), circle(5, 60, 85), 3)
    assert matches.source.tolist() == [0, 2, 1] and matches.target.tolist() == [0, 2, 0]
    assert matches.weights.tolist() == pytest.approx([0.992389, 0.971597, 0.854356], abs=1e-6)
    assert match_points(circle(0, 20, 90), circle(5, 60, 85), 2).source.tolist() == [0, 2]


def test_the_angle_of_two_rotations() -> None:
    """V8: R_z(30°) R_x(40°)."""
    z = rotation_of(np.array([np.cos(np.pi / 12), 0, 0, np.sin(np.pi / 12)]))
    x = rotation_of(3 * np.array([np.cos(np.pi / 9), np.sin(np.pi / 9), 0, 0]))
    assert rotation_angle(z @ x) == pytest.approx(49.628434, abs=1e-6)
    assert z @ [1, 0, 0] == pytest.approx([np.cos(np.pi / 6), 0.5, 0])
    assert np.linalg.det(x) == pytest.approx(1) and x @ x.T == pytest.approx(np.eye(3))


def test_errors_in_metres_and_pixels() -> None:
    points = torch.tensor([[0.1, 0.0, 0.5], [0.0, 0.2, 1.0]]).double()
    shift = torch.tensor([0.0, 0.03, 0.0]).double()
    apart, pixels = match_errors(
        points, points, rotation=torch.eye(3).double(), translation=shift, focal=100
    )
    assert apart.tolist() == pytest.approx([0.03, 0.03]) and pixels.tolist() == pytest.approx(
        [6, 3]
    )


def test_pairs_are_drawn_within_the_angle_and_do_not_change(root: Path) -> None:
    data = ViewPairs(root.parent, every=1)  # also the folder around it
    assert len(data.views) == 10 and len(data.pairs) == 4
    for pair in data.pairs:
        source, target = data.views[pair.source], data.views[pair.target]
        assert source.collection == "wild_set" and target.collection.startswith("multiview")
        turns = [25 * int(v.image.stem) for v in (source, target)]
        offset = 5 if target.collection == "multiview_00_pixel" else 10
        assert pair.angle == pytest.approx(abs(turns[1] + offset - turns[0])) and pair.angle <= 120
    assert ViewPairs(root, every=1).protocol == data.protocol
    assert ViewPairs(root, every=1, seed=9).protocol["pair_list"] != data.protocol["pair_list"]
    every = ViewPairs(root)
    assert [pair.target for pair in every.pairs] == [data.pairs[0].target]
    wild = ViewPairs(root, every=1, partners="wild")
    for pair in wild.pairs:
        assert data.views[pair.target].collection == "wild_set" and pair.source != pair.target


def test_depth_is_inverse_and_points_lie_on_the_ball(root: Path) -> None:
    data = ViewPairs(root, every=1)
    view, (image, depth) = data.views[0], data.load(0)
    assert image.shape == (96, 128, 3) and 0.15 < depth[depth > 0].min() < 0.17
    for settings in (SMALL, Settings(size=(96, 96), copy_side=192, stride=3)):
        cut = cut_view(view, image, depth, settings)
        points = cut.points.reshape(-1, 3)
        points = points[points[:, 2] > 0]
        away = np.linalg.norm(points - view.translation, axis=1)
        assert np.abs(away - 0.04).max() < 0.003 and len(points) > 100
        assert cut.focal == pytest.approx(view.focal * 96 / _side(cut, view), rel=0.05)


def _side(cut: Any, view: Any) -> float:
    """The window's side in pixels of the photo, by what the ball fills of it: all."""
    height = view.focal * 0.04 / np.sqrt(0.2**2 - 0.04**2)
    return 2 * height


def test_colours_that_are_the_surface_find_it(root: Path, colour_grid: Any) -> None:
    """Points seen from both sides have one colour: most of the best matches are right."""

    class Colours(colour_grid):
        def maps(self, images: torch.Tensor) -> torch.Tensor:
            maps = super().maps(images)  # unlike their directions, colours beside a one are places
            return torch.cat([maps - 0.6, torch.ones_like(maps[:, :1])], 1)

    data = ViewPairs(root, every=1, max_angle=60)
    record = BENCHMARK.measure(Colours(4), data, SMALL)
    assert record.metrics["recall@1cm"].value > 95 and record.metrics["recall@2cm"].value > 95
    chance = BENCHMARK.measure_baseline("chance", data, SMALL)
    assert chance.metrics["recall@2cm"].value < 20
    assert chance.protocol_hash == record.protocol_hash
    for one in (record, chance):
        for name, metric in one.metrics.items():
            assert np.nanmean(one.counts["per_image"][name]) == pytest.approx(metric.value)
    bins = [name for name in record.metrics if name.endswith("deg")]
    low = {int(pair.angle // 30) * 30 for pair in data.pairs}
    wanted = {f"recall@2cm_{angle}-{angle + 30}deg" for angle in low}
    assert set(bins) == wanted and set(BENCHMARK.expected_metrics(data, SMALL)) == set(
        record.metrics
    )


def test_equals_loops(root: Path, colour_grid: Any) -> None:
    data, network = ViewPairs(root, every=1), colour_grid(8)
    record = BENCHMARK.measure(network, data, SMALL)
    for number, pair in enumerate(data.pairs):
        features, points, focal = [], [], 0.0
        for index in (pair.source, pair.target):
            cut = cut_view(data.views[index], *data.load(index), SMALL)
            maps = network.maps(torch.from_numpy(cut.pixels).permute(2, 0, 1)[None])
            fine = F.interpolate(maps, (24, 24), mode="bicubic")[0].flatten(1).T.double().numpy()
            known = cut.points.reshape(-1, 3)[:, 2] > 0
            unit = fine[known] / np.linalg.norm(fine[known], axis=1, keepdims=True)
            features.append(unit)
            points.append(cut.points.reshape(-1, 3)[known].astype(float))
            focal = cut.focal
        found = []
        for source, feature in zip(points[0], features[0], strict=True):
            distances = 1 - features[1] @ feature
            order = np.argsort(distances, kind="stable")
            weight = 1 - distances[order[0]] / max(distances[order[1]], 1e-9)
            moved, target = pair.rotation @ source + pair.translation, points[1][order[0]]
            apart = np.linalg.norm(moved - target)
            away = focal * np.linalg.norm(moved[:2] / moved[2] - target[:2] / target[2])
            found.append((weight, apart, away))
        best = sorted(found, key=lambda entry: -entry[0])[:50]
        table = record.counts["per_image"]
        for limit in (1, 2, 5):
            wanted = 100 * np.mean([apart < limit / 100 for _, apart, _ in best])
            assert table[f"recall@{limit}cm"][number] == pytest.approx(wanted, abs=2.1)
        wanted = 100 * np.mean([away < 25 * 96 / 512 for _, _, away in best])
        assert table["recall@25px"][number] == pytest.approx(wanted, abs=2.1)


def test_features_are_read_where_the_cells_are_also_behind_padding() -> None:
    network = FeatureExtractor.load("random:vit_tiny_patch16_224?dynamic_img_size=True")
    settings = Settings(size=(40, 40), stride=4)
    reading = network.reading(FeatureSettings(pad="centre"))
    images = torch.randint(0, 255, (1, 3, 40, 40), dtype=torch.uint8)
    maps = reading.maps(images)
    assert maps.shape[-2:] == (3, 3)
    cells = _on_cells(maps, reading, settings)
    whole = F.interpolate(maps, (48, 48), mode="bicubic")  # pixels of 40 + 8, 4 of them before
    middles = (whole[..., 5:45:4, 5:45:4] + whole[..., 6:46:4, 6:46:4]) / 2
    assert cells.shape[-2:] == (10, 10) and (cells - middles).abs().max() < 0.05 * maps.std()


def test_mistakes_are_named(root: Path, tmp_path: Path, write_point_pairs: Write) -> None:
    for wrong, message in (
        (dict(every=0), "every=0 must be at least 1"),
        (dict(partners="all"), "partners='all' is not one of multiview, wild"),
        (dict(max_angle=0.0), "max_angle=0.0 must be above 0"),
        (dict(max_angle=1e-3), "no view is turned by at most max_angle=0.001"),
    ):
        with pytest.raises(ValueError, match=message):
            ViewPairs(root, **wrong)
    with pytest.raises(ValueError, match="must be a square"):
        Settings(size=(32, 48))
    with pytest.raises(ValueError, match="multiple of stride=5"):
        Settings(size=(32, 32), stride=5)
    other = write_point_pairs("navi", tmp_path)
    folder = other / "duck/multiview_00_pixel"
    for bits, message in (
        (np.zeros((96, 128), np.uint8), "one channel of 16 bits, found uint8"),
        (np.zeros((96, 96), np.uint16), r"000\.png: a depth map of 96 x 96 pixels does not fit"),
        (np.zeros((96, 128), np.uint16), r"000\.png: no depth is known"),
    ):
        Image.fromarray(bits).save(folder / "depth/000.png")
        data = ViewPairs(other, every=1)
        index = next(
            i for i, view in enumerate(data.views) if view.depth == folder / "depth/000.png"
        )
        with pytest.raises(ValueError, match=message):
            cut_view(data.views[index], *data.load(index), SMALL)
    assert read_depth(folder / "depth/001.png").dtype == np.float32
    (folder / "depth/002.png").unlink()
    with pytest.raises(ValueError, match=r"depth/002\.png is missing"):
        ViewPairs(other)
    cameras = json.loads((folder / "annotations.json").read_text())
    cameras[1]["camera"]["t"] = [1, 2]
    (folder / "annotations.json").write_text(json.dumps(cameras[:2]))
    with pytest.raises(ValueError, match="annotations.json is not of this layout"):
        ViewPairs(other)
    del cameras[0]["camera"]["q"]
    (folder / "annotations.json").write_text(json.dumps(cameras))
    with pytest.raises(ValueError, match="annotations.json has no entry 'q'"):
        ViewPairs(other)
    with pytest.raises(ValueError, match="holds no object with a wild_set and a multiview set"):
        ViewPairs(other / "bare")
