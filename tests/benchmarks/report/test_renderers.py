"""One table as text in every form: the same words, numbers unrounded where machines read."""

from __future__ import annotations

import io
import math

from rich.console import Console

from benchmarks.core.statistics import Interval
from benchmarks.report.renderers import (
    plain_table,
    print_tables,
    to_frame,
    to_latex,
    to_markdown,
    to_screen,
)
from benchmarks.report.table import Cell, Column, Row, Table

COLUMNS = (
    Column("network", is_text=True),
    Column("seg.mIoU", group="seg", unit="%", better="higher"),
    Column("seg.RMSE", group="seg", unit="m", better="lower"),
    Column("s", digits=0),
)
ROWS = (
    Row((Cell("a_<1>"), Cell(Interval(31.25, 2.5, 3), best=True), Cell(), Cell(1200.4))),
    Row((Cell("b[x]"), Cell(Interval(math.nan, None, 2)), Cell(Interval(1.0, None, 1)), Cell(3))),
    Row((Cell("majority"), Cell(Interval(4.0, None, 1)), Cell(), Cell()), "baseline"),
)
TABLE = Table("a title", COLUMNS, ROWS, "size=1", ("a note",))


def test_screen() -> None:
    out = io.StringIO()
    Console(file=out, width=90).print(to_screen(TABLE))
    text = out.getvalue()
    for words in ("a title", "size=1", "a note", "b[x]", "31.25 ± 2.50", "(majority)", "1,200"):
        assert words in text
    lines = [line.replace(" ", "") for line in text.splitlines()]
    assert any("seg┃seg" in line for line in lines) and any("RMSE" in line for line in lines)


def test_names_that_are_too_long_are_shortened_and_told_in_full() -> None:
    long = "work_dirs/comparison/an_arm_with_a_long_name/seed_{}/final.pth"
    rows = tuple(Row((Cell(long.format(i)), *ROWS[0].cells[1:])) for i in range(2))
    out = io.StringIO()
    print_tables([Table("t", COLUMNS, rows)], Console(file=out, width=80))
    text = out.getvalue()
    assert text.count("…") >= 4
    for i in range(2):
        assert any(line.endswith(f"= {long.format(i)}") for line in text.splitlines())


def test_a_table_of_many_columns_is_turned_on_a_narrow_terminal() -> None:
    many = tuple(
        Column(f"m.a_long_name_{i}", group="m", unit="%", better="higher") for i in range(9)
    )
    cells = tuple(Cell(Interval(100.0 + i, None, 1), best=i == 3) for i in range(9))
    rows = (Row((Cell("net[1]"), *cells)), Row((Cell("chance"), *cells), "baseline"))
    table = Table("many", (COLUMNS[0], *many), rows, "size=1")
    out = {}
    for width in (80, 140):
        console = Console(file=io.StringIO(), width=width)
        print_tables([table], console)
        out[width] = console.file.getvalue().splitlines()
    narrow, wide = ([line for line in out[width] if "103.00" in line] for width in (80, 140))
    assert len(narrow) == 1 and "m a_long_name_3 [%]" in narrow[0] and "102.00" not in narrow[0]
    assert narrow[0].count("103.00") == 2 and any("net[1]" in line for line in out[80])
    assert len(wide) == 2 and "102.00" in wide[0]
    assert any("size=1" in line for line in out[80]) and any("many" in line for line in out[80])


def test_markdown() -> None:
    assert to_markdown(TABLE) == [
        "| network | seg.mIoU [%] | seg.RMSE [m] ↓ | s |",
        "|---|---|---|---|",
        "| a_<1> | **31.25 ± 2.50** | – | 1,200 |",
        "| b[x] | not defined | 1.00 | 3 |",
        "| (majority) | 4.00 | – | – |",
    ]


def test_latex() -> None:
    text = to_latex(TABLE)
    assert text.startswith("\\begin{tabular}{lrrr}\n\\toprule\n")
    assert r"seg.RMSE [m] $\downarrow$" in text
    assert r"a\_<1> & \textbf{31.25 $\pm$ 2.50} & -- & 1,200 \\" in text
    assert r"seg.mIoU [\%]" in text and text.endswith("\\bottomrule\n\\end{tabular}\n")


def test_numbers_are_not_rounded_and_have_their_half_width_beside() -> None:
    frame = to_frame(TABLE)
    assert list(frame) == ["network", "seg.mIoU", "seg.mIoU ±", "seg.RMSE", "seg.RMSE ±", "s"]
    assert frame["network"].tolist() == ["a_<1>", "b[x]", "baseline majority"]
    assert frame["seg.mIoU ±"][0] == 2.5 and frame["s"][0] == 1200.4
    plain = plain_table(TABLE)
    assert plain["rows"][1]["seg.mIoU"] is None and plain["rows"][1]["seg.RMSE"] == 1.0
    assert plain["columns"][2] == dict(name="seg.RMSE", unit="m", better="lower")
    assert plain["columns"][0]["better"] is None and plain["notes"] == ["a note"]
