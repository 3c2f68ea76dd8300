"""Trials that end before their budget is spent: the rules, a comparison with one, its table."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console

from benchmarks.compare import stopper
from benchmarks.compare.configs import config_hash
from benchmarks.compare.executors import Local
from benchmarks.compare.jobs import missing_jobs
from benchmarks.compare.names import PlanError
from benchmarks.compare.plan import load_plan
from benchmarks.compare.run import Options, run_comparison
from benchmarks.compare.status import snapshot
from benchmarks.compare.stopper import Stopper, read_course
from benchmarks.compare.stopping import collect_stopped, stopping_sentences
from benchmarks.compare.trial_folder import TrialFolder, make_spec
from benchmarks.runs.audit import audit

pytest.importorskip("optuna")
Toy = Callable[..., Path]
MEDIAN = "stopping = dict(type='median', metric='toy.score', after=16, trials=1)"
HALVING = "stopping = dict(type='halving', metric='toy.score', after=16, factor=2)"


@pytest.fixture
def watched(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The toy comparison with a hook that measures other images: strong, middle and weak."""
    monkeypatch.setattr(stopper, "LOOK_SECONDS", 0.0)
    rng = np.random.default_rng(1)
    for part, name in (("train", "a"), ("val", "a"), ("train", "b"), ("val", "b")):
        folder = tmp_path / "held_back" / part / name
        folder.mkdir(parents=True)
        for index in range(3):
            image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            assert cv2.imwrite(str(folder / f"{index}.png"), image)
    data = f"dict(type='ClassFolder', root={str(tmp_path / 'held_back')!r})"
    measured = f"dict(fake_benchmark=dict(data={data}))"
    hook = f"dict(type='EvaluationHook', every=1, benchmarks={measured})"
    imports = "{'imports': ['benchmarks.evaluate.hook']}"
    arms = (
        "arms = dict(strong=dict(overrides={'schedule.lr_per_256': 3.0}), "
        "middle=dict(overrides={'schedule.lr_per_256': 2.0}), "
        "weak=dict(overrides={'schedule.lr_per_256': 0.2}), untrained=dict(train=False))"
    )

    def write(*extra: str) -> Path:
        common = f"overrides = {{'hooks': [{hook}], 'custom_imports': {imports}}}"
        return toy(common, arms, *extra)

    return write


class Trainings:
    """Trials of a comparison whose evaluations a test writes itself."""

    def __init__(self, path: Path) -> None:
        self.plan = load_plan(path, "out")
        self.out = io.StringIO()
        self.trials = {trial.name: trial for trial in self.plan.trials}
        for trial in self.plan.trials:
            config = {**trial.config, "schedule": {**trial.config["schedule"], "samples": 80}}
            spec = make_spec(trial, config, benchmarks=self.plan.benchmarks, trainer=())
            TrialFolder(trial.directory).write(spec, config)

    def stopper(self) -> Stopper:
        return Stopper(self.plan, Console(file=self.out, width=200))

    def measure(self, name: str, step: int, value: float) -> None:
        """Appends a value, as EvaluationHook does."""
        score = {"value": value if math.isfinite(value) else None, "unit": "%", "better": "higher"}
        record = {"benchmark": "toy", "metrics": {"score": score}}
        file = TrialFolder(self.trials[name].directory).evaluations
        file.parent.mkdir(exist_ok=True)
        with open(file, "a") as lines:
            lines.write(json.dumps({**record, "subject": {"spec": f"step {step}"}}) + "\n")

    def stopped(self) -> dict[str, int]:
        """Trial -> samples at which it is stopped."""
        limits = {}
        for name, trial in self.trials.items():
            limit = TrialFolder(trial.directory).stop_after
            if limit is not None:
                limits[name] = limit
        return limits

    def play(self, events: Sequence[tuple[str, int, float]], *, restart: bool = False) -> None:
        """Measures one value after the other, which a stopper sees at once."""
        watching = self.stopper()
        for name, step, value in events:
            if name not in self.stopped():
                self.measure(name, step, value)
            watching = self.stopper() if restart else watching
            watching.look()


def random_events(trials: Sequence[str], seed: int) -> list[tuple[str, int, float]]:
    """Values of trials that run side by side at unequal speeds, some not a number."""
    generator, events = np.random.default_rng(seed), []
    steps = dict.fromkeys(trials, 0)
    while steps:
        name = str(generator.choice(sorted(steps)))
        steps[name] += 1
        value = math.nan if generator.random() < 0.03 else float(generator.normal())
        events.append((name, steps[name], value))
        if steps[name] == 10:
            del steps[name]
    return events


def by_median(events: Sequence[tuple[str, int, float]], after: int, trials: int) -> dict[str, int]:
    """The median rule, slowly and obviously; trial -> samples at which it is stopped."""
    courses: dict[str, dict[int, float]] = {}
    finished: list[str] = []
    stopped: dict[str, int] = {}
    for name, step, value in events:
        if name in stopped:
            continue
        courses.setdefault(name, {})[step] = value
        if step == 10:
            if math.isfinite(value):
                finished.append(name)
            continue
        if len(finished) < trials or 8 * step < after:
            continue
        best = max((v for v in courses[name].values() if math.isfinite(v)), default=math.nan)
        others = [courses[other][step] for other in finished]
        others = [v for v in others if math.isfinite(v)]
        if math.isnan(best) or (others and best < float(np.median(others))):
            stopped[name] = 8 * step
    return stopped


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("restart", [False, True])
def test_the_median_rule_stops_what_it_says(watched: Toy, seed: int, restart: bool) -> None:
    extra = "stopping = dict(type='median', metric='toy.score', after=24, trials=2)"
    trainings = Trainings(watched("seeds = (0, 1)", extra))
    names = [name for name in trainings.trials if "untrained" not in name]
    events = random_events(names, seed)
    trainings.play(events, restart=restart)
    expected = by_median(events, after=24, trials=2)
    assert trainings.stopped() == expected and len(expected) > 0


def test_halving_lets_one_in_so_many_go_on(watched: Toy) -> None:
    trainings = Trainings(watched("seeds = (0, 1)", HALVING))
    a, b, c, d = [name for name in trainings.trials if "untrained" not in name][:4]
    # The first at a rung goes on; from then on whoever is in the better half of those there.
    events = [(a, 2, 5.0), (b, 2, 4.0), (c, 2, 6.0), (d, 2, 5.5), (c, 3, 1.0), (c, 4, 6.0)]
    trainings.play([*events, (d, 4, 5.0), (a, 4, 7.0), (c, 8, 1.0)])
    # d: the second of four at 16 samples, but not the best of two at 32.
    assert trainings.stopped() == {b: 16, d: 32}
    assert f"{b} is stopped after 16 of 80 samples, toy.score = 4" in trainings.out.getvalue()


def test_lower_may_be_better_and_parts_of_lines_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "evaluations.jsonl"
    assert read_course(path, "toy.error", batch=8, now=1.0) == []
    lines = []
    for step, value in ((1, 3.0), (2, None), (1, 4.0)):
        error = {"value": value, "better": "lower"}
        record = {"benchmark": "toy", "metrics": {"error": error}}
        lines.append(json.dumps({**record, "subject": {"spec": f"step {step}"}}))
    lines.append(lines[0].replace('"toy"', '"other"'))
    lines.insert(1, lines[0][:30] + lines[0])
    path.write_text("\n".join(lines) + "\n" + lines[0])
    first, second = read_course(path, "toy.error", batch=8, now=1.0)
    assert (first.samples, first.value, first.better) == (8, 4.0, "lower")  # repeated after a kill
    assert second.samples == 16 and math.isnan(second.value)


def run(path: Path, trainer: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """Runs a comparison one trial after the other; returns what was printed, and the table."""
    out = io.StringIO()
    console = Console(file=out, width=250)
    options = Options(executor=Local(jobs=1, gpus=0), trainer=trainer, console=console)
    assert run_comparison(load_plan(path, "out"), options) == 0
    return out.getvalue(), json.loads(Path("out/table.json").read_text())


def test_a_stopped_trial_is_marked_and_not_ranked_and_goes_on_without_the_rule(
    watched: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "slow.txt").write_text("0.3")
    two = "del arms['middle']"
    path = watched("seeds = (0, 1)", two, "planned = ('strong', 'weak')", MEDIAN)
    printed, table = run(path, trainer)
    stopped = table["stopping"]["stopped"]
    rows = {row["arm"]: row for row in table["rows"]}
    assert set(stopped) == {"weak"} and list(rows) == ["strong", "untrained", "weak"]
    got, weak = [one["samples"] for one in stopped["weak"].values()], rows["weak"]
    assert list(stopped["weak"]) == ["0", "1"] and max(got) < 80 and min(got) >= 16
    assert weak["samples"] == np.mean(got) and weak["stopped seeds"] == 2
    assert weak["rank"] is None and weak["toy.score"] > rows["untrained"]["toy.score"]
    marks = [line.get("stopped") for line in table["values"] if line["arm"] == "weak"]
    assert set(marks) == set(got)
    ranked = [arm["arm"] for arm in table["rankings"]["toy.score"]["arms"]]
    assert ranked == ["strong", "untrained"] and table["planned"] is None
    for text in (printed, Path("out/table.md").read_text(), Path("out/index.html").read_text()):
        assert "Budgets are NOT equal: trials were stopped before they had all of" in text
        assert "weak (seed 0 after" in text and "The planned pair was not tested: weak" in text
    assert "equal samples in all trained arms without a stopped trial" in printed
    assert '<tr class="stopped"' in Path("out/index.html").read_text()
    count, disagreements = audit(Path("out/table.json"), Path("out/records.jsonl"))
    assert count > 20 and disagreements == []
    details = {job.name: job.details for job in snapshot(Path("out")).of("done")}
    assert details["weak/seed_0"] == f"stopped after {stopped['weak']['0']['samples']} samples"

    calls = len((tmp_path / "calls.txt").read_text().splitlines())
    assert missing_jobs(load_plan(path, "out")) == []  # nothing is left to be done
    (tmp_path / "slow.txt").unlink()
    printed, table = run(watched("seeds = (0, 1)", two), trainer)
    assert table["stopping"] is None and "NOT equal" not in printed
    assert {row["samples"] for row in table["rows"] if row["arm"] != "untrained"} == {80}
    assert len((tmp_path / "calls.txt").read_text().splitlines()) == calls + 2


def test_a_rule_that_stops_nothing_says_so(watched: Toy) -> None:
    plan = load_plan(watched(MEDIAN), "out")
    (sentence,) = stopping_sentences(plan, collect_stopped(plan))
    assert sentence.startswith("No trial was stopped by the median of toy.score of the finished")
    assert stopping_sentences(load_plan(watched(), "out"), {}) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("stopping = 'median'", "needs type, metric and after, such as"),
        ("stopping = dict(type='median', metric='toy.score')", "needs type, metric and after"),
        (MEDIAN.replace("median", "medain"), "did you mean 'median'"),
        (MEDIAN.replace("trials", "factor"), "'factor'"),
        (MEDIAN.replace("after=16", "after=0"), "after = 0: a whole number, at least 1"),
        (HALVING.replace("factor=2", "factor=1"), "factor = 1: a whole number, at least 2"),
        (MEDIAN.replace("toy.score", "score"), "metric = 'score': write BENCHMARK.metric"),
        (MEDIAN.replace("toy.score", "toy.scor"), "did you mean 'score'"),
        (MEDIAN.replace("toy.", "knn."), "arm 'strong' needs one benchmark 'knn'.*, and has 0"),
        (
            f"{MEDIAN}\narms['weak']['overrides']['schedule.global_batch'] = 4",
            "different numbers of samples .*strong every 8, middle every 8, weak every 4",
        ),
        (f"{MEDIAN}\ndel arms['weak'], arms['middle']", "needs two trained arms"),
    ],
)
def test_mistakes_are_found_in_the_config(watched: Toy, line: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        load_plan(watched(line), "out")


def test_what_decides_must_not_score_the_tables_images(
    watched: Toy, trainer: tuple[str, ...], image_folder: Path, tmp_path: Path
) -> None:
    path = watched(MEDIAN)
    path.write_text(path.read_text().replace(str(tmp_path / "held_back"), str(image_folder)))
    with pytest.raises(PlanError, match="images that decide are scored by 'toy' of the table"):
        run(path, trainer)
    assert not (tmp_path / "calls.txt").exists()


def test_another_rule_forgets_what_was_decided(watched: Toy) -> None:
    first = load_plan(watched(MEDIAN), "out").stopping
    second = load_plan(watched(HALVING), "out").stopping
    assert first.hash != second.hash and config_hash(first.__dict__) == first.hash
