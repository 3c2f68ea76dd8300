"""Fixtures that tests in several folders share."""

from __future__ import annotations

import os
import runpy
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores; several thread pools on them slow each other.
    torch.set_num_threads(1)
# Training and evaluation keep what they have freed, unless the user chose otherwise. A worker that runs thousands of
# tests must not: it would hold the peak of the largest one to its end.
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(128 * 1024))


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker of :func:`pytest_pyfunc_call`."""
    config.addinivalue_line("markers", "own_process: runs the test in a forked process, whose memory ends with it")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs tests marked ``own_process``, those that train networks of full size, in a forked process."""
    if pyfuncitem.get_closest_marker("own_process") is None or not hasattr(os, "fork"):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _call_and_exit(pyfuncitem, arguments, writing)
    os.close(writing)
    try:
        with open(reading, encoding="utf8") as failure:
            text = failure.read()
    except BaseException:  # interrupted, or the limit of time
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if text or status:
        pytest.fail(text or f"the test's process ended with status {status}", pytrace=False)
    return True


def _call_and_exit(test: pytest.Function, arguments: dict[str, object], writing: int) -> NoReturn:
    """Runs the test and ends this forked process; what went wrong is written to the pipe ``writing``."""
    try:
        test.obj(**arguments)
    except BaseException:
        with open(writing, "w", encoding="utf8") as failure:
            failure.write(traceback.format_exc())
    finally:
        sys.stdout.flush()
        os._exit(0)


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder ``<class>/<name>.jpg``: 3 classes of 8 small JPEGs, landscape and portrait, class given by the hue.

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
    """The folder of real data sets that lies beside some checkouts; tests that need it are skipped elsewhere."""
    folder = Path(os.environ.get("PIXELPRETEXT_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set PIXELPRETEXT_SHARED to the folder that holds data/")
    return folder


@pytest.fixture
def run_tool(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Returns ``run_tool(name, *arguments)``: runs ``tools/name.py`` in this process and returns its exit code."""

    def run(name: str, *arguments: object) -> int:
        path = str(ROOT / "tools" / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
        monkeypatch.setattr(sys, "path", list(sys.path))
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(path, run_name="__main__")
        return ended.value.code

    return run


@pytest.fixture
def free_port() -> int:
    """A TCP port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def tiny_backbone() -> dict[str, object]:
    """Config of the smallest ResNet in timm (0.37 M parameters): 96 channels at stride 8 instead of 32."""
    return dict(type="TimmBackbone", name="test_resnet", output_stride=8)
