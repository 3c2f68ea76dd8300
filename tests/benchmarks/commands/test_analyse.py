"""pixelpretext analyse: an analysis by name, checkpoints in order, a second network, a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from benchmarks.analysis.references import load_reference, reference_fact
from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric, read_all
from benchmarks.data import ClassFolder
from benchmarks.evaluate.suite import BENCHMARKS
from benchmarks.report.figures import Figure, Sources
from benchmarks.weights.untrained import untrained_content
from pretrain.engine.config import PretrainConfig


@dataclass(frozen=True)
class Settings:
    """Those of a toy analysis."""

    power: int = 1
    reference: str = "start"


def run(extractor: FeatureExtractor, data: ClassFolder, settings: Settings, **_: object) -> Result:
    """How far the first weight has moved from the reference's."""
    reference = load_reference(extractor, settings.reference)
    here, there = (next(network.backbone.parameters()) for network in (extractor, reference))
    moved = (here - there).abs().mean().item() ** settings.power
    fact = reference_fact(settings.reference, reference)
    return Result(dict(moved=Metric(moved, "1")), facts=dict(reference=fact))


def draw(_: object, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def gather(sources: Sources) -> dict[str, list[int]]:
    seen = [runs[0].record.subject["samples_seen"] for runs in sources.runs.values()]
    return {f"after {' '.join(map(str, seen))}": seen}


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Benchmark:
    """A toy analysis among the benchmarks."""
    monkeypatch.setattr(run, "__module__", "benchmarks.analysis.moved")
    analysis = Benchmark(
        name="moved",
        about="how far a weight moved",
        settings=Settings,
        run=run,
        data=ClassFolder,
        metrics=("moved",),
        figures=(Figure("moved", "how far", gather, draw, section="results"),),
    )
    monkeypatch.setitem(BENCHMARKS, "moved", analysis)
    return analysis


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """The folder of a training: each checkpoint's weights lie as far from the start as its name
    says, in units of a step.
    """
    backbone = dict(type="TimmBackbone", name="test_resnet")
    objectives = [dict(type="PixPro", hidden=32, dim=16)]
    recipe = dict(model=dict(type="Pretrainer", backbone=backbone, objectives=objectives), seed=3)
    config = PretrainConfig(recipe)
    for step in (2, 10):
        content: dict[str, Any] = untrained_content(config)
        for name, value in content["state_dict"].items():
            if name.startswith("backbone.") and value.is_floating_point():
                value += step
        meta = content["meta"] | dict(cfg=config.pretty_text, samples_seen=8 * step)
        del meta["untrained"]
        torch.save(content | dict(meta=meta), tmp_path / f"iter_{step}.pth")
    return tmp_path


def test_checkpoints_of_a_training_stand_in_its_order(
    moved: Benchmark,
    training: Path,
    run_tool: Callable[..., int],
    image_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    networks = [f"{training}/iter_10.pth", "random:test_resnet", f"{training}/iter_2.pth"]
    out, page = training / "records.jsonl", training / "page"
    data = f"classes:{image_folder}"
    files = ("--out", str(out), "--report", str(page), "--device", "cpu")
    assert run_tool("analyse", "moved", *networks[::2], "--data", data, *files) == 0
    records = read_all(out)
    assert [record.subject["samples_seen"] for record in records] == [16, 80]
    values = [record.metrics["moved"].value for record in records]
    assert values == pytest.approx([2.0, 10.0], abs=1e-5)
    assert records[0].protocol_hash == records[1].protocol_hash
    assert "after 16 80: how far" in (page / "index.html").read_text()
    printed = capsys.readouterr().out
    assert "--report" not in printed and "next: over seeds" in printed
    # others keep their place
    assert (
        run_tool("analyse", "moved", *networks, "--data", data, *files[:2], "--set", "power=2") == 0
    )
    assert [record.subject["spec"] for record in read_all(out)[2:]] == [
        networks[2],
        networks[0],
        networks[1],
    ]
    assert read_all(out)[-2].metrics["moved"].value == pytest.approx(100.0, rel=1e-5)


def test_one_checkpoint_is_told_what_can_follow_and_what_it_was_compared_with(
    moved: Benchmark,
    training: Path,
    run_tool: Callable[..., int],
    image_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    last, first = f"{training}/iter_10.pth", f"{training}/iter_2.pth"
    arguments = ("--data", f"classes:{image_folder}", "--out", f"{training}/records.jsonl")
    assert run_tool("analyse", "moved", last, *arguments, "--reference", first) == 0
    (record,) = read_all(training / "records.jsonl")
    assert record.metrics["moved"].value == pytest.approx(8.0, abs=1e-5)
    assert record.protocol["reference"] == FeatureExtractor.load(first).fingerprint
    printed = capsys.readouterr().out
    assert f"next: along its training: the same command on {training}/iter_*.pth" in printed
    assert "--report FOLDER" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mved"], "there is no analysis 'mved'; did you mean 'moved'?"),
        (["knn"], "'knn' is a benchmark, not an analysis; run pixelpretext evaluate"),
        (["moved", "--set", "power"], "--set 'power': write KEY=VALUE, as in power=…"),
        (["moved", "--set", "pwer=2"], "pwer is unknown; did you mean 'power'?"),
        (["moved", "--set", "reference=a", "--reference", "b"], "both name the second network"),
        (["moved", "--reference", "random:nothing"], "nothing"),
    ],
)
def test_mistakes_are_one_sentence(
    moved: Benchmark,
    run_tool: Callable[..., int],
    image_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    name, *options = arguments
    data = ("--data", f"classes:{image_folder}", "--out", str(tmp_path / "r.jsonl"))
    assert run_tool("analyse", name, "random:test_resnet", *data, *options) == 2
    printed = capsys.readouterr().err
    assert message in printed.replace("python tools/evaluate.py", "pixelpretext evaluate")
    assert printed.count("\n") == 1


def test_a_reference_needs_an_analysis_that_compares(
    moved: Benchmark,
    run_tool: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @dataclass(frozen=True)
    class Alone:
        power: int = 1

    monkeypatch.setitem(BENCHMARKS, "moved", replace(moved, settings=Alone))
    arguments = ("random:test_resnet", "--data", "classes:x", "--reference", "random:test_resnet")
    assert run_tool("analyse", "moved", *arguments) == 2
    assert "moved compares with no second network" in capsys.readouterr().err


def test_the_list_holds_the_analyses_alone(
    moved: Benchmark, run_tool: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_tool("analyse", "--list") == 0
    printed = capsys.readouterr().out
    assert "moved: how far a weight moved" in printed and "reference='start'" in printed
    assert "retrieval:" not in printed
