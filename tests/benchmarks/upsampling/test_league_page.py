"""What a league's page says of made-up records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.core.record import Metric, Record
from benchmarks.evaluate.suite import BENCHMARKS, Task
from benchmarks.upsampling.league.costs import Cost, Costs
from benchmarks.upsampling.league.page import Page, conclusion, write_page
from benchmarks.upsampling.league.plan import FIXED, Entrant, League, Options

VALUES = dict.fromkeys(FIXED, 45.0) | dict(blur=46.0, neighbourhood=47.0)
TASK = Task("probe", BENCHMARKS["probe"], None, None)


def page(folder: Path, stacks: Sequence[Sequence[float]], **changes: float) -> Page:
    """A league of as many networks as there are lists of the stacks' values."""
    names = [f"net{number}" for number in range(len(stacks))]
    options = Options(
        networks=names,
        data=[],
        photos="photos",
        seeds=len(stacks[0]),
        samples=(400,),
        work_dir=str(folder),
    )
    entrants = tuple(Entrant(name, folder / name, 16, 8) for name in names)
    league = League(options, "cpu", (TASK,), entrants, 10, ())
    measured = {}
    for entrant, own in zip(entrants, stacks, strict=True):
        for name, specs in league.arms(entrant, 400).items():
            for seed, spec in enumerate(specs):
                value = own[seed] if name == "jbu" else (VALUES | changes)[name]
                subject = dict(spec=entrant.spec, backbone={}, stride=1)
                metrics = {"mIoU": Metric(value, "%"), "pixel_accuracy": Metric(80.0, "%")}
                record = Record("probe", metrics, dict(size=8), subject=subject)
                measured[entrant.spec, "probe", spec] = record
    setting = dict(image=[8, 8], output=[8, 8], device="cpu", threads=1)
    cost = dict.fromkeys((*FIXED, "jbu", "neighbourhood"), Cost(5, 1.25, 50, None))
    return Page(league, measured, dict.fromkeys(names, Costs(setting, 2.0, cost, {})), "league …")


def test_the_stack_is_compared_by_its_own_spread(tmp_path: Path) -> None:
    """Differences 5, 6, 7 to bilinear over three trainings: s = 1, and t at 1 − .05/4 with two
    degrees is 6.205: 6 ± 3.58; only two of the three pairs vary. The others' zero spread is never
    pooled with it.
    """
    (section,) = page(tmp_path, [(50.0, 51.0, 52.0)]).sections()
    assert section.against("mIoU", "bilinear") == "+6.00 ± 3.58, better"
    assert section.against("mIoU", "blur") == "+5.00 ± 3.58, better"
    assert section.answer == "holds" and section.duel("mIoU").method == "holm"


@pytest.mark.parametrize(
    ("stack", "blur", "answer"),
    [
        ((50.0, 51.0, 52.0), 46.0, "holds"),
        ((50.0, 51.0, 52.0), 60.0, "does not hold"),
        ((50.0, 51.0, 52.0), 50.5, "is not decided"),
        ((50.0,), 46.0, "is not decided"),
    ],
)
def test_the_answer_needs_both_rivals(
    stack: tuple[float, ...], blur: float, answer: str, tmp_path: Path
) -> None:
    (section,) = page(tmp_path, [stack], blur=blur).sections()
    assert section.answer == answer


def test_a_page_has_a_row_for_every_condition_and_one_last_line(tmp_path: Path) -> None:
    made = page(tmp_path, [(50.0, 51.0, 52.0), (45.0, 46.0, 47.0)])
    written = write_page(made)
    (table,) = written.conditions
    assert [line[:6] for line in table.lines()] == [
        ["net0", "16", "8", "400", "45.00", "+6.00 ± 3.58, better"],
        ["net1", "16", "8", "400", "45.00", "+1.00 ± 3.58, not separable"],
    ]
    assert written.conclusion == conclusion(made.sections())
    assert written.conclusion == (
        "That a trained stack is above bilinear and above a blur holds in probe.mIoU of net0 "
        "(stride 16, 400 photos shown); is not decided in probe.mIoU of net1 (stride 16, 400 "
        "photos shown)."
    )
    text = written.path.read_text()
    assert text.count("## probe: net") == 2 and written.conclusion in text
    assert "| 51.00 ± 2.48 | " in text and "| 5 | 1.2 | – |" in text
