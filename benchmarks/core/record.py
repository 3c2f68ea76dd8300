"""The result of a benchmark: numbers with units, the protocol that produced them, and raw counts.

Two records may stand in one table column only if their protocol hashes are equal. The protocol
names everything that changes the number except what is being measured: data (by content), split,
sizes, stride, parameters, seed and back-end. Which network was measured is the record's
``subject``; library versions and device are kept beside.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pretrain.files import atomic_write
from pretrain.folder_lock import writing
from pretrain.names import check_choice

BETTER = ("higher", "lower")
# Records written before metrics had a direction: in these benchmarks lower is better, as it is for
# names that end so.
_LOWER_BENCHMARKS = ("robustness", "consistency")
_LOWER_ENDINGS = ("RMSE", "average_drop", "complexity", "error", "error_increase")


@dataclass(frozen=True)
class Metric:
    """One number, its unit, and which way it is better.

    Attributes:
        value: NaN where it is not defined (an absent class).
        unit: ``%``, ``m``, …; ``1`` for none.
        better: ``higher`` or ``lower``. Ranks, marks and words of every table follow it.

    Raises:
        ValueError: another ``better``.
    """

    value: float
    unit: str
    better: str = "higher"

    def __post_init__(self) -> None:
        check_choice("better", self.better, BETTER)

    @property
    def defined(self) -> bool:
        """Whether there is a number: neither NaN nor infinite."""
        return math.isfinite(self.value)


def require_defined(benchmark: str, metrics: dict[str, Metric], missing: str) -> dict[str, Metric]:
    """Returns the metrics.

    Args:
        benchmark: its name.
        metrics: of a finished measurement.
        missing: what there must have been, for the message.

    Raises:
        ValueError: one of them is not a number; names it and what is missing.
    """
    for name, metric in metrics.items():
        if not metric.defined:
            raise ValueError(f"{benchmark}: {name} is {metric.value}, it is not defined: {missing}")
    return metrics


@dataclass(frozen=True)
class Record:
    """One benchmark of one network.

    Attributes:
        benchmark: Its name: ``retrieval``, ``knn``, ``linear``, …
        metrics: name -> value, unit and direction.
        protocol: What the number depends on apart from the network; JSON values only.
        counts: Raw per-image or per-class counts, JSON values only, from which intervals are
            bootstrapped. In ``per_image``, ``image`` holds the images' numbers and the name of a
            metric a value for each, in the metric's unit: the metric is their mean. NaN (null in
            JSON) stands where an image has no part in it. ``groups`` says which belong together:
            a number for every image of the data, by the image's own number.
        cost: seconds, bytes, …; not part of the protocol.
        subject: Which network: ``FeatureExtractor.describe()``.
        versions: Library versions and device; recorded, not hashed.
    """

    benchmark: str
    metrics: dict[str, Metric]
    protocol: dict[str, Any]
    counts: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    subject: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def protocol_line(self) -> str:
        """The protocol as one line, ``key=value`` in alphabetical order, nested keys joined by a
        dot.
        """
        entries = sorted(_flatten(self.protocol).items())
        return f"{self.benchmark}: " + " ".join(f"{key}={value}" for key, value in entries)

    @property
    def protocol_hash(self) -> str:
        """First 12 hex digits of the SHA-256 of benchmark name and protocol as canonical JSON."""
        text = json.dumps(
            [self.benchmark, self.protocol], sort_keys=True, separators=(",", ":"), allow_nan=False
        )
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """One line of JSON; NaN becomes null."""
        plain = asdict(self) | {
            "protocol_line": self.protocol_line,
            "protocol_hash": self.protocol_hash,
        }
        return json.dumps(_without_nan(plain), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Record:
        """Reads what :meth:`to_json` wrote.

        Raises:
            ValueError: not JSON, a key is missing, or the stored hash is not that of the stored
                protocol (the line was edited, or written by a version that hashed otherwise).
        """
        plain = json.loads(line)
        try:
            metrics = {
                name: _read_metric(plain["benchmark"], name, m)
                for name, m in plain["metrics"].items()
            }
            rest = {name: plain[name] for name in ("counts", "cost", "subject", "versions")}
            record = cls(plain["benchmark"], metrics, plain["protocol"], **rest)
            stored = plain["protocol_hash"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a record: {error!r} in {line[:80]!r}") from error
        if stored != record.protocol_hash:
            raise ValueError(
                f"protocol_hash is {stored}, but the protocol in the same line hashes to "
                f"{record.protocol_hash}; the line was changed after it was written: run the "
                "benchmark again"
            )
        return record

    def append(self, path: str | Path) -> None:
        """Appends the record to a JSON-lines file, synced, while no other process does, on any
        machine, so that parallel writers and crashes leave whole lines only. A torn last line of an
        earlier crash is closed off first.
        """
        path = Path(path)
        with writing(path), open(path, "a+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            torn = size > 0 and file.read(1) != b"\n"
            file.write((("\n" if torn else "") + self.to_json() + "\n").encode())
            file.flush()
            os.fsync(file.fileno())


def read_all(path: str | Path) -> list[Record]:
    """Reads every record of a JSON-lines file; a line that is not whole JSON is skipped with a
    warning.

    Raises:
        ValueError: a whole line is not a record, or its hash does not fit; the message names file
            and line.
    """
    records = []
    for number, line in enumerate(Path(path).read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            records.append(Record.from_json(line))
        except json.JSONDecodeError:
            warnings.warn(
                f"{path}:{number}: not whole JSON (a crash while writing?), skipped",
                stacklevel=2,
            )
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
    return records


def write_all(records: Iterable[Record], path: str | Path) -> None:
    """Writes records into a JSON-lines file, whole or not at all; :func:`read_all` reads it."""
    lines = [record.to_json() for record in records]
    atomic_write(Path(path), "\n".join([*lines, ""]))


def versions(device: str) -> dict[str, str]:
    """Versions of what computes the numbers, and the device; for :attr:`Record.versions`."""
    import numpy
    import timm
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "numpy": numpy.__version__,
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
    }


def _read_metric(benchmark: str, name: str, stored: dict[str, Any]) -> Metric:
    """A metric of a stored record; without a direction by the rule of its time, its benchmark's and
    name's.
    """
    value = math.nan if stored["value"] is None else stored["value"]
    lower = benchmark in _LOWER_BENCHMARKS or name.endswith(_LOWER_ENDINGS)
    return Metric(value, stored["unit"], stored.get("better", "lower" if lower else "higher"))


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, (list, tuple)):
            flat[prefix + key] = ",".join(map(str, value))
        else:
            flat[prefix + key] = value
    return flat


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def by_protocol(records: Sequence[Record]) -> list[list[Record]]:
    """Records of equal protocol together, in order of first appearance."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.protocol_hash, []).append(record)
    return list(groups.values())


def is_baseline(record: Record) -> bool:
    """Whether a record is that of a predictor without a network: the subject of
    ``Benchmark.measure_baseline`` is a name, that of ``FeatureExtractor.describe`` a backbone.
    """
    return "backbone" not in record.subject


def upsampler_of(subject: dict[str, Any]) -> str:
    """Name of the upsampler of a record's subject; ``none`` for a network on its own grid."""
    upsampler = subject.get("upsampler") or "none"
    return str(upsampler.get("spec", "?") if isinstance(upsampler, dict) else upsampler)
