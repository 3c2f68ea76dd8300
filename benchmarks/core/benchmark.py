"""What a benchmark declares about itself, what its run returns, and how a record is made of both.

A benchmark is a module that ends in ``BENCHMARK = Benchmark(...)``; docs/adding_a_benchmark.md
shows a whole one. The protocol of its records holds every field of its settings, so that a setting
which changes the number cannot be forgotten; the few that must stay out are declared by
:func:`speed_only`, :func:`in_subject` or :func:`shown_as`. A setting that came later is declared by
:func:`added`, so that older records keep their protocol.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch

from benchmarks.core.record import Metric, Record, versions
from benchmarks.data.loading import waited_seconds
from pretrain.progress import Progress

_ROLE = "outside the protocol"  # key of a field's metadata
_ADDED = "added later"  # another one
_CPU = torch.device("cpu")


def speed_only(default: Any) -> Any:
    """A setting that changes speed or memory and never the number: no part of the protocol."""
    return field(default=default, metadata={_ROLE: "speed"})


def in_subject(default: Any) -> Any:
    """A setting that belongs to what is measured: the run writes it into the record's subject, so
    that records which differ in it share a column.
    """
    return field(default=default, metadata={_ROLE: "subject"})


def shown_as(key: str, **default: Any) -> Any:
    """A setting that the protocol holds in another form, which the run derives.

    Args:
        key: under which the protocol holds it.
        default: ``default=`` or ``default_factory=``, as :func:`dataclasses.field` takes them.
    """
    return field(metadata={_ROLE: key}, **default)


def added(default: Any) -> Any:
    """A setting that older records do not have: an entry of the protocol only where its value is
    not the default, so that a run with the default keeps the column of those records.

    Args:
        default: what runs did before there was the setting; must never change.
    """
    return field(default=default, metadata={_ADDED: True})


def came_later(setting: Field[Any]) -> bool:
    """Whether a field of settings was declared by :func:`added`."""
    return _ADDED in setting.metadata


def role_of(setting: Field[Any]) -> str | None:
    """Why a field of settings is no entry of the protocol: ``speed``, ``subject``, or the entry
    that stands for it; None for the fields that are entries themselves.
    """
    return setting.metadata.get(_ROLE)


@dataclass(frozen=True)
class Result:
    """What one run measured; :meth:`Benchmark.record` makes it a record.

    Attributes:
        metrics: name -> value, unit and direction.
        counts: per image or class, JSON values only, from which intervals are bootstrapped.
        cost: bytes, seconds of single phases, …; the seconds of the whole run are added unless
            given, and those of them that were spent waiting for images.
        facts: what the protocol holds beside the settings: sizes that follow from data and network,
            the back-end that ``auto`` became. A fact takes the place of the setting of its name.
        subject: what the run adds to the network's description of itself.
        versions: libraries and device, where they are not those of every benchmark.
    """

    metrics: dict[str, Metric]
    counts: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    subject: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """The declaration of a benchmark.

    Attributes:
        name: of its records, and in configs and on command lines.
        about: what it measures, in a few words for help texts.
        settings: a frozen dataclass with a default for every field.
        run: ``(network, data, settings, *, progress=None) -> Result``; ``network`` has ``describe``
            and ``device`` and what the benchmark reads of it.
        data: class of its data set, with a ``protocol`` unless ``data`` is among the facts.
        metrics: names its records may have, the most important first.
        expected: ``(data, settings)`` -> those of ``metrics`` that a record will have, None where
            only the run tells; by default all.
        quick: settings that take seconds on small data: ``--quick``, and evaluation during
            training.
        baselines: trivial predictors by name, each ``(data, settings, *, progress=None, **needs) ->
            Result``.
        baseline_needs: entries of a network's protocol that the baselines must be given to share
            its column.
        distributed: whether ``run`` takes ``distributed=True``, to share the work among the
            processes of torchrun.
        upsampled_stride: pixels per feature behind an upsampler, unless the user says otherwise;
            None where it reads no maps, so that no upsampler changes its number.
        own_grid: whether it has a number of its own without an upsampler; a probe has none, its
            outputs are then resized bilinearly, which is the upsampler ``bilinear``.
        figures: ``benchmarks.report.figures.Figure`` objects that pages with its records show.

    Raises:
        ValueError: settings that are no dataclass, or quick settings that they do not have.
    """

    name: str
    about: str
    settings: type
    run: Callable[..., Result]
    data: type
    metrics: tuple[str, ...]
    expected: Callable[[Any, Any], tuple[str, ...] | None] | None = None
    quick: Mapping[str, Any] = field(default_factory=dict)
    baselines: Mapping[str, Callable[..., Result]] = field(default_factory=dict)
    baseline_needs: tuple[str, ...] = ()
    distributed: bool = False
    upsampled_stride: int | None = None
    own_grid: bool = True
    figures: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if not is_dataclass(self.settings):
            raise ValueError(
                f"benchmark {self.name!r}: settings={self.settings!r} is not a dataclass"
            )
        unknown = set(self.quick) - {setting.name for setting in fields(self.settings)}
        if unknown:
            raise ValueError(
                f"benchmark {self.name!r}: quick sets {', '.join(sorted(unknown))}, which "
                f"{self.settings.__qualname__} does not have"
            )

    def expected_metrics(self, data: Any, settings: Any) -> tuple[str, ...] | None:
        """Names of the metrics that a record will have; None where only the run tells."""
        return self.metrics if self.expected is None else self.expected(data, settings)

    def measure(
        self,
        network: Any,
        data: Any,
        settings: Any,
        *,
        progress: Progress | None = None,
        distributed: bool = False,
    ) -> Record:
        """Runs the benchmark on a network.

        Args:
            network: what ``run`` reads, a :class:`FeatureExtractor` unless in tests.
            data: of the class that the benchmark declares.
            settings: its settings.
            progress: called with (phase, done, in all).
            distributed: share the work among the processes, if the benchmark can; every process
                gets the record.

        Raises:
            ValueError, OSError, MemoryError: those of ``run``; a fact that its trivial predictors
                need and ``run`` does not state.
        """
        started, waited = time.perf_counter(), waited_seconds()
        shared = dict(distributed=True) if distributed and self.distributed else {}
        result = self.run(network, data, settings, progress=progress, **shared)
        if "seconds" not in result.cost:  # a result with a clock of its own may be an old one
            result.cost["waiting_seconds"] = waited_seconds() - waited
        record = self.record(
            result,
            data,
            settings,
            subject=network.describe(),
            device=network.device,
            seconds=time.perf_counter() - started,
        )
        missing = [name for name in self.baseline_needs if name not in record.protocol]
        if missing:
            raise ValueError(
                f"benchmark {self.name!r}: baseline_needs={missing[0]!r}, but run left it out of "
                f"the facts of its result; add facts=dict({missing[0]}=…)"
            )
        return record

    def measure_baseline(
        self,
        name: str,
        data: Any,
        settings: Any,
        *,
        progress: Progress | None = None,
        **needs: Any,
    ) -> Record:
        """Runs one of the trivial predictors.

        Args:
            name: which.
            data, settings, progress: as for :meth:`measure`.
            needs: see ``baseline_needs``; those that are settings take the settings' place.
        """
        names = {setting.name for setting in fields(self.settings)}
        settings = replace(settings, **{key: needs.pop(key) for key in names & needs.keys()})
        started = time.perf_counter()
        result = self.baselines[name](data, settings, progress=progress, **needs)
        seconds = time.perf_counter() - started
        return self.record(
            result, data, settings, subject=dict(spec=name), device=_CPU, seconds=seconds
        )

    def record(
        self,
        result: Result,
        data: Any,
        settings: Any,
        *,
        subject: dict[str, Any],
        device: torch.device,
        seconds: float,
    ) -> Record:
        """Makes the record of a result: the only place where a benchmark's records are made.

        Args:
            result: of the run.
            data, settings: it was run with.
            subject: what was measured; the result may add to it.
            device: it ran on.
            seconds: it took, unless the result says so itself.
        """
        counts, groups = result.counts, getattr(data, "groups", None)
        if counts and groups is not None:
            counts = dict(groups=groups) | counts  # a run may draw larger groups together
        return Record(
            self.name,
            result.metrics,
            self.protocol(data, settings, result.facts),
            counts=counts,
            cost=dict(seconds=seconds) | result.cost,
            subject=subject | result.subject,
            versions=versions(str(device)) | result.versions,
        )

    def protocol(self, data: Any, settings: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
        """What the number depends on apart from the network: data, settings, and what a run derived
        from them.
        """
        protocol: dict[str, Any] = {} if "data" in facts else dict(data=data.protocol)
        for setting in fields(self.settings):
            value = getattr(settings, setting.name)
            as_before = came_later(setting) and value == setting.default
            if role_of(setting) is None and not as_before:
                protocol[setting.name] = list(value) if isinstance(value, tuple) else value
        return protocol | dict(facts)
