"""tools/setup.sh, and what tools/test.sh does where mmcv cannot be had. Nothing is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    "tools/environment.sh",
    "tools/setup.sh",
    "tools/test.sh",
    "benchmarks/speed/doctor/requirements.py",
)


def run(
    tmp_path: Path, *command: str, mmcv: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a script in a copy whose layers are met by this Python and whose tools/build_mmcv.py is
    ``mmcv``.
    """
    copy = tmp_path / "copy"
    for name in COPIED:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text((ROOT / name).read_text())
    (copy / "tools/build_mmcv.py").write_text(f"import sys; print('mmcv:', *sys.argv[1:]); {mmcv}")
    (copy / "requirements").mkdir()
    for layer in ("core", "transfer", "test"):
        (copy / "requirements" / f"{layer}.txt").write_text("pip\n")
    python = copy / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIXELPRETEXT_"))}
    clean["PIXELPRETEXT_NO_BUILD"] = "1"
    shell = ["bash", *command]
    return subprocess.run(shell, capture_output=True, text=True, cwd=copy, env=clean | environment)


@pytest.mark.parametrize(
    ("layer", "asked"), [((), ""), (("core",), ""), (("transfer",), "mmcv: --quiet\n")]
)
def test_layers(tmp_path: Path, layer: tuple[str, ...], asked: str) -> None:
    done = run(tmp_path, "tools/setup.sh", *layer)
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout
        == f"{asked}The {(*layer, 'core')[0]} layer is ready: {tmp_path}/copy/.venv/bin/python\n"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("transfr",), "LAYER=transfr is unknown: bash tools/setup.sh [core|transfer|test]\n"),
        (
            ("core", "test"),
            "One layer at a time, each holds those before it: bash tools/setup.sh "
            "[core|transfer|test]\n",
        ),
    ],
)
def test_words_that_are_no_layer(tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    done = run(tmp_path, "tools/setup.sh", *words)
    assert done.returncode == 1 and done.stderr == sentence


def test_own_interpreter_is_looked_at_and_not_changed(tmp_path: Path) -> None:
    done = run(
        tmp_path, "tools/setup.sh", "transfer", PIXELPRETEXT_NO_VENV="1", PYTHON=sys.executable
    )
    assert done.returncode == 0 and done.stdout.startswith("mmcv: --quiet --check\n"), done


def test_without_mmcv_the_layer_is_not_ready(tmp_path: Path) -> None:
    done = run(tmp_path, "tools/setup.sh", "transfer", mmcv="sys.exit('no compiler')")
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first == "no compiler" and second.startswith(
        "The transfer layer lacks mmcv, everything else of it is ready"
    )


def test_without_mmcv_the_tests_run_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n")
    done = run(
        tmp_path,
        "tools/test.sh",
        "-q",
        str(tmp_path / "test_nothing.py"),
        mmcv="sys.exit('no compiler')",
    )
    assert done.returncode == 0 and "1 passed" in done.stdout
    assert done.stderr.splitlines() == [
        "no compiler",
        "Going on without mmcv: tests of transfer are skipped.",
    ]
