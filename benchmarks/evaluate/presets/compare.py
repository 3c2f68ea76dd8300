"""What was measured held against what was published: ``published x, ours y ± z (n seeds)``.

z is half of the 95 % t-interval over seeds where something is trained, else half of the distance
between the 2.5 % and 97.5 % quantiles of a bootstrap over images. The two agree if

    |y − x| ≤ z + half a unit of x's last digit + tolerance

No source gives a tolerance: it is a choice of the preset, and printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.core.record import Record, is_baseline, upsampler_of
from benchmarks.core.statistics import Interval, t_interval
from benchmarks.core.upsamplers import NONE, kind_of
from benchmarks.evaluate.presets.load import load_preset
from benchmarks.evaluate.presets.preset import Preset, Published
from benchmarks.report.statistics.bootstrap import RESAMPLES, draw, image_sums

AGREES, DIFFERS, NOT_COMPARED = "agrees", "differs", "not compared"


@dataclass(frozen=True)
class Comparison:
    """One metric of one network under one preset.

    Attributes:
        label: the preset's name with its changes.
        network: as its user calls it.
        upsampler: behind which it was measured.
        metric: name.
        published: the row; None: there is none.
        ours: mean, half-width (None: not known) and how many.
        over: what ``ours`` counts: ``seeds``, ``images``, or ``groups`` of images that belong
            together.
        verdict: ``agrees``, ``differs`` or ``not compared``.
        reason: why it is not compared; else empty.
        record: of the run, the first where several were repeated.
        selection: how the value was chosen among trained states; empty where nothing is trained.
    """

    label: str
    network: str
    upsampler: str
    metric: str
    published: Published | None
    ours: Interval
    over: str
    verdict: str
    record: Record
    reason: str = ""
    selection: str = ""

    @property
    def numbers(self) -> str:
        """``published x, ours y ± z (n seeds)``."""
        digits = 2 if self.published is None else self.published.digits + 1
        row = self.published
        published = "–" if row is None else f"{row.value} ({row.kind}: {row.source})"
        half = "not known" if self.ours.half is None else f"{self.ours.half:.{digits}f}"
        over = self.over.removesuffix("s") if self.ours.n == 1 else self.over
        count = f" ({self.ours.n} {over})" if self.ours.n else ""
        return f"published {published}, ours {self.ours.mean:.{digits}f} ± {half}{count}"

    def __str__(self) -> str:
        behind = "" if self.upsampler == NONE else f" behind {self.upsampler}"
        reason = f" ({self.reason})" if self.reason else ""
        chosen = f"; reported: {self.selection}" if self.selection else ""
        return (
            f"{self.label}, {self.network}{behind}, {self.metric}: {self.numbers}: "
            f"{self.verdict}{reason}{chosen}"
        )


def compare(records: Sequence[Record]) -> list[Comparison]:
    """Holds records of presets against the published rows; others are passed over.

    Args:
        records: of any benchmarks; those of one preset, network and upsampler are repetitions.
    """
    compared: list[Comparison] = []
    for group in repetitions([record for record in records if "preset" in record.subject]):
        stated = group[0].subject["preset"]
        preset = load_preset(stated["file"])
        for metric in preset.tolerance:
            if metric in group[0].metrics:
                compared += _compare(preset, group, metric)
    return compared


def repetitions(records: Iterable[Record]) -> list[list[Record]]:
    """Records by protocol, network and upsampler; of one seed, or without one, the last one.

    Args:
        records: of any benchmarks; trivial predictors are left out.
    """
    groups: dict[tuple, dict[int | None, Record]] = {}
    for record in records:
        if not is_baseline(record):
            network = record.subject["spec"], record.subject.get("fingerprint")
            key = record.protocol_hash, *network, upsampler_of(record.subject)
            seed = record.subject.get("preset", {}).get("seed")
            groups.setdefault(key, {})[seed] = record
    return [list(group.values()) for group in groups.values()]


def without_preset(records: Sequence[Record]) -> list[Comparison]:
    """What other records measured: every metric of the benchmark, and nothing published.

    Args:
        records: of any benchmarks; those of presets are passed over.
    """
    lines = []
    for (record,) in repetitions([one for one in records if "preset" not in one.subject]):
        for metric in record.metrics:
            ours, over = over_images(record, metric)
            line = Comparison(
                label=record.benchmark,
                network=str(record.subject["spec"]),
                upsampler=upsampler_of(record.subject),
                metric=metric,
                published=None,
                ours=ours,
                over=over,
                verdict=NOT_COMPARED,
                record=record,
                reason="no preset",
            )
            lines.append(line)
    return lines


def _compare(preset: Preset, group: Sequence[Record], metric: str) -> Iterator[Comparison]:
    first = group[0]
    stated, upsampler = first.subject["preset"], upsampler_of(first.subject)
    trained = preset.seed is not None
    ours, over = _over_seeds(group, metric) if trained else over_images(first, metric)
    reason = _why_not(preset, first)
    rows: list[Published | None] = []
    for row in preset.published:
        same = row.model == stated["model"] and row.metric == metric
        if same and (row.upsampler or NONE).casefold() == kind_of(upsampler) and not reason:
            rows.append(row)
    if not rows:
        behind = "" if upsampler == NONE else f" behind {upsampler}"
        reason = reason or f"nothing is published for {stated['model']}{behind}"
    for row in rows or (None,):
        verdict, why = NOT_COMPARED, reason
        if row is not None:
            verdict, why = judge(row, ours, tolerance=preset.tolerance[metric], over=over)
        yield Comparison(
            label=stated["label"],
            network=str(first.subject["spec"]),
            upsampler=upsampler,
            metric=metric,
            published=row,
            ours=ours,
            over=over,
            verdict=verdict,
            record=first,
            reason=why,
            selection=preset.selection if trained else "",
        )


def judge(row: Published, ours: Interval, *, tolerance: float, over: str) -> tuple[str, str]:
    """Returns the verdict and, where the two are not compared, the reason.

    Args:
        row: published.
        ours: measured; without a half-width only what agrees without one is decided.
        tolerance: in the metric's unit.
        over: what the interval is over: ``seeds`` or ``images``.
    """
    if row.comparable:
        return NOT_COMPARED, row.comparable
    if not ours.defined:
        return NOT_COMPARED, "ours is not defined"
    allowed = row.half_unit + tolerance + (ours.half or 0.0)
    # the sums of decimal fractions are off by rounding: 77.0 and 76.65 are within .35 of each other
    if abs(ours.mean - row.number) <= allowed + 1e-9:
        return AGREES, ""
    if ours.half is None:
        cure = "at least two --seeds" if over == "seeds" else "what each image gave"
        return NOT_COMPARED, f"an interval is needed, which takes {cure}"
    return DIFFERS, ""


def _why_not(preset: Preset, record: Record) -> str:
    """Why no published number may stand beside a record; empty: one may."""
    stated = record.subject["preset"]
    if stated["changed"]:
        return "settings were changed"
    if stated["limited"]:
        return f"limited: {stated['limited']}"
    if stated["version"] != preset.version:
        return f"made with version {stated['version']} of the preset, which is {preset.version} now"
    if stated["model"] is None:
        return "no row says it is this network; --published-as MODEL names one"
    return ""


def _over_seeds(group: Sequence[Record], metric: str) -> tuple[Interval, str]:
    return t_interval([record.metrics[metric].value for record in group]), "seeds"


def over_images(record: Record, metric: str) -> tuple[Interval, str]:
    """The number of a record, half of its 95 % interval over draws of its images, or of groups of
    them, and which of both; 0 of them where the record does not keep what each image gave.
    """
    value, sums = record.metrics[metric].value, image_sums(record, metric)
    if sums is None:
        return Interval(value, None, 0), "images"
    over = "images" if sums.groups is None else "groups"
    units = len(sums.images) if sums.groups is None else len(np.unique(sums.groups))
    if units < 2:
        return Interval(value, None, units), over
    drawn, _ = draw([sums], resamples=RESAMPLES)
    low, high = np.nanquantile(drawn[:, 0], (0.025, 0.975))
    return Interval(value, float(high - low) / 2, units), over
