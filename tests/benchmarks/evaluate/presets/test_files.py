"""Every file in configs/presets: complete, sourced, and listed in docs/presets.md."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import pytest

from benchmarks.core.benchmark import role_of
from benchmarks.core.features import FeatureSettings
from benchmarks.evaluate.presets.explain import as_text, explain
from benchmarks.evaluate.presets.load import load_preset, preset_names
from benchmarks.evaluate.presets.preset import Preset
from benchmarks.evaluate.suite import find_benchmark
from pretrain.places import configs

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "presets.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def listed() -> str:
    """The list of all of them: each is read for it."""
    return as_text()


@pytest.fixture(params=preset_names(), scope="module")
def preset(request: pytest.FixtureRequest) -> Preset:
    """Each of the project's presets."""
    return load_preset(request.param)


def test_nothing_is_left_to_a_default(preset: Preset) -> None:
    own = find_benchmark(preset.benchmark).settings
    needed = {one.name for one in fields(own) if role_of(one) != "speed"}
    assert needed <= set(preset.settings)
    assert {one.name for one in fields(FeatureSettings)} == set(preset.features)
    assert preset.counts and preset.selection and preset.version >= 1


def test_everything_has_a_source_and_an_effect(preset: Preset) -> None:
    for name, entry in preset.entries.items():
        assert entry.source and entry.effect, name
    for entry in (*preset.counts.values(), *preset.fixed.values()):
        assert entry.source


def test_published_rows_can_be_held_against_ours(preset: Preset) -> None:
    benchmark = find_benchmark(preset.benchmark)
    assert set(preset.tolerance) <= set(benchmark.metrics)
    rows = [(row.model, row.metric, row.upsampler, row.source) for row in preset.published]
    assert len(set(rows)) == len(rows)
    for row in preset.published:
        assert row.metric in preset.tolerance and preset.tolerance[row.metric] >= 0


def test_explained_is_every_setting(preset: Preset, listed: str) -> None:
    text = explain(preset)
    for name in preset.entries:
        assert f"\n  {name.removeprefix('data.').removeprefix('features.')} = " in text
    for row in preset.published:
        assert row.value in text
    assert f"{preset.name} " in listed


def test_the_file_opens_with_what_to_expect(preset: Preset) -> None:
    path = configs() / "presets" / f"{preset.name}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    layout = preset.data["layout"].value
    line = f"pixelpretext evaluate BACKBONE --preset {preset.name} --data {layout}:ROOT"
    assert f"\nLaunch:   {line}\n" in text
    for field in ("Hardware:", "Result:", "Knob:"):
        assert f"\n{field}" in text
    assert "not reproduced by us" in text or "agrees" in text or "differs" in text


def test_the_page_lists_it(preset: Preset) -> None:
    assert f"\n| `{preset.name}` | `{preset.benchmark}` | {preset.title} |\n" in PAGE
