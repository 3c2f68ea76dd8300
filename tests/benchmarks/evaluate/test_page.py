"""The page of an evaluation: a table per protocol, baselines apart, the best marked, everything
linked is there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.core.record import Metric, Record, read_all, upsampler_of
from benchmarks.data import ClassFolder
from benchmarks.evaluate.page import draw_features, sample_images, table_of, write_evaluation
from benchmarks.evaluate.suite import BENCHMARKS, Task


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


def test_the_best_network_of_each_column() -> None:
    headings, lines, best = table_of(RECORDS[:4])
    assert headings == ["network", "upsampler", "mIoU [%] ↑", "average_drop [%] ↓", "s"]
    assert lines[0] == ["a.pth", "none", "10.00", "50.00", "1.0"]
    assert lines[3] == ["(majority)", "–", "99.00", "", "1.0"]
    assert best == [(1, 2), (2, 2), (1, 3)]
    assert table_of(RECORDS[4:])[2] == []  # nobody to be better than
    assert (
        upsampler_of(dict(upsampler=dict(spec="guided"))) == "guided" and upsampler_of({}) == "none"
    )


def test_the_metric_says_which_way_it_is_better_and_not_its_name() -> None:
    """Names that an older rule by endings read the other way round."""
    values = [
        dict(error=Metric(v, "%", "higher"), uniform_mse=Metric(v, "feature²", "lower"))
        for v in (1.0, 2.0)
    ]
    group = [Record("toy", metrics, {}, subject=dict(spec="a", backbone={})) for metrics in values]
    headings, _, best = table_of(group)
    assert headings[2:4] == ["error [%] ↑", "uniform_mse [feature²] ↓"] and best == [(1, 2), (0, 3)]


def test_page_and_markdown(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/x.png").write_bytes(b"")
    page = write_evaluation(
        RECORDS, [("pictures/x.png", "what & where")], "python x --set a<b", tmp_path
    )
    text = page.read_text()
    assert text.count("<table>") == 2 and text.count("<summary>protocol</summary>") == 2
    assert "a&lt;b&gt;.pth" in text and "a<b>" not in text and "python x --set a&lt;b" in text
    assert (
        '<td class="best">20.00</td>' in text
        and '<tr class="baseline"><td class="text">(majority)' in text
    )
    assert "what &amp; where" in text
    for file in re.findall(r'(?:href|src)="([^"]+)"', text):
        assert (tmp_path / file).is_file(), file
    markdown = (tmp_path / "report.md").read_text()
    assert "| a.pth | bilinear | **30.00** | **20.00** | 1.0 |" in markdown
    assert "![what & where](pictures/x.png)" in markdown
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


def test_a_sheet_per_network_with_bilinear_always(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    draw = "benchmarks.evaluate.page.draw_upsampled"
    monkeypatch.setattr(draw, lambda images, found, path, **_: rows.append((list(found), path)))
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    networks = ["random:test_resnet?output_stride=8", "random:test_resnet?output_stride=16"]
    found = draw_features(networks, ["none", "nearest"], images, tmp_path)
    assert [file for file, _ in found] == ["pictures/features_0.png", "pictures/features_1.png"]
    assert [names for names, _ in rows] == [["backbone", "bilinear", "nearest"]] * 2
    assert all(network in caption for network, (_, caption) in zip(networks, found, strict=True))
