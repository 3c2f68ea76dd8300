"""What still runs, or waits in a queue, is not thrown away."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.compare.executors import EXECUTORS, Local
from benchmarks.compare.names import PlanError
from benchmarks.compare.redo import discard
from pretrain.folder_lock import exclusive


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    """An arm with a trial and a search."""
    for place in ("A/seed_0", "A/search/trial_000/seed_9", "B/seed_0"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        (folder / "trial.json").write_text("{}")
    return tmp_path / "A"


def test_an_arm_is_discarded_with_its_search_and_no_other(arm: Path) -> None:
    discard(arm.parent, ["A", "never run"], Local())
    assert not arm.exists() and (arm.parent / "B/seed_0/trial.json").exists()


@pytest.mark.parametrize("place", ["seed_0", "search/trial_000/seed_9"])
def test_a_trial_that_runs_is_kept(arm: Path, place: str) -> None:
    with exclusive(arm / place, "trial", wait_s=0):
        with pytest.raises(PlanError, match=rf"--redo A: A/{place} is running \(process \d+ on"):
            discard(arm.parent, ["B", "A"], Local())
    assert (arm / place / "trial.json").exists() and (arm.parent / "B").exists()


@pytest.mark.parametrize("listed", [True, False])
def test_a_trial_that_waits_in_the_queue_of_a_cluster_is_kept(
    arm: Path, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    class Queue(Local):
        """Knows of one job."""

        @classmethod
        def left_behind(cls, directory: Path) -> str:
            return "as job 7: end it by cancel 7" if directory == arm / "seed_0" else ""

    executor: Local = Queue()
    if listed:  # then whichever executor runs now
        monkeypatch.setitem(EXECUTORS, "queue", Queue)
        executor = Local()
    with pytest.raises(PlanError, match="--redo A: A/seed_0 was left .* as job 7: end it by can"):
        discard(arm.parent, ["A"], executor)
    assert arm.exists()
    discard(arm.parent, ["B"], executor)
