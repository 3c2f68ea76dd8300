"""The outside check agrees with the table, and finds every kind of change to it."""

from __future__ import annotations

import ast
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.compare.fairness import compare_configs
from benchmarks.compare.table import as_json, build_table
from benchmarks.core.record import Metric, Record, write_all
from benchmarks.core.scores import class_iou
from benchmarks.report.runs import Run
from benchmarks.runs import audit as module
from benchmarks.runs import recomputed
from benchmarks.runs.audit import audit, find

RunTool = Callable[..., int]
SEEDS, IMAGES, CLASSES = 4, 24, 3


def record(arm: str, seed: int, *, level: float, counts: bool, groups: bool) -> Record:
    """A record of segmentation whose counts give its mIoU, with an error that is better lower."""
    rng = np.random.default_rng([seed, round(1000 * level)])
    shift = level + 0.01 * rng.normal()
    true = rng.integers(50, 99, (IMAGES, CLASSES))
    true[:8, 2] = 0  # a class that is not on every image
    right = np.clip((true * np.clip(shift + 0.1 * rng.normal(size=true.shape), 0, 1)), 0, true)
    right = right.astype(int)
    predicted = right + 5
    confusion = np.diag(right.sum(0))
    confusion[0, 1] = (true - right).sum()
    rows, classes = np.nonzero(true + predicted)
    table = dict(image=rows, intersection=right[rows, classes], predicted=predicted[rows, classes])
    table |= {"class": classes, "true": true[rows, classes]}
    per_image = {name: column.tolist() for name, column in table.items()}
    union = (true + predicted - right).sum(0)
    miou = 100 * float(np.mean(right.sum(0) / union))
    raw: dict[str, Any] = dict(confusion=confusion.tolist(), per_image=per_image) if counts else {}
    raw["class_iou"] = class_iou(confusion).tolist()
    if groups:
        raw["groups"] = [image // 3 for image in range(IMAGES)]
    trial = dict(arm=arm, seed=seed, benchmark="seg")
    metrics = dict(mIoU=Metric(miou, "%"), error=Metric(5 - 3 * shift, "m", "lower"))
    return Record("retrieval", metrics, dict(size=8), raw, subject=dict(trial=trial))


def write(
    folder: Path,
    *,
    counts: bool = True,
    groups: bool = False,
    lost: tuple[tuple[str, int], ...] = (),
) -> Path:
    """A comparison of four arms in a folder, as ``pixelpretext compare`` writes it."""
    arms: dict[str, list[Run]] = {}
    for arm, level in zip("abcd", (0.6, 0.62, 0.7, 0.4), strict=True):
        arms[arm] = []
        for seed in range(SEEDS):
            if (arm, seed) not in lost:
                own = record(arm, seed, level=level, counts=counts, groups=groups)
                arms[arm].append(Run(own, f"{arm}/seed_{seed}", seed, "seg"))
    comparison = build_table(
        arms, primary="seg.mIoU", fairness=compare_configs({}), planned=("b", "a")
    )
    folder.mkdir(exist_ok=True)
    (folder / "table.json").write_text(as_json(comparison))
    write_all([run.record for runs in arms.values() for run in runs], folder / "records.jsonl")
    return folder


@pytest.mark.parametrize(
    ("options", "method", "covers"),
    [
        (dict(), "tukey", "seeds and images"),
        (dict(counts=False), "tukey", "seeds"),
        (dict(groups=True), "tukey", "seeds and images"),
        (dict(lost=(("a", 0), ("b", 1), ("c", 2))), "holm", "seeds and images"),
        (dict(lost=(("a", 0), ("c", 3))), "tukey", "seeds and images"),
        (dict(lost=(("a", 0), ("a", 1), ("c", 2), ("c", 3))), "holm", "seeds and images"),
    ],
)
def test_it_agrees_with_the_table(
    options: dict[str, Any], method: str, covers: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "run", **options)
    ranking = json.loads((folder / "table.json").read_text())["rankings"]["seg.mIoU"]
    assert ranking["method"] == method and ranking["arms"][0]["covers"] == covers
    assert ranking["clusters"] == (8 if options.get("groups") else None)
    count, disagreements = audit(*find(folder)[0])
    assert disagreements == [] and count > 200


def change_arm(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(table: dict[str, Any]) -> None:
        arm = table["rankings"]["seg.mIoU"]["arms"][1]
        arm[key] = value(arm[key])

    return change


def change_pair(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(table: dict[str, Any]) -> None:
        table["rankings"]["seg.error"]["pairs"][0][key] = value

    return change


def change_row(column: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(table: dict[str, Any]) -> None:
        table["rows"][0][column] = value

    return change


def swap_rows(table: dict[str, Any]) -> None:
    table["rows"][0], table["rows"][1] = table["rows"][1], table["rows"][0]


def change_planned(table: dict[str, Any]) -> None:
    table["planned"]["p"] *= 1.1


def drop_ranking(table: dict[str, Any]) -> None:
    del table["rankings"]["seg.error"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (change_arm("half", lambda half: half * 1.001), "arms b, half"),
        (change_arm("low", lambda low: low + 1), "arms b, low"),
        (change_arm("high", lambda high: high - 1), "arms b, high"),
        (change_arm("letters", lambda letters: "Z"), "arms b, letters"),
        (change_arm("n", lambda n: n + 1), "arms b, n"),
        (change_pair("p", 0.049), "pairs c − b, p"),
        (change_pair("half", 0.01), "pairs c − b, half"),
        (change_pair("above", None), "pairs c − b, above"),
        (change_pair("improvement", 0.5), "pairs c − b, improvement"),
        (change_row("seg.mIoU", 55.0), "row c, seg.mIoU:"),
        (change_row("seg.mIoU ±", 0.1), "row c, seg.mIoU ±"),
        (change_row("rank", "1–2"), "row c, rank"),
        (swap_rows, "order of the rows"),
        (change_planned, "planned, p"),
        (drop_ranking, "rankings seg.error"),
    ],
)
def test_a_changed_table_is_found(
    change: Callable[[dict[str, Any]], None], place: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "run")
    file = folder / "table.json"
    table = json.loads(file.read_text())
    change(table)
    file.write_text(json.dumps(table))
    _, (line, *others) = audit(*find(folder)[0])
    assert place in line and "the table says" in line and others == []


def test_a_changed_record_is_found_by_its_counts_its_hash_and_its_number(tmp_path: Path) -> None:
    folder = write(tmp_path / "run")
    file = folder / "records.jsonl"
    lines = file.read_text().splitlines()

    def found(**changes: Any) -> str:
        first = json.loads(lines[0]) | changes
        file.write_text("\n".join([json.dumps(first), *lines[1:]]))
        return "\n".join(audit(*find(folder)[0])[1])

    assert found() == ""
    metrics = json.loads(lines[0])["metrics"]
    metrics["mIoU"]["value"] += 1
    text = found(metrics=metrics)
    assert "record a/seed_0 seg, mIoU and its counts" in text and "value of a/seed_0" in text
    assert "protocol_hash of the record" in found(protocol=dict(size=9))
    file.write_text("\n".join(lines[1:]))
    assert "value of a/seed_0, seg.mIoU" in "\n".join(audit(*find(folder)[0])[1])
    file.write_text("\n".join([*lines, lines[0]]))
    assert "each record once" in "\n".join(audit(*find(folder)[0])[1])


def test_published_results_are_found_packed_and_the_tool_says_how_it_went(
    tmp_path: Path, run_tool: RunTool, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "run")
    assert run_tool("audit", folder) == 0 and "all agree" in capsys.readouterr().out
    results = tmp_path / "results"
    (results / "records").mkdir(parents=True)
    (results / "first.json").write_text((folder / "table.json").read_text())
    packed = gzip.compress((folder / "records.jsonl").read_bytes())
    (results / "records" / "first.jsonl.gz").write_bytes(packed)
    for place in (results, results / "first", results / "first.json"):
        assert run_tool("audit", place) == 0
        assert "first.jsonl.gz: all agree" in capsys.readouterr().out
    table = json.loads((folder / "table.json").read_text())
    table["rows"][2]["seg.mIoU ±"] *= 1.01
    (folder / "table.json").write_text(json.dumps(table))
    assert run_tool("audit", results, folder) == 1
    assert "1 disagree" in capsys.readouterr().out
    (folder / "records.jsonl").unlink()
    assert run_tool("audit", folder) == 2
    assert "its records are missing" in capsys.readouterr().err
    (folder / "table.json").write_text("{}")
    (folder / "records.jsonl").write_text("")
    assert run_tool("audit", folder) == 2
    assert "cannot be read as a comparison's table" in capsys.readouterr().err


def test_it_shares_no_code_with_the_table() -> None:
    for checked in (module, recomputed):
        for node in ast.walk(ast.parse(Path(checked.__file__).read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                own = name.split(".")[0] in ("benchmarks", "pretrain", "heads")
                assert not own or name == "benchmarks.runs.recomputed"


def test_letters_are_the_largest_sets_that_are_not_apart() -> None:
    pairs = []
    for first, second in ("ab", "ac", "ad", "bc", "bd", "cd"):
        apart = first + second in ("ac", "ad", "bd")
        pairs.append(dict(first=first, second=second, above=first if apart else None))
    assert recomputed._letters("abcd", pairs) == dict(a="A", b="AB", c="BC", d="C")


def test_metrics_of_depth_and_of_single_images() -> None:
    table = dict(image=[0, 1], squared_error=[4.0, 12.0], within=[1, 3], known=[2, 2])
    counts = dict(per_image=table, top1=[1, 0, 1, 1])
    for name, value in dict(RMSE=2.0, delta1=100.0, top1=75.0).items():
        assert recomputed.metric_of(recomputed.counts_of(counts, name)) == value
    assert recomputed.counts_of(counts, "other") is None
    # a mean over images of roots, beside the root of the pooled mean
    both = dict(per_image=table | dict(RMSE=[1.0, 4.0]))
    for name, value in dict(RMSE=2.5, pooled_RMSE=2.0).items():
        assert recomputed.metric_of(recomputed.counts_of(both, name)) == value
    table = dict(image=[0, 1, 5], ADCC=[30.0, None, 60.0], Y=[0.5] * 3, average_drop=[0.0] * 3)
    own = recomputed.counts_of(dict(per_image=table), "ADCC")  # None: has no part in the mean
    assert recomputed.metric_of(own) == pytest.approx(45.0)
    draws = np.array([[0.0, 3.0, 0.0], [2.0, 0.0, 1.0]])
    drawn = recomputed.metric_of(own, draws)
    assert np.isnan(drawn[0]) and drawn[1] == pytest.approx(40.0)
    del table["average_drop"]  # CAM of older versions: shares
    assert recomputed.counts_of(dict(per_image=table), "ADCC") is None
    older = dict(label=[0, 1], fog=[2, 3])  # robustness of older versions: no images' numbers
    assert recomputed.counts_of(dict(per_image=older), "fog") is None


def test_a_run_that_is_not_a_number_is_not_ranked(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", counts=False)
    arms: dict[str, list[Run]] = {}
    for line in (folder / "records.jsonl").read_text().splitlines():
        own = Record.from_json(line)
        trial = own.subject["trial"]
        if trial["arm"] == "d" and trial["seed"] == 1:
            own = replace(own, metrics=own.metrics | dict(mIoU=Metric(float("nan"), "%")))
        run = Run(own, f"{trial['arm']}/seed_{trial['seed']}", trial["seed"], "seg")
        arms.setdefault(trial["arm"], []).append(run)
    comparison = build_table(arms, primary="seg.mIoU", fairness=compare_configs({}))
    (folder / "table.json").write_text(as_json(comparison))
    write_all([run.record for runs in arms.values() for run in runs], folder / "records.jsonl")
    assert len(comparison.rankings["seg.mIoU"].arms) == 3
    assert audit(*find(folder)[0])[1] == []
