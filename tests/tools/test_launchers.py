"""The launch scripts, with stand-ins for the cluster's commands."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """An environment in which sbatch keeps the script, srun leaves with SRUN_CODE and scontrol
    notes its arguments.
    """
    commands = {
        "sbatch": f'echo "$@" > {tmp_path}/options; cat > {tmp_path}/job.sh',
        "srun": f'echo "$@" > {tmp_path}/step; exit "${{SRUN_CODE:-0}}"',
        "scontrol": f'echo "$@" >> {tmp_path}/scontrol',
        "python": f'echo "$@" >> {tmp_path}/python; exit "${{PYTHON_CODE:-0}}"',
    }
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in commands.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / name).chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHON": str(folder / "python"), "SLURM_JOB_ID": "42"}


def _run(arguments: list[str], env: dict[str, str], folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(["bash", *arguments], env=env, cwd=folder, capture_output=True, text=True)


def test_slurm_job_has_its_options_and_passes_arguments_on(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "my config.py").touch()
    cluster["SBATCH_ARGS"] = "--time=1:00:00 --account=me"
    script = [
        str(TOOLS / "slurm_train.sh"),
        "gpu",
        "job",
        "my config.py",
        "16",
        "--cfg-options",
        "seed=3",
    ]
    done = _run(script, cluster, tmp_path)
    assert done.returncode == 0, done.stderr
    options = (tmp_path / "options").read_text().split()
    assert {"--partition=gpu", "--ntasks=16", "--ntasks-per-node=8", "--gpus-per-node=8"} <= set(
        options
    )
    assert {"--signal=B:USR1@120", "--requeue", "--time=1:00:00", "--account=me"} <= set(options)
    _run([str(tmp_path / "job.sh")], cluster, tmp_path)
    step = (tmp_path / "step").read_text()
    assert f"{tmp_path}/my config.py" in step and step.rstrip().endswith(
        "--resume auto --cfg-options seed=3"
    )


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (75, True), (1, False)])
def test_slurm_job_is_requeued_only_when_it_was_pre_empted(
    cluster: dict[str, str], tmp_path: Path, code: int, requeued: bool
) -> None:
    (tmp_path / "c.py").touch()
    cluster["SRUN_CODE"] = str(code)
    _run([str(TOOLS / "slurm_train.sh"), "gpu", "job", "c.py", "1"], cluster, tmp_path)
    assert _run([str(tmp_path / "job.sh")], cluster, tmp_path).returncode == code
    assert (
        (tmp_path / "scontrol").exists() and "requeue 42" in (tmp_path / "scontrol").read_text()
    ) == requeued


def test_a_config_mistake_is_met_once_and_before_anything_is_launched(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    cluster["PYTHON_CODE"] = "2"
    for script in (["dist_train.sh", "c.py", "2"], ["slurm_train.sh", "gpu", "job", "c.py", "2"]):
        (tmp_path / "python").unlink(missing_ok=True)
        assert _run([str(TOOLS / script[0]), *script[1:]], cluster, tmp_path).returncode == 2
        assert len((tmp_path / "python").read_text().splitlines()) == 1
    assert not (tmp_path / "options").exists()


def test_several_nodes_meet_at_the_address_of_the_first(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    cluster.update(NNODES="2", NODE_RANK="1", MASTER_ADDR="10.0.0.1", PORT="1234", MAX_RESTARTS="5")
    done = _run([str(TOOLS / "dist_train.sh"), "c.py", "8", "--resume", "x.pth"], cluster, tmp_path)
    assert done.returncode == 0, done.stderr
    launched = (tmp_path / "python").read_text().splitlines()[-1]
    for words in (
        "--nnodes 2",
        "--nproc-per-node 8",
        "--rdzv-endpoint 10.0.0.1:1234",
        "is_host=0",
        "--max-restarts 5",
    ):
        assert words in launched
    assert launched.endswith("tools/train.py c.py --resume x.pth")


def test_a_port_that_is_taken_is_named(cluster: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        for nodes in ("1", "2"):
            cluster.update(NNODES=nodes, PORT=str(taken))
            done = _run([str(TOOLS / "dist_train.sh"), "c.py", "2"], cluster, tmp_path)
            assert done.returncode == 2 and done.stderr.startswith(
                f"PORT={taken}: taken on this machine"
            ), done
        launches = (tmp_path / "python").read_text().splitlines()
        assert not any("torch.distributed.run" in line for line in launches)
        cluster.update(NODE_RANK="1")  # the port is one of the first node
        assert _run([str(TOOLS / "dist_train.sh"), "c.py", "2"], cluster, tmp_path).returncode == 0
    cluster.update(NODE_RANK="0")
    assert _run([str(TOOLS / "dist_train.sh"), "c.py", "2"], cluster, tmp_path).returncode == 0
    cluster.update(PORT="http")
    assert (
        "PORT=http: a number"
        in _run([str(TOOLS / "dist_train.sh"), "c.py", "2"], cluster, tmp_path).stderr
    )


@pytest.mark.parametrize("name", ["tools/transfer.py", str(TOOLS / "transfer.py"), "transfer.py"])
def test_a_script_of_tools_is_launched_with_its_own_arguments(
    cluster: dict[str, str], tmp_path: Path, name: str
) -> None:
    cluster.update(RANK="3", SLURM_STEP_NUM_TASKS="4")
    (tmp_path / "bin/python").write_text(
        f'#!/bin/sh\necho "${{RANK-none}} $@" >> {tmp_path}/python\n'
    )
    arguments = ["a checkpoint.pth", "recipe.py", "--data", "x"]
    folder = TOOLS if name == "transfer.py" else tmp_path
    done = _run([str(TOOLS / "dist_train.sh"), name, "2", *arguments], cluster, folder)
    assert done.returncode == 0, done.stderr
    check, *_, launched = (tmp_path / "python").read_text().splitlines()
    assert check == f"none {TOOLS}/transfer.py --check a checkpoint.pth recipe.py --data x"
    assert "torch.distributed.run" in launched and "--resume" not in launched
    assert launched.endswith(f" {TOOLS}/transfer.py a checkpoint.pth recipe.py --data x")
    done = _run(
        [str(TOOLS / "slurm_train.sh"), "gpu", "job", name, "2", *arguments], cluster, folder
    )
    assert done.returncode == 0, done.stderr
    _run([str(tmp_path / "job.sh")], cluster, tmp_path)
    step = (tmp_path / "step").read_text()
    assert step.rstrip().endswith(f"{TOOLS}/transfer.py a checkpoint.pth recipe.py --data x")


def test_the_check_knows_how_many_processes_there_will_be(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    told = f'#!/bin/sh\necho "${{PIXELPRETEXT_PROCESSES-none}} $@" >> {tmp_path}/python\n'
    (tmp_path / "bin/python").write_text(told)
    cluster.update(NNODES="2", NODE_RANK="0", MASTER_ADDR="10.0.0.1", PORT="1234")
    for processes in ("4", "gpu"):
        _run([str(TOOLS / "dist_train.sh"), "tools/transfer.py", processes, "x"], cluster, tmp_path)
    checks = [
        line.split(" /")[0]
        for line in (tmp_path / "python").read_text().splitlines()
        if "--check" in line
    ]
    assert checks == ["8", ""]


def test_a_script_that_is_not_there_and_a_number_that_is_none(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    done = _run([str(TOOLS / "dist_train.sh"), "tools/transfr.py", "2", "x"], cluster, tmp_path)
    assert done.returncode == 2 and done.stderr == "tools/transfr.py: there is no such script\n"
    done = _run(
        [str(TOOLS / "dist_train.sh"), "tools/transfer.py", "a.pth", "recipe.py"], cluster, tmp_path
    )
    assert done.returncode == 2 and "PROCESSES=a.pth" in done.stderr
    assert not (tmp_path / "python").exists()


@pytest.mark.parametrize(
    ("what", "command"),
    [
        ("quick/scenes64", "train quick/scenes64 --resume auto"),
        ("tools/train_upsampler.py", "train-upsampler"),
    ],
)
def test_scripts_without_a_checkout_launch_the_installed_package(
    cluster: dict[str, str], tmp_path: Path, what: str, command: str
) -> None:
    alone = tmp_path / "alone" / "tools"
    alone.mkdir(parents=True)
    for name in ("dist_train.sh", "slurm_train.sh", "launching.sh"):
        shutil.copy(TOOLS / name, alone)
    done = _run([str(alone / "dist_train.sh"), what, "2", "--seed", "1"], cluster, tmp_path)
    assert done.returncode == 0, done.stderr
    check, *_, launched = (tmp_path / "python").read_text().splitlines()
    words = f"-m benchmarks.commands {command}"
    assert check.startswith(words.partition(" --resume")[0]) and "--check" in check
    assert "torch.distributed.run" in launched and launched.endswith(f"{words} --seed 1")
    job = ["gpu", "job", what, "2", "--seed", "1"]
    assert _run([str(alone / "slurm_train.sh"), *job], cluster, tmp_path).returncode == 0
    _run([str(tmp_path / "job.sh")], cluster, tmp_path)
    assert (tmp_path / "step").read_text().rstrip().endswith(f"{words} --seed 1")


@pytest.mark.parametrize("script", ["dist_train.sh", "slurm_train.sh"])
def test_missing_arguments_print_the_usage(
    cluster: dict[str, str], tmp_path: Path, script: str
) -> None:
    done = _run([str(TOOLS / script)], cluster, tmp_path)
    assert done.returncode == 2 and "usage:" in done.stderr
