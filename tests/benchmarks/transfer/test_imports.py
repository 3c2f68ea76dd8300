"""Nothing but transfer imports mmcv, mmsegmentation and mmdet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Imports what pretraining and frozen evaluation import, asks their commands for help, then lists
# what has come with them.
SCRIPT = """
import importlib, pkgutil, sys
sys.path.insert(0, {root!r})
import benchmarks, heads, pretrain
import benchmarks.evaluate.suite, benchmarks.core.extractor, benchmarks.evaluate.run
import benchmarks.speed.doctor.report, benchmarks.transfer
import benchmarks.mm.mmcv_wheel, benchmarks.evaluate.hook
from benchmarks.commands.main import main
for module in pkgutil.walk_packages(pretrain.__path__, "pretrain."):
    importlib.import_module(module.name)
for tool in ("train", "evaluate", "compare", "transfer", "build-mmcv"):
    try:
        main([tool, "--help"])
    except SystemExit as done:
        assert not done.code, tool
libraries = {{"mmcv", "mmdet", "mmseg", "pycocotools"}}
print("\\nimported:", *sorted(libraries & {{name.split(".")[0] for name in sys.modules}}))
"""


def test_pretraining_and_frozen_evaluation_do_without(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT.format(root=str(ROOT))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage:") == 5
    assert done.stdout.splitlines()[-1] == "imported:"
