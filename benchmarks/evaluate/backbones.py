"""The table of backbones: records become its lines, as Markdown, CSV, and a page that sorts and
filters in a browser.

The records beside it are the only source: adding some writes everything anew.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.core.record import Record, read_all
from benchmarks.evaluate.presets.compare import (
    Comparison,
    compare,
    repetitions,
    without_preset,
)
from benchmarks.report.renderers import to_frame, to_markdown
from benchmarks.report.table import Column, Row, Table
from benchmarks.report.templating import render
from benchmarks.report.view import show
from pretrain.files import atomic_write

TITLE = "Backbones"
RECORDS, CSV = Path("results/records/backbones.jsonl.gz"), Path("results/backbones.csv")
HTML, MARKDOWN = Path("results/backbones.html"), Path("backbones.md")
COMMAND = "pixelpretext backbones work_dirs/evaluations.jsonl --into docs"
_START, _END = "<!-- table: docs/results/backbones.csv -->", "<!-- end of table -->"
_PLACE = re.compile(f"{re.escape(_START)}\n.*?{re.escape(_END)}", re.DOTALL)

_COLUMNS = (
    Column("network", is_text=True),
    Column("protocol", label="preset or benchmark", is_text=True),
    Column("upsampler", is_text=True),
    Column("metric", is_text=True),
    Column("published", is_text=True),
    Column("source", is_text=True),
    Column("ours", digits=3),
    Column("n", is_text=True),
    Column("verdict", is_text=True),
    Column("hash", is_text=True),
)


def add_records(records: Sequence[Record], folder: str | Path) -> Path:
    """Adds records to the table of a folder, and writes the table, its CSV and its page anew.

    A record of a protocol, network, upsampler and seed that is there already takes the old one's
    place. Where its data and network lie on this machine is not kept.

    Args:
        records: of any benchmarks; those of trivial predictors are left out.
        folder: of the documentation; its ``backbones.md`` holds the table between two comments.

    Returns:
        The page.

    Raises:
        ValueError: nothing to add, or ``backbones.md`` has no place for the table.
        OSError: a file cannot be read or written.
    """
    folder, text = Path(folder), require_table(folder)
    page = folder / MARKDOWN
    known = read_packed(folder / RECORDS)
    stripped = [_without_places(record) for record in records]
    if not repetitions(stripped):
        raise ValueError("there is no record of a network to add")
    kept = [record for group in repetitions([*known, *stripped]) for record in group]
    table = table_of(kept)
    (folder / RECORDS).parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{record.to_json()}\n" for record in kept)
    # No time of writing in it: the same records make the same file.
    atomic_write(folder / RECORDS, gzip.compress(lines.encode(), mtime=0))
    atomic_write(folder / CSV, csv_of(table))
    shown = "\n".join([_START, *to_markdown(table), _END])
    atomic_write(page, _PLACE.sub(lambda _: shown, text))
    atomic_write(folder / HTML, page_of(table))
    return folder / HTML


def require_table(folder: str | Path) -> str:
    """Returns the text of a folder's page, before anything is measured for it.

    Raises:
        ValueError: it has no place for the table.
        OSError: it is not there.
    """
    page = Path(folder) / MARKDOWN
    text = page.read_text(encoding="utf-8")
    if not _PLACE.search(text):
        raise ValueError(f"{page}: the table belongs between the lines {_START!r} and {_END!r}")
    return text


def table_of(records: Sequence[Record]) -> Table:
    """The table of records: one line per network, protocol, metric and published number.

    Args:
        records: of any benchmarks; numbers of unequal protocols have unequal ``hash``.
    """
    lines = [*compare(records), *without_preset(records)]
    lines.sort(key=lambda line: (line.label, line.metric, line.network, line.upsampler))
    return Table(TITLE, _COLUMNS, tuple(map(_row, lines)))


def csv_of(table: Table) -> str:
    """The table as numbers."""
    return to_frame(table).to_csv(index=False, lineterminator="\n")


def page_of(table: Table) -> str:
    """The page of a table."""
    return render(
        "backbones.html",
        title=TITLE,
        command=COMMAND,
        shown=show(table, TITLE),
        links=[(CSV.name, "the table as numbers, CSV")],
    )


def _row(line: Comparison) -> Row:
    published, reason = line.published, f": {line.reason}" if line.reason else ""
    return Row.of(
        line.network,
        line.label,
        line.upsampler,
        line.metric,
        None if published is None else published.value,
        None if published is None else f"{published.kind}: {published.source}",
        line.ours,
        f"{line.ours.n} {line.over}" if line.ours.n else None,
        f"{line.verdict}{reason}",
        line.record.protocol_hash,
    )


def _without_places(record: Record) -> Record:
    subject = {key: value for key, value in record.subject.items() if key != "request"}
    return replace(record, subject=subject)


def read_packed(path: Path) -> list[Record]:
    """The records of a table; none where there is no table yet."""
    if not path.exists():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [Record.from_json(line) for line in file]


def read_records(paths: Sequence[str]) -> list[Record]:
    """Reads files of records, one after the other.

    Raises:
        ValueError: as :func:`benchmarks.core.record.read_all`.
        OSError: a file is missing.
    """
    records = []
    for path in paths:
        records += read_all(path)
    return records
