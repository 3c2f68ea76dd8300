"""Fixtures that tests in several folders share."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from benchmarks.commands.main import main

ROOT = Path(__file__).resolve().parents[1]
# Set where a test marked own_process is to run as it is.
OWN_PROCESS = "PIXELPRETEXT_TEST_IN_OWN_PROCESS"
# Files that take more than 20 s, by their seconds on two idle cores.
DEAREST = (
    "benchmarks/transfer/test_segmentation_recipes",
    "benchmarks/compare/executors/test_slurm_comparison",
    "pretrain/engine/test_processes",
    "benchmarks/compare/test_tuning",
    "benchmarks/transfer/test_detection_recipes",
    "csrc/test_cuda_compiles",
    "benchmarks/transfer/test_trial",
    "benchmarks/compare/test_run",
    "benchmarks/compare/test_stopping",
    "tools/test_wheel",
    "configs/test_recipes",
    "benchmarks/transfer/test_labels",
    "benchmarks/data/prepare/test_small_recipes",
    "pretrain/upsampling/test_training",
    "configs/test_finetune",
    "benchmarks/commands/test_finetune",
    "tools/test_scripts",
)
# Fresh processes are forked by a server that has imported everything and run nothing: the tests'
# own process cannot be forked once autograd has threads, and imports anew would take seconds each.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.preload"])

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores; several thread pools on them slow each other.
    torch.set_num_threads(1)
# Training and evaluation keep what they have freed, unless the user chose otherwise. A worker that
# runs thousands of tests must not: it would hold the peak of the largest one to its end.
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(128 * 1024))


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker of :func:`pytest_pyfunc_call`."""
    config.addinivalue_line(
        "markers", "own_process: runs the test in a fresh process, whose memory ends with it"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the dearest files first where the whole suite runs: a worker that got one of them at the
    end would leave the others without work.
    """
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        places = {name: place for place, name in enumerate(DEAREST)}
        items.sort(key=lambda item: places.get(_file_of(item), len(places)))


def _file_of(item: pytest.Item) -> str:
    """The path of a test's file below ``tests``, without its ending."""
    return item.nodeid.partition("::")[0].removeprefix("tests/").removesuffix(".py")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs tests marked ``own_process``, those that train networks of full size, by a pytest of
    their own.
    """
    if pyfuncitem.get_closest_marker("own_process") is None or OWN_PROCESS in os.environ:
        return None
    with tempfile.TemporaryDirectory() as folder:
        arguments = (pyfuncitem.nodeid, str(pyfuncitem.config.rootpath), folder)
        child = SERVER.Process(target=_run_alone, args=arguments)
        child.start()
        child.join()
        output = Path(folder, "output")
        if child.exitcode:
            text = output.read_text() if output.exists() else ""
            pytest.fail(f"in its own process, exit code {child.exitcode}:\n{text}", pytrace=False)
    return True


def _run_alone(nodeid: str, root: str, folder: str) -> None:
    """The process of one test; what it prints goes to ``folder/output``."""
    with open(Path(folder, "output"), "w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ[OWN_PROCESS] = "1"
    os.chdir(root)
    # --runxfail: a failure is the parent's to judge.
    options = ["-q", "--runxfail", "-p", "no:xdist", f"--basetemp={folder}/own"]
    sys.exit(pytest.main([*options, nodeid]))


@pytest.fixture(scope="session")
def in_two_processes(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Any]]:
    """Returns ``run(function, *arguments)``: calls ``function(rank, *arguments)`` in each of two
    processes of one gloo group and returns what both returned (tensors, numbers, lists and dicts),
    rank 0 first. ``function`` stands at the top level of its module.
    """

    def run(function: Callable[..., Any], *arguments: Any) -> list[Any]:
        folder = tmp_path_factory.mktemp("two_processes")
        members = (function, arguments, str(folder))
        multiprocessing.start_processes(_member, members, nprocs=2, start_method="forkserver")
        return [torch.load(folder / f"{rank}.pth", weights_only=True) for rank in range(2)]

    return run


def _member(
    rank: int, function: Callable[..., Any], arguments: tuple[Any, ...], folder: str
) -> None:
    """One process of :func:`in_two_processes`."""
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank))
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    torch.save(function(rank, *arguments), Path(folder, f"{rank}.pth"))
    distributed.destroy_process_group()


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder ``<class>/<name>.jpg``: 3 classes of 8 small JPEGs, landscape and portrait, class
    given by the hue.

    Read-only by convention, because it is shared by the session: copy it before changing it.
    """
    root = tmp_path_factory.mktemp("image_folder")
    rng = np.random.default_rng(0)
    for channel, name in enumerate(("blue", "green", "red")):
        (root / name).mkdir()
        for index in range(8):
            height, width = ((48, 64), (64, 48))[index % 2]
            image = rng.integers(0, 96, (height, width, 3), dtype=np.uint8)
            image[..., channel] += 128
            # Smooth, so that JPEG keeps it: uncorrelated noise would come back as something else.
            image = cv2.GaussianBlur(image, (0, 0), 2.0)
            assert cv2.imwrite(str(root / name / f"{index:03d}.jpg"), image)
    return root


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets that lies beside some checkouts; tests that need it are skipped
    elsewhere.
    """
    folder = Path(os.environ.get("PIXELPRETEXT_MIRROR", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(
            f"no real data at {folder}: set PIXELPRETEXT_MIRROR to a folder of packed originals"
        )
    return folder


@pytest.fixture
def run_tool(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Returns ``run_tool(name, *arguments)``: runs ``python tools/name.py`` in this process and
    returns its exit code.
    """

    def run(name: str, *arguments: object) -> int:
        values = [*map(str, arguments)]
        monkeypatch.setattr(sys, "argv", [str(ROOT / "tools" / f"{name}.py"), *values])
        try:
            return main([name.replace("_", "-"), *values])
        except SystemExit as ended:
            return ended.code

    return run


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Computes with one thread: sums depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def free_port() -> int:
    """A TCP port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def tiny_backbone() -> dict[str, object]:
    """Config of the smallest ResNet in timm (0.37 M parameters): 96 channels at stride 8 instead of
    32.
    """
    return dict(type="TimmBackbone", name="test_resnet", output_stride=8)
