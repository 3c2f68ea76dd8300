"""Positional bias: against the obvious way, and networks whose answer is known on paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.analysis.positional_bias import BENCHMARK, Settings
from benchmarks.analysis.positional_bias_figure import FIGURE
from benchmarks.analysis.stand_ins import Places
from benchmarks.core.place import coordinates
from benchmarks.core.record import Record
from benchmarks.report.figures import Sources
from benchmarks.report.runs import Run, Sample
from benchmarks.report.statistics.bootstrap import image_sums
from benchmarks.report.statistics.intervals import difference_over_images

SIZE = (40, 48)  # a grid of 5 x 6 cells of 8 pixels
SMALL = Settings(size=SIZE, penalty=1e-2, rounds=2, black_directions=0, batch_size=3)


class Mixed:
    """Colours of cells, and place mixed into one of five channels."""

    stride, device = 8, torch.device("cpu")

    def __init__(self, colours: Any, strength: float = 0.3) -> None:
        self.colours, self.strength = colours, strength

    def maps(self, images: Tensor) -> Tensor:
        colours = self.colours.maps(images)
        rows, columns = Places(8).maps(images).unbind(1)
        extra = [colours[:, 0] + self.strength * rows, colours[:, 1] - self.strength * columns]
        return torch.cat([colours, torch.stack(extra, 1)], 1)

    def describe(self) -> dict[str, Any]:
        return dict(spec="mixed", backbone=dict(type="Mixed"))


@pytest.fixture
def measure(colour_grid: Any, toy_data: Callable[..., Any]) -> Callable[..., Record]:
    def run(settings: Settings = SMALL, strength: float = 0.3) -> Record:
        return BENCHMARK.measure(Mixed(colour_grid(), strength), toy_data(), settings)

    return run


def all_cells(network: Mixed, split: Any) -> Tensor:
    """(images, P, D) float64."""
    maps = network.maps(split.take(range(len(split)), SIZE).images)
    return maps.double().flatten(2).transpose(1, 2)


def ridge_by_hand(train: Tensor, val: Tensor, targets: Tensor) -> Tensor:
    """Predictions (images, P, 2) of standardised ridge with targets (images, P, 2)."""
    rows = train.flatten(0, 1)
    mean, std = rows.mean(0), rows.std(0, correction=0)
    standard = (rows - mean) / std
    wanted = targets.flatten(0, 1)
    normal = standard.T @ standard / len(rows) + SMALL.penalty * torch.eye(rows.shape[1])
    weight = torch.linalg.solve(normal, standard.T @ (wanted - wanted.mean(0)) / len(rows))
    return (val - mean) / std @ weight + wanted.mean(0)


def r2_by_hand(predicted: Tensor, targets: Tensor) -> Tensor:
    errors = (predicted - targets).square().sum((0, 1))
    return 1 - errors / (targets - targets.mean((0, 1))).square().sum((0, 1))


def test_predictability_equals_the_obvious_way(
    colour_grid: Any, toy_data: Callable[..., Any], measure: Callable[..., Record]
) -> None:
    data, network, record = toy_data(), Mixed(colour_grid()), measure()
    train, val = (all_cells(network, split) for split in (data.train, data.val))
    places = coordinates((5, 6))
    truth = places.expand(4, -1, -1)
    row, column = r2_by_hand(ridge_by_hand(train, val, places.expand(6, -1, -1)), truth)
    values = {name: metric.value for name, metric in record.metrics.items()}
    assert values["R2_row"] == pytest.approx(float(row), rel=1e-6)
    assert values["R2_column"] == pytest.approx(float(column), rel=1e-6)
    assert values["R2"] == pytest.approx(float(row + column) / 2, rel=1e-6)
    assert 0.2 < values["R2"] < 0.99
    total = (val - val.mean((0, 1))).square().sum()
    share = 4 * (val.mean(0) - val.mean((0, 1))).square().sum() / total
    assert record.counts["share_uncorrected"] == pytest.approx(100 * float(share))
    assert values["share"] == pytest.approx(100 * float(1 - (1 - share) * 119 / 90))


def test_controls_equal_the_obvious_way(
    colour_grid: Any, toy_data: Callable[..., Any], measure: Callable[..., Record]
) -> None:
    """Each image's cells are moved by its own permutation, in both parts."""
    data, network, record = toy_data(), Mixed(colour_grid()), measure()
    moved = []
    for part, split in enumerate((data.train, data.val)):
        cells = all_cells(network, split)
        for image in range(len(split)):
            order = np.random.default_rng([0, part, image]).permutation(30)
            cells[image] = cells[image][np.argsort(order)]
        moved.append(cells)
    places = coordinates((5, 6))
    predicted = ridge_by_hand(*moved, places.expand(6, -1, -1))
    expected = r2_by_hand(predicted, places.expand(4, -1, -1)).mean()
    assert record.metrics["R2_permuted"].value == pytest.approx(float(expected), rel=1e-6)
    total = (moved[1] - moved[1].mean((0, 1))).square().sum()
    share = 4 * (moved[1].mean(0) - moved[1].mean((0, 1))).square().sum() / total
    expected = 100 * float(1 - (1 - share) * 119 / 90)
    assert record.metrics["share_permuted"].value == pytest.approx(expected)


def test_removed_planes_take_place_away_and_say_how_much_they_took(
    measure: Callable[..., Record],
) -> None:
    record = measure()
    course, removed = record.counts["R2_by_planes"], record.counts["removed_by_planes"]
    assert len(course) == len(removed) == 3 and removed[0] == 0
    assert course[0] == pytest.approx(record.metrics["R2"].value)
    assert course[2] == pytest.approx(record.metrics["R2_removed"].value)
    assert course[0] > course[1] + 0.2 and 0 < removed[1] < removed[2] <= 100
    more = measure(Settings(size=SIZE, rounds=9))  # five channels: nothing is left
    assert more.metrics["R2_removed"].value == pytest.approx(0, abs=1e-6)
    assert more.counts["removed_by_planes"][-1] == pytest.approx(100)


def test_stronger_place_is_read_better(measure: Callable[..., Record]) -> None:
    weak, strong = measure(strength=0.05), measure(strength=1.0)
    for name in ("R2", "R2_row", "R2_column", "share"):
        assert strong.metrics[name].value > weak.metrics[name].value + 0.1
    assert strong.metrics["R2"].value > 0.95


def test_a_black_image_shows_what_place_adds(measure: Callable[..., Record]) -> None:
    """The toy network adds place in one plane: a black image gives it away whole."""
    plain, cleaned = measure(), measure(Settings(size=SIZE, penalty=1e-2, black_directions=3))
    assert plain.metrics["R2_black"].value > 0.2
    assert cleaned.metrics["R2_black"].value < plain.metrics["R2_black"].value / 2
    assert plain.protocol_hash != cleaned.protocol_hash


def test_values_of_images_give_intervals(measure: Callable[..., Record]) -> None:
    weak, strong = measure(strength=0.05), measure(strength=1.0)
    for metric in ("R2", "R2_permuted", "R2_removed", "R2_black"):
        assert image_sums(strong, metric) is not None, metric
    rows = [Sample(name, "R2", (Run(record),)) for name, record in (("s", strong), ("w", weak))]
    difference = difference_over_images(*rows)
    assert difference.n == 4 and difference.mean - difference.half > 0


def test_trivial_predictors_are_known_on_paper(toy_data: Callable[..., Any]) -> None:
    data = toy_data()
    place = BENCHMARK.measure_baseline("position", data, SMALL, stride=8)
    values = {name: metric.value for name, metric in place.metrics.items()}
    assert values["R2"] == pytest.approx(1, abs=1e-3) and values["share"] == pytest.approx(100)
    assert values["R2_removed"] == pytest.approx(0, abs=1e-9)
    noise = BENCHMARK.measure_baseline("noise", data, SMALL, stride=8)
    assert noise.metrics["R2"].value <= 0 and abs(noise.metrics["share"].value) < 5


def test_the_figure_follows_the_planes(
    measure: Callable[..., Record], toy_data: Callable[..., Any], tmp_path: Path
) -> None:
    records = [measure(strength=0.3), measure(strength=1.0)]
    runs = {name: [Run(record)] for name, record in zip("ab", records, strict=True)}
    (sheet,) = FIGURE.gather(Sources(runs=runs)).values()
    FIGURE.draw(sheet, tmp_path / "f.svg")
    text = (tmp_path / "f.svg").read_text()
    assert 'id="arm:a"' in text and 'id="arm:b"' in text and "planes removed" in text
    other = Run(measure(Settings(size=SIZE, rounds=1)))
    assert len(FIGURE.gather(Sources(runs=runs | dict(c=[other])))) == 2  # protocols never meet
    assert FIGURE.gather(Sources(runs=dict(a=[]))) == {}
    noise = Run(BENCHMARK.measure_baseline("noise", toy_data(), SMALL, stride=8))
    assert FIGURE.gather(Sources(runs=dict(noise=[noise]))) == {}  # it is no network


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(size=(8, 48)), "a grid of 1 x 6 cells has no places"),
        (dict(size=(44, 48)), "not a multiple of the feature stride 8"),
        (dict(size=SIZE, images=1), "images=1 of 4 val images: at least 2"),
    ],
)
def test_mistakes_are_named(
    measure: Callable[..., Record], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure(Settings(**settings))


@pytest.mark.parametrize("name", ["images", "penalty", "batch_size"])
def test_settings_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}=0 must be greater than 0"):
        Settings(**{name: 0})
