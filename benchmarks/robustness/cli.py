"""The command ``pixelpretext robustness``: from its arguments to records and tables, to a contact
sheet, to speeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.core.commands import RecordFile, choose_device, require_distinct
from benchmarks.core.record import Record, by_protocol, read_all
from benchmarks.finetune.classifier import Classifier
from benchmarks.report.renderers import print_tables, to_screen
from benchmarks.report.runs import Run
from benchmarks.report.table import Cell, Column, Entry, Row, Table, build, protocol_title
from benchmarks.robustness.folders import open_data
from benchmarks.robustness.measures import relative_to
from benchmarks.robustness.run import BENCHMARK, Settings
from benchmarks.robustness.sheet import contact_sheet, write_sheet
from benchmarks.robustness.speed import images_per_cpu_second
from pretrain.files import require_writable
from pretrain.progress import Bars

_RECORDS, _SHEET = "work_dirs/robustness.jsonl", "work_dirs/corruptions.png"
CLASSIFIER, RELATIVE = Column("classifier", is_text=True), Column("mCE, reference = 100")


@dataclass(frozen=True)
class Options:
    """What ``pixelpretext robustness`` is asked for: classifiers and data, or a sheet, or speeds.

    Attributes:
        classifiers: checkpoints of a fine-tuning.
        data: ``KIND:ROOT?options``.
        corruptions, severities: None: all.
        seed: of what is drawn for corrupted images.
        size: side of the input in pixels; None: the classifier's, 224 for a sheet.
        batch_size: images at once.
        device: None: cuda where it is.
        reference: file of records whose errors are the unit of one more mCE.
        sheet: image whose corruptions are drawn instead.
        shown: side of each picture in it.
        speed: measure the corruptions' speed instead.
        out: file of records, or of the sheet; None: a default of each.
    """

    classifiers: Sequence[str] = ()
    data: Sequence[str] = ()
    corruptions: Sequence[str] | None = None
    severities: Sequence[int] | None = None
    seed: int = 0
    size: int | None = None
    batch_size: int = 64
    device: str | None = None
    reference: str | None = None
    sheet: str | None = None
    shown: int | None = None
    speed: bool = False
    out: str | None = None


def measure(options: Options) -> None:
    """Does what the options ask for.

    Raises:
        ValueError, OSError: a mistake in them or in the data. Records made before it are kept.
    """
    console = Console()
    if options.sheet:
        out = options.out or _SHEET
        require_writable(out, "--out")
        write_sheet(
            contact_sheet(
                options.sheet, options.size or 224, shown=options.shown, seed=options.seed
            ),
            out,
        )
        console.print(f"{out}: 15 corruptions, 5 severities", markup=False, soft_wrap=True)
    elif options.speed:
        console.print(to_screen(_speeds(options.size or 224, console)))
    else:
        _evaluate(options, console)


def _evaluate(options: Options, console: Console) -> None:
    if not options.classifiers or not options.data:
        raise ValueError(
            "name one or more classifiers and --data KIND:ROOT, or --sheet IMAGE, or --speed"
        )
    chosen = dict(corruptions=options.corruptions, severities=options.severities)
    chosen = {name: values for name, values in chosen.items() if values is not None}
    settings = Settings(
        seed=options.seed, size=options.size, batch_size=options.batch_size, **chosen
    )
    written = RecordFile(options.out or _RECORDS, console)
    require_distinct(options.classifiers, "classifier")
    require_distinct(options.data, "--data")
    sets = [open_data(spec) for spec in options.data]
    reference = read_all(options.reference) if options.reference else []
    device = choose_device(options.device)
    classifiers = [Classifier.load(path, device) for path in options.classifiers]
    for data in sets:  # every mistake that can be found now is found before hours of work
        data.conditions(settings.corruptions, settings.severities)
        for classifier in classifiers:
            data.columns(classifier.classes)
    records: list[Record] = []
    try:
        for path, classifier in zip(options.classifiers, classifiers, strict=True):
            for spec, data in zip(options.data, sets, strict=True):
                with Bars(console) as bars, bars.bar(f"{path} {spec}") as progress:
                    record = BENCHMARK.measure(classifier, data, settings, progress=progress)
                    records.append(record)
                written.append(records[-1])
    finally:
        tables = [robustness_table(group, reference) for group in by_protocol(records)]
        names = [_spec(record) for record in records]
        width = max(12, console.width // (1 + len(classifiers)) - 4)
        print_tables(tables, console, names=names, width=width)
        written.summarise()
    written.require_whole()


def _spec(record: Record) -> str:
    return Path(str(record.subject.get("spec", "?"))).as_posix()


def robustness_table(group: Sequence[Record], reference: Sequence[Record] = ()) -> Table:
    """A column per classifier, a row per metric, in percent.

    Args:
        group: records of one protocol.
        reference: the newest record of the same protocol among them gives the unit of the row
            ``mCE, reference = 100``.
    """
    units = [record for record in reference if record.protocol_hash == group[0].protocol_hash]
    relative = bool(units) and "corruptions" in units[-1].counts
    entries = []
    for record in group:
        cells: dict[str, str | float] = {CLASSIFIER.name: _spec(record)}
        if relative:
            cells[RELATIVE.name] = relative_to(record, units[-1])
        entries.append(Entry(_spec(record), [Run(record, _spec(record))], cells))
    after = (RELATIVE,) if relative else ()
    table = build(
        entries, **protocol_title(group[0]), before=(CLASSIFIER,), after=after, mark_best=True
    )
    return table.transposed("metric")


def _speeds(size: int, console: Console) -> Table:
    """A row per corruption."""
    with Bars(console) as bars, bars.bar("speed") as progress:
        speeds = images_per_cpu_second(size, progress=progress)
    columns = (Column("corruption", is_text=True), Column("images per CPU second", digits=0))
    rows = [Row((Cell(name), Cell(speed))) for name, speed in speeds.items()]
    return Table(f"{size} x {size} pixels, one thread", columns, tuple(rows))
