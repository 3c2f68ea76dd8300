"""Measures one trivial predictor. ``python -m benchmarks.compare.baseline DIRECTORY``.

A baseline has no network and no seed; it shows what a benchmark gives away for nothing.
``request.json`` says what was asked for, ``record.json`` holds the result with the request's
fingerprint.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.compare.parts import Baseline, Evaluation
from benchmarks.core.record import Record
from pretrain.files import atomic_write, read_dict
from pretrain.folder_lock import exclusive

LOCK_SECONDS = 40.0  # an earlier process of this baseline may be about to end


def write_request(directory: Path, baseline: Baseline) -> None:
    """Writes what is asked for."""
    content = {**asdict(baseline), "hash": baseline.hash}
    atomic_write(directory / "request.json", json.dumps(content, indent=1, default=repr))


def baseline_record(directory: Path, baseline: Baseline) -> Record | None:
    """Returns the record made for this very baseline, None if it is missing or was made with other
    settings.
    """
    stored = read_dict(directory / "record.json")
    return Record.from_json(stored["record"]) if stored.get("hash") == baseline.hash else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the baseline's process."""
    from benchmarks.compare.evaluate import (
        run_baseline,  # imports torch, which requests do not need
    )

    (directory,) = sys.argv[1:] if arguments is None else arguments
    with exclusive(Path(directory), "baseline", wait_s=LOCK_SECONDS):
        request = json.loads((Path(directory) / "request.json").read_text())
        digest = request.pop("hash")
        baseline = Baseline(**{**request, "benchmark": Evaluation(**request["benchmark"])})
        content = {"hash": digest, "record": run_baseline(baseline).to_json()}
        atomic_write(Path(directory) / "record.json", json.dumps(content))


if __name__ == "__main__":
    main()
