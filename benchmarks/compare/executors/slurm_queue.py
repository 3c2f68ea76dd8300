"""What SLURM says of jobs, by squeue and, where there is accounting, by sacct."""

from __future__ import annotations

import getpass
import re
import subprocess
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.compare.executors.slurm_node import Place

# Not SLURM's word: of a job that it does not know any more and that has left no sign of its end.
FORGOTTEN = "forgotten by SLURM"
RUNNING = ("RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT")
ENDED = (
    "COMPLETED",
    "FAILED",
    "TIMEOUT",
    "CANCELLED",
    "OUT_OF_MEMORY",
    "NODE_FAIL",
    "PREEMPTED",
    "BOOT_FAIL",
    "DEADLINE",
    "REVOKED",
    FORGOTTEN,
)
# Reasons of waiting that last until somebody releases the job.
STUCK = ("launch failed requeued held", "JobHoldMaxRequeue", "DependencyNeverSatisfied")

# Of squeue's --Format: field and width.
_FIELDS = {
    "name": 64,
    "jobarrayid": 24,
    "state": 24,
    "timeused": 20,
    "exit_code": 12,
    "reason": 48,
    "nodelist": 64,
}


class Unanswered(OSError):
    """SLURM does not answer; the message is its client's."""


@dataclass(frozen=True)
class Entry:
    """One job in SLURM's own words.

    Attributes:
        number: its id, for scancel.
        state: such as ``RUNNING``.
        seconds: since it was last started.
        exit_code: of its script, once that has ended.
        reason: why it waits.
        node: where it runs or ran.
    """

    number: str
    state: str
    seconds: float
    exit_code: int
    reason: str
    node: str

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or waits for ever."""
        return self.state in ENDED or self.reason in STUCK

    @property
    def is_running(self) -> bool:
        """Whether it has a node."""
        return self.state in RUNNING

    def describe(self) -> str:
        """Returns why it ended, and where."""
        if self.reason in STUCK:
            return self.reason
        what = f"exit code {self.exit_code}" if self.state == "FAILED" else self.state
        return f"{what} on {self.node}" if self.node else what


def queue(names: Collection[str]) -> dict[Place, Entry]:
    """Returns all jobs of some names that SLURM still has in memory, which ended ones are for some
    minutes.

    Raises:
        Unanswered: squeue fails.
    """
    if not names:
        return {}
    columns = ",".join(f"{field}:{width}" for field, width in _FIELDS.items())
    # By user first, which makes the answer of a large cluster small.
    command = ["squeue", f"--user={getpass.getuser()}", f"--name={','.join(sorted(names))}"]
    options = ["--array", "--noheader", "--states=all", f"--Format={columns}"]
    entries = {}
    for line in _ask([*command, *options]).splitlines():
        values = _split(line, _FIELDS.values())
        status = int(values["exit_code"] or 0)  # as wait() has it
        entries[Place(values["name"], _task(values["jobarrayid"]))] = Entry(
            number=values["jobarrayid"],
            state=values["state"],
            seconds=seconds(values["timeused"]),
            exit_code=_exit_code(status >> 8, status & 127),
            reason=values["reason"].replace("_", " "),  # versions differ
            node=values["nodelist"],
        )
    return entries


def accounts(names: Collection[str]) -> dict[Place, Entry]:
    """Returns jobs of some names by the accounting, which keeps them; none where there is none."""
    command = ["sacct", f"--name={','.join(sorted(names))}", "--starttime=now-30days"]
    options = ["--allocations", "--noheader", "--parsable2"]
    columns = "--format=JobID,JobName,State,ElapsedRaw,ExitCode,NodeList"
    try:
        answer = _ask([*command, *options, columns])
    except Unanswered:
        return {}
    entries = {}
    for line in answer.splitlines():
        number, name, state, elapsed, code, node = line.split("|")
        entries[Place(name, _task(number))] = Entry(
            number=number,
            state=state.partition(" ")[0],  # CANCELLED by 1000
            seconds=float(elapsed or 0),
            exit_code=_exit_code(*map(int, code.split(":"))),
            reason="",
            node=node if node != "None assigned" else "",
        )
    return entries


def cancel(entries: Iterable[Entry]) -> None:
    """Cancels jobs: they get SIGTERM, and SIGKILL after the time that the cluster's KillWait says.

    Raises:
        Unanswered: scancel fails.
    """
    numbers = [entry.number for entry in entries]
    if numbers:
        _ask(["scancel", *numbers])


def has_gpus(partition: str | None) -> bool:
    """Returns whether a node of a partition, by default of the default one, has GPUs.

    Raises:
        Unanswered: sinfo fails.
    """
    chosen = [] if partition is None else [f"--partition={partition}"]
    lines = _ask(["sinfo", "--noheader", "--Node", "--format=%P %G", *chosen]).splitlines()
    rows = [line.split(maxsplit=1) for line in lines]
    if partition is None:
        rows = [row for row in rows if row[0].endswith("*")] or rows
    return any("gpu" in row[-1] for row in rows)


def seconds(text: str) -> float:
    """Returns SLURM's time, ``1-02:03:04``, ``02:03:04`` or ``3:04``, in seconds; 0 for no time."""
    if not re.fullmatch(r"(\d+-)?(\d+:)*\d+", text):
        return 0.0
    days, _, clock = text.rpartition("-")
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return float(86400 * int(days or 0) + total)


def _ask(command: Sequence[str]) -> str:
    """Returns what one of SLURM's clients prints."""
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, errors="replace"
        )
    except subprocess.TimeoutExpired as error:
        raise Unanswered(f"{command[0]}: no answer in {error.timeout:.0f} s") from None
    if answer.returncode != 0:
        message = answer.stderr.strip() or f"exit code {answer.returncode}"
        raise Unanswered(f"{command[0]}: {message}")
    return answer.stdout


def _split(line: str, widths: Iterable[int]) -> dict[str, str]:
    """Returns the columns of a line of squeue by their names."""
    values, start = {}, 0
    for field, width in zip(_FIELDS, widths, strict=True):
        values[field] = line[start : start + width].strip()
        start += width
    return values


def _task(number: str) -> int:
    """Returns the number in the array, from a job's id; a job without an array is its first."""
    task = number.partition("_")[2]
    return int(task) if task.isdecimal() else 0


def _exit_code(code: int, number: int) -> int:
    """Returns an exit code, 128 + N if signal N ended the job."""
    return 128 + number if number else code
