"""What scripts, help texts and configs tell people to type names files and options that there are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("tools", "benchmarks", "configs")
FILES = [
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".sh")
]


def test_configs_and_tools_that_are_named_are_there() -> None:
    pattern = re.compile(r"\b((?:configs|tools)/[\w/]+\.(?:py|sh))")
    named = {
        (file.relative_to(ROOT), path)
        for file in FILES
        for path in pattern.findall(file.read_text())
    }
    assert (
        len(named) > 20 and [pair for pair in sorted(named) if not (ROOT / pair[1]).is_file()] == []
    )


def test_options_that_the_quickstart_advertises_are_the_comparisons() -> None:
    """What is typed behind the script goes to tools/compare.py as it is."""
    advertised = re.findall(
        r"bash tools/quickstart\.sh (--[\w-]+)", (ROOT / "tools" / "quickstart.sh").read_text()
    )
    usage = (ROOT / "tools" / "compare.py").read_text()
    assert advertised and all(f'"{option}"' in usage for option in advertised)


def test_drawing_pairs_writes_a_picture_or_one_sentence(image_folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text(
        f"source = dict(type='ImageFolder', root={str(image_folder)!r})\n"
        "views = dict(type='ViewRecipe', groups={'global': [dict(size=32), dict(size=32)]})\n"
    )
    command = [
        sys.executable,
        str(ROOT / "tools" / "draw_pairs.py"),
        str(config),
        str(tmp_path / "pairs.png"),
    ]
    assert subprocess.run([*command, "--images", "1"], capture_output=True).returncode == 0
    assert (tmp_path / "pairs.png").read_bytes().startswith(b"\x89PNG")
    wrong = subprocess.run([*command, "--group", "globl"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "group='globl': the recipe makes global" in wrong.stderr
    assert "Traceback" not in wrong.stderr
