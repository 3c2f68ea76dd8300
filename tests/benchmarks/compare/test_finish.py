"""What becomes of the folders that trials left: runs, costs, curves, and every file of the end."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from benchmarks.compare.budget import ArmBudget, with_samples
from benchmarks.compare.collect import (
    collect_baselines,
    collect_checkpoints,
    collect_costs,
    collect_curves,
    collect_fairness,
    collect_runs,
    started,
)
from benchmarks.compare.finish import finish
from benchmarks.compare.jobs import baseline_folder
from benchmarks.compare.parts import Baseline, Plan
from benchmarks.compare.plan import load_plan
from benchmarks.compare.trial_folder import TrialFolder, make_spec
from benchmarks.core.record import Metric, Record, read_all
from benchmarks.report.figures import Figure, Sources
from pretrain.files import atomic_write
from pretrain.hooks.structure_course import Look, write_course

Write = Callable[..., TrialFolder]


@pytest.fixture
def plan(toy: Callable[..., Path]) -> Plan:
    """The toy comparison; nothing of it has begun."""
    return load_plan(toy(), "out")


def record(score: float, **subject: object) -> Record:
    metrics = {"score": Metric(score, "%"), "error": Metric(100 - score, "%", "lower")}
    return Record("toy", metrics, {"data": "toy"}, subject=subject)


@pytest.fixture
def write(plan: Plan) -> Write:
    """Returns ``write(name, score)``, which makes the folder of a finished trial."""

    def write_trial(name: str, score: float | None, *, memory: int = 0) -> TrialFolder:
        trial = next(trial for trial in plan.trials if trial.name == name)
        train, folder = trial.arm.train, TrialFolder(trial.directory)
        config = with_samples(trial.config, 80) if train else trial.config
        spec = make_spec(trial, config, benchmarks=plan.benchmarks)
        folder.write(spec, config)
        if score is None:
            return folder
        atomic_write(folder.checkpoint(train=train), "weights")
        (benchmark,) = plan.benchmarks
        origin = dict(config=spec.hash, benchmark=benchmark.name, settings=benchmark.hash)
        record(score, trial=origin).append(folder.records)
        folder.note(pretrain_seconds=40.0, **dict(peak_memory_bytes=memory) if memory else {})
        return folder

    return write_trial


def test_runs_are_those_of_trials_that_began(plan: Plan, write: Write) -> None:
    write("weak/seed_0", 3.0)
    write("weak/seed_1", 5.0)
    write("strong/seed_0", None)
    assert [trial.name for trial in started(plan.trials)] == [
        "weak/seed_0",
        "strong/seed_0",
        "weak/seed_1",
    ]
    runs = collect_runs(plan)
    assert list(runs) == ["untrained", "weak", "strong"] and runs["strong"] == []
    assert [(run.name, run.pair, run.benchmark) for run in runs["weak"]] == [
        ("weak/seed_0", 0, "toy"),
        ("weak/seed_1", 1, "toy"),
    ]
    assert runs["weak"][1].record.metrics["score"].value == 5.0


def test_records_of_other_settings_do_not_count(plan: Plan, write: Write) -> None:
    folder = write("weak/seed_0", 3.0)
    (stored,) = read_all(folder.records)
    other = replace(stored, subject={"trial": stored.subject["trial"] | dict(settings="other")})
    folder.records.unlink()
    other.append(folder.records)
    assert collect_runs(plan)["weak"] == []


def test_costs_are_those_of_trainings_that_ended(plan: Plan, write: Write) -> None:
    write("untrained/seed_0", 1.0)
    write("strong/seed_0", None)
    folder = write("weak/seed_0", 3.0, memory=2_000_000_000)
    budgets = {"weak": ArmBudget(80, 1e12, None, "")}
    (cost,) = collect_costs(plan, budgets)
    assert cost == {
        "arm": "weak",
        "seed": 0,
        "samples": 80,
        "minutes": pytest.approx(40 / 60),
        "device_seconds": 40.0,
        "images_per_s": 2.0,
        "peak_memory_gb": 2.0,
        "pflops": pytest.approx(0.08),
    }
    atomic_write(folder.training / "progress.json", json.dumps({"seconds": 20.0}))
    (cost,) = collect_costs(plan, {})  # the trainer's own clock leaves its start-up out
    assert cost["images_per_s"] == 4.0 and "pflops" not in cost


def test_dense_structure_stands_beside_the_costs(plan: Plan, write: Write) -> None:
    folder = write("weak/seed_0", 3.0)
    write("weak/seed_1", 3.0)
    looks = []
    for place, intra in enumerate((0.2, 0.1, 0.3)):
        cosine = None if place == 1 else 1 - 0.1 * place
        own = dict(step=place, samples=40 * place, cosine=cosine, drift=None, loss=None)
        looks.append(Look(inter=0.5, intra=intra, dimension=9.0, **own))
    write_course(folder.training, {}, looks)
    watched, other = collect_costs(plan, {})
    assert (watched["dse_samples"], watched["cosine_to_start"]) == (40, pytest.approx(0.8))
    assert "dse_samples" not in other
    write_course(folder.training, {}, looks[:2])  # a course without a start
    assert "cosine_to_start" not in collect_costs(plan, {})[0]


def test_curves_checkpoints_and_recipes_by_arm(plan: Plan, write: Write) -> None:
    write("untrained/seed_0", 1.0)
    for name in ("weak/seed_0", "weak/seed_1"):
        atomic_write(write(name, 3.0).curve, "samples,loss\n8,1.0\n")
    write("strong/seed_0", None)
    assert {arm: len(paths) for arm, paths in collect_curves(plan).items()} == {"weak": 2}
    checkpoints = collect_checkpoints(plan)
    assert list(checkpoints) == ["untrained", "weak"]
    assert checkpoints["untrained"].endswith("untrained/seed_0/untrained.pth")
    assert checkpoints["weak"].endswith("weak/seed_0/pretrain/final.pth")
    fairness = collect_fairness(plan)
    assert fairness.different == {"schedule.lr_per_256": {"weak": 0.2, "strong": 3.0}}
    assert fairness.equal["schedule.samples"] == 80


def test_baselines_are_those_measured_with_these_settings(plan: Plan) -> None:
    (benchmark,) = plan.benchmarks
    measured = Baseline("majority", "majority", benchmark)
    changed = Baseline("pixels", "pixels", benchmark)
    plan = replace(plan, baselines=(measured, changed, Baseline("late", "late", benchmark)))
    line = record(2.0).to_json()
    for baseline, digest in ((measured, measured.hash), (changed, "of other settings")):
        content = json.dumps({"hash": digest, "record": line})
        atomic_write(baseline_folder(plan, baseline) / "record.json", content)
    (runs,) = collect_baselines(plan).items()
    assert runs[0] == "majority" and runs[1][0].benchmark == "toy"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Sources]:
    """Figures that draw nothing but keep what they were given."""
    sources: list[Sources] = []

    def gather(given: Sources) -> dict[str, Sources]:
        sources.append(given)
        return {"": given}

    def draw(given: Sources, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)

    figure = Figure("all", "everything", gather, draw)
    monkeypatch.setattr("benchmarks.compare.finish.FIGURES", (figure,))
    return sources


def end(plan: Plan) -> tuple[bool, str]:
    """Finishes; returns whether all is there, and what was printed."""
    out = io.StringIO()
    return finish(plan, {}, console=Console(file=out, width=80)), out.getvalue()


def test_an_unfinished_comparison_says_so_everywhere(
    plan: Plan, write: Write, drawn: list[Sources]
) -> None:
    write("untrained/seed_0", 1.0)
    write("weak/seed_0", 3.0)
    complete, printed = end(plan)
    assert not complete and "weak" in printed and "Nothing is ranked" in printed
    page = (plan.work_dir / "index.html").read_text()
    assert "INCOMPLETE: 2 of 6 records are there." in page
    assert "INCOMPLETE" in (plan.work_dir / "report.md").read_text()


def test_a_finished_comparison_leaves_its_table_in_every_form(
    plan: Plan, write: Write, drawn: list[Sources]
) -> None:
    for trial in plan.trials:
        base = {"untrained": 1.0, "weak": 3.0, "strong": 30.0}[trial.arm.name]
        write(trial.name, base + trial.seed)
    plan = replace(plan, statistics=("difference",))
    complete, printed = end(plan)
    assert complete and "strong" in printed
    frame = pd.read_csv(plan.work_dir / "table.csv")
    assert frame["arm"].tolist() == ["strong", "weak", "untrained"]
    assert frame["toy.score"].tolist() == [30.5, 3.5, 1.5]
    assert frame["toy.score minus untrained"].tolist()[:2] == [29.0, 2.0]
    stored = json.loads((plan.work_dir / "table.json").read_text())
    assert stored["primary"] == "toy.score" and len(stored["values"]) == 12
    assert r"\begin{tabular}" in (plan.work_dir / "table.tex").read_text()
    assert "| 1–3 | strong | A | 30.50 ± 6.35 |" in (plan.work_dir / "table.md").read_text()
    assert len(read_all(plan.work_dir / "records.jsonl")) == 6


def test_every_link_of_the_page_leads_somewhere(
    plan: Plan, write: Write, drawn: list[Sources]
) -> None:
    write("weak/seed_0", 3.0)
    end(plan)
    page = (plan.work_dir / "index.html").read_text()
    links = [part.split('"')[0] for part in page.split('href="')[1:]]
    assert {"table.csv", "table.tex", "records.jsonl", "weak/seed_0/config.py"} <= set(links)
    for link in links:
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in page, link
        elif not link.startswith("data:"):
            assert (plan.work_dir / link).is_file(), link
    assert "data:image/webp;base64," in page and "Everything" in page


def test_figures_get_networks_curves_recipes_and_perhaps_images(
    plan: Plan, write: Write, drawn: list[Sources], image_folder: Path
) -> None:
    write("weak/seed_0", 3.0)
    end(plan)
    (sources,) = drawn
    assert list(sources.networks) == ["weak"] and sources.images is None
    assert list(sources.recipes) == ["weak", "strong"]
    pictures = dict(folder=str(image_folder), count=3, size=16)
    end(replace(plan, pictures=pictures))
    assert drawn[1].images().shape == (3, 3, 16, 16)


def test_the_page_shows_the_figures_of_its_benchmarks(
    plan: Plan, write: Write, drawn: list[Sources], monkeypatch: pytest.MonkeyPatch
) -> None:
    import fake_benchmark

    def draw(scores: list[float], path: Path) -> None:
        Image.new("RGB", (8, 8 * len(scores))).save(path)

    def gather(sources: Sources) -> dict[str, list[float]]:
        return {
            arm: [run.record.metrics["score"].value for run in runs]
            for arm, runs in sources.runs.items()
            if runs
        }

    figure = Figure("scores", "what the toy measured", gather, draw, section="results")
    declared = replace(fake_benchmark.BENCHMARK, figures=(figure,))
    monkeypatch.setattr(fake_benchmark, "BENCHMARK", declared, raising=False)
    write("weak/seed_0", 3.0)
    end(plan)
    assert "weak: what the toy measured" in (plan.work_dir / "index.html").read_text()
    assert "pictures/scores_0.png" in (plan.work_dir / "report.md").read_text()
