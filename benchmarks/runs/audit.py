"""An outside check of a comparison: everything its table says of ranks, computed a second time.

This module and :mod:`recomputed` share no code with the rest of the project. They read
``records.jsonl`` and ``table.json`` as plain JSON, need numpy and scipy only, and compute in other
ways where there are other ways: quantiles of the studentised range are scipy's, letters are the
largest sets of arms that are not apart, images are drawn by index. Draws of images and of Levene's
test repeat the generators that :mod:`benchmarks.report.statistics.ranking` names, so that
``TOLERANCE`` covers rounding, not luck.

Not checked: the power of the comparison (detectable difference, seeds needed), marginal means of a
sweep, and further statistics that a comparison asks for.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.runs.recomputed import Cells, counts_of, metric_of, planned, rank, with_metric

TOLERANCE = 1e-6  # relative; the table's quantiles are accurate to about 1e-9
_CLOSE_TO_ZERO = 1e-9  # absolute
_P_TOLERANCE = 2e-4  # Levene's p counts 10,000 tables: two more or less on the edge


def find(path: Path) -> list[tuple[Path, Path]]:
    """Files (table, records) of the comparisons at a path.

    Args:
        path: a comparison's work folder; or a published ``NAME.json`` with
            ``records/NAME.jsonl.gz`` beside it, with or without ``.json``; or a folder of those.

    Raises:
        FileNotFoundError: there is none.
    """
    pairs = []
    if (path / "table.json").is_file():
        pairs = [(path / "table.json", path / "records.jsonl")]
    elif path.is_dir():
        pairs = [(table, _published(table)) for table in sorted(path.glob("*.json"))]
    elif path.with_suffix(".json").is_file():
        pairs = [(path.with_suffix(".json"), _published(path))]
    if not pairs:
        raise FileNotFoundError(
            f"{path}: neither a comparison's folder (table.json, records.jsonl) nor published "
            "results (NAME.json, records/NAME.jsonl.gz)"
        )
    for table, records in pairs:
        packed = records.with_name(records.name + ".gz")
        if not records.is_file() and not packed.is_file():
            raise FileNotFoundError(f"{table}: its records are missing; expected {records} or .gz")
    return [(table, file if file.is_file() else Path(f"{file}.gz")) for table, file in pairs]


def _published(table: Path) -> Path:
    return table.parent / "records" / f"{table.stem}.jsonl"


def audit(table_file: Path, records_file: Path) -> tuple[int, list[str]]:
    """Recomputes a table.

    Args:
        table_file: ``table.json`` of the comparison.
        records_file: ``records.jsonl`` of the comparison, plain or ``.gz``.

    Returns:
        How many values were compared, and one line for each that disagrees.

    Raises:
        ValueError: a file is not what it should be; names it.
    """
    opener = gzip.open if records_file.suffix == ".gz" else open
    try:
        table = json.loads(table_file.read_text(encoding="utf-8"))
        with opener(records_file, "rt", encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines if line.strip()]
        rankings, hashes = table["rankings"], table["protocol_hashes"]
        cells = _by_benchmark(records)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{table_file}, {records_file.name}: cannot be read as a comparison's table and "
            f"records ({error!r}); pixelpretext compare … --table-only writes both anew"
        ) from error
    check = _Check()
    for record in records:
        _check_record(record, hashes, check)
    _check_values(table["values"], records, check)
    for column in table["better"]:
        benchmark, metric = column.split(".", 1)
        own = rank(column, metric, with_metric(cells.get(benchmark, {}), metric), table)
        check.equal(f"rankings {column}", rankings.get(column), own)
        _check_rows(table, column, own, check)
    if table.get("planned"):
        benchmark, metric = table["planned"]["column"].split(".", 1)
        own = planned(table["planned"], cells.get(benchmark, {}), metric)
        check.equal("planned", table["planned"], own)
    return check.count, check.disagreements


class _Check:
    """Compares what is printed with what the records give."""

    def __init__(self) -> None:
        self.count = 0
        self.disagreements: list[str] = []

    def equal(self, place: str, printed: Any, own: Any, tolerance: float = TOLERANCE) -> None:
        """Notes where ``printed`` differs; of a dict only what ``own`` holds is compared."""
        if isinstance(own, dict) and isinstance(printed, dict):
            for key, value in own.items():
                limit = _P_TOLERANCE if key == "levene_p" else tolerance
                self.equal(f"{place}, {key}", printed.get(key), value, limit)
        elif isinstance(own, list) and isinstance(printed, list) and len(own) == len(printed):
            for number, (one, other) in enumerate(zip(printed, own, strict=True), start=1):
                self.equal(f"{place} {_name(other, number)}", one, other, tolerance)
        else:
            self.count += 1
            if not _is_close(printed, own, tolerance):
                self.disagreements.append(
                    f"{place}: the table says {_short(printed)}, the records give {_short(own)}"
                )


def _name(item: Any, number: int) -> str:
    if isinstance(item, dict) and "arm" in item:
        return item["arm"]
    if isinstance(item, dict) and "first" in item:
        return f"{item['first']} − {item['second']}"
    return str(number)


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _is_close(printed: Any, own: Any, tolerance: float) -> bool:
    numbers = [value for value in (printed, own) if isinstance(value, int | float)]
    if len(numbers) == 2:
        return math.isclose(printed, own, rel_tol=tolerance, abs_tol=_CLOSE_TO_ZERO) or (
            math.isnan(printed) and math.isnan(own)
        )
    return printed == own


def _by_benchmark(records: Sequence[dict[str, Any]]) -> dict[str, Cells]:
    cells: dict[str, Cells] = {}
    for record in records:
        trial = record["subject"]["trial"]
        arms = cells.setdefault(trial["benchmark"], {})
        arms.setdefault(trial["arm"], {})[trial["seed"]] = record
    return cells


def _check_record(record: dict[str, Any], hashes: dict[str, str], check: _Check) -> None:
    """The record's hash is that of its protocol and its column's; its counts give its numbers."""
    trial = record["subject"]["trial"]
    place = f"record {trial['arm']}/seed_{trial['seed']} {trial['benchmark']}"
    content = json.dumps(
        [record["benchmark"], record["protocol"]], sort_keys=True, separators=(",", ":")
    )
    own = hashlib.sha256(content.encode()).hexdigest()[:12]
    check.equal(f"{place}, protocol_hash of the record", record["protocol_hash"], own)
    check.equal(f"{place}, protocol_hash of its column", hashes.get(trial["benchmark"]), own)
    if record["protocol"].get("matching", "identity") != "identity":
        return  # counts before classes were renamed
    for name, metric in record["metrics"].items():
        counts = counts_of(record["counts"], name)
        if counts is not None and metric["value"] is not None:
            check.equal(f"{place}, {name} and its counts", metric["value"], metric_of(counts))


def _check_values(
    printed: Sequence[dict[str, Any]], records: Sequence[dict[str, Any]], check: _Check
) -> None:
    """The table has every record's numbers, once, and no others."""
    listed, own = {}, {}
    for line in printed:
        listed[line["arm"], line["seed"], line["column"]] = line["value"]
    for record in records:
        trial = record["subject"]["trial"]
        for name, metric in record["metrics"].items():
            own[trial["arm"], trial["seed"], f"{trial['benchmark']}.{name}"] = metric["value"]
    for arm, seed, column in listed.keys() | own.keys():
        key, place = (arm, seed, column), f"value of {arm}/seed_{seed}, {column}"
        check.equal(place, listed.get(key, "nothing"), own.get(key, "nothing"))
    check.equal("number of values", len(printed), len(own))
    measured = sum(len(record["metrics"]) for record in records)
    check.equal("number of values, each record once", len(own), measured)


def _check_rows(
    table: dict[str, Any], column: str, own: dict[str, Any] | None, check: _Check
) -> None:
    """The cells of the table itself: means, half-widths, and the ranks of the primary metric."""
    rows = {row["arm"]: row for row in table["rows"]}
    ranked = []
    for arm in own["arms"] if own else ():
        row, place = rows.get(arm["arm"], {}), f"row {arm['arm']}"
        check.equal(f"{place}, {column}", row.get(column), arm["mean"])
        check.equal(f"{place}, {column} ±", row.get(f"{column} ±"), arm["half"])
        ranked.append(arm["arm"])
        if column == table["primary"]:
            low, high = arm["low"], arm["high"]
            text = str(low) if low == high else f"{low}–{high}"
            check.equal(f"{place}, rank", str(row.get("rank")), text)
            if "letters" in row:
                check.equal(f"{place}, letters", row["letters"], arm["letters"])
    if column == table["primary"] and own:
        shown = [arm for arm in rows if arm in ranked]
        check.equal("order of the rows", ", ".join(shown), ", ".join(ranked))
