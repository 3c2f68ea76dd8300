"""Figures of alignment and dead units: drawn from records alone."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.analysis.alignment import BENCHMARK as ALIGNMENT
from benchmarks.analysis.alignment import Settings
from benchmarks.analysis.dead_units import BENCHMARK as DEAD_UNITS
from benchmarks.analysis.dead_units import Settings as DeadSettings
from benchmarks.analysis.dead_units_figure import shares
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record
from benchmarks.data import ClassFolder
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.runs import Run

NETWORKS = dict(
    resnet="random:test_resnet?output_stride=8", wide="random:test_resnet?stem_width=32"
)


@pytest.fixture(scope="module")
def records(image_folder: Path) -> dict[str, list[Record]]:
    """Network -> its records of both analyses, two layers among them, read back from JSON."""
    data = ClassFolder(image_folder, held_back=0.5)
    settings = dict(size=32, images=4, leading=4, bases=2, draws=2)
    measured = {}
    for name, spec in NETWORKS.items():
        network = FeatureExtractor.load(spec)
        own = [ALIGNMENT.measure(network, data, Settings(**settings, layer=n)) for n in (1, 3)]
        own.append(DEAD_UNITS.measure(network, data, DeadSettings(size=32, images=4)))
        measured[name] = [Record.from_json(record.to_json()) for record in own]
    return measured


def sources(records: dict[str, list[Record]], columns: tuple[str, ...]) -> Sources:
    runs = {}
    for name, own in records.items():
        runs[name] = [Run(r, name, benchmark=c) for r, c in zip(own, columns, strict=True)]
    return Sources(arms=[*records], runs=runs)


def draw(figure: Figure, of: Sources, folder: Path) -> dict[str, str]:
    """Sheet -> the text of its SVG, which must be one."""
    texts = {}
    for number, (title, sheet) in enumerate(figure.gather(of).items()):
        path = folder / f"{number}.{figure.form}"
        figure.draw(sheet, path)
        ElementTree.parse(path)
        texts[title] = path.read_text()
    return texts


def test_a_sheet_for_each_layer(records: dict[str, list[Record]], tmp_path: Path) -> None:
    (figure,) = ALIGNMENT.figures
    texts = draw(figure, sources(records, ("first", "third", "dead")), tmp_path)
    assert list(texts) == ["first", "third"]
    for text in texts.values():
        for name in NETWORKS:
            assert text.count(f'"arm:{name}') >= 4  # curve, three markers; the page hides them
    (whole,) = draw(figure, sources({"a": records["resnet"][:1]}, ("first",)), tmp_path)
    assert whole == ""
    assert figure.gather(sources({"a": records["resnet"][2:]}, ("dead",))) == {}


def test_directions_without_variation_are_left_out_of_the_curve(
    records: dict[str, list[Record]], tmp_path: Path
) -> None:
    """A logarithmic axis has no zero."""
    record = records["resnet"][0]
    record.counts["sigma"][-3:] = [0.0, 0.0, 0.0]
    (figure,) = ALIGNMENT.figures
    (text,) = draw(figure, sources({"a": [record]}, ("first",)), tmp_path).values()
    assert "nan" not in text


def test_dead_units_of_networks_with_the_same_layers(
    records: dict[str, list[Record]], tmp_path: Path
) -> None:
    (figure,) = DEAD_UNITS.figures
    own = {name: listed[2:] for name, listed in records.items()}
    ((title, text),) = draw(figure, sources(own, ("dead",)), tmp_path).items()
    assert title == "" and "layer2.0.act1" in text and text.count('"arm:wide') >= 2
    counts = own["resnet"][0].counts["per_layer"]
    expected = [100 * d / u for d, u in zip(counts["dead"], counts["units"], strict=True)]
    assert shares(own["resnet"][0]).tolist() == pytest.approx(expected)
    deeper = Record.from_json(own["wide"][0].to_json())
    deeper.counts["per_layer"]["layer"][0] = "another"
    two = draw(figure, sources(own | {"other": [deeper]}, ("dead",)), tmp_path)
    assert list(two) == ["dead (1)", "dead (2)"]
