"""The tables of a league: one per network, length of training and benchmark; conditions beside what
came out under them; and the answer to FeatUp's question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.core.commands import shorten
from benchmarks.core.record import Record
from benchmarks.evaluate.suite import Task
from benchmarks.report.renderers import plain_table, to_markdown
from benchmarks.report.runs import Run, sample_of
from benchmarks.report.statistics.ranking import Ranking, intervals_of, rank, rankings_of
from benchmarks.report.statistics.ranks import RANKS, with_rankings
from benchmarks.report.statistics.sentences import summary
from benchmarks.report.statistics.verdict import BETTER, WORSE, pair_of, verdict, verdict_of
from benchmarks.report.table import Column, Entry, Row, Table, build, metrics_of
from benchmarks.upsampling.league.costs import Cost, Costs
from benchmarks.upsampling.league.plan import CONTROL, REFERENCE, SHARED, STACK, Entrant, League
from pretrain.files import atomic_write

Runs = dict[str, list[Run]]  # upsampler -> its runs, one per seed

_UPSAMPLER = Column("upsampler", is_text=True)
_COSTS = (
    Column("parameters", digits=0),
    Column("ms", "ms per image", digits=1),
    Column("MB", digits=0),
)
_RIVALS = (REFERENCE, CONTROL)
_NAME = 48  # characters of a network's name in the last line
ANSWERS = ("holds", "does not hold", "is not decided")


@dataclass(frozen=True)
class Section:
    """One benchmark of one network with one length of training.

    Attributes:
        entrant, samples, task: which.
        runs: of the upsamplers that share bilinear's protocol.
        apart: of those that do not, as a network on its own grid.
        metric: the benchmark's most important one.
    """

    entrant: Entrant
    samples: int
    task: Task
    runs: Runs
    apart: Runs
    metric: str

    def named(self, network: str) -> str:
        """The conditions in words, with a name for the network."""
        return f"{network} (stride {self.entrant.stride}, {self.samples:,} photos shown)"

    @property
    def reference(self) -> Record:
        """Bilinear's record."""
        return self.runs[REFERENCE][0].record

    def duel(self, metric: str) -> Ranking | None:
        """The stack, bilinear and the blur by themselves: what was to be compared from the start;
        None for one training.
        """
        names = (STACK, *_RIVALS)
        return rank([sample_of(n, self.runs[n], metric) for n in names], pooled=False)

    def against(self, metric: str, rival: str) -> str | None:
        """``+1.3 ± 0.9, better``: the stack against a rival."""
        duel = self.duel(metric)
        if duel is None:
            return None
        samples = [sample_of(name, self.runs[name], metric) for name in (STACK, rival)]
        return verdict(*samples, rankings={metric: duel})

    @property
    def answer(self) -> str:
        """Of :data:`ANSWERS`: whether the stack is above bilinear and the blur."""
        duel = self.duel(self.metric)
        outcomes = []
        for rival in _RIVALS if duel else ():
            outcomes.append(verdict_of(pair_of(duel, STACK, rival), STACK))
        if outcomes == [BETTER] * len(_RIVALS):
            return ANSWERS[0]
        return ANSWERS[1] if WORSE in outcomes else ANSWERS[2]


@dataclass(frozen=True)
class Page:
    """What a page is made of.

    Attributes:
        league: what was run.
        measured: as in :class:`benchmarks.upsampling.league.run.Records`.
        costs: network -> what upsamplers take.
        command: that was typed.
    """

    league: League
    measured: Mapping[tuple[str, str, str], Record]
    costs: Mapping[str, Costs]
    command: str

    def sections(self) -> list[Section]:
        """All tables, network by network."""
        return [
            self._section(entrant, samples, task)
            for entrant, samples in self.league.sections()
            for task in self.league.tasks
        ]

    def _section(self, entrant: Entrant, samples: int, task: Task) -> Section:
        runs: Runs = {}
        for name, specs in self.league.arms(entrant, samples).items():
            own = []
            for seed, spec in enumerate(specs):
                record = self.measured[entrant.spec, task.name, spec]
                own.append(Run(record, f"{name} on {entrant.spec}, seed {seed}", seed))
            runs[name] = own
        reference = runs[REFERENCE][0].record
        same, apart = {}, {}
        for name, own in runs.items():
            is_same = own[0].record.protocol_hash == reference.protocol_hash
            (same if is_same else apart)[name] = own
        metric = next(name for name in task.benchmark.metrics if name in reference.metrics)
        return Section(entrant, samples, task, same, apart, metric)


@dataclass(frozen=True)
class Written:
    """A page that was written.

    Attributes:
        path: of its Markdown.
        conditions: a table per benchmark, a row per network and length of training.
        conclusion: the last line.
    """

    path: Path
    conditions: list[Table]
    conclusion: str


def write_page(page: Page) -> Written:
    """Writes ``league.md`` and ``league.json`` into the league's folder."""
    sections = page.sections()
    conditions = [conditions_table(sections, task) for task in page.league.tasks]
    tables, lines = [], []
    for section in sections:
        rankings, costs = _rankings(section), page.costs[section.entrant.spec]
        tables.append(league_table(section, costs, rankings))
        lines += [f"## {tables[-1].title}", "", *to_markdown(tables[-1]), ""]
        notes = [*below(section, rankings), str(costs)]
        notes.append(f"Protocol: {section.reference.protocol_line}")
        lines += ["\n\n".join(notes), ""]
    answer = conclusion(sections)
    head = ["# Upsampler league", "", f"`{page.command}`", "", *_terms(page.league), ""]
    for table in conditions:
        head += [f"**{table.title}**", "", *to_markdown(table), ""]
    folder = page.league.folder
    atomic_write(folder / "league.md", "\n".join([*head, answer, "", *lines]))
    plain = dict(
        command=page.command,
        conditions=list(map(plain_table, conditions)),
        tables=list(map(plain_table, tables)),
        answers=[dict(_conditions(one), answer=one.answer) for one in sections],
        conclusion=answer,
    )
    atomic_write(folder / "league.json", json.dumps(plain, indent=1))
    return Written(folder / "league.md", conditions, answer)


def _terms(league: League) -> list[str]:
    """What holds for all tables."""
    options = league.options
    settings = f" Settings: {', '.join(options.cfg_options)}." if options.cfg_options else ""
    return [
        f"`{STACK}` was trained {options.seeds} times on each network (seeds from 0), `{SHARED}` "
        f"once for all, on the finest map, on crops of {options.size} pixels of {league.photos:,} "
        f"photos.{settings} Everything else is the same for all: features, benchmark, settings and "
        f"seed. A seed is a training of the stack. `{SHARED}` and upsamplers without training are "
        "the same for every seed: their ± is over images alone, where records count these.",
        *(f"\n**{sentence}**" for sentence in league.shared),
    ]


def _rankings(section: Section) -> dict[str, Ranking]:
    """Metric -> the ranking of all upsamplers of one protocol."""
    metrics = list(metrics_of(list(chain(*section.runs.values()))))
    return rankings_of(section.runs, metrics, pooled=False)


def league_table(section: Section, costs: Costs, rankings: Mapping[str, Ranking]) -> Table:
    """A row per upsampler: means, ranks with letters, costs."""
    entries = []
    for name, runs in section.runs.items():
        cells = {_UPSAMPLER.name: name} | _cost_cells(costs.upsamplers[name])
        entries.append(Entry(name, runs, cells))
    return build(
        entries,
        title=f"{section.task.name}: {section.named(section.entrant.spec)}",
        before=(_UPSAMPLER,),
        after=_COSTS,
        statistics=with_rankings((RANKS,), rankings),
        intervals=intervals_of(rankings),
    )


def _cost_cells(cost: Cost) -> dict[str, float | None]:
    if not cost.runs:
        return {}
    return {"parameters": cost.parameters, "ms": cost.milliseconds, "MB": cost.megabytes}


def below(section: Section, rankings: Mapping[str, Ranking]) -> list[str]:
    """The paragraphs below a table: ranks, the stack against its rivals, other protocols."""
    lines = []
    if section.metric in rankings:
        lines += [f"{section.metric}: " + " ".join(rankings[section.metric].sentences)]
        lines += [summary(other) for name, other in rankings.items() if name != section.metric]
    for rival in _RIVALS:
        parts = []
        for metric in section.reference.metrics:
            outcome = section.against(metric, rival)
            if outcome is not None:
                parts.append(f"{metric} {outcome}")
        outcomes = "; ".join(parts) or "needs two trainings (--seeds 2)"
        lines.append(f"`{STACK} against {rival}`: {outcomes}.")
    for name, runs in section.apart.items():
        record = runs[0].record
        values = ", ".join(
            f"{metric} {value.value:.2f}" for metric, value in record.metrics.items()
        )
        lines.append(
            f"`{name}` has another protocol ({record.protocol_hash}: a feature per "
            f"{record.subject['stride']} pixels), so that its numbers do not compare: {values}."
        )
    return lines


def _conditions(section: Section) -> dict[str, Any]:
    """Under which conditions a section was measured, and the stack's fate, by column."""
    samples = sample_of(REFERENCE, section.runs[REFERENCE], section.metric)
    return {
        "network": section.entrant.spec,
        "stride": section.entrant.stride,
        "channels": section.entrant.channels,
        "photos shown": section.samples,
        f"{REFERENCE} {section.metric}": float(samples.values[0]),
        **{f"{STACK} against {rival}": section.against(section.metric, rival) for rival in _RIVALS},
        "above both": section.answer,
    }


def conditions_table(sections: list[Section], task: Task) -> Table:
    """Conditions and outcomes of one benchmark: a row per network and length of training."""
    rows = [_conditions(section) for section in sections if section.task is task]
    columns = []
    for name, value in rows[0].items():
        is_text = not isinstance(value, int | float)
        columns.append(Column(name, digits=0 if isinstance(value, int) else 2, is_text=is_text))
    return Table(
        f"{task.name}: {STACK} above {REFERENCE} and above {CONTROL}?",
        tuple(columns),
        tuple(Row.of(*row.values()) for row in rows),
    )


def conclusion(sections: list[Section]) -> str:
    """The last line: where a trained stack beats bilinear and a blur, as FeatUp's paper says."""
    parts, short = [], shorten([section.entrant.spec for section in sections], _NAME)
    for answer in ANSWERS:
        names = []
        for section in sections:
            if section.answer == answer:
                name = section.named(short[section.entrant.spec])
                names.append(f"{section.task.name}.{section.metric} of {name}")
        if names:
            parts.append(f"{answer} in {', '.join(names)}")
    return f"That a trained stack is above bilinear and above a blur {'; '.join(parts)}."
