"""Numbers in the README are those of the kept tables, nowhere typed by hand."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from benchmarks.runs.ledger.decide import read_runs

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "docs/results.md"]
RECORDS = ROOT / "docs" / "results" / "records"


def embedded(page: str) -> list[tuple[str, str]]:
    """Returns (path of the kept table, table as it stands in the page)."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"<!-- table: (\S+) -->\n(.*?)\n?<!-- end of table -->", text, re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_tables_equal_the_kept_ones(page: str) -> None:
    """The first table of the file; those of a sweep's keys stand in the file alone."""
    tables = embedded(page)
    assert tables
    for path, shown in tables:
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        by_kind = itertools.groupby(lines, lambda line: line.startswith("|"))
        kept = next(list(group) for is_table, group in by_kind if is_table)
        assert shown.splitlines() == kept, f"{page}: copy the table of {path} anew"


def pairs(name: str, column: str) -> dict[frozenset[str], str | None]:
    """Two arms of a published comparison -> the one above the other, if they are apart."""
    content = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    ranking = content["rankings"][column]
    return {frozenset((pair["first"], pair["second"])): pair["above"] for pair in ranking["pairs"]}


def not_apart(name: str, column: str, arm: str) -> set[str]:
    """The arms of a published comparison that are not apart from one of them."""
    alike = [pair for pair, above in pairs(name, column).items() if above is None and arm in pair]
    return set().union(*alike) - {arm}


def test_what_is_said_of_the_scenes_table_follows_from_it() -> None:
    """Every trained arm above the untrained network; SimCLR above all others but PixContrast, which
    is above PixPro.
    """
    above = pairs("scenes", "retrieval.mIoU")
    for arm in ("supervised", "SimCLR", "BYOL", "PixContrast", "PixPro"):
        assert above[frozenset((arm, "untrained"))] == arm
    for arm in ("supervised", "BYOL", "PixPro"):
        assert above[frozenset((arm, "SimCLR"))] == "SimCLR"
        winner = "PixContrast" if arm == "PixPro" else None
        assert above[frozenset((arm, "PixContrast"))] == winner
    assert above[frozenset(("SimCLR", "PixContrast"))] is None


def test_what_is_said_of_the_objectives_follows_from_their_table() -> None:
    above = pairs("objectives", "retrieval.mIoU")
    arms = {arm for pair in above for arm in pair}
    assert len(arms) == 18 and not_apart("objectives", "retrieval.mIoU", "untrained") == {"SimMIM"}
    for arm in arms - {"SimMIM", "untrained"}:
        assert above[frozenset((arm, "untrained"))] == arm
    leading = {"InstanceDiscrimination", "SimCLR", "Adversarial_SimCLR"}
    near = {arm: not_apart("objectives", "retrieval.mIoU", arm) for arm in arms}
    assert near["InstanceDiscrimination"] == leading - {"InstanceDiscrimination"}
    assert near["SimCLR"] == leading - {"SimCLR"} | {"PixContrast"}
    some = {"BYOL", "AdCo", "DenseCL", "CrIBo", "LeJEPA_cells"}
    assert near["random_labels"] == some | {"supervised"}
    peers = {"Adversarial_SimCLR", "PixContrast", "SupCon", "VICRegL", "SlotCon", "PixPro"}
    assert near["CIM"] == peers
    others = {"VICRegL", "SlotCon", "LeJEPA_cells", "PixPro"}
    assert not_apart("objectives", "retrieval.pixel_accuracy", "PixContrast") == leading | others


def test_what_is_said_of_the_quickstart_follows_from_its_table() -> None:
    above = pairs("quickstart", "retrieval.mIoU")
    for arm in ("SimCLR", "PixContrast", "PixPro"):
        assert above[frozenset((arm, "untrained"))] == arm
    for arm in ("SimCLR", "PixContrast"):
        assert above[frozenset((arm, "PixPro"))] == arm
    assert above[frozenset(("SimCLR", "PixContrast"))] is None


def test_what_is_said_of_pixpros_settings_follows_from_the_table() -> None:
    """Without propagation below all others that were trained; those are above untrained."""
    above = pairs("ablation_pixpro", "retrieval.mIoU")
    without = "PixPro+propagation=without"
    for pair, winner in above.items():
        if "untrained" in pair or without in pair:
            assert winner is not None and winner != "untrained"
            assert winner != without or "untrained" in pair
        else:
            assert winner is None
    nearest = pairs("ablation_pixpro", "knn.top1")
    assert nearest[frozenset((without, "untrained"))] is None


def test_what_is_said_of_the_photos_follows_from_the_table() -> None:
    usual, others = pairs("real", "retrieval.mIoU"), pairs("real", "other_drives.mIoU")
    nearest = pairs("real", "knn.top1")
    trained = ("SimCLR", "PixContrast", "PixPro")
    for arm in trained:
        pair = frozenset((arm, "random"))
        assert usual[pair] == nearest[pair] == arm
        assert others[pair] == (None if arm == "SimCLR" else arm)
    apart = {pair for pair in usual if usual[pair] and "random" not in pair}
    assert apart == {frozenset(("PixContrast", "SimCLR"))}
    assert not any(others[frozenset(pair)] for pair in itertools.combinations(trained, 2))
    assert nearest[frozenset(("SimCLR", "PixPro"))] == "SimCLR"
    assert nearest[frozenset(("SimCLR", "PixContrast"))] is None


def test_what_is_said_of_an_adversarys_pair_follows_from_the_tables() -> None:
    """CLAE below SimCLR in every column under both budgets, and above the untrained network; the
    differences printed are those of the tables.
    """
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    columns = ("linear.top1", "knn.top1", "retrieval.mIoU")
    for name, budget in (("clae", "equal samples"), ("clae_compute", "equal compute")):
        content = json.loads((ROOT / f"docs/results/{name}.json").read_text(encoding="utf-8"))
        cells = []
        for column in columns:
            (pair,) = (
                pair
                for pair in content["rankings"][column]["pairs"]
                if {pair["first"], pair["second"]} == {"SimCLR", "CLAE"}
            )
            assert pair["above"] == pair["first"] == "SimCLR"
            cells.append(f"−{pair['difference']:.1f} ± {pair['half']:.1f}")
        assert f"| {budget} | {' | '.join(cells)} |" in page
    for column in columns:
        assert pairs("clae", column)[frozenset(("CLAE", "random"))] == "CLAE"


def test_published_tables_follow_from_their_records(
    run_tool: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_tool("audit", ROOT / "docs" / "results") == 0, capsys.readouterr().out


@pytest.mark.parametrize("file", sorted(RECORDS.glob("*.gz")), ids=lambda file: file.stem)
def test_published_records_name_no_folder_of_the_machine(file: Path) -> None:
    for run in itertools.chain.from_iterable(read_runs(file).values()):
        assert not Path(str(run.record.subject.get("spec", ""))).is_absolute(), run.name


def test_what_is_said_of_fine_tuning_on_scenes_follows_from_the_table() -> None:
    """Both pretrained arms above the untrained network in every column, the two not apart."""
    for column in (
        "segmentation.mIoU",
        "segmentation.pixel_accuracy",
        "detection.box_AP",
        "detection.mask_AP",
    ):
        above = pairs("transfer_scenes", column)
        for arm in ("SimCLR", "PixContrast"):
            assert above[frozenset((arm, "untrained"))] == arm
        assert above[frozenset(("SimCLR", "PixContrast"))] is None


def test_what_is_said_of_fine_tuning_on_photos_follows_from_the_table() -> None:
    """Segmentation: SimCLR above PixContrast above random. Boxes: PixContrast above random, by AP50
    above SimCLR; SimCLR and random not apart.
    """
    for column in ("segmentation.mIoU", "segmentation.pixel_accuracy"):
        above = pairs("transfer_real", column)
        assert above[frozenset(("SimCLR", "PixContrast"))] == "SimCLR"
        assert above[frozenset(("SimCLR", "random"))] == "SimCLR"
        assert above[frozenset(("PixContrast", "random"))] == "PixContrast"
    for column, winner in (("detection.box_AP", None), ("detection.box_AP50", "PixContrast")):
        above = pairs("transfer_real", column)
        assert above[frozenset(("SimCLR", "PixContrast"))] == winner
        assert above[frozenset(("PixContrast", "random"))] == "PixContrast"
        assert above[frozenset(("SimCLR", "random"))] is None


def test_what_is_said_of_trivial_predictors_on_photos_follows_from_the_table() -> None:
    """Colour and place: within the intervals of SimCLR and PixPro, above all means on other drives;
    raw pixels: within all intervals of kNN.
    """
    with open(ROOT / "docs" / "results" / "real.csv", newline="", encoding="utf-8") as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}

    def around(arm: str, column: str, value: float) -> bool:
        return abs(float(rows[arm][column]) - value) < float(rows[arm][f"{column} ±"])

    colour, pixels = rows["baseline colour_position"], rows["baseline pixels"]
    usual, others = float(colour["retrieval.mIoU"]), float(colour["other_drives.mIoU"])
    trained = ("SimCLR", "PixContrast", "PixPro")
    inside = [arm for arm in trained if around(arm, "retrieval.mIoU", usual)]
    assert inside == ["SimCLR", "PixPro"] and usual < float(rows["PixContrast"]["retrieval.mIoU"])
    assert all(float(rows[arm]["other_drives.mIoU"]) < others for arm in trained)
    assert all(around(arm, "knn.top1", float(pixels["knn.top1"])) for arm in trained)


def test_what_is_said_of_transfer_follows_from_the_analyses() -> None:
    pretrained = {"SimCLR", "SupCon", "PixPro", "PixContrast", "CIM"}

    def better(column: str) -> dict[str, set[str]]:
        """Arm -> the arms that it lies above."""
        above = pairs("why", column)
        return {
            arm: {
                other for pair, winner in above.items() if winner == arm for other in pair - {arm}
            }
            for arm in pretrained | {"random"}
        }

    for column, of_cim in (("whole", {"random"}), ("blocks_8", set())):
        own = better(f"{column}.relative_drop")
        assert all(own[arm] >= {"random", "CIM"} for arm in pretrained - {"CIM"})
        assert own["CIM"] == of_cim and not own["random"]
    others = ("blocks_2.relative_drop", "photo.relative_drop", "art.relative_drop")
    alike = ("cartoon.relative_drop", "barrier.barrier", "criticality.rewind_drop")
    for column in (*others, *alike, "alignment.misalignment"):
        assert not any(better(column).values())
    order = ("random", "SupCon", "SimCLR", "CIM", "PixContrast", "PixPro")
    moved = better("distance.relative")
    assert all(moved[arm] == set(order[place + 1 :]) for place, arm in enumerate(order))
    place = better("positional_bias.R2")
    for arm in ("SimCLR", "SupCon", "random"):
        assert place[arm] >= {"PixPro", "CIM", "PixContrast"}
    hidden = better("invariances.occlusion_top10")
    assert {arm: lower for arm, lower in hidden.items() if lower} == {"PixPro": {"random"}}
    turned = better("invariances.viewpoint_top10")
    for arm in ("random", "PixPro", "PixContrast", "CIM"):
        assert turned[arm] == {"SimCLR", "SupCon"}
    assert not turned["SimCLR"] and not turned["SupCon"]


def test_what_is_said_of_labels_follows_from_the_table() -> None:
    """All trained arms above the untrained network in every column, no two of them apart."""
    trained = ("SupCon_balanced", "SupCon", "SimCLR", "CrossEntropy")
    for column in ("linear.top1", "linear.top5", "knn.top1"):
        above = pairs("supcon", column)
        for arm in trained:
            assert above[frozenset((arm, "untrained"))] == arm
        assert not any(above[frozenset(pair)] for pair in itertools.combinations(trained, 2))


def test_what_is_said_of_dense_structure_follows_from_the_records() -> None:
    runs = read_runs(RECORDS / "dense_structure.jsonl.gz")
    records = [run.record for run in itertools.chain.from_iterable(runs.values())]
    assert len(records) == 9 and set(map(len, runs.values())) == {3}

    def extent(metric: str, arms: Collection[str] = tuple(runs)) -> tuple[float, float]:
        values = [run.record.metrics[metric].value for arm in arms for run in runs[arm]]
        return round(min(values), 2), round(max(values), 2)

    for record in records:
        course = record.counts["checkpoints"]["samples"]
        assert len(course) == 25 and course[1:3] == [512, 1024]
        assert record.counts["pick"] in course[1:3]
        gain, half = record.counts["gain_over_images"]
        assert gain + half < 0
        assert record.metrics["regret"].value > record.metrics["chance_regret"].value
    assert extent("gain") == (-5.5, -1.27) and extent("regret") == (2.22, 5.52)
    assert extent("chance_regret") == (0.82, 1.64) and extent("three_regret")[1] == 1.11
    assert extent("last_regret", ("SimCLR", "PixContrast"))[1] < 0.1
    assert extent("last_regret", ("PixPro",)) == (0.37, 0.95)
    assert sum(record.metrics["tau"].value < 0 for record in records) == 8
    with open(ROOT / "docs/results/dense_structure.csv", newline="", encoding="utf-8") as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}

    def apart(metric: str, arm: str) -> bool:
        column = f"along_training.{metric}"
        return abs(float(rows[arm][column])) > float(rows[arm][f"{column} ±"])

    assert [arm for arm in runs if apart("tau", arm)] == ["PixContrast", "PixPro"]
    assert [arm for arm in runs if apart("tau_samples", arm)] == ["SimCLR", "PixContrast"]


def against(name: str, control: str) -> dict[tuple[str, str], tuple[float, float]]:
    """(Column, arm) of a published comparison -> the arm minus the control, and the half of its
    simultaneous interval.
    """
    content = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    differences = {}
    for column, ranking in content["rankings"].items():
        for pair in ranking["pairs"]:
            if control in (pair["first"], pair["second"]):
                sign = 1 if pair["second"] == control else -1
                arm = pair["first"] if sign == 1 else pair["second"]
                differences[column, arm] = sign * pair["difference"], pair["half"]
    return differences


def test_what_is_said_of_post_training_efficientnet_follows_from_the_table() -> None:
    name = "post_train_efficientnet"
    differences = against(name, "untouched")
    trained = ("DenseCL", "PixPro", "DenseCL+Gram")
    columns = {column for column, _ in differences}
    assert len(columns) == 9
    for column in columns:
        assert all(
            abs(differences[column, arm][0]) <= differences[column, arm][1] for arm in trained
        )
    lost = [-differences[column, "scratch"][0] for column in columns]
    assert all(-d > half for (_, arm), (d, half) in differences.items() if arm == "scratch")
    assert 4.5 <= min(lost) and 68 <= max(lost) < 68.5
    for column, most in (("retrieval_50.mIoU", 1.3), ("probe_50.mIoU", 2.15)):
        assert all(sum(differences[column, arm]) < most for arm in trained)
    few = [differences["probe_1.mIoU", arm] for arm in trained]
    assert [round(end(d for d, _ in few), 1) for end in (min, max)] == [1.8, 3.7]
    assert round(min(d - half for d, half in few), 1) == -1.8
    assert round(max(d + half for d, half in few), 1) == 7.8
    apart = {}
    for column in columns:
        for pair, above in pairs(name, column).items():
            if above and not pair & {"scratch", "untouched"}:
                apart.setdefault(column, set()).add((above, *pair - {above}))
    assert apart == {
        "retrieval_50.mIoU": {("DenseCL+Gram", "PixPro")},
        "probe_5.mIoU": {("DenseCL+Gram", "PixPro"), ("DenseCL", "PixPro")},
    }


def test_what_is_said_of_post_training_a_vit_follows_from_the_table() -> None:
    name, arms = "post_train_vit", ("DINO+KoLeo", "iBOT++", "DenseCL")
    differences = against(name, "untouched")
    better, worse = set(), set()
    for (column, arm), (difference, half) in differences.items():
        if abs(difference) > half:
            (better if difference > 0 else worse).add((column, arm))
    assert better == {("retrieval_5.mIoU", arm) for arm in arms}
    halves = "retrieval_50.mIoU", "probe_50.mIoU"
    assert worse == {(column, "scratch") for column in halves}
    for column, ends in (("retrieval_5.mIoU", [0.6, 1.0]), ("retrieval_50.mIoU", [0.7, 1.1])):
        gains = {arm: differences[column, arm][0] for arm in arms}
        assert [round(gains[arm], 1) for arm in sorted(gains, key=gains.get)][::2] == ends
        assert max(gains, key=gains.get) == "DINO+KoLeo"
    columns = {column for column, _ in differences}
    among = itertools.product(columns, map(frozenset, itertools.combinations(arms, 2)))
    assert not any(pairs(name, column)[pair] for column, pair in among)
    with open(ROOT / "docs/results/post_train_vit.csv", newline="", encoding="utf-8") as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}
    place = rows["baseline position"]
    assert round(float(place["retrieval_5.mIoU"]), 1) == 17.7
    few = [float(rows[arm]["retrieval_1.mIoU"]) for arm in (*arms, "untouched", "scratch")]
    assert max(few) < float(place["retrieval_1.mIoU"])


def backbones(benchmark: str, metric: str) -> dict[str, float]:
    """Network -> its number in docs/backbones.md; only the four that the page speaks of."""
    with open(ROOT / "docs" / "results" / "backbones.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == metric]
    own = {}
    for row in rows:
        name = row["network"].partition(".pth")[0]
        known = name == "efficientnet_lite0_imagenet" or name.endswith("_photos_seed_0")
        if known and row["protocol"].startswith(benchmark):
            own[name] = float(row["ours"])
    assert len(own) == 4
    return own


def test_the_network_taught_by_imagenet_leads_on_camvid_and_trails_in_the_video() -> None:
    taught = "efficientnet_lite0_imagenet"
    for benchmark in ("retrieval", "capi-knn"):
        measured = backbones(benchmark, "mIoU")
        assert max(measured, key=measured.get) == taught
    carried = backbones("davis2017-dino", "J_and_F")
    assert min(carried, key=carried.get) == taught


def test_no_backbone_measured_finds_more_keypoints_than_staying_in_place() -> None:
    """docs/backbones.md: 32.2 % of PF-WILLOW's keypoints are near where they were."""
    assert max(backbones("pf-willow", "PCK@0.1").values()) < 32.2
