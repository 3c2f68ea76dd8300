"""Dense structure: the parts of groups, by loops, and networks whose answer is known on paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.analysis.dense_structure import BENCHMARK, Settings
from benchmarks.analysis.dense_structure_figure import FIGURE
from benchmarks.core.record import Record
from benchmarks.report.figures import Sources
from benchmarks.report.runs import Run, Sample
from benchmarks.report.statistics.bootstrap import bootstrap_difference, image_sums
from pretrain.hooks.dense_structure import dimension, group_parts
from pretrain.hooks.feature_statistics import cells_as_rows, effective_rank, rank_me

SIZE = (40, 48)  # a grid of 5 x 6 cells of 8 pixels
SMALL = Settings(size=SIZE, images=4, group=2, clusters=3, rank_cells=10_000)


class Axes:
    """Cells on three axes by their strongest colour."""

    stride, device = 8, torch.device("cpu")

    def __init__(self, colours: Any) -> None:
        self.colours = colours

    def maps(self, images: Tensor) -> Tensor:
        strongest = self.colours.maps(images).argmax(1)
        return torch.nn.functional.one_hot(strongest, 3).movedim(-1, 1).float()

    def vector(self, images: Tensor) -> Tensor:
        return self.maps(images).mean((2, 3))

    def describe(self) -> dict[str, Any]:
        return dict(spec="axes")


@pytest.fixture
def measure(colour_grid: Any, toy_data: Callable[..., Any]) -> Callable[..., Record]:
    def run(settings: Settings = SMALL, network: Any = None) -> Record:
        return BENCHMARK.measure(network or colour_grid(), toy_data(), settings)

    return run


def test_groups_lie_far_apart_and_equal_the_loop(
    colour_grid: Any, toy_data: Callable[..., Any], measure: Callable[..., Record]
) -> None:
    network, data, record = colour_grid(), toy_data(), measure()
    parts, cells = [], []
    for number, ids in enumerate([(0, 2), (1, 3)]):
        images = data.val.take(ids, SIZE).images
        uniforms = torch.from_numpy(np.random.default_rng([0, number]).random(3))
        parts.append(group_parts(cells_as_rows(network.maps(images)), uniforms))
        cells.append(cells_as_rows(network.maps(images)))
    inter, intra = np.mean(parts, 0)
    vectors = network.vector(data.val.take(range(4), SIZE).images)
    expected = dict(class_part=inter - intra, inter=inter, intra=intra)
    # More cells are asked for than there are: all take part.
    expected |= dict(dimension=dimension(torch.cat(cells)), rank_me=rank_me(vectors))
    expected["cell_rank"] = effective_rank(torch.cat(cells))
    values = {name: metric.value for name, metric in record.metrics.items()}
    assert values == pytest.approx(expected)
    assert record.counts["groups"] == [0, 1, 0, 1] and record.protocol["compared"] == 4


def test_cells_on_axes_are_known_on_paper(colour_grid: Any, measure: Callable[..., Record]) -> None:
    record = measure(network=Axes(colour_grid()))
    values = {name: metric.value for name, metric in record.metrics.items()}
    assert (values["inter"], values["intra"]) == pytest.approx((2, 0))
    assert values["class_part"] == pytest.approx(2) and values["dimension"] > 2.9


def test_fewer_cells_are_drawn_alike_from_every_image(measure: Callable[..., Record]) -> None:
    few = Settings(size=SIZE, images=4, group=2, clusters=3, rank_cells=4)
    record = measure(few)
    assert record.metrics["inter"] == measure().metrics["inter"]
    assert record.metrics["dimension"] != measure().metrics["dimension"]
    assert record.metrics["cell_rank"].value <= 3  # one cell of each of four images
    assert measure(few).metrics == record.metrics


def test_counts_give_intervals_over_groups(
    colour_grid: Any, measure: Callable[..., Record]
) -> None:
    plain, axes = measure(), measure(network=Axes(colour_grid()))
    for metric in ("class_part", "inter", "intra"):
        assert image_sums(axes, metric) is not None, metric
    rows = [Sample(n, "class_part", (Run(r),)) for n, r in (("axes", axes), ("plain", plain))]
    difference = bootstrap_difference(*rows, resamples=200)
    assert difference.mean - difference.half > 0
    # Two groups of two images: a draw has the mean of (a, a), (a, b) or (b, b) and nothing else.
    parts = image_sums(axes, "class_part")
    assert parts.groups.tolist() == [0, 1, 0, 1]


def test_frames_of_a_video_do_not_split_groups(
    colour_grid: Any, toy_data: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images that were clustered together are drawn together, whatever the data says."""
    data = toy_data()
    monkeypatch.setattr(type(data), "groups", property(lambda _: [0, 0, 1, 1]))
    record = BENCHMARK.measure(colour_grid(), data, SMALL)
    assert record.counts["groups"] == [0, 1, 0, 1]


def test_images_beyond_whole_groups_stand_for_themselves(measure: Callable[..., Record]) -> None:
    record = measure(Settings(size=SIZE, images=3, group=3, clusters=3, rank_cells=50))
    table, groups = record.counts["per_image"], record.counts["groups"]
    assert table["image"] == [0, 1, 2] and len(groups) == 4
    assert groups[:3] == [0, 0, 0] and groups[3] not in groups[:3]


def test_noise_has_rank_and_no_structure(
    colour_grid: Any, toy_data: Callable[..., Any], measure: Callable[..., Record]
) -> None:
    noise = BENCHMARK.measure_baseline("noise", toy_data(), SMALL, stride=8)
    axes = measure(network=Axes(colour_grid()))
    assert noise.metrics["dimension"].value > 10 * axes.metrics["dimension"].value
    assert noise.metrics["class_part"].value < axes.metrics["class_part"].value / 2


def test_the_figure_joins_checkpoints_of_a_training(
    measure: Callable[..., Record], tmp_path: Path
) -> None:
    record = measure()
    made = []
    for spec, samples in (("r/iter_2.pth", 8), ("r/iter_1.pth", 4), ("timm:resnet18", None)):
        seen = {} if samples is None else dict(samples_seen=samples)
        made.append(replace(record, subject=dict(spec=spec, **seen)))
    runs = {str(record.subject["spec"]): [Run(record)] for record in made}
    (sheet,) = FIGURE.gather(Sources(runs=runs)).values()
    assert list(sheet.records) == ["r", "timm:resnet18"]  # of an evaluation: by folder
    assert [r.subject["samples_seen"] for r in sheet.records["r"][0]] == [4, 8]
    (sheet,) = FIGURE.gather(Sources(runs=dict(arm=list(map(Run, made[:2]))))).values()
    assert list(sheet.records) == ["arm"] and len(sheet.records["arm"]) == 1
    FIGURE.draw(sheet, tmp_path / "f.svg")
    assert 'id="arm:arm"' in (tmp_path / "f.svg").read_text()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(group=5, images=5), "group=5, but the val part has 4 images"),
        (dict(group=1, images=1, clusters=31), "clusters=31, but a group of 1 images has 30 cells"),
        (dict(size=(44, 48), group=2, images=2), "not a multiple of the feature stride 8"),
    ],
)
def test_mistakes_are_named(
    measure: Callable[..., Record], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure(Settings(**dict(size=SIZE) | settings))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(images=4), r"images=4 must be at least 8 \(group\)"),
        (dict(clusters=1), "clusters=1 must be at least 2"),
        (dict(rank_cells=1), "rank_cells=1 must be at least 2"),
        (dict(size=(0, 8)), "must be greater than 0"),
    ],
)
def test_settings_are_checked(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**setting)
