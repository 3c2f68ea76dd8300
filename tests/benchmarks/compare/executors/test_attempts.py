"""How often jobs are tried, whoever runs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.compare.executors.attempts import Attempts
from benchmarks.compare.executors.base import Executor, Failure, Job, Ledger, Status, Watch


@dataclass
class Scripted(Executor):
    """Pretends to run one job at a time; each ends as its script says, well when that is over."""

    scripts: dict[str, list[str | int]]
    order: list[str] = field(default_factory=list)
    at_once: int = 1

    def describe(self) -> str:
        return "scripted"

    def carry_out(self, ledger: Ledger, watch: Watch) -> None:
        while ledger.waiting:
            job = ledger.waiting.pop(0)
            self.order.append(job.name)
            ending = (self.scripts.get(job.name) or [0]).pop(0)
            if isinstance(ending, int):
                ledger.ended(job, ending, seconds=2.0, where="node7")
            else:
                ledger.failed(job, ending)
            watch(ledger.status({}))


def jobs(folder: Path, names: str, request: str = "r") -> list[Job]:
    """Jobs without commands."""
    return [Job(name, [], folder / name, request=request) for name in names]


def run(
    executor: Executor, tasks: list[Job], *, attempts: int = 3
) -> tuple[list[Failure], list[Status]]:
    """Runs jobs; returns failures and all that ``watch`` saw."""
    seen: list[Status] = []
    return executor.run(tasks, seen.append, attempts=attempts), seen


def test_what_fails_is_tried_again_behind_the_others_and_given_up_in_the_end(
    tmp_path: Path,
) -> None:
    executor = Scripted({"a": [1], "c": [1, "lost its node", 137]})
    failures, seen = run(executor, jobs(tmp_path, "abc"))
    assert "".join(executor.order) == "abcacc"
    assert [(one.name, one.reason) for one in failures] == [("c", "exit code 137 on node7")]
    assert Attempts(tmp_path / "c", "r").failed == 3
    assert not Attempts(tmp_path / "a", "r").failed  # it succeeded in the end
    assert list(seen[0].waiting) == ["b", "c", "a"] and not seen[0].failures
    assert seen[-1].done == {"a": 2.0, "b": 2.0} and list(seen[-1].failures) == failures


def test_failures_of_earlier_runs_count(tmp_path: Path) -> None:
    for attempts in (1, 2):
        executor = Scripted({"a": [1, 1, 1]})
        run(executor, jobs(tmp_path, "a"), attempts=attempts)
        assert executor.order == ["a"]
    executor = Scripted({"a": [1, 1, 1]})
    (failure,), _ = run(executor, jobs(tmp_path, "a"), attempts=4)
    assert executor.order == ["a", "a"] and failure.name == "a"


def test_a_job_that_was_stopped_has_not_failed_and_is_not_tried_again(tmp_path: Path) -> None:
    executor = Scripted({"a": [143]})
    (failure,), _ = run(executor, jobs(tmp_path, "a"))
    assert failure.name == "a" and executor.order == ["a"]
    assert Attempts(tmp_path / "a", "r").failed == 0


def test_what_was_given_up_is_forgotten_on_demand_or_with_another_request(tmp_path: Path) -> None:
    (job,), (other,) = jobs(tmp_path, "a"), jobs(tmp_path, "a", "other")
    job.attempts.count("no")
    job.attempts.count("no")
    assert job.attempts.failed == 2 and other.attempts.failed == 0
    other.attempts.count("no")
    assert other.attempts.failed == 1 and job.attempts.failed == 0
    other.attempts.forget()
    other.attempts.forget()
    assert other.attempts.failed == 0


def test_what_no_job_can_get_is_refused_before_any_runs(tmp_path: Path) -> None:
    class Small(Scripted):
        """Has no GPU."""

        def require(self, resources: object, name: str = "a trial") -> None:
            raise ValueError(f"{name} needs more")

    executor = Small({})
    with pytest.raises(ValueError, match="a needs more"):
        run(executor, jobs(tmp_path, "ab"))
    assert executor.order == []
