"""What ``pixelpretext runs`` prints of the registry."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain

from rich.console import Console

from benchmarks.compare.configs import differences, flatten
from benchmarks.core.record import Metric, Record
from benchmarks.runs.registry import Entry, matching, text_of

_SHOWN = 3  # metrics of a run in the list


def print_list(entries: Sequence[Entry], console: Console) -> None:
    """A line per run: name, kind, state, when it changed, its first numbers."""
    lines = []
    for entry in entries:
        metrics = [f"{name} {_number(metric)}" for name, metric in entry.metrics.items()]
        if len(metrics) > _SHOWN:
            metrics[_SHOWN:] = ["…"]
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.changed))
        lines.append((entry.name, entry.kind, entry.state, when, ", ".join(metrics)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        _print(["  ".join(cells).rstrip()], console)
    _print([f"{len(entries)} run{'' if len(entries) == 1 else 's'}"], console)


def print_run(entry: Entry, console: Console) -> None:
    """Everything that is known of one run."""
    lines = [f"{entry.name}: {entry.kind}, {entry.state}"]
    if entry.error:
        lines.append(f"error: {entry.error}")
    for benchmark, record in entry.records.items():
        lines += ["", f"{benchmark} {record.protocol_hash}"]
        for name, metric in record.metrics.items():
            lines.append(f"  {name} = {_number(metric)} ({metric.better} is better)")
        lines.append(f"  {record.protocol_line}")
        versions = ", ".join(f"{name} {value}" for name, value in record.versions.items())
        lines.append(f"  made with {versions}")
    if entry.curve is not None:
        lines += ["", f"curve: {entry.curve}"]
    lines += ["", "config:"]
    lines += [f"  {key} = {text_of(value)}" for key, value in entry.config.items()]
    _print(lines, console)


def print_difference(first: Entry, second: Entry, console: Console) -> None:
    """In what two runs differ: configs, protocols, versions, numbers."""
    lines = [f"{first.name} → {second.name}", "", "config:"]
    lines += _indented(differences(first.config, second.config))
    for benchmark in dict.fromkeys([*first.records, *second.records]):
        one, other = first.records.get(benchmark), second.records.get(benchmark)
        lines += ["", f"{benchmark}:"]
        if one is None or other is None:
            lines.append(f"  only {(first if other is None else second).name} has a record")
        else:
            lines += _of_records(one, other)
    _print(lines, console)


def _of_records(one: Record, other: Record) -> list[str]:
    if one.protocol_hash != other.protocol_hash:
        hashes = f"{one.protocol_hash} → {other.protocol_hash}"
        lines = [f"  protocols differ ({hashes}): do not compare the numbers"]
        lines += _indented(differences(flatten(one.protocol), flatten(other.protocol)))
    else:
        lines = [f"  one protocol, {one.protocol_hash}"]
        for name, metric in one.metrics.items():
            if name in other.metrics:
                after = other.metrics[name]
                change = after.value - metric.value
                lines.append(f"  {name}: {_number(metric)} → {_number(after)} ({change:+.4g})")
    return lines + _indented(differences(one.versions, other.versions), empty="same versions")


def print_best(entries: Sequence[Entry], metric: str, console: Console, *, top: int) -> None:
    """The runs with the best numbers, apart for each protocol.

    Raises:
        ValueError: no run has the metric; names those there are.
    """
    groups: dict[tuple[str, str], list[tuple[str, Metric]]] = {}
    for entry in entries:
        for column, value, protocol in matching(entry, metric):
            if value.defined:
                groups.setdefault((column, protocol), []).append((entry.name, value))
    if not groups:
        known = dict.fromkeys(chain.from_iterable(entry.metrics for entry in entries))
        raise ValueError(
            f"no run has the metric {metric!r}; there are {', '.join(known) or 'none'}"
        )
    for (column, protocol), group in groups.items():
        better, sign = group[0][1].better, -1 if group[0][1].better == "higher" else 1
        ranked = sorted(group, key=lambda item: sign * item[1].value)
        lines = [f"{column}, protocol {protocol}: the best of {len(group)} ({better} is better)"]
        lines += [f"  {_number(value)}  {name}" for name, value in ranked[:top]]
        _print([*lines, ""], console)
    _print(
        ["The best of many runs is optimistic; ranks of a comparison say who is apart."], console
    )


def _number(metric: Metric) -> str:
    return f"{metric.value:.4g}{'' if metric.unit in ('', '1') else f' {metric.unit}'}"


def _indented(lines: Sequence[str], empty: str = "no difference") -> list[str]:
    return [f"  {line}" for line in lines or [empty]]


def _print(lines: Sequence[str], console: Console) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
