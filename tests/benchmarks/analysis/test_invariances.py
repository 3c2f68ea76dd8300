"""Invariances: networks whose answer is known, and what stands in a record and in its figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmarks.analysis.firing import bootstrap_over_classes
from benchmarks.analysis.invariances import BENCHMARK, Settings
from benchmarks.analysis.invariances_figure import INVARIANCES, point_of
from benchmarks.core.record import Record
from benchmarks.data import ImageSets
from benchmarks.report.figures import Sources
from benchmarks.report.runs import Run

OBJECTS = 40


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> ImageSets:
    """40 objects, each of one red; their green is another one in each image."""
    root, random = tmp_path_factory.mktemp("aloi"), np.random.default_rng(0)
    for folder in ("view", "col"):
        for number in range(OBJECTS):
            for step in range(5):
                pixels = np.full((8, 8, 3), (6 * number, random.integers(256), 0), np.uint8)
                path = root / folder / str(number) / f"{step}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return ImageSets(root, "aloi")


def network(vector: Callable[[Tensor], Tensor]) -> SimpleNamespace:
    return SimpleNamespace(
        vector=vector,
        device=torch.device("cpu"),
        describe=lambda: dict(spec="toy", backbone="toy"),
    )


def bumps(channel: int) -> Callable[[Tensor], Tensor]:
    """800 units, each around one value of a channel, 20 for each object."""
    centres = torch.linspace(0, 240, 800)

    def vector(images: Tensor) -> Tensor:
        return -(images[:, channel, 0, 0].float()[:, None] - centres).abs()

    return vector


def measure(data: ImageSets, vector: Callable[[Tensor], Tensor], **settings: object) -> Record:
    return BENCHMARK.measure(network(vector), data, Settings(size=8, **settings))


def values(record: Record) -> dict[str, float]:
    return {name: metric.value for name, metric in record.metrics.items()}


def test_units_of_the_object_are_invariant_and_those_of_the_change_are_not(
    objects: ImageSets,
) -> None:
    invariant = values(measure(objects, bumps(0)))
    other = values(measure(objects, bumps(1)))
    assert list(invariant) == list(BENCHMARK.expected_metrics(objects, Settings()))
    for factor in ("viewpoint", "illumination_colour"):
        assert invariant[f"{factor}_top10"] > 95 > 60 > invariant[f"{factor}_top10_floor"]
        assert 10 < other[f"{factor}_top10"] < other[f"{factor}_top10_floor"] + 5


@pytest.mark.parametrize("rule", ["official", "strict"])
def test_a_record_says_what_its_numbers_are_made_of(objects: ImageSets, rule: str) -> None:
    record = measure(objects, bumps(0), rule=rule)
    assert record.protocol["size"] == 8 and record.protocol["data"]["layout"] == "aloi"
    for factor, table in record.counts["per_class"].items():
        assert table["class"] == [str(number) for number in range(OBJECTS)]
        for k in (10, 25):
            name = f"{factor}_top{k}"
            assert record.metrics[name].value == pytest.approx(np.mean(table[f"top{k}"]))
            low, high = record.counts["interval"][name]
            assert (low, high) == bootstrap_over_classes(np.array(table[f"top{k}"]))
            assert low <= record.metrics[name].value <= high
    Record.from_json(record.to_json())


def test_the_size_is_that_of_the_published_measure_unless_given(objects: ImageSets) -> None:
    sizes = []

    def vector(images: Tensor) -> Tensor:
        sizes.append(images.shape[-1])
        return bumps(0)(images)

    record = BENCHMARK.measure(network(vector), objects, Settings(permutations=1))
    assert set(sizes) == {128} and record.protocol["size"] == 128


def test_too_few_units_and_vectors_that_are_no_numbers_are_refused(objects: ImageSets) -> None:
    with pytest.raises(ValueError, match="k=25: .* but only 24 count"):
        measure(objects, lambda images: bumps(0)(images)[:, :24])
    with pytest.raises(ValueError, match=r"view/0/0\.png: its vector is not finite"):
        measure(objects, lambda images: bumps(0)(images) * torch.nan)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(rule="loose"), "rule='loose' is not one of official, strict"),
        (dict(size=0), "size=0 must be greater than 0"),
        (dict(permutations=0), "permutations=0 must be greater than 0"),
    ],
)
def test_settings_out_of_range_are_named(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**wrong)


def test_the_figure_shows_means_over_seeds_and_their_interval_over_classes(
    objects: ImageSets, tmp_path: Path
) -> None:
    records = [measure(objects, bumps(0)), measure(objects, bumps(1))]
    point = point_of(records, "viewpoint")
    tables = [np.array(record.counts["per_class"]["viewpoint"]["top10"]) for record in records]
    assert point.score == pytest.approx(np.mean(tables))
    assert (point.low, point.high) == bootstrap_over_classes(np.mean(tables, 0))
    runs = {
        "both": [Run(record, benchmark="invariances") for record in records],
        "one": [Run(records[0], benchmark="invariances")],
        "without": [],
    }
    (sheet,) = INVARIANCES.gather(Sources(arms=list(runs), runs=runs)).values()
    assert list(sheet.factors) == ["viewpoint", "illumination_colour"]
    assert list(sheet.styles) == ["both", "one"]
    INVARIANCES.draw(sheet, tmp_path / "figure.svg")
    drawing = (tmp_path / "figure.svg").read_text()
    assert drawing.count('id="arm:both"') >= 6 and ">illumination colour<" in drawing
    assert "arm:without" not in drawing


def test_records_read_from_a_file_draw_as_well(objects: ImageSets) -> None:
    """A class that the strict rule leaves out is null there."""
    record = measure(objects, bumps(0))
    record.counts["per_class"]["viewpoint"]["top10"][3] = float("nan")
    again = Record.from_json(record.to_json())
    assert again.counts["per_class"]["viewpoint"]["top10"][3] is None
    assert point_of([again], "viewpoint") == point_of([record], "viewpoint")
