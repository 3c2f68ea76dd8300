"""The doctor's command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def doctor(tmp_path: Path, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Runs tools/doctor.py from another directory."""
    command = [sys.executable, str(ROOT / "tools" / "doctor.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, **settings)


def test_json_is_complete(tmp_path: Path) -> None:
    result = doctor(tmp_path, "--json", "--measure")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["broken"] == []
    assert found["machine"]["python"].split(".")[:2] == list(map(str, sys.version_info[:2]))
    assert found["machine"]["cores"] >= 1
    assert {part["name"] for part in found["optional"]} >= {
        "compiled operators",
        "faiss",
        "mmcv operators",
        "wandb",
    }
    assert found["measured"]["decode_images_per_s"] > 20
    assert found["measured"]["bf16_speed_up"] > 0
    assert found["advice"][0].startswith("loader.workers = ")


def test_broken_core_is_told_and_fails(tmp_path: Path) -> None:
    broken = tmp_path / "shadow"
    broken.mkdir()
    (broken / "timm.py").write_text("raise OSError('libsomething.so: cannot open')")
    result = doctor(tmp_path, env={"PYTHONPATH": str(broken), "PATH": "/usr/bin:/bin"})
    assert result.returncode == 1
    assert "BROKEN" in result.stdout and "libsomething.so" in result.stdout
    assert "The core is broken: timm" in result.stdout
