"""How often jobs are tried, whoever runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.compare.attempts import Attempts, is_given_up, run_attempts
from benchmarks.compare.executors.base import Executor, Failure, Job, Status, Watch


@dataclass
class Scripted(Executor):
    """Pretends to run jobs; each ends as its script says, success when that is over."""

    scripts: dict[str, list[str]]
    rounds: list[list[str]] = field(default_factory=list)
    at_once: int = 1

    def describe(self) -> str:
        return "scripted"

    def run(self, jobs: Sequence[Job], watch: Watch) -> list[Failure]:
        self.rounds.append([job.name for job in jobs])
        failures, done = [], {}
        for job in jobs:
            script = self.scripts.get(job.name, [])
            if not script:
                done[job.name] = 1.0
                continue
            reason = script.pop(0)
            if reason == "noted":  # as a trial does that can still speak
                Attempts(job.directory).count("ValueError: no")
            failures.append(Failure(job.name, reason, job.log))
        watch(Status(done=done, failures=failures))
        return failures


def jobs(folder: Path, names: str) -> list[Job]:
    """Jobs whose folders say what was asked for."""
    made = []
    for name in names:
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "request.json").write_text("{}")
        made.append(Job(name, [], folder / name))
    return made


def test_failures_are_tried_again_behind_the_others(tmp_path: Path) -> None:
    executor = Scripted({"a": ["exit code 1"], "c": ["noted", "killed", "noted", "noted"]})
    seen: list[Status] = []
    failures = run_attempts(executor, jobs(tmp_path, "abc"), seen.append)
    assert executor.rounds == [["a", "b", "c"], ["a", "c"], ["c"]]
    assert [failure.name for failure in failures] == ["c"]
    assert Attempts(tmp_path / "c").failed == 3 and Attempts(tmp_path / "a").failed == 1
    assert set(seen[-1].done) == {"a", "b"}


def test_a_job_that_was_stopped_has_not_failed(tmp_path: Path) -> None:
    executor = Scripted({"a": ["exit code 143"]})
    (failure,) = run_attempts(executor, jobs(tmp_path, "a"), lambda status: None)
    assert failure.name == "a" and executor.rounds == [["a"]]
    assert Attempts(tmp_path / "a").failed == 0


def test_what_was_given_up_is_forgotten_on_demand_or_with_another_request(tmp_path: Path) -> None:
    (job,) = jobs(tmp_path, "a")
    assert not is_given_up(job, 1)
    Attempts(job.directory).count("no")
    assert is_given_up(job, 1) and not is_given_up(job, 2)
    (job.directory / "request.json").write_text('{"other": 1}')
    assert not is_given_up(job, 1)
    Attempts(job.directory).count("no")
    Attempts(job.directory).count("no")
    assert is_given_up(job, 2)
    Attempts(job.directory).forget()
    assert Attempts(job.directory).failed == 0
