"""Searches: the best setting gets a row of its own, and a search killed anywhere goes on as it
would have.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from benchmarks.compare.executors import Local
from benchmarks.compare.executors.base import Failure, Job, Watch
from benchmarks.compare.names import PlanError
from benchmarks.compare.plan import load_plan
from benchmarks.compare.run import Options, run_comparison

pytest.importorskip("optuna", reason="needs Optuna: pip install optuna")

Toy = Callable[..., Path]
SPACE = "{'schedule.lr_per_256': dict(low=0.1, high=2.0, log=True)}"
TUNE = """
_tune = dict(
    space={space}, trials={trials}, batch=2, seeds=(7,),
    benchmark=dict(type="fake_benchmark", data=dict(type="ClassFolder", root="other"), factor=2.0),
)
arms["weak"]["tune"] = _tune
seeds = (0, 1)
"""


@pytest.fixture
def tuned(toy: Toy, tmp_path: Path) -> Callable[..., Path]:
    """Writes the toy comparison with a search for ``weak``, scored on images of its own."""
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        (tmp_path / "other" / name).mkdir(parents=True)
        for index in range(5):
            image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            assert cv2.imwrite(str(tmp_path / "other" / name / f"{index}.png"), image)

    def write(*extra: str, space: str = SPACE, trials: int = 5) -> Path:
        return toy(TUNE.format(space=space, trials=trials), *extra)

    return write


@dataclass
class Stopping(Local):
    """Runs so many jobs, then is interrupted."""

    jobs: int | None = 2
    gpus: int | None = 0
    left: int = 0

    def run(self, jobs: Sequence[Job], watch: Watch, *, attempts: int) -> list[Failure]:
        first = jobs[: self.left]
        failures = super().run(first, watch, attempts=attempts) if first else []
        self.left -= min(self.left, len(jobs))
        if not self.left:
            raise KeyboardInterrupt
        return failures


def run(path: Path, trainer: Sequence[str], **options: object) -> tuple[int, str]:
    out = io.StringIO()
    options.setdefault("executor", Local(jobs=2, gpus=0))
    settings = Options(trainer=trainer, console=Console(file=out, width=300), **options)
    return run_comparison(load_plan(path, "out"), settings), out.getvalue()


def proposals(folder: Path = Path("out")) -> list[float]:
    """Learning rates of the settings of the search, in order."""
    places = sorted((folder / "weak+tuned" / "search").glob("trial_*/seed_7/trial.json"))
    return [json.loads(p.read_text())["config"]["schedule.lr_per_256"] for p in places]


def rows() -> dict[str, dict[str, object]]:
    table = json.loads(Path("out/table.json").read_text())
    return {row["arm"]: row for row in table["rows"]}


def test_default_and_tuned_are_two_rows(
    tuned: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    code, printed = run(tuned("planned = ('weak+tuned', 'weak')"), trainer)
    assert code == 0
    tried = proposals()
    assert len(tried) == len(set(tried)) == 5 and all(0.1 <= rate <= 2.0 for rate in tried)
    # The toy's score grows with the rate; the table's seeds are 0 and 1, its factor is 1.
    row = rows()["weak+tuned"]
    assert row["toy.score"] == pytest.approx(10 * max(tried) + 0.5) and row["seeds"] == 2
    assert (row["setting"], rows()["weak"]["setting"]) == ("tuned (5 trials)", "default")
    assert rows()["strong"]["setting"] is None
    assert row["tuning_minutes"] > 0 and rows()["weak"]["tuning_minutes"] is None
    text = f"schedule.lr_per_256 = {max(tried)}: the best of 5 trials"
    assert text in printed and text in Path("out/report.md").read_text()
    assert "(7) that no row uses" in printed
    assert "tuned (5 trials)" in Path("out/table.md").read_text()
    calls = len((tmp_path / "calls.txt").read_text().splitlines())
    assert calls == 5 + 3 * 2

    code, printed = run(tuned(), trainer)
    assert code == 0 and "8 trials, 8 finished before, 0 to run" in printed
    assert len((tmp_path / "calls.txt").read_text().splitlines()) == calls
    run(tuned(), trainer, table_only=True)
    assert "weak+tuned" in rows()
    run(tuned(), trainer, redo=["weak"])
    assert len((tmp_path / "calls.txt").read_text().splitlines()) == calls + 2
    run(tuned(), trainer, redo=["weak+tuned"])
    assert len((tmp_path / "calls.txt").read_text().splitlines()) == calls + 2 + 5 + 2
    assert proposals() == tried


def test_a_search_goes_on_where_it_was_killed_and_proposes_the_same(
    tuned: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    run(tuned(), trainer, only=["weak+tuned"])
    expected = proposals()
    best = Path("out/weak+tuned/search/best.json").read_text()
    shutil.rmtree("out")
    (tmp_path / "calls.txt").unlink()
    for left in (1, 2, 1):
        with pytest.raises(KeyboardInterrupt):
            run(tuned(), trainer, executor=Stopping(left=left), only=["weak+tuned"])
        assert proposals() == expected[: len(proposals())]
    # The study is lost, then ends in the middle of a line: folders are the truth.
    study = Path("out/weak+tuned/search/study.log")
    study.unlink()
    with pytest.raises(KeyboardInterrupt):
        run(tuned(), trainer, executor=Stopping(left=1), only=["weak+tuned"])
    study.write_bytes(study.read_bytes()[:-9])
    run(tuned(), trainer, only=["weak+tuned"])
    assert proposals() == expected
    again = json.loads(Path("out/weak+tuned/search/best.json").read_text())
    keys = ("search", "number", "values", "score")
    assert [again[key] for key in keys] == [json.loads(best)[key] for key in keys]
    names = [line.split()[0] for line in (tmp_path / "calls.txt").read_text().splitlines()]
    assert len(names) == len(set(names)) == 5 + 2  # nothing was trained twice


def test_a_setting_that_fails_is_tried_and_not_chosen(
    tuned: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    run(tuned(), trainer, only=["weak+tuned"])
    best = max(proposals())
    shutil.rmtree("out")
    (tmp_path / "fail.txt").write_text(str(best))
    code, printed = run(tuned(), trainer, only=["weak+tuned"])
    assert code == 1 and "FAILED" in printed
    result = json.loads(Path("out/weak+tuned/search/best.json").read_text())
    assert result["failed"] == 1 and result["trials"] == 5 and len(proposals()) == 5
    assert result["values"] != {"schedule.lr_per_256": str(best)}


def test_choices_and_lower_is_better(tuned: Toy, trainer: tuple[str, ...]) -> None:
    space = "{'rate': dict(low={'schedule.lr_per_256': 0.3}, high={'schedule.lr_per_256': 0.9})}"
    path = tuned("_tune['metric'] = 'error'", space=space, trials=6)
    code, _ = run(path, trainer, only=["weak+tuned"])
    result = json.loads(Path("out/weak+tuned/search/best.json").read_text())
    # error = 100 − score: the least belongs to the larger rate; factor 2, seed 7.
    assert code == 0 and result["values"] == {"rate": "high"}
    assert result["score"] == pytest.approx(100 - 2 * (9 + 7))


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("_tune['trails'] = 3", "'trails'; did you mean 'trials'?"),
        ("_tune['trials'] = 0", "trials = 0: a whole number, at least 1"),
        ("_tune['seeds'] = (1, 7)", "seeds [1] are seeds of the table"),
        ("_tune['seeds'] = ()", "seeds = ()"),
        ("_tune['metric'] = 'scor'", "'scor'; did you mean 'score'?"),
        ("_tune['benchmark'] = 'toy'", "benchmark = 'toy': needs type='…' and data=dict(…)"),
        ("_tune['benchmark']['data'] = _data", "scores the data of 'toy', which the table shows"),
        ("_tune['space'] = {'schedule.lr_pr_256': (1.0,)}", "lr_pr_256 is unknown"),
        ("_tune['space'] = {'seed': (1, 2)}", "'seed': the comparison's budget and seeds"),
        (
            "arms['strong']['tune'] = {**_tune, 'trials': 6}",
            "tune: trials = 6, but 5 of arm 'weak'",
        ),
        ("arms['untrained']['tune'] = _tune", "train=False has nothing to tune"),
        ("arms['weak+tuned'] = dict()", "the tuned 'weak' is called that; rename it"),
    ],
)
def test_mistakes_show_before_any_work(tuned: Toy, extra: str, words: str) -> None:
    with pytest.raises(PlanError) as caught:
        load_plan(tuned(extra), "out")
    assert words in str(caught.value)


def test_images_that_the_table_scores_are_refused(
    tuned: Toy, trainer: tuple[str, ...], tmp_path: Path, image_folder: Path
) -> None:
    shutil.rmtree(tmp_path / "other")
    shutil.copytree(image_folder, tmp_path / "other")  # under another name: content counts
    with pytest.raises(PlanError, match="images that its benchmark scores are scored by 'toy'"):
        run(tuned(), trainer)
    assert not (tmp_path / "calls.txt").exists()


def test_another_space_needs_a_new_search(tuned: Toy, trainer: tuple[str, ...]) -> None:
    run(tuned(), trainer, only=["weak+tuned"])
    path = tuned(space="{'schedule.lr_per_256': dict(low=0.1, high=0.2)}")
    with pytest.raises(PlanError, match=r"another space or recipe. Discard it with --redo weak\+"):
        run(path, trainer)


def test_without_optuna_the_extra_is_named(
    tuned: Toy, trainer: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(PlanError, match=r"needs Optuna: pip install '.\[tune\]'"):
        run(tuned(), trainer)
