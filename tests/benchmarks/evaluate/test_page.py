"""The page of an evaluation: a table per protocol, baselines apart, the best marked, everything
linked is there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.core.record import Metric, Record, read_all
from benchmarks.data import ClassFolder
from benchmarks.evaluate.page import sample_images, write_evaluation
from benchmarks.evaluate.suite import BENCHMARKS, Task
from benchmarks.evaluate.tables import evaluation_tables
from benchmarks.report.figures import Figure, Picture
from benchmarks.report.table import Table


def record(
    spec: str, upsampler: str | None, size: int = 1, network: bool = True, **values: float
) -> Record:
    subject: dict[str, Any] = dict(spec=spec) | (dict(backbone={}) if network else {})
    subject |= dict(upsampler=dict(spec=upsampler)) if upsampler else {}
    metrics = {
        n: Metric(value, "%", "lower" if n == "average_drop" else "higher")
        for n, value in values.items()
    }
    return Record("probe", metrics, dict(size=size), cost=dict(seconds=1.0), subject=subject)


RECORDS = [
    record("a.pth", None, mIoU=10.0, average_drop=50.0),
    record("a.pth", "bilinear", mIoU=30.0, average_drop=20.0),
    record("a<b>.pth", "jbu:x.pth", mIoU=30.0, average_drop=float("nan")),
    record("majority", None, network=False, mIoU=99.0),
    record("a.pth", "bilinear", size=2, mIoU=77.0),
]


def marked(table: Table) -> list[tuple[int, int]]:
    """(row, column) of the cells that are the best."""
    rows = enumerate(table.rows)
    return [(i, column) for i, row in rows for column, cell in enumerate(row.cells) if cell.best]


def test_the_best_network_of_each_column() -> None:
    table, alone = evaluation_tables(RECORDS)
    headings = [column.heading for column in table.columns]
    assert headings == [
        "network",
        "upsampler",
        "mIoU [%]",
        "average_drop [%] ↓",
        "s",
        "waiting [%]",
    ]
    lines = table.lines()
    assert lines[0] == ["a.pth", "none", "10.00", "50.00", "1.0", "–"]
    assert lines[2][3] == "not defined"
    assert lines[3] == ["majority", "–", "99.00", "–", "1.0", "–"]
    assert marked(table) == [(1, 2), (1, 3), (2, 2)]
    assert marked(alone) == []  # nobody to be better than


def test_the_metric_says_which_way_it_is_better_and_not_its_name() -> None:
    """Names that an older rule by endings read the other way round."""
    records = []
    for value in (1.0, 2.0):
        error, mse = Metric(value, "%", "higher"), Metric(value, "feature²", "lower")
        subject = dict(spec="a", backbone={})
        records.append(Record("toy", dict(error=error, uniform_mse=mse), {}, subject=subject))
    (table,) = evaluation_tables(records)
    headings = [column.heading for column in table.columns]
    assert headings == ["network", "error [%]", "uniform_mse [feature²] ↓", "s", "waiting [%]"]
    assert marked(table) == [(0, 2), (1, 1)]


def test_page_and_markdown(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "pictures/x.png")
    figure = Figure("x", "what & where", lambda sources: {}, lambda *_: None)
    pictures = [Picture("pictures/x.png", figure)]
    page = write_evaluation(RECORDS, pictures, "python x --set a<b", tmp_path)
    text = page.read_text()
    assert text.count("<table ") == 2 and text.count("<summary>protocol</summary>") == 2
    assert "a&lt;b&gt;.pth" in text and "a<b>" not in text and "python x --set a&lt;b" in text
    assert '<td class="best" data-value="20.0">20.00</td>' in text
    baselines = text.partition('<tbody class="baselines">')[2].partition("</tbody>")[0]
    assert ">(majority)</th>" in baselines and "99.00" in baselines
    assert 'alt="what &amp; where"' in text and "data:image/webp;base64," in text
    for file in re.findall(r'(?:href|src)="([^"]+)"', text):
        assert file.startswith("data:") or (tmp_path / file).is_file(), file
    markdown = (tmp_path / "report.md").read_text()
    assert "| a.pth | bilinear | **30.00** | **20.00** | 1.0 |" in markdown
    assert "![what & where](pictures/x.png)" in markdown
    stored = json.loads((tmp_path / "tables.json").read_text())
    assert [one["title"].split(" ")[0] for one in stored] == ["probe", "probe"]
    assert stored[0]["rows"][0]["mIoU"] == 10.0 and stored[0]["columns"][3]["better"] == "lower"
    assert (tmp_path / "tables.tex").read_text().count(r"\begin{tabular}") == 2
    assert [r.protocol_hash for r in read_all(tmp_path / "records.jsonl")] == [
        r.protocol_hash for r in RECORDS
    ]


def test_images_come_from_the_validation_part(toy_data: Any, image_folder: Path) -> None:
    dense, classes = BENCHMARKS["retrieval"], BENCHMARKS["knn"]
    images = sample_images(Task("retrieval", dense, toy_data(), dense.settings(size=(32, 24))), 3)
    assert images.shape == (3, 3, 32, 24) and images.dtype == torch.uint8
    data = ClassFolder(image_folder)
    images = sample_images(Task("knn", classes, data, classes.settings(size=32)), 99)
    assert images.shape == (len(data.val), 3, 32, 32)
    expected, _ = next(data.val.batches(32, 99, crop_fraction=0.875))
    assert torch.equal(images, expected)
