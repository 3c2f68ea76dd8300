"""What a user changes renames a preset, takes another protocol and empties the published column;
what would differ silently is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.core.benchmark import Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric, Record
from benchmarks.evaluate.presets.choose import make_preset_tasks
from benchmarks.evaluate.presets.compare import compare
from benchmarks.evaluate.presets.load import load_preset
from benchmarks.evaluate.presets.task import PresetTask

# Another value of everything that hummingbird-voc holds, but its data.
CHANGES = dict(
    size="(32, 32)",
    memory_size="100",
    passes="1",
    augment="False",
    seed="1",
    dtype="float16",
    neighbours="3",
    temperature="0.1",
    backend="torch",
    mask_size="(20, 20)",
    compat="('crop-scale-2',)",
    normalisation="{'mean': (0.5, 0.5, 0.5), 'std': (0.5, 0.5, 0.5)}",
)
FEATURES = dict(
    layers="(-2, -1)",
    norm="False",
    class_token="concatenate",
    vector="class_token",
    positions="timm",
    pad="centre",
    stride="8",
)


@pytest.fixture(scope="module")
def network() -> FeatureExtractor:
    """A tiny ViT of stride 16."""
    return FeatureExtractor.load("random:test_vit")


def task_of(toy_voc: Path, file: str, *changes: str, options: str = "") -> PresetTask:
    """The preset of a file with changes, ``KEY=VALUE`` each."""
    settings = [f"toy.{change}" for change in changes]
    (task,) = make_preset_tasks([file], [f"voc:{toy_voc}{options}"], settings)
    return task


def record_of(task: PresetTask, network: FeatureExtractor) -> Record:
    """What a run would leave, without a run."""
    ((prepared, seen),) = task.prepared(network)
    result = Result({"mIoU": Metric(50.0, "%", "higher")})
    record = task.benchmark.record(
        result,
        task.data,
        prepared.settings,
        subject=seen.describe(),
        device=seen.device,
        seconds=0,
    )
    return prepared.signed(record)


def test_every_change_renames_and_takes_another_protocol(
    toy_voc: Path, toy_preset: str, network: FeatureExtractor
) -> None:
    preset = load_preset(toy_preset)
    own = record_of(task_of(toy_voc, toy_preset), network)
    assert own.protocol["preset"] == "toy" and own.subject["preset"]["changed"] == []
    changes = CHANGES | {f"features.{name}": value for name, value in FEATURES.items()}
    assert {f"data.{name}" for name in preset.data} == set(preset.entries) - set(changes)
    hashes = {own.protocol_hash}
    for name, value in changes.items():
        extra = ["augment=False"] if name == "passes" else []
        extra = ["passes=1"] if name == "augment" else extra
        task = task_of(toy_voc, toy_preset, f"{name}={value}", *extra)
        task.model = "toy"
        record = record_of(task, network)
        assert record.protocol["preset"].startswith("toy (changed: "), name
        assert name in record.protocol["preset"]
        (line,) = compare([record])
        assert line.published is None and line.reason == "settings were changed", name
        hashes.add(record.protocol_hash)
    assert len(hashes) == len(changes)  # passes and augment change together


def test_the_name_says_from_what_to_what(
    toy_voc: Path, toy_preset: str, network: FeatureExtractor
) -> None:
    task = task_of(toy_voc, toy_preset, "size=32,32", "features.norm=False", "batch_size=2")
    record = record_of(task, network)
    assert (
        record.protocol["preset"] == "toy (changed: features.norm True → False, size 64,64 → 32,32)"
    )
    assert record.subject["preset"]["settings"]["batch_size"] == 2


def test_the_published_value_given_again_changes_nothing(
    toy_voc: Path, toy_preset: str, network: FeatureExtractor
) -> None:
    again = task_of(toy_voc, toy_preset, "size=64,64", "neighbours=30", "features.layers=(-1,)")
    own = record_of(task_of(toy_voc, toy_preset), network)
    assert record_of(again, network).protocol_hash == own.protocol_hash
    assert own.protocol["preset"] == "toy"


def test_the_record_holds_everything_resolved(
    toy_voc: Path, toy_preset: str, network: FeatureExtractor
) -> None:
    record = record_of(task_of(toy_voc, toy_preset), network)
    stated, preset = record.subject["preset"], load_preset(toy_preset)
    assert set(preset.settings) < set(stated["settings"])
    assert stated["settings"]["size"] == [64, 64] and stated["features"]["layers"] == [-1]
    assert record.protocol["features"] == stated["features"]
    assert stated["data"]["train"] == "trainaug" and stated["version"] == preset.version
    assert Record.from_json(record.to_json()).protocol_hash == record.protocol_hash


def test_other_counts_are_refused_unless_limited(
    toy_voc: Path, network: FeatureExtractor, toy_preset: str
) -> None:
    data = f"voc:{toy_voc}"
    with pytest.raises(ValueError, match=r"train_images is 3, published 10582 .* \?limit="):
        make_preset_tasks(["hummingbird-voc"], [data], [])
    (task,) = make_preset_tasks(["hummingbird-voc"], [f"{data}?limit=3,2"], [])
    record = record_of(task, network)
    assert record.protocol["preset"] == "hummingbird-voc (limited: limit 3,2)"
    task.model = "vit_small_patch16_224.dino"
    (line,) = compare([record_of(task, network)])
    assert (line.verdict, line.reason) == ("not compared", "limited: limit 3,2")
    assert str(line).startswith("hummingbird-voc (limited: limit 3,2), random:test_vit, mIoU: ")


def test_other_data_is_a_change(toy_voc: Path, toy_preset: str, network: FeatureExtractor) -> None:
    record = record_of(task_of(toy_voc, toy_preset, options="?keep_ignored=True"), network)
    assert record.protocol["preset"] == "toy (changed: data.keep_ignored False → True)"
    parts = "images=JPEGImages&masks=SegmentationClass&classes=21&ignore=255&train=train"
    with pytest.raises(ValueError, match=r"needs one --data voc:ROOT, found 0"):
        make_preset_tasks([toy_preset], [f"classes:{toy_voc}"], [])
    with pytest.raises(ValueError, match="none of the presets toy takes it"):
        make_preset_tasks([toy_preset], [f"voc:{toy_voc}", f"plain:{toy_voc}?{parts}"], [])


def test_mistakes_name_what_is_legal(toy_voc: Path, toy_preset: str) -> None:
    data = f"voc:{toy_voc}"
    for change, message in {
        "neigbours=3": "did you mean 'neighbours'",
        "features.nrm=False": "did you mean 'features.norm'",
        "data.train=val": "unknown entry of preset toy 'data.train'",
        "normalisation=imagenet": "normalisation='imagenet' must be 'weights'",
        "neighbours=0": "neighbours=0 must be greater than 0",
    }.items():
        with pytest.raises(ValueError, match=message):
            make_preset_tasks([toy_preset], [data], [f"toy.{change}"])
    with pytest.raises(ValueError, match="write PRESET.KEY=VALUE with a preset of toy"):
        make_preset_tasks([toy_preset], [data], ["retrieval.size=3"])
    with pytest.raises(ValueError, match="preset toy is named twice"):
        make_preset_tasks([toy_preset, toy_preset], [data], [])
    with pytest.raises(ValueError, match="--seeds 0 1: preset toy trains nothing"):
        make_preset_tasks([toy_preset], [data], [], seeds=(0, 1))


def test_a_stride_without_a_published_value_is_refused(toy_voc: Path, toy_preset: str) -> None:
    other = FeatureExtractor.load("random:test_resnet")  # stride 32
    changes = ["features.positions=timm", "features.norm=False"]
    with pytest.raises(ValueError, match=r"toy.size is published for .* 8, 16, this one's is 32"):
        task_of(toy_voc, toy_preset, *changes).check(other)
    task = task_of(toy_voc, toy_preset, "size=64,64", *changes)
    task.check(other)
    ((prepared, _),) = task.prepared(other)
    assert "size None → 64,64" in prepared.changed


def test_colours_that_the_weights_do_not_know_are_refused(
    toy_voc: Path, toy_preset: str, network: FeatureExtractor
) -> None:
    task, loaded = task_of(toy_voc, toy_preset), copy.copy(network)
    loaded.report = object()  # as if its weights came from a file without a normalisation
    with pytest.raises(
        ValueError, match=r"mean=\(0.485, .* timm states \(0.5, 0.5, 0.5\).*: say w"
    ):
        task.check(loaded)
    loaded.stated_colours = True
    task.check(loaded)
    loaded.stated_colours, loaded.mean, loaded.std = False, (0.5,) * 3, (0.5,) * 3
    task.check(loaded)
    stated = "normalisation={'mean':(0.1,0.2,0.3),'std':(1,1,1)}"
    loaded.mean = (0.4,) * 3
    ((_, seen),) = task_of(toy_voc, toy_preset, stated).prepared(loaded)
    assert seen.mean == (0.1, 0.2, 0.3) and loaded.mean == (0.4,) * 3


def test_presets_of_the_same_data_share_its_images(
    toy_voc: Path, toy_preset: str, write_preset: Callable[..., str]
) -> None:
    text = Path(toy_preset).read_text()
    files = [toy_preset, write_preset(text.partition("\n")[2], name="second")]
    tasks = make_preset_tasks(files, [f"voc:{toy_voc}"], [])
    assert tasks[0].data is tasks[1].data and tasks[0].preset != tasks[1].preset


def test_features_are_what_the_network_is_read_with(
    toy_voc: Path, toy_preset: str, network: FeatureExtractor
) -> None:
    ((_, seen),) = task_of(toy_voc, toy_preset, "features.layers=(-2,-1)").prepared(network)
    assert seen.feature_settings.layers == (-2, -1) and network.feature_settings is None
    assert seen.channels == 2 * network.channels


def test_seeds_share_a_protocol(
    toy_voc: Path, toy_preset: str, network: FeatureExtractor, write_preset: Callable[..., str]
) -> None:
    text = Path(toy_preset).read_text().partition("\n")[2]
    file = write_preset(text + 'seed = "seed"\n', name="trained")
    (task,) = make_preset_tasks([file], [f"voc:{toy_voc}"], [], seeds=(3, 4))
    prepared = [one for one, _ in task.prepared(network)]
    assert [one.settings.seed for one in prepared] == [3, 4]
    records = []
    for one, value in zip(prepared, (49.0, 51.0), strict=True):
        assert one.changed == ()
        one.model = "toy"
        record = record_of(replace(one, seeds=(one.settings.seed,)), network)
        records.append(replace(record, metrics={"mIoU": Metric(value, "%", "higher")}))
    assert len({record.protocol_hash for record in records}) == 1
    first, _ = compare(records)
    assert first.numbers == "published 50.0 (authors: ours), ours 50.00 ± 12.71 (2 seeds)"
    assert first.verdict == "agrees" and "reported: nothing is trained" in str(first)
    one_seed, far = compare(records[:1])
    assert "ours 49.00 ± not known (1 seed)" in str(one_seed)
    assert far.verdict == "not compared" and "at least two --seeds" in far.reason
