"""A trial's directory: what is missing, what is stale, what has been spent."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import benchmarks.compare.evaluate as evaluation
from benchmarks.compare import trial as trials
from benchmarks.compare.budget import with_samples
from benchmarks.compare.configs import write_config
from benchmarks.compare.parts import Evaluation, Plan
from benchmarks.compare.plan import load_plan
from benchmarks.compare.trial_folder import StaleTrial, Stopped, TrialFolder, make_spec
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import read_all
from pretrain.engine.build import build_runner
from pretrain.engine.config import PretrainConfig
from pretrain.folder_lock import Busy, exclusive


@pytest.fixture
def plan(toy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The toy plan, with the fakes also in this process."""

    def evaluate(checkpoint: Path, benchmark: Evaluation) -> object:
        import fake_benchmark

        return fake_benchmark.run(checkpoint, fake_benchmark.Settings(**benchmark.settings))

    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    monkeypatch.setattr(
        evaluation, "make_untrained", lambda config, path: path.write_text('{"score": 0.5}')
    )
    return load_plan(toy(), "out")


def make(plan: Plan, name: str, trainer: tuple[str, ...], **changes: object) -> TrialFolder:
    """Writes one trial's folder, perhaps with other schedule settings, and returns it."""
    trial = next(t for t in plan.trials if t.name == name)
    config = with_samples(trial.config, 80) if trial.arm.train else trial.config
    config["schedule"].update(changes)
    folder = TrialFolder(trial.directory)
    folder.write(make_spec(trial, config, benchmarks=plan.benchmarks, trainer=trainer), config)
    return folder


def calls(folder: Path, name: str = "calls.txt") -> list[str]:
    """What the fake trainer or benchmark has noted."""
    return (folder / name).read_text().splitlines() if (folder / name).exists() else []


def test_a_trial_trains_and_evaluates_once(
    plan: Plan, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    folder = make(plan, "weak/seed_1", trainer)
    assert [b.name for b in folder.missing()] == ["toy"]
    trials.run_trial(folder.path)
    assert folder.missing() == []
    (record,) = read_all(folder.records)
    assert record.metrics["score"].value == pytest.approx(0.2 * 10 + 1)
    assert record.subject["trial"]["arm"] == "weak" and record.subject["trial"]["seed"] == 1
    state = folder.state()
    assert state["phase"] == "done" and state["pretrain_seconds"] > 0
    trials.run_trial(folder.path)
    assert len(calls(tmp_path)) == 1 and len(calls(tmp_path, "evaluations.txt")) == 1
    assert calls(tmp_path)[0].endswith("out/weak/seed_1/pretrain resume")


def test_what_an_interrupted_trainer_expected_is_forgotten(
    plan: Plan, trainer: tuple[str, ...]
) -> None:
    folder = make(plan, "weak/seed_1", trainer)
    folder.training.mkdir()
    file = folder.training / "progress.json"
    file.write_text('{"step": 5, "total": 10, "eta_s": 20000.0}')
    seen: list[dict] = []

    def train(*_: object, **__: object) -> int:
        seen.append(folder.progress())
        return 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "_train", train)
        with pytest.raises(trials.TrainerFailed):
            trials.run_trial(folder.path)
    assert seen == [dict(step=5, total=10, eta_s=None)]


def test_a_trial_notes_its_trainers_memory(
    plan: Plan, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "slow.txt").write_text(
        "0.05"
    )  # long enough for a few readings after the interpreter has started
    folder = make(plan, "weak/seed_1", trainer)
    trials.run_trial(folder.path)
    assert folder.state()["peak_memory_bytes"] > 1e6


def test_an_untrained_arm_never_meets_the_trainer(
    plan: Plan, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    folder = make(plan, "untrained/seed_0", trainer)
    trials.run_trial(folder.path)
    assert calls(tmp_path) == [] and read_all(folder.records)[0].metrics["score"].value == 0.5


def test_changed_benchmarks_need_no_training(
    plan: Plan, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    folder = make(plan, "weak/seed_0", trainer)
    trials.run_trial(folder.path)
    more = replace(plan, benchmarks=(replace(plan.benchmarks[0], settings={"factor": 2.0}),))
    make(more, "weak/seed_0", trainer)
    assert len(folder.missing()) == 1
    trials.run_trial(folder.path)
    assert len(calls(tmp_path)) == 1
    assert folder.measured()["toy"].metrics["score"].value == pytest.approx(4.0)


def test_without_its_records_a_trial_is_evaluated_again_and_not_trained(
    plan: Plan, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    """What the table advises when protocols differ, as after a change of the data on disk."""
    folder = make(plan, "weak/seed_0", trainer)
    trials.run_trial(folder.path)
    (folder.records).unlink()
    trials.run_trial(make(plan, "weak/seed_0", trainer).path)
    assert len(calls(tmp_path)) == 1 and len(calls(tmp_path, "evaluations.txt")) == 2
    assert len(read_all(folder.records)) == 1


def test_a_stale_trial_names_the_difference_and_the_way_out(
    plan: Plan, trainer: tuple[str, ...]
) -> None:
    folder = make(plan, "weak/seed_0", trainer)
    make(plan, "weak/seed_0", trainer, warmup_samples=8)  # nothing has been done yet: no harm
    trials.run_trial(folder.path)
    before = (folder.path / "trial.json").read_text()
    with pytest.raises(StaleTrial) as caught:
        make(plan, "weak/seed_0", trainer, warmup_samples=16)
    assert "schedule.warmup_samples: 8 → 16" in str(caught.value) and "--redo weak" in str(
        caught.value
    )
    assert (folder.path / "trial.json").read_text() == before


def test_workers_and_logging_do_not_make_a_trial_stale(
    plan: Plan, trainer: tuple[str, ...]
) -> None:
    folder = make(plan, "weak/seed_0", trainer)
    trials.run_trial(folder.path)
    trial = plan.trials[1]
    config = with_samples(
        {**trial.config, "loader": {"workers": 7}, "engine": {"log_every": 3}}, 80
    )
    folder.write(make_spec(trial, config, benchmarks=plan.benchmarks, trainer=trainer), config)
    assert folder.missing() == []


def test_another_objective_leaves_an_untrained_trial_valid(
    plan: Plan, trainer: tuple[str, ...]
) -> None:
    folder = make(plan, "untrained/seed_0", trainer)
    trials.run_trial(folder.path)
    trial = plan.trials[0]
    objectives = {**trial.config["model"], "objectives": [{"type": "SimCLR"}]}
    spec = make_spec(
        trial, {**trial.config, "model": objectives}, benchmarks=plan.benchmarks, trainer=trainer
    )
    assert spec.hash == folder.spec().hash
    wider = {**trial.config["model"], "backbone": {"type": "TimmBackbone", "name": "resnet18"}}
    assert (
        make_spec(trial, {**trial.config, "model": wider}, benchmarks=plan.benchmarks).hash
        != spec.hash
    )


def test_failures_are_told_and_leave_their_state(
    plan: Plan, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "fail.txt").write_text("0.2")
    folder = make(plan, "weak/seed_0", trainer)
    with pytest.raises(SystemExit, match="exit code 3"):
        trials.main([str(folder.path)])
    assert folder.state()["phase"] == "failed"
    idle = make(plan, "strong/seed_0", (sys.executable, "-c", "pass"))
    with pytest.raises(trials.TrainerFailed, match="left no .*final.pth"):
        trials.run_trial(idle.path)


def test_a_trial_that_was_to_be_stopped_when_it_was_killed_ends_at_its_checkpoint(
    plan: Plan, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    folder = make(plan, "weak/seed_0", trainer)
    folder.training.mkdir()
    (folder.training / "iter_4.pth").write_text('{"score": 1.5}')
    folder.decide({"rule": "r", "course": [], "stop": 32})
    trials.run_trial(folder.path)
    (record,) = read_all(folder.records)
    assert calls(tmp_path) == [] and record.metrics["score"].value == 1.5
    assert record.subject["trial"]["stopped"] == 32 and folder.missing() == []
    assert folder.stopped == Stopped(32, "iter_4.pth")
    folder.forget_decision()  # then it goes on, and that record counts no more
    assert len(folder.missing()) == 1 and folder.stopped is None
    trials.run_trial(folder.path)
    assert folder.measured()["toy"].metrics["score"].value == pytest.approx(2.0)
    folder.decide({"rule": "r", "course": [], "stop": 32})
    assert folder.stopped is None and folder.missing() == []  # it has come to its end


def test_a_trial_that_was_killed_before_it_had_come_so_far_trains_until_then(
    plan: Plan, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    folder = make(plan, "weak/seed_0", trainer)
    folder.training.mkdir()
    (folder.training / "iter_3.pth").write_text('{"score": 1.5}')
    folder.decide({"rule": "r", "course": [], "stop": 32})
    trials.run_trial(folder.path)
    assert len(calls(tmp_path)) == 1  # too fast to be stopped, it came to its end
    assert folder.stopped is None and folder.measured()["toy"].subject["trial"]["seed"] == 0


def test_two_processes_never_work_on_one_trial(
    plan: Plan, trainer: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "LOCK_SECONDS", 0.3)
    folder = make(plan, "weak/seed_0", trainer)
    with exclusive(folder.path, "trial", wait_s=0):
        with pytest.raises(Busy, match="another process works on this trial"):
            trials.run_trial(folder.path)
    trials.run_trial(folder.path)


def test_untrained_networks_are_those_a_run_starts_from(
    toy: Callable[..., Path], tmp_path: Path
) -> None:
    """The file is read by the extractor; its weights are those of the engine before its first step,
    seed by seed.
    """
    config = {**load_plan(toy(), "out").trials[0].config, "vis_backends": []}
    networks = []
    for seed in (0, 1):
        write_config({**config, "seed": seed}, tmp_path / f"{seed}.py")
        evaluation.make_untrained(tmp_path / f"{seed}.py", tmp_path / f"{seed}.pth")
        extractor = FeatureExtractor.load(str(tmp_path / f"{seed}.pth"))
        networks.append(extractor.backbone.state_dict())
        run = build_runner(
            PretrainConfig({**config, "seed": seed, "work_dir": str(tmp_path / f"run{seed}")})
        )
        started = run.model.backbone.state_dict()
        assert started.keys() == networks[-1].keys()
        assert all(torch.equal(value, networks[-1][key]) for key, value in started.items())
    assert extractor.stride == 8
    assert any(not torch.equal(value, networks[1][key]) for key, value in networks[0].items())
    # Started from the first of them, both seeds are it: the arm "untouched".
    start = f"{tmp_path / '0.pth'}?licence=MIT"
    config["model"]["backbone"]["start"] = start
    write_config({**config, "seed": 1}, tmp_path / "untouched.py")
    evaluation.make_untrained(tmp_path / "untouched.py", tmp_path / "untouched.pth")
    untouched = FeatureExtractor.load(str(tmp_path / "untouched.pth"))
    first = FeatureExtractor.load(str(tmp_path / "0.pth"))
    assert untouched.fingerprint == first.fingerprint
    assert untouched.describe()["licence"] == "MIT" and "licence" not in first.describe()
