"""The shell scripts, as far as they can be tested without installing anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "tools").glob("*.sh")) + [ROOT / ".ci" / "run"]


def prepare(
    tmp_path: Path, *, pins: str = "pip\n", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs ``prepare_environment core`` in a copy of the scripts whose core layer is ``pins``."""
    copy = tmp_path / "copy with spaces"
    for name in ("tools/environment.sh", "benchmarks/speed/doctor/requirements.py"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text((ROOT / name).read_text())
    (copy / "requirements").mkdir(exist_ok=True)
    (copy / "requirements" / "core.txt").write_text(pins)
    command = (
        f'. "{copy}/tools/environment.sh"; prepare_environment core; echo "python: $venv_python"'
    )
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIXELPRETEXT_", "PIP_"))
    }
    clean["PIXELPRETEXT_NO_BUILD"] = "1"
    shell = ["bash", "-euo", "pipefail", "-c", command]
    return subprocess.run(
        shell, capture_output=True, text=True, cwd=tmp_path, env=clean | environment
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_parses(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)


def test_ci_runs_the_suite_and_nothing_else() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = [
        line for line in script.read_text().splitlines() if line and not line.startswith("#")
    ]
    assert len(commands) == 1 and commands[0].endswith('/../tools/test.sh"')


def one_sentence(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Asserts that the script failed with one line on stderr that holds ``words``."""
    assert result.returncode == 1, result
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr


def test_python_that_is_no_program(tmp_path: Path) -> None:
    one_sentence(
        prepare(tmp_path, PYTHON="/nowhere/python"),
        "PYTHON=/nowhere/python is not a program",
        "3.10",
    )


def test_python_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    one_sentence(prepare(tmp_path, PYTHON=str(old)), f"PYTHON={old} is older than Python 3.10")


def test_no_python_at_all(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "flock"):
        source = next(
            folder / name for folder in map(Path, ("/usr/bin", "/bin")) if (folder / name).exists()
        )
        (tools / name).symlink_to(source)
    one_sentence(prepare(tmp_path, PATH=str(tools)), "No Python 3.10 or newer found", "PYTHON=")


def test_too_little_disk(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "df").write_text("#!/bin/sh\necho head\necho 'disk 9999999 1 3145728 99% /'\n")
    (tools / "df").chmod(0o755)
    result = prepare(
        tmp_path,
        pins="torch==2.14.1\n",
        PATH=f"{tools}:{os.environ['PATH']}",
        PYTHON=sys.executable,
    )
    one_sentence(result, "Only 3 GB free", "needs 8 GB")


def test_no_network(tmp_path: Path) -> None:
    # Port 9 of this machine: nothing listens, so the connection is refused at once.
    index = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_RETRIES": "0",
    }
    result = prepare(tmp_path, pins="no-such-package==1.0\n", PYTHON=sys.executable, **index)
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith("No network"), result.stderr
    assert not (tmp_path / "copy with spaces" / ".venv" / ".installing").exists()


def test_environment_that_is_complete_is_taken_as_it_is(tmp_path: Path) -> None:
    first = prepare(tmp_path, PYTHON=sys.executable)
    assert first.returncode == 0, first.stderr
    assert "Making" in first.stdout and "Installing" not in first.stdout
    second = prepare(tmp_path)
    assert second.returncode == 0, second.stderr
    assert second.stdout == f"python: {tmp_path}/copy with spaces/.venv/bin/python\n"


def test_installation_cut_off_is_made_anew(tmp_path: Path) -> None:
    environment = tmp_path / "copy with spaces" / ".venv"
    environment.mkdir(parents=True)
    (environment / ".installing").touch()
    (environment / "half-written").touch()
    result = prepare(tmp_path, PYTHON=sys.executable)
    assert result.returncode == 0, result.stderr
    assert "was interrupted" in result.stdout
    assert (
        not (environment / "half-written").exists() and not (environment / ".installing").exists()
    )


def test_two_at_once_wait_for_each_other(tmp_path: Path) -> None:
    copy = tmp_path / "copy with spaces"
    copy.mkdir()
    with subprocess.Popen(
        ["flock", str(copy), "sh", "-c", "echo locked; sleep 2"], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"locked\n"
        result = prepare(tmp_path, PYTHON=sys.executable)
        assert holder.poll() == 0, "prepared while another script held the lock"
    assert result.returncode == 0, result.stderr
    assert "waiting for it" in result.stdout


def test_own_interpreter_without_venv(tmp_path: Path) -> None:
    pins = "no-such-package==1.0\n"
    result = prepare(tmp_path, pins=pins, PYTHON=sys.executable, PIXELPRETEXT_NO_VENV="1")
    assert result.returncode == 0, result.stderr
    assert "no-such-package is missing (wanted ==1.0)" in result.stdout
    assert f"python: {sys.executable}" in result.stdout
    assert not (tmp_path / "copy with spaces" / ".venv").exists()


@pytest.mark.parametrize("own", ["", "1"], ids=["venv", "own interpreter"])
def test_operators_that_cannot_be_compiled_are_no_obstacle(tmp_path: Path, own: str) -> None:
    tool = tmp_path / "copy with spaces" / "tools" / "build_operators.py"
    tool.parent.mkdir(parents=True)
    tool.write_text("import sys; print('told to be', *sys.argv[1:]); sys.exit(1)")
    result = prepare(
        tmp_path, PYTHON=sys.executable, PIXELPRETEXT_NO_BUILD="", PIXELPRETEXT_NO_VENV=own
    )
    assert result.returncode == 0 and "told to be --quiet\npython: " in result.stdout, result


def test_paths_in_the_docs_exist() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    missing = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        commands = re.findall(
            r"(?<![\w/.])(?:tools|configs|benchmarks|requirements)/[\w/.-]*\w\.(?:py|sh|txt)\b",
            text,
        )
        # The files that a how-to shows how to write are named in the first lines of its blocks.
        shown = re.findall(r"^```python\n# (\S+)$", text, re.MULTILINE)
        missing += [
            f"{page.name}: {c}" for c in commands if not (ROOT / c).exists() and c not in shown
        ]
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not (page.parent / target).exists():
                missing.append(f"{page.name}: link to {target}")
    assert not missing, "\n".join(missing)


def test_readme_names_both_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "bash tools/quickstart.sh" in text and "bash tools/test.sh" in text
