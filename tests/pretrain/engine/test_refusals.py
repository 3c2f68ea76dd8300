"""What a run would be stopped at is found before it begins, by ``--check`` as well."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS

from pretrain.checkpoint_file import read_checkpoint
from pretrain.data.sources import NO_LABEL, ImageFolder
from pretrain.engine import checkpoints, resumption
from pretrain.engine.build import build_runner, check
from pretrain.engine.hooks.preemption import INTERRUPT_EXIT_CODE
from pretrain.engine.settings import ConfigError
from pretrain.folder_lock import FolderLock

HOLD = """
import sys, time
from pretrain.folder_lock import FolderLock
lock = FolderLock(sys.argv[1], "training")
print(1, flush=True)
time.sleep(600)
"""
SUPCON = [dict(type="SupCon", hidden=16, dim=8)]


@DATASETS.register_module(force=True)
class UnlabelledFolder(ImageFolder):
    """Labels that belong to other images: none of these has one."""

    def label(self, index: int) -> int:
        return NO_LABEL


@HOOKS.register_module(force=True)
class DemandingHook(Hook):
    """Asks for what no model has, or finds its data missing."""

    def __init__(self, demand: str = "soul", data: bool = True) -> None:
        self.asks_of_model = (demand,)
        self.data = data

    def check_start(self) -> None:
        if not self.data:
            raise FileNotFoundError("no data at all")


REFUSED = [
    (
        dict(model__objectives=SUPCON, source__labels=False),
        "objective SupCon needs labels, but the source has none",
    ),
    (
        dict(source__type="UnlabelledFolder"),
        "Supervised needs labels, but not one of the 24 images .* has a label",
    ),
    (
        dict(model__objectives=[dict(type="Supervised", num_classes=2)]),
        "num_classes=2, but the source has 3 classes",
    ),
    (dict(loader__images_per_class=3), "images_per_class=3"),
    (dict(optimizer__momentum=-1), "optimizer: Invalid momentum"),
    (dict(optimizer__layer_decay=2), "layer_decay=2"),
    (
        dict(hooks=[dict(type="CollapseHook", every=0)]),
        r"hooks\[0\]: CollapseHook.every=0: must be at least 1",
    ),
    (dict(hooks=[dict(type="CollapseHook", priority="SOON")]), r"hooks\[0\].priority='SOON'"),
    (
        dict(hooks=[dict(type="DemandingHook")]),
        "DemandingHook asks the model for soul, which Pretrainer does not",
    ),
    (dict(hooks=[dict(type="DemandingHook", demand="group", data=False)]), "hooks: no data at all"),
    (dict(source__type="FileList", source__labels=True), "source.root|source.labels"),
]


@pytest.mark.parametrize("start", [build_runner, check])
@pytest.mark.parametrize(
    ("override", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED]
)
def test_run_and_check_refuse_alike(
    make_config: Callable, tmp_path: Path, start: Callable, override: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        start(make_config(tmp_path / "run", **override))
    assert not (tmp_path / "run").exists()


def test_check_takes_no_random_numbers_from_the_run(
    make_config: Callable, train: Callable, tmp_path: Path
) -> None:
    hooks = [dict(type="DemandingHook", demand="group")]
    plain, watched = (
        train(make_config(tmp_path / "a")),
        train(make_config(tmp_path / "b", hooks=hooks)),
    )
    assert all(
        torch.equal(value, watched["state_dict"][name])
        for name, value in plain["state_dict"].items()
    )


def test_the_check_shares_the_batch_among_the_planned_processes(
    make_config: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXELPRETEXT_PROCESSES", "3")
    with pytest.raises(ConfigError, match="global_batch=4: not divisible by 3 processes"):
        check(make_config(tmp_path / "run"))


def test_arguments_of_an_overridden_type_are_explained(
    make_config: Callable, tmp_path: Path
) -> None:
    cfg = make_config(
        tmp_path / "run", source__type="FileList", source__path="list.txt", source__labels=True
    )
    cfg.source.recursion = 3
    with pytest.raises(
        ConfigError, match=r"If source.type was overridden, .* unless source._delete_=True is added"
    ):
        check(cfg)


@pytest.mark.parametrize("start", [build_runner, check])
@pytest.mark.parametrize("place", ["file", "file/run", "/proc/run"])
def test_a_folder_that_cannot_be_written(
    make_config: Callable, tmp_path: Path, place: str, start: Callable
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="work_dir=.*: cannot be written .*; choose another"):
        start(make_config(tmp_path / place))


@pytest.mark.parametrize("start", [build_runner, check])
def test_a_newest_checkpoint_cut_short(
    make_config: Callable, train: Callable, tmp_path: Path, start: Callable
) -> None:
    cfg = make_config(tmp_path / "run")
    train(cfg)
    newest = tmp_path / "run" / "iter_12.pth"
    newest.write_bytes(newest.read_bytes()[:5000])
    message = "--resume: .*iter_12.pth.*If it was cut short, remove it to continue from iter_9"
    with pytest.raises(ConfigError, match=message):
        start(cfg, resume="auto")


@pytest.mark.parametrize("start", [build_runner, check])
def test_a_checkpoint_of_another_model(
    make_config: Callable, train: Callable, tmp_path: Path, start: Callable
) -> None:
    train(make_config(tmp_path / "first"))
    cfg = make_config(tmp_path / "second", model__objectives=SUPCON)
    with pytest.raises(
        ConfigError,
        match="iter_3.pth: was written by another model, .* tensors differ .objectives.0",
    ):
        start(cfg, resume=tmp_path / "first" / "iter_3.pth")


OTHER_OPTIMIZERS = [
    (dict(type="AdamW"), r"SGD of groups of \[\d+, \d+\] .* AdamW of"),
    (
        dict(type="SGD", momentum=0.9, layer_decay=0.8),
        r"groups of \[\d+, \d+\] parameters, here it is SGD of",
    ),
]


@pytest.mark.parametrize("start", [build_runner, check])
@pytest.mark.parametrize(("optimizer", "message"), OTHER_OPTIMIZERS, ids=["type", "groups"])
def test_a_checkpoint_of_another_optimizer(
    make_config: Callable,
    train: Callable,
    tmp_path: Path,
    start: Callable,
    optimizer: dict[str, Any],
    message: str,
) -> None:
    train(make_config(tmp_path / "first", schedule__samples=16))
    cfg = make_config(tmp_path / "second", optimizer=dict(optimizer, _delete_=True))
    with pytest.raises(
        ConfigError, match=f"iter_3.pth: was written by another optimizer, .*{message}"
    ):
        start(cfg, resume=tmp_path / "first" / "iter_3.pth")
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize("start", [build_runner, check])
def test_a_folder_in_which_another_process_trains(
    make_config: Callable, tmp_path: Path, start: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumption, "LOCK_WAIT_S", 0.0)
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(
            ConfigError, match=f"another process works on this training .process {other.pid} on"
        ):
            start(make_config(tmp_path / "run"))
        other.kill()
        other.wait()
    start(make_config(tmp_path / "run"))


def test_a_run_holds_its_folder_until_it_ends(
    make_config: Callable, tmp_path: Path, helpers: SimpleNamespace
) -> None:
    runner = build_runner(make_config(tmp_path / "run"))
    runner.register_hook(helpers.Dies(5))
    with pytest.raises(ValueError, match=f"process {os.getpid()} on"):
        FolderLock(tmp_path / "run", "test")
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    FolderLock(tmp_path / "run", "test").release()


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """Returns ``limit(bytes)``: no file can grow beyond it, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_older_checkpoint(
    tmp_path: Path, small_disk: Callable[[int], None]
) -> None:
    content = dict(weights=torch.arange(1_000_000))
    checkpoints.write_checkpoint(content, tmp_path / "iter_1.pth")
    small_disk(100_000)
    message = (
        r"iter_2.pth: the checkpoint cannot be written .*GiB free on that disk.*iter_1.pth remains"
    )
    with pytest.raises(OSError, match=message):
        checkpoints.write_checkpoint(content, tmp_path / "iter_2.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["iter_1.pth"]
    assert torch.equal(read_checkpoint(tmp_path / "iter_1.pth")["weights"], content["weights"])


def test_an_error_without_a_word_gets_some(
    make_config: Callable, tmp_path: Path, monkeypatch: Any
) -> None:
    for error, message in (
        (OSError(errno.EIO, ""), "source: "),
        (MemoryError(), "source: does not fit into memory"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(
                ImageFolder, "__init__", lambda *_, e=error, **__: (_ for _ in ()).throw(e)
            )
            with pytest.raises(ConfigError, match=message):
                check(make_config(tmp_path / "run"))


def test_ctrl_c_is_a_checkpoint_one_line_and_130(
    make_config: Callable, train: Callable, helpers: SimpleNamespace, tmp_path: Path
) -> None:
    options = dict(schedule__samples=160, loader__workers=1, engine__checkpoint_every=1000)
    whole = train(make_config(tmp_path / "whole", **dict(options, loader__workers=0)))
    cfg = make_config(tmp_path / "cut", **options)
    process = helpers.start([sys.executable, *helpers.command(cfg)], tmp_path / "log")
    try:
        helpers.wait_for_step(tmp_path / "cut", 3, process)
        os.killpg(process.pid, 2)  # a terminal interrupts the loading workers as well
        assert process.wait() == INTERRUPT_EXIT_CODE, (tmp_path / "log").read_text()
    finally:
        process.kill()
    log = (tmp_path / "log").read_text()
    assert "interrupted, a checkpoint is written: continue with --resume (exit code 130)" in log
    assert "Traceback" not in log
    helpers.same_weights(train(cfg, resume="auto"), whole)
