"""Processes that are killed, signalled, or several. Each test starts as few as it can: a start
takes seconds.

The model has no BatchNorm, so one process is the reference for all of them: gradients are means
over the global batch, whoever computes its parts. Tolerances are those of float32 sums in another
order.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pretrain.engine.hooks.preemption import REQUEUE_EXIT_CODE

PIXPRO = [dict(type="PixPro", hidden=16, dim=8)]
LONG = dict(schedule__samples=160)  # 40 steps: time enough to be killed in
PROBE = """
import hashlib, json
from pathlib import Path

import torch.nn.functional as F
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS

from pretrain.needs import Needs
from pretrain.objectives.parts.base import Objective


@HOOKS.register_module()
class ProbeHook(Hook):
    def after_train(self, runner):
        digest = hashlib.sha256()
        for name, value in sorted(runner.raw_model.state_dict().items()):
            digest.update(value.numpy().tobytes())
        path = Path(runner.work_dir) / f"rank{get_rank()}.json"
        path.write_text(json.dumps(digest.hexdigest()))


@MODELS.register_module()
class ProbeFollow(Objective):
    needs = Needs(target=("global",))

    def forward(self, batch, encode):
        first, second = (f.vector for f in encode.online("global"))
        follow, _ = (f.vector for f in encode.target("global"))
        return {"loss": F.mse_loss(second, follow) - F.cosine_similarity(first, follow).mean()}
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of module ``probe``: a hook that writes each rank's weights as a hash, an
    objective with a target.
    """
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.py").write_text(PROBE)
    exec(compile(PROBE, "probe.py", "exec"), {"__name__": "probe"})
    return folder


def _children(pid: int) -> list[int]:
    """Returns the ids of the child processes of ``pid``."""
    listed = subprocess.run(
        ["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True
    )
    return [int(word) for word in listed.stdout.split()]


def _workers(process: subprocess.Popen) -> list[int]:
    """Returns the training processes below dist_train.sh: children of its torchrun."""
    return [worker for agent in _children(process.pid) for worker in _children(agent)]


def _end(process: subprocess.Popen) -> None:
    """Ends whatever is left of a process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_a_random_step_and_resumed_equals_uninterrupted(
    make_config: Callable, train: Callable, helpers: SimpleNamespace, tmp_path: Path, workers: int
) -> None:
    options = dict(
        LONG, model__objectives=PIXPRO, model__backbone__drop_path_rate=0.2, loader__workers=workers
    )
    whole = train(make_config(tmp_path / "whole", **dict(options, loader__workers=0)))
    cfg = make_config(tmp_path / "cut", **options)
    process = helpers.start([sys.executable, *helpers.command(cfg)], tmp_path / "log")
    try:
        helpers.wait_for_step(tmp_path / "cut", random.randint(4, 30), process)
    finally:
        _end(process)
    process.wait()
    assert not (tmp_path / "cut" / "final.pth").exists()
    helpers.same_weights(train(cfg, resume="auto"), whole)


def test_preemption_writes_a_checkpoint_and_asks_to_be_requeued(
    make_config: Callable, train: Callable, helpers: SimpleNamespace, tmp_path: Path
) -> None:
    options = dict(LONG, loader__workers=2, engine__checkpoint_every=1000)
    whole = train(make_config(tmp_path / "whole", **dict(options, loader__workers=0)))
    cfg = make_config(tmp_path / "cut", **options)
    process = helpers.start([sys.executable, *helpers.command(cfg)], tmp_path / "log")
    try:
        helpers.wait_for_step(tmp_path / "cut", 3, process)
        os.killpg(process.pid, signal.SIGUSR1)  # schedulers signal loading workers, too
        assert process.wait() == REQUEUE_EXIT_CODE, (tmp_path / "log").read_text()
    finally:
        _end(process)
    (saved,) = (tmp_path / "cut").glob("iter_*.pth")
    assert 3 <= helpers.load(saved)["meta"]["iter"] < 40
    assert json.loads((tmp_path / "cut" / "progress.json").read_text())["state"] == "stopped"
    helpers.same_weights(train(cfg, resume="auto"), whole)


def test_two_processes_equal_one_and_survive_a_kill(
    make_config: Callable, train: Callable, helpers: SimpleNamespace, tmp_path: Path, probe: Path
) -> None:
    options = dict(LONG, schedule__lr=0.01, optimizer__weight_decay=0.0, engine__checkpoint_every=1)
    one = train(make_config(tmp_path / "one", **options))
    extra = dict(custom_imports=dict(imports=["probe"]), hooks=[dict(type="ProbeHook")])
    cfg = make_config(tmp_path / "two", **options, **extra)
    script = str(Path(helpers.command(cfg)[0]).with_name("dist_train.sh"))
    process = helpers.start(
        ["bash", script, helpers.command(cfg)[1], "2"], tmp_path / "log", PYTHONPATH=str(probe)
    )
    try:
        helpers.wait_for_step(tmp_path / "two", 10, process)
        os.kill(_workers(process)[1], signal.SIGKILL)
        assert process.wait() == 0, (tmp_path / "log").read_text()
    finally:
        _end(process)
    log = (tmp_path / "log").read_text()
    assert "resumed" in log, log
    helpers.same_weights(helpers.load(tmp_path / "two" / "iter_40.pth"), one, tolerance=1e-5)
    hashes = [json.loads((tmp_path / "two" / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert hashes[0] == hashes[1]
    # Momentum after the first step, without weight decay, is the gradient.
    first = [
        helpers.load(tmp_path / name / "iter_1.pth")["optimizer"]["state"]
        for name in ("one", "two")
    ]
    for index, state in first[0].items():
        torch.testing.assert_close(
            first[1][index]["momentum_buffer"], state["momentum_buffer"], rtol=1e-4, atol=1e-6
        )
    losses = [
        float(next(csv.DictReader((tmp_path / name / "curve.csv").open()))["loss"])
        for name in ("one", "two")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_sharded_training_equals_one_process_and_shares_its_checkpoints(
    make_config: Callable,
    train: Callable,
    helpers: SimpleNamespace,
    tmp_path: Path,
    probe: Path,
    free_port: int,
) -> None:
    """Two processes with FSDP continue a checkpoint of one process, and the other way round."""
    objectives = [dict(type="Supervised", num_classes=3), dict(type="ProbeFollow")]
    lars = dict(_delete_=True, type="Lars", momentum=0.9, weight_decay=1e-5)
    options = dict(model__objectives=objectives, schedule__lr=1.0, optimizer=lars)
    one = train(make_config(tmp_path / "one", **options))
    cfg = make_config(
        tmp_path / "sharded",
        **options,
        engine__strategy="fsdp",
        custom_imports=dict(imports=["probe"]),
    )
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        f"--master-port={free_port}",
    ]
    resume = ["--resume", str(tmp_path / "one" / "iter_6.pth")]
    process = helpers.start(
        [*launch, *helpers.command(cfg, *resume)], tmp_path / "log", PYTHONPATH=str(probe)
    )
    try:
        assert process.wait() == 0, (tmp_path / "log").read_text()
    finally:
        _end(process)
    helpers.same_weights(helpers.load(tmp_path / "sharded" / "iter_12.pth"), one, tolerance=1e-5)
    back = make_config(tmp_path / "back", **options)
    helpers.same_weights(
        train(back, resume=tmp_path / "sharded" / "iter_9.pth"), one, tolerance=1e-5
    )
