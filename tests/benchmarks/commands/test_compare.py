"""The command line of comparisons: what becomes the executor."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.commands.compare import read_executor_options
from benchmarks.commands.main import main


def test_jobs_are_an_option_of_the_executor() -> None:
    assert read_executor_options([], jobs=None) == {}
    assert read_executor_options(["gpus=0"], jobs=2) == {"gpus": 0, "jobs": 2}
    with pytest.raises(ValueError, match="jobs is given twice"):
        read_executor_options(["jobs=3"], jobs=2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--executor", "slrm"], "executor 'slrm' is not one of local"),
        (["--executor-options", "gpu=0"], "executor 'local': gpu is unknown; did you mean 'gpus'"),
        (["--executor-options", "gpus"], "--executor-options 'gpus': write KEY=VALUE"),
        (["--jobs", "0", "--executor-options", "gpus=0"], "jobs=0: must be at least 1"),
    ],
)
def test_a_wrong_executor_is_refused_before_anything_else(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(tmp_path / "none.py"), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
