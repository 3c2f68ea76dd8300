"""Presets of correspondence: each runs end to end on a small set in the published layout."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.evaluate.presets.choose import make_preset_tasks
from benchmarks.evaluate.presets.compare import compare
from benchmarks.evaluate.presets.load import load_preset, preset_names
from heads.upsamplers.interpolation import Interpolation

NAMES = [name for name in preset_names() if name.startswith(("navi-", "pf-", "spair-"))]


@pytest.fixture(scope="module")
def network() -> FeatureExtractor:
    """A tiny ViT of stride 16 with a table of positions, called by the name of a published row."""
    return FeatureExtractor.load("random:vit_tiny_patch16_224?depth=12&embed_dim=24&num_heads=2")


@pytest.fixture(scope="module")
def roots(
    tmp_path_factory: pytest.TempPathFactory,
    write_point_pairs: Callable[[str, Path], Path],
    write_willow: Callable[[Path], Path],
) -> dict[str, Path]:
    """Folder of a toy set in each layout."""
    folder = tmp_path_factory.mktemp("presets")
    written = {layout: write_point_pairs(layout, folder / layout) for layout in ("spair", "navi")}
    return written | dict(pfwillow=write_willow(folder / "pfwillow"))


def test_all_of_the_specification_are_there() -> None:
    assert NAMES == [
        "navi-probe3d",
        "pf-willow",
        "spair-dinov3-card",
        "spair-geoaware",
        "spair-insid3",
        "spair-probe3d",
        "spair-vitup",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_end_to_end(name: str, roots: dict[str, Path], network: FeatureExtractor) -> None:
    preset = load_preset(name)
    layout = preset.data["layout"].value
    settings = [f"{name}.size=96,96"]
    if layout == "navi":
        settings += [f"{name}.copy_side=0", f"{name}.matches=20"]
    rows = [row.model for row in preset.published]
    model = rows[0] if rows else None
    given = [f"{layout}:{roots[layout]}?every=1"]
    (task,) = make_preset_tasks([name], given, settings, model=model)
    ((prepared, seen),) = task.prepared(network)
    record = prepared.signed(task.benchmark.measure(seen, prepared.data, prepared.settings))
    assert set(preset.tolerance) <= set(record.metrics)
    assert all(0 <= metric.value <= 100 for metric in record.metrics.values())
    assert record.protocol["preset"].startswith(f"{name} (changed: size")
    assert {one.verdict for one in compare([record])} == {"not compared"}
    assert set(preset.settings) <= set(record.subject["preset"]["settings"])  # all stand in it
    for key, entry in preset.settings.items():
        if key not in ("size", "copy_side", "matches"):
            assert getattr(prepared.settings, key) == entry.value
    if name == "spair-vitup":
        fine = seen.through(Interpolation("bilinear"), prepared.upsampled_stride)
        assert prepared.upsampled_stride == 4 and fine.stride == 4
        behind = task.benchmark.measure(fine, prepared.data, prepared.settings)
        assert behind.protocol == {k: v for k, v in record.protocol.items() if k in behind.protocol}


def test_other_counts_are_refused(roots: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="pairs is 12, published 12234"):
        make_preset_tasks(["spair-insid3"], [f"spair:{roots['spair']}"], [])
    given = [f"spair:{roots['spair']}?per_category=2"]
    (task,) = make_preset_tasks(["spair-insid3"], given, [])
    assert task.given["data.per_category"] == 2  # a sample is a change, never the full test


def test_pf_willow_on_the_real_images(
    shared_data: Path, tmp_path: Path, network: FeatureExtractor
) -> None:
    """Counts as published; the row of another method is shown and not compared."""
    with tarfile.open(shared_data / "corr_pfwillow.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    model = load_preset("pf-willow").published[0].model
    (task,) = make_preset_tasks(["pf-willow"], [f"pfwillow:{tmp_path}"], [], model=model)
    ((prepared, seen),) = task.prepared(network)
    record = prepared.signed(task.benchmark.measure(seen, prepared.data, prepared.settings))
    assert record.protocol["preset"] == "pf-willow" and record.protocol["data"]["pairs"] == 540
    first, *_ = compare([record])
    assert first.published.value == "74.4" and "another method" in first.reason
    assert first.verdict == "not compared" and first.ours.half > 0
