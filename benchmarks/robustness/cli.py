"""The command ``tools/robustness.py``: from its arguments to records and tables, to a contact
sheet, to speeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.core.commands import (
    RecordFile,
    choose_device,
    full_names,
    require_distinct,
    shorten,
)
from benchmarks.core.record import Record, by_protocol, read_all
from benchmarks.finetune.classifier import Classifier
from benchmarks.robustness.folders import open_data
from benchmarks.robustness.measures import relative_to
from benchmarks.robustness.run import Settings, run
from benchmarks.robustness.sheet import contact_sheet, write_sheet
from benchmarks.robustness.speed import images_per_cpu_second
from pretrain.files import require_writable
from pretrain.progress import Bars

_RECORDS, _SHEET = "work_dirs/robustness.jsonl", "work_dirs/corruptions.png"


@dataclass(frozen=True)
class Options:
    """What ``tools/robustness.py`` is asked for: classifiers and data, or a sheet, or speeds.

    Attributes:
        classifiers: checkpoints of a fine-tuning. data: ``KIND:ROOT?options``.
        corruptions, severities: None: all. seed: of what is drawn for corrupted images.
        size: side of the input in pixels; None: the classifier's, 224 for a sheet. batch_size:
            images at once.
        device: None: cuda where it is. reference: file of records whose errors are the unit of one
            more mCE.
        sheet: image whose corruptions are drawn instead. shown: side of each picture in it.
        speed: measure the corruptions' speed instead. out: file of records, or of the sheet; None:
            a default of each.
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
        console.print(_speeds(options.size or 224, console))
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
                    records.append(run(classifier, data, settings, progress=progress))
                written.append(records[-1])
    finally:
        names = shorten(
            [_spec(record) for record in records],
            max(12, console.width // (1 + len(classifiers)) - 4),
        )
        for group in by_protocol(records):
            console.print(table(group, reference, short=names))
        for line in full_names(names):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        written.summarise()
    written.require_whole()


def _spec(record: Record) -> str:
    return Path(str(record.subject.get("spec", "?"))).as_posix()


def table(
    group: list[Record], reference: list[Record] = (), *, short: Mapping[str, str] | None = None
) -> Table:
    """A column per classifier, a row per metric, in percent; all records have one protocol.
    ``short`` gives what to print for a classifier, where that is not its path.

    The newest record of ``reference`` with the same protocol gives the unit of the row ``mCE,
    reference = 100``.
    """
    units = [record for record in reference if record.protocol_hash == group[0].protocol_hash]
    shown = Table(
        title=f"robustness · protocol {group[0].protocol_hash}", caption=group[0].protocol_line
    )
    shown.add_column(escape("error [%] ↓"))
    for record in group:
        name = _spec(record)
        shown.add_column(escape((short or {}).get(name, name)), justify="right", overflow="fold")
    for name in dict.fromkeys(name for record in group for name in record.metrics):
        values = [
            f"{record.metrics[name].value:.2f}" if name in record.metrics else ""
            for record in group
        ]
        shown.add_row(name, *values)
    if units and "corruptions" in units[-1].counts:
        shown.add_row(
            "mCE, reference = 100", *(f"{relative_to(record, units[-1]):.2f}" for record in group)
        )
    return shown


def _speeds(size: int, console: Console) -> Table:
    shown = Table(title=f"{size} x {size} pixels, one thread")
    shown.add_column("corruption")
    shown.add_column("images per CPU second", justify="right")
    with Bars(console) as bars, bars.bar("speed") as progress:
        speeds = images_per_cpu_second(size, progress=progress)
    for name, speed in speeds.items():
        shown.add_row(name, f"{speed:.0f}")
    return shown
