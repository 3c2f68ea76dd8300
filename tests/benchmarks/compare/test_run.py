"""Whole comparisons with a pretended trainer: run, interrupted, resumed, failed, redone."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from benchmarks.compare.executors import Local
from benchmarks.compare.names import PlanError
from benchmarks.compare.plan import load_plan
from benchmarks.compare.run import Options, run_comparison
from pretrain.folder_lock import Busy, exclusive

ROOT = Path(__file__).resolve().parents[3]
Toy = Callable[..., Path]


def run(path: Path, trainer: tuple[str, ...], **options: object) -> tuple[int, str]:
    """Runs a comparison in ``out``; returns exit code and what was printed."""
    out = io.StringIO()
    console = Console(file=out, width=200)
    executor = Local(jobs=2, gpus=0)
    settings = Options(executor=executor, trainer=trainer, console=console, **options)
    return run_comparison(load_plan(path, "out"), settings), out.getvalue()


def calls(folder: Path) -> list[str]:
    """Arms and seeds that the trainer was called for, in alphabetical order."""
    lines = (
        (folder / "calls.txt").read_text().splitlines() if (folder / "calls.txt").exists() else []
    )
    return sorted("/".join(Path(line.split()[0]).parts[-3:-1]) for line in lines)


def test_a_comparison_runs_only_what_is_missing(
    toy: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    path = toy('seeds = (0,)\nnext_step = "go on with scenes"')
    code, printed = run(path, trainer)
    assert code == 0 and calls(tmp_path) == ["strong/seed_0", "weak/seed_0"]
    table = json.loads(Path("out/table.json").read_text())
    assert [r["arm"] for r in table["rows"]] == ["strong", "weak", "untrained"]
    assert (
        table["rows"][0]["toy.score"] == pytest.approx(30.0) and table["rows"][0]["samples"] == 80
    )
    assert table["rows"][0]["pflops"] > 0
    assert (
        set(table["differs"]) == {"schedule.lr_per_256"}
        and table["held_equal"]["schedule.samples"] == 80
    )
    assert printed.splitlines()[-1] == "Next: open out/index.html; go on with scenes"
    assert "One seed finds no difference, however large, and ranks nothing" in printed
    page = Path("out/index.html").read_text()
    assert "loss of strong" in page and "data:image/webp;base64," in page
    with Image.open("out/pictures/pairs.png") as picture:
        assert min(picture.size) > 200
    for file in (
        "report.md",
        "table.md",
        "table.csv",
        "records.jsonl",
        "budget.json",
        "strong/seed_0/config.py",
    ):
        assert Path("out", file).is_file()

    code, printed = run(path, trainer)
    assert code == 0 and len(calls(tmp_path)) == 2 and "3 finished before, 0 to run" in printed
    assert "One seed finds" not in printed  # there is nothing to plan any more
    code, _ = run(path, trainer, redo=["weak"])
    assert code == 0 and calls(tmp_path) == ["strong/seed_0", "weak/seed_0", "weak/seed_0"]
    code, printed = run(toy("seeds = (0, 1)"), trainer, table_only=True)
    assert (
        code == 0
        and "does what is missing" in printed
        and "INCOMPLETE: 3 of 6" in Path("out/report.md").read_text()
    )
    with pytest.raises(PlanError, match="did you mean 'weak'"):
        run(path, trainer, only=["waek"])


def test_a_forecast_does_an_untrained_trial_first_and_leaves_the_rest(
    toy: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    code, printed = run(toy("seeds = (0, 1)"), trainer, forecast=True)
    line = next(line for line in printed.splitlines() if line.startswith("Forecast: about "))
    # Pilots run 24 steps at 100 · rate images a second, as the trainer pretends.
    assert " for 5 trials, 2 at once" in line and "weak 4 s, strong 0 s; the benchmarks of" in line
    trained = [name for name in calls(tmp_path) if "pilots" not in name and "seed_" in name]
    assert code == 0 and len(trained) == 4
    measured = (tmp_path / "evaluations.txt").read_text().splitlines()
    assert "untrained/seed_0" in measured[0] and len(measured) == 6
    code, printed = run(toy("seeds = (0, 1)"), trainer, forecast=True)
    assert code == 0 and "Forecast" not in printed


def test_data_that_is_not_there_stops_before_any_training(
    toy: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    path = toy(
        "benchmarks['dense'] = dict(type='retrieval', data=dict(root='nowhere', layout='camvid'))"
    )
    with pytest.raises(PlanError, match="benchmark 'dense': root='nowhere' is not a folder"):
        run(path, trainer)
    assert calls(tmp_path) == []


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (
            "overrides = {'schedule.warmup_samples': 800}",
            "arm 'weak': schedule: the warm-up takes 100 of 10 steps",
        ),
        (
            "budget = dict(flops=1e11)\noverrides = {'schedule.warmup_samples': 160_000}",
            "arm 'weak': schedule: the warm-up takes 20000 of ",
        ),
        ("arms['weak']['overrides']['source.root'] = 'nowhere'", "arm 'weak': source: "),
        (
            "arms['weak']['overrides']['schedule.global_batch'] = 4000",
            "arm 'weak': schedule.global_batch=4000: larger",
        ),
    ],
)
def test_mistakes_of_an_arm_show_before_any_arm_trains(
    toy: Toy, trainer: tuple[str, ...], tmp_path: Path, extra: str, words: str
) -> None:
    with pytest.raises(PlanError) as caught:
        run(toy(extra), trainer)
    assert words in str(caught.value) and calls(tmp_path) == [] and not Path("out/weak").exists()


@pytest.mark.parametrize(
    "options", [dict(layout="camvid", exclud="x"), dict(layout="plain", imags="x")]
)
def test_an_unknown_option_of_data_shows_before_any_arm_trains(
    toy: Toy, trainer: tuple[str, ...], tmp_path: Path, options: dict[str, str]
) -> None:
    path = toy(
        f"benchmarks['dense'] = dict(type='retrieval', data=dict(root={str(tmp_path)!r}, "
        f"**{options}))"
    )
    with pytest.raises(PlanError, match=f"benchmark 'dense'.*{[*options][1]}"):
        run(path, trainer)
    assert calls(tmp_path) == []


def test_a_metric_that_the_data_do_not_give_shows_before_any_arm_trains(
    toy: Toy, trainer: tuple[str, ...], tmp_path: Path, image_folder: Path
) -> None:
    images = f"benchmarks['images'] = dict(type='knn', data=dict(root={str(image_folder)!r}))"
    with pytest.raises(
        PlanError, match="'images' with these data and settings: 'top5'; did you mean 'top1'"
    ):
        run(toy(f"{images}\ncolumns = ('images.top5',)"), trainer)
    assert calls(tmp_path) == []


def test_a_size_that_an_arm_refuses_shows_before_any_arm_trains(
    toy: Toy, trainer: tuple[str, ...], tmp_path: Path, image_folder: Path
) -> None:
    images = (
        f"benchmarks['images'] = dict(type='knn', data=dict(root={str(image_folder)!r}), size=40)"
    )
    backbone = "dict(_delete_=True, type='TimmBackbone', name='test_vit')"
    network = f"arms['untrained']['overrides'] = {{'model.backbone': {backbone}}}"
    with pytest.raises(
        PlanError, match="arm 'untrained', benchmark 'images': images of 40 × 40 pixels: test_vit"
    ):
        run(toy(f"{images}\n{network}"), trainer)
    assert calls(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_found_before_any_work(
    toy: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    Path("taken").write_text("a file")
    with pytest.raises(OSError, match="--work-dir=taken/out: cannot be written .*; choose another"):
        run_comparison(load_plan(toy(), "taken/out"), Options(trainer=trainer))
    assert calls(tmp_path) == []


def test_results_are_thrown_away_only_when_the_rest_is_sound(
    toy: Toy, trainer: tuple[str, ...]
) -> None:
    assert run(toy("seeds = (0,)"), trainer)[0] == 0
    broken = toy(
        "seeds = (0,)\nbenchmarks['dense'] = dict(type='retrieval', data=dict(root='no', "
        "layout='camvid'))"
    )
    with pytest.raises(PlanError, match="not a folder"):
        run(broken, trainer, redo=["weak"])
    assert Path("out/weak/seed_0/records.jsonl").is_file()


def test_the_table_can_be_looked_at_while_the_comparison_runs(
    toy: Toy, trainer: tuple[str, ...]
) -> None:
    path = toy("seeds = (0,)")
    with pytest.raises(
        PlanError, match="nothing there: out holds no trial of .*toy.py; check --work-dir"
    ):
        run(path, trainer, table_only=True)
    assert not Path("out").exists()
    assert run(path, trainer)[0] == 0
    with exclusive(Path("out"), "comparison", wait_s=0):
        code, printed = run(path, trainer, table_only=True)
    assert code == 0 and "Next: open out/index.html" in printed


def test_an_arm_that_fails_thrice_stops_no_other_and_is_given_up(
    toy: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "fail.txt").write_text("0.2")
    path = toy("seeds = (0,)\ndel arms['untrained']")
    code, printed = run(path, trainer)
    thrice = ["strong/seed_0", *["weak/seed_0"] * 3]
    assert code == 1 and calls(tmp_path) == thrice
    assert printed.count("FAILED weak/seed_0 (exit code 1)") == 1
    assert "the disk is on fire" in printed and "Next: fix what failed" in printed
    rows = {row["arm"]: row for row in json.loads(Path("out/table.json").read_text())["rows"]}
    assert rows["weak"]["failed seeds"] == 1 and rows["strong"]["failed seeds"] == 0
    assert "weak: seed 0 failed 3 ×" in Path("out/table.md").read_text()
    log = Path("out/weak/seed_0/log.txt").read_text()
    assert log.count("the disk is on fire") == 3

    code, printed = run(path, trainer)
    assert code == 1 and calls(tmp_path) == thrice
    assert "FAILED weak/seed_0 (given up, failed 3 times)" in printed
    (tmp_path / "fail.txt").unlink()
    assert run(path, trainer, retry=True)[0] == 0
    assert calls(tmp_path) == [*thrice, "weak/seed_0"]
    assert "failed seeds" not in Path("out/table.md").read_text()


def test_killed_it_goes_on_where_it_stood(
    toy: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    """The second arm waits in its training when the comparison dies; no child may survive it."""
    path = toy("seeds = (0,)\ndel arms['untrained']")
    assert run(path, trainer, only=["strong"])[0] == 0
    (tmp_path / "slow.txt").write_text("0.3")
    script = tmp_path / "main.py"
    script.write_text(
        "import sys\nfrom benchmarks.compare.plan import load_plan\n"
        "from benchmarks.compare.executors import Local\n"
        "from benchmarks.compare.run import Options, run_comparison\n"
        f"options = Options(executor=Local(jobs=1, gpus=0), trainer={trainer!r})\n"
        f"run_comparison(load_plan({str(path)!r}, 'out'), options)\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]]),
    }
    process = subprocess.Popen(
        [sys.executable, str(script)], env=environment, stderr=subprocess.DEVNULL
    )
    step = Path("out/weak/seed_0/pretrain/step.json")
    wait_for(lambda: step.exists() and step.read_text() not in ("", "1"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not alive("trainer.py", tmp_path))
    reached = int(step.read_text())
    assert not Path("out/weak/seed_0/pretrain/final.pth").exists()
    (tmp_path / "slow.txt").unlink()
    assert run(path, trainer)[0] == 0
    assert calls(tmp_path) == ["strong/seed_0", "weak/seed_0", "weak/seed_0"]
    assert int(step.read_text()) == 10 > reached


def wait_for(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds."""
    while not condition():
        time.sleep(0.05)


def alive(word: str, folder: Path) -> bool:
    """Whether a process runs whose command line names this test's folder and ``word``."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().decode()
        except OSError:
            continue
        if word in command and str(folder) in command:
            return True
    return False


def test_a_budget_of_seconds_measures_each_arm_beforehand(
    toy: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    """The fake trains at 100 · lr images/s, so 0.4 s buy 8 samples at lr 0.2 and 120 at lr 3."""
    path = toy("seeds = (0,)\nbudget = dict(seconds=0.4)\ndel arms['untrained']")
    code, printed = run(path, trainer)
    rows = {r["arm"]: r for r in json.loads(Path("out/table.json").read_text())["rows"]}
    assert code == 0 and {a: r["samples"] for a, r in rows.items()} == {"weak": 8, "strong": 120}
    assert "20.0 images/s in the pilot" in printed
    assert run(path, trainer)[0] == 0
    assert len(calls(tmp_path)) == 4  # two pilots, two trials


def test_gpus_that_are_not_there_are_missed_before_any_pilot(
    toy: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    path = toy("budget = dict(seconds=0.4)\nresources = dict(gpus=3)")
    options = Options(executor=Local(jobs=1, gpus=2), trainer=trainer)
    with pytest.raises(ValueError, match="needs gpus=3; this machine gives 2"):
        run_comparison(load_plan(path, "out"), options)
    assert calls(tmp_path) == [] and not Path("out").exists()


def test_two_processes_never_run_one_comparison(toy: Toy, trainer: tuple[str, ...]) -> None:
    path = toy()
    with (
        exclusive(Path("out"), "comparison", wait_s=0),
        pytest.raises(Busy, match="another process works on this"),
    ):
        run(path, trainer)
