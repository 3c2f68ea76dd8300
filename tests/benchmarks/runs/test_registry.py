"""Every run is found, shown, compared, and copied to trackers."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.compare.executors.attempts import Attempts
from benchmarks.core.record import Metric, Record
from benchmarks.runs.registry import entries, find, runs
from benchmarks.runs.tracking import NAME_TAG

RunTool = Callable[..., int]
CURVE = "step,samples,loss\n1,8,0.5\n2,16,0.25\n"


def record(value: float, *, size: int = 8, **subject: Any) -> Record:
    metrics = dict(mIoU=Metric(value, "%"), RMSE=Metric(value / 10, "m", "lower"))
    versions = dict(torch="2.14.1" if value < 50 else "2.15.0")
    return Record(
        "retrieval",
        metrics,
        dict(size=size),
        subject=dict(spec="x", backbone={}) | subject,
        versions=versions,
    )


def write_trial(folder: Path, arm: str, value: float | None, **state: Any) -> None:
    """A trial's folder with its training, and a record unless it is not finished."""
    training = folder / "pretrain"
    training.mkdir(parents=True)
    benchmark = dict(name="seg", type="retrieval", data={}, settings={})
    spec = dict(arm=arm, seed=0, train=True, samples=16, hash="h", benchmarks=[benchmark])
    spec |= dict(config={"schedule.lr": 0.1 if arm == "a" else 0.2, "views.size": [8, 8]})
    (folder / "trial.json").write_text(json.dumps(spec | dict(trainer=["python"])))
    (folder / "state.json").write_text(json.dumps(state))
    (training / "curve.csv").write_text(CURVE)
    (training / "progress.json").write_text('{"state": "done"}')
    if value is not None:
        origin = dict(arm=arm, seed=0, benchmark="seg", config="h", settings="s")
        record(value, trial=origin).append(folder / "records.jsonl")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A comparison of three trials, a training, and a file of evaluations."""
    root = tmp_path / "work_dirs"
    for arm, value in dict(a=40.0, b=60.0).items():
        write_trial(root / "cmp" / arm / "seed_0", arm, value, phase="done")
    write_trial(root / "cmp" / "c" / "seed_0", "c", None, phase="failed", error="the disk is full")
    (root / "cmp" / "budget.json").write_text('{"budget": {"samples": 16}}')
    (root / "alone").mkdir()
    (root / "alone" / "progress.json").write_text('{"state": "running"}')
    (root / "alone" / "curve.csv").write_text(CURVE)
    (root / "alone" / "config.py").write_text("seed = 3\nschedule = dict(lr=0.5)\n")
    record(70.0, size=9).append(root / "evaluations.jsonl")
    record(45.0).append(root / "evaluations.jsonl")
    (root / "other.jsonl").write_text('{"text": "no record"}\n')
    return root


@pytest.mark.filterwarnings("ignore:.*other.jsonl is left out")
class TestRegistry:
    def test_all_kinds_are_found_with_their_state(self, root: Path) -> None:
        found = [(entry.name, entry.kind, entry.state) for entry in entries(root)]
        assert sorted(found) == [
            ("alone", "training", "running"),
            ("cmp", "comparison", "2 of 3 trials done"),
            ("cmp/a/seed_0", "trial", "done"),
            ("cmp/b/seed_0", "trial", "done"),
            ("cmp/c/seed_0", "trial", "failed"),
            ("evaluations.jsonl:1", "evaluation", "done"),
            ("evaluations.jsonl:2", "evaluation", "done"),
        ]
        assert find(root, "cmp/c/seed_0").error == "the disk is full"
        assert find(root, str(root / "alone")).config == {"seed": 3, "schedule.lr": 0.5}
        with pytest.raises(ValueError, match="no run 'cmp/d/seed_0'.*did you mean 'cmp/"):
            find(root, "cmp/d/seed_0")

    def test_a_trial_that_was_killed_has_failed_until_it_runs_again(self, root: Path) -> None:
        folder = root / "cmp" / "d" / "seed_0"
        write_trial(folder, "d", None, phase="pretraining")
        assert find(root, "cmp/d/seed_0").state == "pretraining"
        Attempts(folder).count("exit code 137 on node7")
        os.utime(folder / "state.json", (1, 1))
        entry = find(root, "cmp/d/seed_0")
        assert (entry.state, entry.error) == ("failed", "exit code 137 on node7")
        os.utime(folder / "failures.json", (0, 0))  # its state is newer: it runs again
        assert find(root, "cmp/d/seed_0").state == "pretraining"

    def test_a_benchmark_that_was_added_is_waited_for(self, root: Path) -> None:
        file = root / "cmp/a/seed_0/trial.json"
        spec = json.loads(file.read_text())
        spec["benchmarks"].append(dict(name="new", type="knn", data={}, settings={}))
        file.write_text(json.dumps(spec))
        assert find(root, "cmp/a/seed_0").state == "waiting"

    def test_the_frame_has_a_row_per_run(self, root: Path) -> None:
        frame = runs(root).set_index("name")
        assert len(frame) == 7 and list(frame)[:3] == ["kind", "state", "changed"]
        row = frame.loc["cmp/b/seed_0"]
        assert row["metric.seg.mIoU"] == 60.0 and row["config.schedule.lr"] == 0.2
        assert row["protocol.seg"] == record(0.0).protocol_hash
        assert frame.loc["evaluations.jsonl:1", "metric.retrieval.RMSE"] == 7.0
        assert pd.isna(frame.loc["alone", "metric.seg.mIoU"])

    def test_list_show_and_difference(
        self, root: Path, run_tool: RunTool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run_tool("runs", "ls", "--root", root, "--kind", "trial") == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 4 and lines[-1] == "3 runs"
        assert lines[0].startswith("cmp/a/seed_0") and "seg.mIoU 40 %" in lines[0]
        assert run_tool("runs", "show", "cmp/c/seed_0", "--root", root) == 0
        shown = capsys.readouterr().out
        assert "error: the disk is full" in shown and "  schedule.lr = 0.2" in shown
        assert run_tool("runs", "diff", "cmp/a/seed_0", "cmp/b/seed_0", "--root", root) == 0
        shown = capsys.readouterr().out
        assert "  schedule.lr: 0.1 → 0.2" in shown and "views.size" not in shown
        assert "  mIoU: 40 % → 60 % (+20)" in shown and "  torch: 2.14.1 → 2.15.0" in shown
        names = "evaluations.jsonl:1", "evaluations.jsonl:2"
        assert run_tool("runs", "diff", *names, "--root", root) == 0
        shown = capsys.readouterr().out
        assert "do not compare the numbers" in shown and "mIoU:" not in shown

    def test_the_best_follows_the_direction_and_never_mixes_protocols(
        self, root: Path, run_tool: RunTool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run_tool("runs", "best", "mIoU", "--root", root) == 0
        text = capsys.readouterr().out
        assert text.index("60 %  cmp/b") < text.index("40 %  cmp/a")
        (line,) = [line for line in text.splitlines() if "70 %" in line]
        assert f"protocol {record(0.0, size=9).protocol_hash}: the best of 1 " in text
        assert "evaluations.jsonl:1" in line
        assert run_tool("runs", "best", "seg.RMSE", "--root", root, "--top", 1) == 0
        text = capsys.readouterr().out
        assert "4 m  cmp/a/seed_0" in text and "cmp/b" not in text and "lower is better" in text
        assert run_tool("runs", "best", "seg.mAP", "--root", root) == 2
        assert "no run has the metric 'seg.mAP'; there are" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["show"], "show takes 1 names, not 0"),
            (["diff", "a"], "diff takes 2 names, not 1: a"),
            (["best", "mIoU", "--top", "0"], "--top 0: must be at least 1"),
            (["ls", "--root", "nowhere"], "nowhere: no folder of runs is there"),
            (["export"], "--to=None is not one of csv, mlflow, wandb"),
        ],
    )
    def test_mistakes_are_one_sentence(
        self,
        arguments: list[str],
        message: str,
        root: Path,
        run_tool: RunTool,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        given = arguments if "--root" in arguments else [*arguments, "--root", root]
        assert run_tool("runs", *given) == 2
        assert message in capsys.readouterr().err

    def test_csv(
        self, root: Path, run_tool: RunTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert run_tool("runs", "export", "--to", "csv", "--root", root, "--out", "r.csv") == 0
        with open("r.csv", newline="") as file:
            rows = {row["name"]: row for row in csv.DictReader(file)}
        assert len(rows) == 7 and float(rows["cmp/a/seed_0"]["metric.seg.mIoU"]) == 40.0

    def test_mlflow_gets_params_curves_numbers_and_hashes_once(
        self, root: Path, run_tool: RunTool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.tracking import MlflowClient

        store = tmp_path / "ml"
        for _ in range(2):
            assert run_tool("runs", "export", "--to", "mlflow", "--root", root, "--out", store) == 0
        client = MlflowClient(tracking_uri=store.as_uri())
        experiment = client.get_experiment_by_name("pixelpretext").experiment_id
        written = {run.data.tags[NAME_TAG]: run for run in client.search_runs([experiment])}
        assert len(written) == 6 and len(client.search_runs([experiment])) == 6
        run = written["cmp/a/seed_0"]
        assert run.data.params["schedule.lr"] == "0.1" and run.data.metrics["seg.mIoU"] == 40.0
        assert run.data.tags["protocol.seg"] == record(0.0).protocol_hash
        history = client.get_metric_history(run.info.run_id, "train/loss")
        assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25)]
        assert run.info.status == "FINISHED"
        assert written["cmp/c/seed_0"].info.status == "FAILED"

    def test_wandb_works_without_a_network(
        self, root: Path, run_tool: RunTool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        pytest.importorskip("wandb", reason="wandb is not installed")
        for variable in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            monkeypatch.setenv(variable, str(tmp_path / "cache"))
        alone = root / "cmp" / "a"
        export = ["runs", "export", "--to", "wandb", "--offline", "--root", alone]
        assert run_tool(*export, "--out", tmp_path / "wb") == 0
        (file,) = (tmp_path / "wb").rglob("*.wandb")
        content = file.read_bytes()  # wandb's own log of protocol buffers, not compressed
        for part in ("pixelpretext", "seed_0", "train/loss", "seg.mIoU", "schedule.lr"):
            assert part.encode() in content
        assert record(0.0).protocol_hash.encode() in content


def test_a_missing_tracker_is_one_sentence(
    tmp_path: Path, run_tool: RunTool, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("benchmarks.runs.tracking.importlib.import_module", absent)
    os.makedirs(tmp_path / "empty")
    for tracker, package in dict(mlflow="mlflow-skinny", wandb="wandb").items():
        assert run_tool("runs", "export", "--to", tracker, "--root", tmp_path / "empty") == 2
        error = capsys.readouterr().err
        assert f"{tracker} is not installed" in error and f"pip install {package}" in error
