"""The choices that make one PCK: published vectors, a slow re-implementation, properties."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.features import FeatureSettings
from benchmarks.data import KeypointPairs
from benchmarks.data.correspondences.pair import KeypointImage, PointPair
from benchmarks.frozen.correspondence import BENCHMARK, Settings, result_of
from benchmarks.frozen.correspondence.frames import Frame
from benchmarks.frozen.correspondence.places import find, read_features, soft_argmax

SIZE = (32, 48)


@pytest.fixture
def willow(tmp_path: Path, write_willow: Callable[[Path], Path]) -> KeypointPairs:
    return KeypointPairs(write_willow(tmp_path / "willow"))


# Averages of V7's errors, in the order point, image, category of images, category of points.
AVERAGES = ("point", "image", "category-of-images", "category-of-points")
V7 = {
    ("box", False): (0.666667, 0.722222, 0.708333, 0.666667),
    ("box", True): (0.555556, 0.638889, 0.645833, 0.583333),
    ("image", False): (0.888889, 0.916667, 0.9375, 0.916667),
    ("image", True): (0.777778, 0.805556, 0.770833, 0.75),
}


@pytest.mark.parametrize(("relative_to", "strict"), list(V7))
def test_one_set_of_errors_has_as_many_pcks_as_averages(relative_to: str, strict: bool) -> None:
    """Errors in pixels of three pairs, α = 0.1; counts as those of SPair's authors."""
    pairs, predicted = [], []
    for category, box, errors in (
        ("a", 100, [2, 10, 12, 40]),
        ("a", 100, [1, 3]),
        ("b", 200, [11, 30, 5]),
    ):
        points = np.zeros((len(errors), 2))
        pairs.append(PointPair(0, 1, points, points, (box / 2, box), category))
        predicted.append(np.stack([np.zeros(len(errors)), np.array(errors)], 1))
    images = [KeypointImage(Path(name), "", (200, 300)) for name in "ab"]
    data = SimpleNamespace(pairs=pairs, images=images, relative_to="box", layout="toy")
    for average, expected in zip(AVERAGES, V7[relative_to, strict], strict=True):
        settings = Settings(relative_to=relative_to, strict=strict, average=average, alphas=(0.1,))
        result = result_of(data, settings, predicted)
        assert result.metrics["PCK@0.1"].value == pytest.approx(100 * expected, abs=1e-4)
        contributions = result.counts["per_image"]["PCK@0.1"]
        assert np.mean(contributions) == pytest.approx(100 * expected, abs=1e-4)


def test_where_a_point_lies_on_the_map() -> None:
    point = np.array([[150.0, 60.0]])
    squash = Frame((200, 300), (224, 224))
    assert squash.to_input(point)[0] == pytest.approx([112, 67.2])
    places = squash.to_cells(point, (14, 14))
    assert places.astype(int).tolist() == [[7, 4]]
    centre = (places.astype(int) + 0.5) * 16
    assert centre.tolist() == [[120, 72]]
    letterbox = Frame((200, 300), (840, 840), "letterbox")
    assert letterbox.to_input(point)[0] == pytest.approx([420, 308])
    assert letterbox.inside == (560, 840) and letterbox.offset == (0, 140)
    corner = Frame((200, 300), (840, 840), "corner")
    assert corner.to_input(point)[0] == pytest.approx([420, 168])


@pytest.mark.parametrize("fit", ["squash", "letterbox", "corner"])
@pytest.mark.parametrize("image", [(37, 52), (90, 20), (64, 64), (301, 7)])
def test_places_and_points_are_each_others_inverse(fit: str, image: tuple[int, int]) -> None:
    points = np.random.default_rng(0).random((20, 2)) * image[::-1]
    frame = Frame(image, (56, 84), fit)
    assert frame.to_image(frame.to_cells(points, (4, 6)), (4, 6)) == pytest.approx(points)
    cells = frame.to_cells(points, (4, 6))
    assert (cells >= 0).all() and (cells <= (6, 4)).all()
    pixels = np.random.default_rng(1).integers(0, 255, (*image, 3), dtype=np.uint8)
    drawn = frame.draw(pixels, Settings(fit=fit, fill=200))
    assert drawn.shape == (56, 84, 3)
    (height, width), (left, top) = frame.inside, frame.offset
    outside = np.ones((56, 84), bool)
    outside[max(0, top - 2) : top + height + 2, max(0, left - 2) : left + width + 2] = False
    assert (drawn[outside] == 200).all()


# Scores of V8, their peak at row 2, column 5.
ROWS, COLUMNS = torch.meshgrid(
    torch.arange(6.0).double(), torch.arange(8.0).double(), indexing="ij"
)
SCORES = 0.9 * torch.exp(-((ROWS - 2.3) ** 2 + (COLUMNS - 4.6) ** 2) / 6)
SCORES = SCORES + 0.6 * torch.exp(-((ROWS - 4) ** 2 + (COLUMNS - 1) ** 2) / 2)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (dict(temperature=0.02), (2.061559, 4.794874)),
        (dict(temperature=0.1), (2.407847, 4.362405)),
        (dict(temperature=0.02, window=1, outside="zero"), (2.061489, 4.795012)),
        (dict(temperature=0.02, window=1), (2.061489, 4.795012)),
        (dict(temperature=0.1, window=1, outside="zero"), (2.260301, 4.649184)),
        (dict(temperature=0.1, window=1), (2.259538, 4.652398)),
        (dict(temperature=0.04, gauss=7.0), (2.170437, 4.706218)),
        (dict(temperature=0.04, gauss=2.0), (2.022523, 4.958340)),
    ],
)
def test_soft_argmax(settings: dict[str, Any], expected: tuple[float, float]) -> None:
    result = soft_argmax(torch.stack([SCORES, SCORES.flip(1)]), Settings(**settings))
    assert result[0].tolist() == pytest.approx(expected, abs=1e-6)
    assert result[1].tolist() == pytest.approx((expected[0], 7 - expected[1]), abs=1e-6)


def test_hidden_cells_are_no_answer_and_have_no_weight() -> None:
    hidden = torch.zeros(6, 8, dtype=torch.bool)
    hidden[:, 3:] = True
    for settings in (dict(), dict(gauss=2.0), dict(window=1, outside="zero", temperature=1.0)):
        place = soft_argmax(SCORES[None], Settings(**settings), hidden=hidden)[0]
        assert place[1] <= 2
    queries, features = torch.ones(1, 1), torch.arange(48.0).view(1, 6, 8)
    assert find(queries, features, Settings(), hidden=hidden).tolist() == [[2.5, 5.5]]
    assert find(queries, features, Settings(place="corner")).tolist() == [[7, 5]]


def test_ways_to_read_the_source() -> None:
    """A map whose unit features turn by 0.1 per column: angles say where it was read."""
    angles = 0.1 * torch.arange(8.0).double().expand(6, 8)
    features = torch.stack([angles.cos(), angles.sin()])
    places = np.array([[2.7, 1.0], [3.5, 0.2], [7.9, 5.0], [0.2, 3.0]])
    for rule, columns in (
        ("cell", [2, 3, 7, 0]),
        ("rounded", [3, 4, 7, 0]),  # 7.9 is nearest to 8, which there is not
        ("bilinear", [2.2, 3.0, 7, 0]),
        ("bilinear-corners", [2.7 * 7 / 8, 3.5 * 7 / 8, 7.9 * 7 / 8, 0.2 * 7 / 8]),
    ):
        read = read_features(features, places, rule)
        assert torch.atan2(read[:, 1], read[:, 0]).div(0.1).tolist() == pytest.approx(
            columns, abs=2e-3
        )


def slowly(network: Any, data: KeypointPairs, settings: Settings) -> list[np.ndarray]:
    """Relative errors of letterboxed images by window soft-argmax, in loops, float64."""
    size, results = settings.size, []
    for pair in data.pairs:
        unit, frames = [], []
        for index in pair.images:
            height, width = data.images[index].size
            scale = min(size[0] / height, size[1] / width)
            new = round(height * scale), round(width * scale)
            top, left = (size[0] - new[0]) // 2, (size[1] - new[1]) // 2
            resized = Image.fromarray(data.read(index)).resize(new[::-1], Image.Resampling.LANCZOS)
            canvas = np.full((*size, 3), settings.fill, np.uint8)
            canvas[top : top + new[0], left : left + new[1]] = np.asarray(resized)
            maps = network.maps(torch.from_numpy(canvas).permute(2, 0, 1)[None])[0].double().numpy()
            unit.append(maps / np.linalg.norm(maps, axis=0))
            frames.append((scale, top, left))
        (h, w), errors = unit[0].shape[1:], []
        (scale, top, left), (scale_t, top_t, left_t) = frames
        for (x, y), truth in zip(pair.source_points, pair.target_points, strict=True):
            row, column = (
                int((y * scale + top) * h / size[0]),
                int((x * scale + left) * w / size[1]),
            )
            scores = np.einsum("c,chw->hw", unit[0][:, row, column], unit[1])
            i, j = np.unravel_index(scores.argmax(), scores.shape)
            total, mean = 0.0, np.zeros(2)
            for r in range(h):
                for c in range(w):
                    near = abs(r - i) <= settings.window and abs(c - j) <= settings.window
                    weight = np.exp((scores[r, c] if near else 0.0) / settings.temperature)
                    total, mean = total + weight, mean + weight * np.array([c + 0.5, r + 0.5])
            x, y = mean / total * (size[1] / w, size[0] / h)
            found = (x - left_t) / scale_t, (y - top_t) / scale_t
            errors.append(np.hypot(*(np.array(found) - truth)) / max(pair.box))
        results.append(np.array(errors))
    return results


@pytest.mark.parametrize("frame", ["image", "input"])
def test_letterbox_and_windows_equal_the_slow_reimplementation(
    willow: KeypointPairs, colour_grid: Any, frame: str
) -> None:
    """With one scale for both axes it is the same where distances are measured, on a square."""
    size = (48, 48) if frame == "input" else SIZE
    settings = Settings(
        size=size, fit="letterbox", resample="lanczos", answer="soft", window=2, outside="zero",
        temperature=0.05, frame=frame, fill=7,
    )  # fmt: skip
    record = BENCHMARK.measure(colour_grid(4), willow, settings)
    expected = slowly(colour_grid(4), willow, settings)
    for own, wanted in zip(record.counts["relative_error"], expected, strict=True):
        assert own == pytest.approx(wanted, abs=2e-5)


def test_the_frame_matters_where_images_are_squashed(
    willow: KeypointPairs, colour_grid: Any
) -> None:
    """Distances in the input: the image's axes count by their own scale, α's length by one."""
    results = [
        BENCHMARK.measure_baseline("centre", willow, Settings(size=SIZE, frame=frame))
        for frame in ("image", "input")
    ]
    pair, errors = willow.pairs[2], results[1].counts["relative_error"][2]
    height, width = willow.images[pair.target].size
    away = (np.array([width, height]) / 2 - pair.target_points) * (48 / width, 32 / height)
    length = max(pair.box) * 48 / max(height, width)
    assert errors == pytest.approx(np.hypot(*away.T) / length, abs=1e-6)
    assert results[0].counts["relative_error"][2] != errors


@pytest.mark.parametrize("fit", ["squash", "letterbox", "corner"])
@pytest.mark.parametrize("average", AVERAGES)
def test_equal_images_with_points_on_cell_centres_are_all_right(
    tmp_path: Path, colour_grid: Any, fit: str, average: str
) -> None:
    """The two files differ in one byte of a corner; every other cell finds itself."""
    (tmp_path / "a").mkdir()
    pixels = np.random.default_rng(3).integers(0, 255, (32, 48, 3), dtype=np.uint8)
    rows, columns = np.mgrid[1:4, 1:6]
    points = np.stack([columns.ravel() * 8 + 4.0, rows.ravel() * 8 + 4.0])
    for name in ("0", "1"):
        pixels[0, 0, 0] = int(name)
        Image.fromarray(pixels).save(tmp_path / "a" / f"{name}.png")
        savemat(tmp_path / "a" / f"{name}.mat", dict(pts_coord=points))
    settings = Settings(size=SIZE, fit=fit, average=average, alphas=(0.01, 0.05, 0.1, 0.2))
    record = BENCHMARK.measure(colour_grid(8), KeypointPairs(tmp_path), settings)
    assert {metric.value for metric in record.metrics.values()} == {100.0}
    assert set(record.metrics) == {"PCK@0.01", "PCK@0.05", "PCK@0.1", "PCK@0.2"}
    soft = Settings(size=SIZE, fit=fit, answer="soft", temperature=1e-8, alphas=(0.01,))
    record = BENCHMARK.measure(colour_grid(8), KeypointPairs(tmp_path), soft)
    assert record.metrics["PCK@0.01"].value == 100


def test_a_network_and_its_mirror_image_agree_behind_flip(
    willow: KeypointPairs, colour_grid: Any
) -> None:
    """A network that favours the left: with flip, mirrored images have mirrored features."""

    class Left(colour_grid):
        def maps(self, images: torch.Tensor) -> torch.Tensor:
            maps = super().maps(images)
            return maps * torch.linspace(1, 2, maps.shape[-1]).view(1, 1, 1, -1) + 0.3

    first = BENCHMARK.measure(Left(4), willow, Settings(size=SIZE, flip=True))
    plain = BENCHMARK.measure(Left(4), willow, Settings(size=SIZE))
    assert first.counts["relative_error"] != plain.counts["relative_error"]
    for image in willow.images:
        with Image.open(image.path) as picture:
            picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(image.path)
        width, file = image.size[1], image.path.with_suffix(".mat")
        own = next(p for p in willow.pairs if willow.images[p.source] is image).source_points
        savemat(file, dict(pts_coord=np.stack([width - own[:, 0], own[:, 1]])))
    mirrored = BENCHMARK.measure(
        Left(4), KeypointPairs(willow.root), Settings(size=SIZE, flip=True)
    )
    before = np.concatenate(first.counts["relative_error"])
    after = np.concatenate(mirrored.counts["relative_error"])
    assert np.mean(np.isclose(before, after, atol=1e-4)) > 0.9  # but for ties of rounded pixels


def test_every_choice_stands_in_the_protocol_if_it_is_another(
    willow: KeypointPairs, colour_grid: Any
) -> None:
    chosen = dict(
        size=SIZE, fit="corner", fill=255, resample="bicubic", source="bilinear-corners",
        answer="soft", temperature=0.1, window=3, outside="zero", gauss=2.0, place="corner",
        relative_to="image", frame="input", strict=True, average="category-of-points", flip=True,
        alphas=(0.2,),
    )  # fmt: skip
    protocol = BENCHMARK.measure(colour_grid(4), willow, Settings(**chosen)).protocol
    for key, value in chosen.items():
        assert protocol[key] == (list(value) if isinstance(value, tuple) else value)
    default = BENCHMARK.measure(colour_grid(4), willow, Settings(size=SIZE)).protocol
    assert default.keys() == {"size", "relative_to", "data"}


def test_padding_of_the_network_is_never_an_answer(willow: KeypointPairs) -> None:
    """36 × 44 pixels on patches of 16: the map's cells are where FeatureSettings say, and half of
    the last row is zeros."""
    network = FeatureExtractor.load("random:vit_tiny_patch16_224?dynamic_img_size=True")
    settings = Settings(size=(36, 44))
    for pad in ("corner", "centre"):
        reading = network.reading(FeatureSettings(pad=pad))
        record = BENCHMARK.measure(reading, willow, settings)
        frame = Frame((72, 88), (36, 44), cells=reading.cells((36, 44)))
        assert frame.cells.padded == (48, 48)
        left, top = (2, 6) if pad == "centre" else (0, 0)
        centre = frame.to_image(np.array([[0.5, 0.5]]), (3, 3))
        assert centre.tolist() == [[(8 - left) * 2, (8 - top) * 2]]
        assert frame.to_cells(centre, (3, 3)).tolist() == [[0.5, 0.5]]
        assert max(map(max, record.counts["relative_error"])) < 10
    hidden = network.reading(FeatureSettings(pad="corner")).cells((36, 44)).padding()
    assert hidden.tolist() == [[False] * 3, [False] * 3, [True] * 3]


def test_mistakes_are_named(willow: KeypointPairs) -> None:
    for wrong, message in (
        (dict(fit="pad"), "fit=.pad. is not one of squash, letterbox, corner"),
        (dict(alphas=(0.3,)), "alphas=0.3 is not one of"),
        (dict(alphas=()), r"alphas=\(\) must be some of"),
        (dict(alphas=(0.1, 0.1)), "each once"),
        (dict(temperature=0.0), "temperature=0.0 must be positive"),
        (dict(gauss=-1.0), "gauss=-1.0 0 .none. or more"),
        (dict(fill=256), "fill=256 must be 0 to 255"),
        (dict(window=-1), "window=-1 0 .whole map. or more"),
    ):
        with pytest.raises(ValueError, match=message):
            Settings(**wrong)


def test_a_missing_box_is_named(
    tmp_path: Path, write_point_pairs: Callable[[str, Path], Path], colour_grid: Any
) -> None:
    data = KeypointPairs(write_point_pairs("pfpascal", tmp_path), "pfpascal")
    record = BENCHMARK.measure(colour_grid(8), data, Settings(size=SIZE))
    assert record.protocol["relative_to"] == "image"
    with pytest.raises(ValueError, match="the box of its object is not known here"):
        BENCHMARK.measure(colour_grid(8), data, Settings(size=SIZE, relative_to="box"))
