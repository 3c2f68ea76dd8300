"""What SLURM says, and what it does not say, without a cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.compare.executors import make_executor, slurm, slurm_queue
from benchmarks.compare.executors.base import Job, Ledger
from benchmarks.compare.executors.slurm import Slurm, read_options
from benchmarks.compare.executors.slurm_node import Place, job_id
from benchmarks.compare.executors.slurm_queue import FORGOTTEN, Entry, Unanswered, seconds

Client = Callable[[str, str], None]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Returns ``client(name, script)``, which puts a program on the path, and it alone."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()

    def write(name: str, script: str) -> None:
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return write


@pytest.fixture
def executor(client: Client, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """An executor that finds an sbatch and a submitit."""
    monkeypatch.setattr(slurm, "_submitit", lambda: None)
    client("sbatch", "exit 1")
    return make_executor("slurm", {"jobs": 4, "restarts": 1})


def entry(state: str, *, exit_code: int = 0, reason: str = "None") -> Entry:
    return Entry("7_0", state, seconds=5.0, exit_code=exit_code, reason=reason, node="n1")


@pytest.fixture
def ledger(
    executor: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ledger]:
    """Returns a function: (answers of squeue, one for each look) -> the ledger of a job that runs.
    An answer may be an entry, None for no job, or an error.
    """
    directory = tmp_path / "t"
    place = Place("a-1", 0, str(tmp_path))
    jobs = [Job("t", ["true"], directory)]

    def start(*answers: Entry | Exception | None) -> Ledger:
        coming = iter([entry("RUNNING"), *answers])

        def queue(names: set[str]) -> dict[Place, Entry]:
            assert names == {"a-1"}
            answer = next(coming)
            if isinstance(answer, Exception):
                raise answer
            return {} if answer is None else {place: answer}

        monkeypatch.setattr(slurm_queue, "queue", queue)
        monkeypatch.setattr(slurm_queue, "accounts", lambda names: {})
        if Place.of(directory) is None:
            place.write(directory)
        book = Ledger(jobs)
        submitted = slurm._Jobs(executor, book)
        submitted.adopt()
        assert list(submitted.status().running) == ["t"]
        for _ in answers:
            submitted.look()
        return book

    return start


def test_a_job_that_slurm_has_forgotten_is_judged_by_its_folder(
    ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    (failure,) = ledger(None, None, None).failures
    assert failure.reason == FORGOTTEN
    assert ledger(None, None, entry("COMPLETED")).failures == []  # it was a gap in the answers
    Place("a-1", 0).write(tmp_path / "t", exit_code=0)
    assert set(ledger(None).done) == {"t"}
    Place("a-1", 0).write(tmp_path / "t", exit_code=3)
    (failure,) = ledger(None).failures
    assert failure.reason == "exit code 3"


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (entry("TIMEOUT"), "TIMEOUT on n1"),
        (entry("OUT_OF_MEMORY"), "OUT_OF_MEMORY on n1"),
        (entry("NODE_FAIL"), "NODE_FAIL on n1"),
        (entry("FAILED", exit_code=3), "exit code 3 on n1"),
    ],
)
def test_failures_are_named_as_slurm_names_them(
    ledger: Callable[..., Ledger], last: Entry, reason: str
) -> None:
    (failure,) = ledger(last).failures
    assert failure.reason == reason


def test_a_job_that_is_held_for_ever_is_cancelled_and_a_failure(
    ledger: Callable[..., Ledger], client: Client, tmp_path: Path
) -> None:
    client("scancel", f'echo "$@" > {tmp_path}/cancelled')
    (failure,) = ledger(entry("PENDING", reason="launch failed requeued held")).failures
    assert failure.reason == "launch failed requeued held"
    assert (tmp_path / "cancelled").read_text() == "7_0\n"


@pytest.mark.parametrize("last", [entry("PREEMPTED"), entry("FAILED", exit_code=75)])
def test_a_job_that_had_to_make_room_is_submitted_again(
    ledger: Callable[..., Ledger], last: Entry
) -> None:
    book = ledger(last)
    assert book.failures == [] and [job.name for job in book.waiting] == ["t"]


def test_no_answer_is_borne_for_a_while(
    ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    silence = Unanswered("squeue: Socket timed out")
    assert ledger(silence, silence, entry("COMPLETED")).failures == []
    monkeypatch.setattr(slurm, "LOST_MINUTES", 0.0)
    with pytest.raises(OSError, match="Socket timed out; no answer for 0 minutes. The jobs are le"):
        ledger(silence)


def test_accounting_is_asked_where_there_is_any(client: Client) -> None:
    client("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert slurm_queue.accounts({"a"}) == {}
    rows = (
        "7_0|a|COMPLETED|12|0:0|n1",
        "7_1|a|CANCELLED by 1000|0|0:0|None assigned",
        "8|b|FAILED|3|0:9|n2",
    )
    client("sacct", "\n".join(f"echo '{row}'" for row in rows))
    entries = slurm_queue.accounts({"a", "b"})
    assert entries[Place("a", 0)].seconds == 12 and entries[Place("a", 0)].state == "COMPLETED"
    assert entries[Place("a", 1)].describe() == "CANCELLED"
    assert entries[Place("b", 0)].describe() == "exit code 137 on n2"


@pytest.mark.parametrize(
    ("nodes", "partition", "expected"),
    [
        ("cpu* (null)\ngpu gpu:a100:4(S:0-1)", None, False),
        ("cpu (null)\ngpu* gpu:a100:4", None, True),
        ("gpu gpu:a100:4", "gpu", True),
    ],
)
def test_gpus_are_asked_for_where_there_are_any(
    executor: Slurm, client: Client, nodes: str, partition: str | None, expected: bool
) -> None:
    client("sinfo", f"echo '{nodes}'")
    executor.partition = partition
    resources = Job("t", [], Path("t")).resources
    assert ("gpus_per_node" in executor.parameters(resources, share=1)) == expected
    executor.sbatch = "--gres=gpu:a100:1"
    parameters = executor.parameters(resources, share=1)
    assert "gpus_per_node" not in parameters
    assert parameters["additional_parameters"]["gres"] == "gpu:a100:1"


@pytest.mark.parametrize(
    ("text", "value"),
    [("0:05", 5), ("02:03:04", 7384), ("1-02:03:04", 93784), ("INVALID", 0), ("", 0)],
)
def test_times_are_read(text: str, value: float) -> None:
    assert seconds(text) == value


def test_a_task_never_names_its_whole_array() -> None:
    """The last task's own id equals that of its array."""
    last = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
    assert job_id(last) == "7_3" and job_id({"SLURM_JOB_ID": "9"}) == "9"


def test_options_of_sbatch_are_read_as_typed() -> None:
    assert read_options("--exclude=n1,n2 --exclusive --mail-user='a b'") == {
        "exclude": "n1,n2",
        "exclusive": True,
        "mail_user": "a b",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sbatch": "-p gpu"}, "sbatch='-p gpu': '-p' is no option; write --NAME=VALUE"),
        ({"sbatch": "--array=0-3"}, "--array is set by the executor; leave it out"),
        ({"jobs": 0}, "jobs=0: must be at least 1"),
        ({"poll_seconds": 0.1}, "poll_seconds=0.1: must be at least 1"),
        ({"partion": "gpu"}, "partion is unknown; did you mean 'partition'"),
    ],
)
def test_wrong_options_are_refused(
    executor: Slurm, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_executor("slurm", options)


def test_what_is_missing_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="there is no sbatch on the PATH"):
        make_executor("slurm", {})
    client("sbatch", "")
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ValueError, match=r"needs submitit: pip install '.\[slurm\]'"):
        make_executor("slurm", {})
