"""tools/train.py: overrides, exit codes, and which checkpoint a restarted process continues."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pretrain.command_line import MISTAKE, Command, execute
from pretrain.engine import build, checkpoints, cli
from pretrain.engine.resumption import Resumption
from pretrain.engine.settings import ConfigError


@pytest.fixture
def arguments(make_config: Callable, tmp_path: Path) -> Callable[..., cli.Options]:
    """Returns ``make(**changes)``: parsed arguments for a config file."""

    def make(**changes: object) -> cli.Options:
        path = tmp_path / "quick.py"
        path.write_text(make_config(tmp_path / "run").pretty_text)
        parsed = dict(launcher="none")
        return cli.Options(config=str(path), **dict(parsed, **changes))

    return make


def test_command_line_overrides_the_file(arguments: Callable[..., cli.Options]) -> None:
    options = ["schedule.lr=0.5", "loader.workers=1"]
    cfg = cli.load_config(arguments(work_dir="elsewhere", seed=9, amp=True, cfg_options=options))
    assert (cfg.work_dir, cfg.seed, cfg.schedule.lr, cfg.loader.workers) == ("elsewhere", 9, 0.5, 1)
    assert cfg.engine.precision == "bf16"
    assert (
        cli.load_config(arguments(amp=True, cfg_options=["engine.precision=fp16"])).engine.precision
        == "fp16"
    )


def test_a_mistake_is_found_before_anything_is_made(
    arguments: Callable[..., cli.Options], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"schedule.epoch is unknown; did you mean 'epochs'\?"):
        cli.train(arguments(cfg_options=["schedule.epoch=1"]))
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_is_one_sentence_and_exit_code_2(
    arguments: Callable[..., cli.Options], capsys: pytest.CaptureFixture[str]
) -> None:
    options = arguments(cfg_options=["schedule.lr=1e30", "schedule.warmup_samples=0"])
    command = Command(
        description="",
        examples="",
        add_arguments=lambda parser: None,
        run=lambda: cli.train(options),
    )
    assert execute(command, "train", []) == MISTAKE
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train: ")]
    assert "The ids of the images are in" in line and "lower the learning rate" in line


def test_unreadable_files_are_one_sentence_and_exit_code_2(
    arguments: Callable[..., cli.Options],
    capsys: pytest.CaptureFixture[str],
    image_folder: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(image_folder, tmp_path / "images")
    sorted((tmp_path / "images").rglob("*.jpg"))[5].write_bytes(b"no image")
    options = arguments(cfg_options=[f"source.root={tmp_path / 'images'}"])
    command = Command(
        description="",
        examples="",
        add_arguments=lambda parser: None,
        run=lambda: cli.train(options),
    )
    assert execute(command, "train", []) == MISTAKE
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train: ")]
    assert "1 unreadable file" in line and "raise loader.max_bad_fraction" in line


def test_check_trains_nothing(
    arguments: Callable[..., cli.Options], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cli.train(arguments(check=True))
    assert "24 images, 12 steps of 4" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("launch", ["TORCHELASTIC_RUN_ID", "SLURM_JOB_ID"])
def test_restart_of_a_launch_from_a_named_checkpoint_takes_the_newest(
    make_config: Callable,
    train: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    launch: str,
) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    train(make_config(tmp_path / "first"))
    named = tmp_path / "first" / "iter_3.pth"
    cfg = make_config(tmp_path / "second")
    monkeypatch.setenv(launch, "1")
    assert Resumption(cfg, named).find() == named
    train(cfg, resume=named)
    assert Resumption(cfg, named).find() == tmp_path / "second" / "iter_12.pth"
    monkeypatch.setenv(launch, "2")
    with pytest.raises(
        ConfigError, match=r"later checkpoints \(iter_6.pth, .*\) than --resume .*iter_3.pth"
    ):
        Resumption(cfg, named).find()
    assert Resumption(make_config(tmp_path / "third"), named).find() == named


def test_weights_alone_and_missing_files_are_refused_before_a_launch(
    make_config: Callable, train: Callable, tmp_path: Path
) -> None:
    train(make_config(tmp_path / "first"))
    with pytest.raises(
        ConfigError, match="final.pth: holds no optimizer, sampler, rng; name an iter_N.pth"
    ):
        build.check(make_config(tmp_path / "second"), resume=tmp_path / "first" / "final.pth")
    with pytest.raises(
        FileNotFoundError,
        match="iter_4.pth: no such checkpoint; in that folder: final.pth, iter_12",
    ):
        build.check(make_config(tmp_path / "second"), resume=tmp_path / "first" / "iter_4.pth")


def test_leftovers_of_a_kill_are_no_checkpoints(tmp_path: Path) -> None:
    for step in (5, 10, 9):
        checkpoints.write_checkpoint({"step": step}, tmp_path / f"iter_{step}.pth")
    (tmp_path / ".iter_12.77.tmp.pth").write_bytes(b"half")
    (tmp_path / "iter_best.pth").write_bytes(b"somebody else's")
    assert checkpoints.latest_checkpoint(tmp_path) == tmp_path / "iter_10.pth"
    checkpoints.tidy(tmp_path, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "iter_10.pth",
        "iter_9.pth",
        "iter_best.pth",
        "last_checkpoint",
    ]
