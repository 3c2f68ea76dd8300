"""What docs/results.md says of upsamplers follows from their kept tables and records."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from benchmarks.evaluate.backbones import read_packed
from benchmarks.evaluate.paired import paired_tables
from benchmarks.report.runs import Run
from benchmarks.runs.ledger.decide import read_runs
from benchmarks.upsampling.league.page import Section

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
RECORDS = RESULTS / "records"


def letters(name: str, metric: str) -> dict[str, set[str]]:
    """Upsampler -> its letters by a metric, from a table of ``pair-upsamplers``."""
    text = (RESULTS / f"upsamplers_{name}.md").read_text(encoding="utf-8")
    (head, _, *rows), *_ = (
        [line.strip("| ").split(" | ") for line in group]
        for is_table, group in itertools.groupby(text.splitlines(), lambda line: line[:1] == "|")
        if is_table
    )
    place = next(place for place, cell in enumerate(head) if cell.split(" [")[0] == metric)
    assert head[place + 1] == "ranks"
    return {row[0]: set(row[place + 1].split()[-1]) for row in rows}


def test_what_is_said_of_upsamplers_follows_from_their_tables() -> None:
    """The wide blur leads on CamVid, the trained stack in depth; it is not apart from bilinear in
    the other two. Letters go from A, the best, down.
    """
    wide = "blur?sigma=1.5"
    for name in ("probe", "retrieval"):
        for metric in ("mIoU", "pixel_accuracy"):
            own = letters(name, metric)
            assert own.pop(wide) == {"A"} and not any("A" in others for others in own.values())
            assert max(own["jbu_untrained"]) < min(own["bilinear"])
            assert own["neighbourhood"] & own["bilinear"] and own["jbu"] & own["bilinear"]
    for metric in ("RMSE", "delta1", "aligned_RMSE", "aligned_delta1"):
        own = letters("depth_probe", metric)
        assert own.pop("jbu") == {"A"} and not any("A" in others for others in own.values())
        assert min(own[wide]) > max(own["bilinear"])
    for metric in ("ADCC", "average_drop"):
        own = letters("cam", metric)
        assert max(own["blur"] | own[wide]) < min(own["bilinear"])
        assert own["jbu"] == own["bilinear"]
    assert letters("cam", "area")["jbu"] == {"A"} != letters("cam", "area")["bilinear"]


@pytest.mark.parametrize("name", ["probe", "retrieval", "depth_probe", "cam"])
def test_tables_of_upsamplers_follow_from_their_records(name: str) -> None:
    runs = itertools.chain.from_iterable(read_runs(RECORDS / "upsamplers.jsonl.gz").values())
    again = paired_tables([run.record for run in runs if run.record.benchmark == name])
    text = (RESULTS / f"upsamplers_{name}.md").read_text(encoding="utf-8")
    rows = {line for line in text.splitlines() if line.startswith("|")}
    assert len(rows) > 5 and rows == {line for line in again.splitlines() if line[:1] == "|"}


def duel(stride: int, benchmark: str, samples: int = 400) -> Section:
    """Trained stack, bilinear and blur of the published league, which are judged by themselves."""
    trained = re.compile(rf"jbu:\S*/jbu_{samples}_(\d)/final.pth")
    runs: dict[str, list[Run]] = {"jbu": [], "bilinear": [], "blur": []}
    for record in read_packed(RECORDS / "league_efficientnet.jsonl.gz"):
        spec = record.subject["spec"]
        if record.benchmark != benchmark or ("map_stride=16" in spec) != (stride == 16):
            continue
        upsampler = record.subject["request"]["upsampler"] or "none"
        if upsampler in ("bilinear", "blur"):
            runs[upsampler] += [Run(record, upsampler, seed) for seed in range(3)]
        elif match := trained.fullmatch(upsampler):
            runs["jbu"].append(Run(record, upsampler, int(match[1])))
    assert set(map(len, runs.values())) == {3}
    return Section(None, samples, None, runs, {}, "mIoU")


def test_what_is_said_of_upsamplers_on_a_published_network_follows_from_the_records() -> None:
    """Decided by mIoU at stride 32 in retrieval alone; by pixel accuracy at stride 16 as well."""
    for benchmark, answer in (("retrieval", "holds"), ("probe", "is not decided")):
        assert duel(32, benchmark).answer == answer
        assert duel(16, benchmark).answer == "is not decided"
    said = {}
    for stride, benchmark, metric in (
        (32, "retrieval", "mIoU"),
        (32, "probe", "mIoU"),
        (16, "retrieval", "mIoU"),
        (16, "probe", "mIoU"),
        (16, "retrieval", "pixel_accuracy"),
    ):
        section = duel(stride, benchmark)
        against = [section.against(metric, rival) for rival in ("bilinear", "blur")]
        said[stride, benchmark, metric] = [text.partition(",")[0] for text in against]
    longer = {name: duel(32, name, 1600) for name in ("retrieval", "probe")}
    assert longer["retrieval"].against("mIoU", "bilinear") == "+2.41 ± 0.68, better"
    assert longer["retrieval"].against("mIoU", "blur") == "+1.77 ± 0.75, better"
    assert longer["probe"].against("mIoU", "bilinear") == "+2.23 ± 2.43, not separable"
    assert longer["probe"].against("mIoU", "blur") == "+1.85 ± 2.52, not separable"
    assert said[32, "retrieval", "mIoU"] == ["+2.22 ± 0.78", "+1.58 ± 0.75"]
    assert said[32, "probe", "mIoU"] == ["+1.65 ± 2.35", "+1.27 ± 2.48"]
    assert said[16, "retrieval", "mIoU"] == ["+1.07 ± 2.00", "+0.29 ± 1.24"]
    assert said[16, "probe", "mIoU"] == ["+1.66 ± 2.90", "-0.40 ± 2.33"]
    assert said[16, "retrieval", "pixel_accuracy"] == ["+1.25 ± 0.65", "+0.50 ± 0.46"]


def test_what_is_said_of_the_published_networks_other_upsamplers_follows_from_the_page() -> None:
    """Letters of the league's own tables, by mIoU."""
    text = (RESULTS / "league_efficientnet.md").read_text(encoding="utf-8")
    tables = {}
    for section in text.split("\n## ")[1:]:
        benchmark, stride = section.partition(":")[0], int(section.split("(stride ")[1][:2])
        rows = re.findall(r"^\| (\S+) \| ([\d.]+) ± [\d.]+ \| \S+ (\w+) \|", section, re.M)
        tables[stride, benchmark] = {row[0]: (float(row[1]), set(row[2])) for row in rows}
    assert len(tables) == 4
    wide, lowest = "blur?sigma=1.5", []
    for (stride, benchmark), rows in tables.items():
        lowest.append(min(rows, key=rows.get))
        apart = not rows[wide][1] & rows["bilinear"][1]
        assert apart == (stride == 32)
        assert bool(rows["blur"][1] & rows["bilinear"][1]) == ((stride, benchmark) != (16, "probe"))
        with_filter = rows["jbu"][1] & rows["bilateral"][1]
        assert bool(with_filter) == ((stride, benchmark) != (32, "retrieval"))
        if stride == 16:
            assert max(rows, key=rows.get) == "guided" and rows["guided"][1] & rows["jbu"][1]
    assert lowest.count(wide) == 3
    first = tables[32, "retrieval"]
    assert first["jbu"][1] == {"A"} and first["bilateral"][1] == {"B"} != first["bilinear"][1]


def test_the_trained_stack_is_below_bilinear_on_each_network_of_camvid() -> None:
    runs = read_runs(RECORDS / "upsamplers.jsonl.gz")
    for benchmark in ("probe", "retrieval"):
        measured = []
        for arm in ("jbu", "bilinear"):
            own = [run for run in runs[arm] if run.benchmark == benchmark]
            measured.append({run.pair: run.record.metrics["mIoU"].value for run in own})
        trained, plain = measured
        assert len(trained) == 3
        assert all(value < plain[network] for network, value in trained.items())
