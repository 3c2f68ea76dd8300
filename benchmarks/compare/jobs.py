"""What is missing of a comparison, as jobs for an executor."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare.baseline import baseline_record, write_request
from benchmarks.compare.executors.base import Job
from benchmarks.compare.parts import Baseline, Plan, Trial
from benchmarks.compare.trial_folder import TrialFolder
from pretrain.places import import_path

# Expected work of a trial's benchmarks, as a share of the longest pretraining.
EVALUATION_SHARE = 0.1


def unfinished(trials: Sequence[Trial]) -> list[Trial]:
    """Returns the trials that lack a record."""
    return [trial for trial in trials if not _is_finished(TrialFolder(trial.directory))]


def _is_finished(folder: TrialFolder) -> bool:
    return folder.is_written and not folder.missing()


def missing_jobs(plan: Plan, only: Sequence[str] = ()) -> list[Job]:
    """Returns a job for each unfinished trial and for each baseline without a record.

    Args:
        plan: the comparison; its trials' folders have been written.
        only: arms whose trials count; all when empty.
    """
    trials = [trial for trial in plan.trials if not only or trial.arm.name in only]
    trials = unfinished(trials)
    samples = [float(TrialFolder(trial.directory).spec().samples) for trial in trials]
    evaluation = EVALUATION_SHARE * max(samples, default=0.0) or 1.0
    jobs = []
    for trial, pretraining in zip(trials, samples, strict=True):
        work = pretraining + evaluation
        jobs.append(_job(plan, "trial", name=trial.name, directory=trial.directory, work=work))
    for baseline in plan.baselines:
        folder = baseline_folder(plan, baseline)
        if baseline_record(folder, baseline) is None:
            write_request(folder, baseline)
            name = f"baseline {baseline.path}"
            jobs.append(_job(plan, "baseline", name=name, directory=folder, work=evaluation))
    return jobs


def baseline_folder(plan: Plan, baseline: Baseline) -> Path:
    """Returns where a baseline's request and record lie."""
    return plan.work_dir / "baselines" / baseline.path


def _job(plan: Plan, module: str, *, name: str, directory: Path, work: float) -> Job:
    """Returns the job of one directory, done by a module beside this one."""
    command = (sys.executable, "-m", f"benchmarks.compare.{module}", str(directory))
    return Job(
        name,
        command,
        directory,
        job_environment(),
        resources=plan.resources,
        work=work,
        request=TrialFolder(directory).request,
    )


def job_environment() -> dict[str, str]:
    """Returns the variables of every job: it imports this code, and its log grows line by line."""
    return {**import_path(), "PYTHONUNBUFFERED": "1"}
