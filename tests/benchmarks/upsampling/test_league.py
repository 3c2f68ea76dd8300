"""pixelpretext league from a network to its tables, interrupted and started again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import read_all, upsampler_of
from benchmarks.core.upsamplers import load_upsampler
from benchmarks.evaluate.run import make_tasks
from benchmarks.upsampling.league import run as work
from benchmarks.upsampling.league.plan import League, Options, Training, open_league
from pretrain.progress import Bars

NETWORK = "random:test_resnet?output_stride=8"
SETTINGS = [
    *("probe.size=32,32", "probe.epochs=1", "probe.least_steps=4"),
    *("retrieval.size=32,32", "retrieval.memory_size=64", "retrieval.neighbours=4"),
]
CFG = ["schedule.global_batch=4", "loader.workers=0", "model.objective.jitters=1"]
EIGHT = ["none", "bilinear", "bicubic", "blur", "guided", "bilateral", "jbu", "neighbourhood"]


@pytest.fixture
def data(toy_root: Path) -> str:
    return f"plain:{toy_root}?images=images/{{split}}&masks=masks/{{split}}&classes=3&ignore=255"


@pytest.fixture
def league(run_tool: Callable[..., int], data: str, image_folder: Path, tmp_path: Path) -> Callable:
    """Returns ``league(*arguments)``: the tool on the toy network and set; its exit code."""

    def run(*arguments: object) -> int:
        given = ["--data", data, "--photos", image_folder, "--work-dir", tmp_path / "league"]
        given += ["--seeds", 2, "--samples", 8, "--size", 32, "--device", "cpu"]
        given += ["--benchmarks", "probe", "retrieval", "--set", *SETTINGS, "--cfg-options", *CFG]
        return run_tool("league", NETWORK, *given, *arguments)

    return run


@pytest.fixture
def options(data: str, image_folder: Path, tmp_path: Path) -> Callable[..., Options]:
    """Returns ``options(**changes)``."""

    def make(**changes: object) -> Options:
        given = dict(networks=[NETWORK], data=[data], photos=str(image_folder), size=32)
        given |= dict(settings=SETTINGS[:3], work_dir=str(tmp_path / "league"), device="cpu")
        return Options(**given | changes)

    return make


def test_a_killed_league_goes_on_and_does_nothing_twice(
    league: Callable[..., int],
    tmp_path: Path,
    data: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made: list[str] = []
    train = work.train

    def train_one(league: League, one: Training) -> None:
        made.append(one.folder.name)
        train(league, one)

    def stop_after_one(league: League, one: Training) -> None:
        if made:
            raise KeyboardInterrupt
        train_one(league, one)

    folder = tmp_path / "league"
    monkeypatch.setattr(work, "train", stop_after_one)
    assert league() == 130
    printed = capsys.readouterr()
    assert "run the same command again to continue" in printed.err
    assert "Forecast: about " in printed.out and "3 trainings" in printed.out
    assert "16 evaluations" in printed.out  # of 18, bilinear's two are done
    assert [upsampler_of(r.subject) for r in read_all(folder / "records.jsonl")] == ["bilinear"] * 2
    assert made == ["jbu_8_0"]

    monkeypatch.setattr(work, "train", train_one)
    assert league() == 0
    assert made == ["jbu_8_0", "jbu_8_1", "neighbourhood_8_0"]
    records = read_all(folder / "records.jsonl")
    kinds = [upsampler_of(record.subject).partition(":")[0] for record in records]
    assert sorted(kinds) == sorted([*EIGHT, "jbu"] * 2)
    page = (folder / "league.md").read_text()
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("That a trained stack is above bilinear and above a blur ")
    assert f"probe.mIoU of {NETWORK} (stride 8, 8 photos shown)" in last and last in page

    before = page, (folder / "records.jsonl").read_bytes()
    assert league() == 0 and len(made) == 3
    assert "0 trainings 0 s, 0 evaluations 0 s" in capsys.readouterr().out
    assert ((folder / "league.md").read_text(), (folder / "records.jsonl").read_bytes()) == before

    check_tables(page, json.loads((folder / "league.json").read_text()))
    check_numbers(folder, data)
    assert league("--size", 40) == 2
    assert "holds a training with size=32, not 40" in capsys.readouterr().err
    assert league("--also", "blur?sigma=1.5", "--samples", 8) == 2  # given twice: 8 and 8
    assert "--samples '8' is named twice" in capsys.readouterr().err


def check_tables(page: str, plain: dict) -> None:
    """All upsamplers, ranks, costs and verdicts are there."""
    probe = page[page.index("## probe: ") : page.index("## retrieval: ")]
    rows = [line.split("|")[1].strip() for line in probe.splitlines() if line.startswith("| ")]
    assert rows == ["upsampler", "---", *EIGHT] or rows == ["upsampler", *EIGHT]
    assert "`jbu against bilinear`: mIoU " in probe and "`jbu against blur`: mIoU " in probe
    assert "paired t-tests of all 28 differences" in probe
    assert "share no spread with those that do" in probe and "Costs: one image of 32×32" in probe
    retrieval = page[page.index("## retrieval: ") :]
    assert "`none` has another protocol (" in retrieval and "a feature per 8 pixels" in retrieval
    table = plain["tables"][0]
    costs = {row["upsampler"]: row for row in table["rows"]}
    assert costs["none"]["ms"] is None and costs["blur"]["parameters"] == 0
    assert costs["jbu"]["parameters"] > 9_000 and costs["jbu"]["ms"] > 0
    (row,) = plain["conditions"][0]["rows"]
    assert (row["network"], row["stride"], row["photos shown"]) == (NETWORK, 8, 8)
    assert row["above both"] in ("holds", "does not hold", "is not decided")


def check_numbers(folder: Path, data: str) -> None:
    """What stands in the records is what the benchmark gives by itself."""
    (task,) = make_tasks(["probe"], [data], SETTINGS[:3], quick=False)
    records = read_all(folder / "records.jsonl")
    extractor = FeatureExtractor.load(NETWORK)
    (jbu,) = folder.glob("*/jbu_8_1/final.pth")
    for spec in ("bicubic", f"jbu:{jbu}"):
        seen = extractor.through(load_upsampler(spec), 1)
        expected = task.benchmark.measure(seen, task.data, task.settings)
        (own,) = [
            record
            for record in records
            if record.benchmark == "probe" and upsampler_of(record.subject) == spec
        ]
        assert own.protocol_hash == expected.protocol_hash
        assert own.metrics["mIoU"].value == pytest.approx(expected.metrics["mIoU"].value, abs=1e-3)


def test_one_neighbourhood_serves_all_networks_and_each_network_has_its_stacks(
    options: Callable[..., Options],
) -> None:
    networks = [NETWORK, "random:test_resnet?output_stride=8&seed=1"]
    opened = open_league(options(networks=networks, samples=(8, 16), also=("blur?sigma=1.5",)))
    arms = [opened.arms(entrant, samples) for entrant, samples in opened.sections()]
    assert [list(own) for own in arms] == [[*EIGHT, "blur?sigma=1.5"]] * 4
    assert len({spec for own in arms for spec in own["jbu"]}) == 12
    assert len({spec for own in arms for spec in own["neighbourhood"]}) == 2
    assert all(str(opened.folder) in spec for own in arms for spec in own["jbu"])


def test_two_maps_of_one_network_are_two_networks(
    options: Callable[..., Options], tmp_path: Path
) -> None:
    """Same weights, same upsampler, same output: only the map differs."""
    networks = [f"random:test_resnet?map_stride={stride}" for stride in (8, 16)]
    opened, console = open_league(options(networks=networks)), Console()
    records = work.Records(tmp_path / "records.jsonl", console)
    for entrant in opened.entrants:
        work._evaluate(opened, entrant, ["bilinear"], records=records, bars=Bars(console))
        assert records.has(entrant, opened.tasks[0], "bilinear")
    fine, coarse = read_all(tmp_path / "records.jsonl")
    assert (fine.subject["spec"], coarse.subject["spec"]) == tuple(networks)
    assert fine.subject["map_channels"] != coarse.subject["map_channels"]
    assert [entrant.stride for entrant in opened.entrants] == [8, 16]
    assert len({entrant.folder for entrant in opened.entrants}) == 2


def test_photos_that_the_probe_knows_are_counted(
    options: Callable[..., Options], toy_root: Path
) -> None:
    assert open_league(options()).shared == ()
    (train,) = open_league(options(photos=str(toy_root / "images" / "train"))).shared
    assert train.startswith("6 of the 6 photos that upsamplers are trained on are train images of")
    both = open_league(options(photos=str(toy_root / "images"))).shared
    assert ["4 of the 10 photos" in sentence for sentence in both] == [False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(seeds=0), "--seeds 0: must be at least 1"),
        (dict(size=30), "--size 30: must be a multiple of the backbone's stride 8"),
        (dict(also=("blur",)), "--also blur: it is in every league"),
        (dict(also=("blr",)), "did you mean 'blur'"),
        (dict(networks=[NETWORK] * 2), "network .* is named twice"),
        (dict(cfg_options=["seed=3"]), "--cfg-options seed=3: say it by --seeds"),
        (dict(cfg_options=["model.objective.jiters=2"]), "did you mean 'jitters'"),
        (
            dict(settings=["probe.size=32,36"]),
            r"size=\(32, 36\) is not a multiple of the feature stride 8",
        ),
    ],
)
def test_mistakes_show_before_any_work(
    options: Callable[..., Options], changes: dict, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        open_league(options(**changes))
    assert not (tmp_path / "league").exists()


def test_benchmarks_without_maps_are_refused(
    options: Callable[..., Options], image_folder: Path
) -> None:
    given = options(benchmarks=("knn",), data=[f"classes:{image_folder}"], settings=["knn.size=32"])
    with pytest.raises(ValueError, match="knn reads no maps: no upsampler changes its number"):
        open_league(given)
