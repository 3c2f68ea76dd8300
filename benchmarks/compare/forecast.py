"""How long a comparison will take, from pilots of its arms and one measured trial, said before the
rest starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.compare.parts import Trial
from benchmarks.compare.progress import clock


def forecast(
    trials: Sequence[Trial],
    *,
    samples: Mapping[str, int],
    seconds: Mapping[str, float],
    evaluation: float | None,
    at_once: int,
) -> str:
    """The line to print.

    Args:
        trials: those that are missing.
        samples: trained arm -> images of its budget.
        seconds: trained arm -> seconds per image, measured with as many trials at once.
        evaluation: seconds that the benchmarks of one trial took; None: not known.
        at_once: trials at the same time.
    """
    training, each = 0.0, {}
    for trial in trials:
        arm = trial.arm.name
        if trial.arm.train:
            each[arm] = samples[arm] * seconds[arm]
            training += each[arm]
    parallel = max(1, min(at_once, len(trials)))
    total = (training + len(trials) * (evaluation or 0.0)) / parallel
    per_arm = ", ".join(f"{arm} {clock(spent)}" for arm, spent in each.items())
    judged = "the benchmarks, which come on top, are not measured yet"
    if evaluation is not None:
        judged = f"the benchmarks of a trial {clock(evaluation)}"
    return (
        f"Forecast: about {clock(total)} for {len(trials)} trials, {parallel} at once (a training "
        f"takes: {per_arm or 'none is left'}; {judged})."
    )
