"""The checkpoints of one pretraining, and what was measured of them, during the training or since.

What is known stands in two files beside the checkpoints: ``evaluations.jsonl``, which
:class:`benchmarks.evaluate.hook.EvaluationHook` writes, and ``along_training.jsonl``, to which what
was missing is appended. A record counts if it was made with the wanted data and settings and, where
the checkpoint is still there, of its very weights. A checkpoint that is gone is known by its
records alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.analysis.references import load_reference
from benchmarks.core.benchmark import Benchmark
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record, read_all
from pretrain.engine.checkpoints import saved_steps
from pretrain.progress import Progress
from pretrain.specs import parse_spec

WRITTEN = "along_training.jsonl"
DURING_TRAINING = "evaluations.jsonl"


@dataclass(frozen=True)
class Measurement:
    """What is to be known of every checkpoint: a benchmark with its data and settings."""

    benchmark: Benchmark
    data: Any
    settings: Any

    def measure(self, network: FeatureExtractor) -> Record:
        """Runs it, as the suite does without an upsampler."""
        stride = self.benchmark.upsampled_stride
        view = network if stride is None else network.through(None, stride)
        return self.benchmark.measure(view, self.data, self.settings)

    def made(self, record: Record, like: FeatureExtractor) -> bool:
        """Whether a record is this measurement of some checkpoint of a run.

        Args:
            record: any.
            like: one network of the run.
        """
        protocol = self.benchmark.protocol(self.data, self.settings, {})
        return (
            record.benchmark == self.benchmark.name
            and _holds(record.protocol, protocol | dict(stride=like.stride))
            and record.subject.get("weights") == like.weights
            and "samples_seen" in record.subject
            and "upsampler" not in record.subject
        )


def _holds(protocol: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a stored protocol has these entries; ``auto`` may have become anything."""
    for key, value in json.loads(json.dumps(wanted)).items():
        if value != "auto" and protocol.get(key) != value:
            return False
    return True


class Course:
    """One pretraining by its checkpoints.

    Args:
        extractor: the network of one of them; the others are the files ``iter_N.pth`` beside it.
        start: whether the network as it was before the training is one of them.
        written: file of records; None: ``along_training.jsonl`` beside the checkpoints.

    Raises:
        ValueError: a network that is in no checkpoint of ours.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        *,
        start: bool = True,
        written: str | None = None,
    ) -> None:
        self._file = Path(parse_spec(extractor.spec)[0])
        if not self._file.is_file() or not extractor.samples_seen:
            raise ValueError(
                f"{extractor.spec} is not a checkpoint of a training of ours, so it has no other "
                "checkpoints beside it; name the final.pth of a training"
            )
        self.extractor, self.start = extractor, start
        self._files = [path for _, path in saved_steps(self._file.parent)]
        self.written = Path(written) if written else self._file.parent / WRITTEN

    def measured(
        self, measurements: Mapping[str, Measurement], progress: Progress | None = None
    ) -> dict[int, dict[str, Record]]:
        """Every measurement of every checkpoint, by the images seen, in order.

        Args:
            measurements: what is to be known, by names of your own.
            progress: called with (phase, done, in all).

        Raises:
            ValueError: as the benchmarks; a damaged file of records.
        """
        known = self._known()
        course: dict[int, dict[str, Record]] = {}
        other_run = False
        for done, network in enumerate(self._networks(), start=1):
            records = course.setdefault(network.samples_seen, {})
            for name, measurement in measurements.items():
                alike = _of(known, measurement, network.samples_seen, like=network)
                own = [r for r in alike if r.subject["fingerprint"] == network.fingerprint]
                other_run |= bool(alike) and not own
                records[name] = own[-1] if own else self._measure(measurement, network)
            if progress:
                progress("checkpoints", done, len(self._files) + self.start + 1)
        # Without weights to compare with, records of a folder with two trainings may be of either.
        if not other_run:
            course = self._gone(known, measurements) | course
        return dict(sorted(course.items()))

    def _measure(self, measurement: Measurement, network: FeatureExtractor) -> Record:
        record = measurement.measure(network)
        record.append(self.written)
        return record

    def _known(self) -> list[Record]:
        records: list[Record] = []
        for path in (self._file.parent / DURING_TRAINING, self.written):
            if path.is_file():
                records += read_all(path)
        return records

    def _networks(self) -> Iterator[FeatureExtractor]:
        """Yields those whose weights are there, each once."""
        if self.start:
            try:
                yield load_reference(self.extractor)
            except ValueError as error:
                raise ValueError(f"start=True: {error}; or set start=False") from error
        own = self.extractor
        options = own.spec.removeprefix(str(parse_spec(own.spec)[0]))
        for file in self._files:
            network = FeatureExtractor.load(f"{file}{options}", own.weights, own.device)
            if network.samples_seen != own.samples_seen:
                yield network
        yield own

    def _gone(
        self, known: list[Record], measurements: Mapping[str, Measurement]
    ) -> dict[int, dict[str, Record]]:
        """What records alone say, of checkpoints of which they say all."""
        gone: dict[int, dict[str, Record]] = {}
        for name, measurement in measurements.items():
            for record in known:
                samples = record.subject.get("samples_seen")
                if measurement.made(record, self.extractor) and (samples or self.start):
                    gone.setdefault(samples, {})[name] = record
        return {samples: own for samples, own in gone.items() if own.keys() == measurements.keys()}


def _of(
    known: list[Record], measurement: Measurement, samples: int, *, like: FeatureExtractor
) -> list[Record]:
    records = []
    for record in known:
        if record.subject.get("samples_seen") == samples and measurement.made(record, like):
            records.append(record)
    return records
