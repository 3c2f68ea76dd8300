"""Benchmarks by name: what is declared is what the modules do, and mistakes are named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.core.benchmark import came_later, role_of
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record, is_baseline
from benchmarks.data import (
    ClassFolder,
    DepthFolder,
    ImageSets,
    KeypointPairs,
    NormalFolder,
    SegmentationFolder,
    VideoFolder,
    ViewPairs,
)
from benchmarks.evaluate.suite import BENCHMARKS, Task, find_benchmark, make_task
from pretrain.names import check_choice, suggestion

# Settings for toy data; elsewhere the benchmark's quick ones.
DENSE = dict(
    size=(40, 48), passes=1, memory_size=10_000, augment=True, neighbours=5, backend="torch"
)
PATCHES = dict(size=(40, 48), resample="bilinear", held_back=0.4)
PROBE = dict(size=(40, 48), epochs=1, least_steps=2)
SURFACES = dict(size=(40, 48), steps=2, warmup_steps=0, images_per_step=2, images_per_loss=2)
BASE = {
    "retrieval": DENSE,
    "depth": DENSE,
    "knn": dict(size=32, neighbours=5, backend="torch"),
    "probe": PROBE,
    "depth_probe": PROBE,
    "linear_segmentation": dict(
        size=(40, 48),
        short_side=40,
        window_stride=24,
        length=4,
        images_per_step=2,
        warmup=1,
        absent_as_zero=True,
    ),
    "depth_bins": SURFACES | dict(bins=8),
    "normals": SURFACES,
    "decoder": dict(size=(40, 48), dim=4, steps=2, images_per_step=2),
    "robustness": dict(size=32, weight_decays=(1e-1,), corruptions=("contrast",), severities=(1,)),
    "correspondence": dict(size=(32, 32)),
    "matching": dict(size=(96, 96), copy_side=0, stride=4, matches=40),
    "alignment": dict(images=4, leading=4, bases=3, draws=3),
    "dead_units": dict(images=4),
    "dense_structure": dict(size=(40, 48), images=4, group=2, clusters=3, rank_cells=20),
    "overcluster": dict(
        size=(40, 48), mask_size=(20, 24), clusters=6, components=2, iterations=3, restarts=2
    )
    | dict(points_per_cluster=8),
    "discovery": dict(size=(40, 48), clusters=3, iterations=3, restarts=2),
    "video": dict(short_side=32, long_multiple=8, last_frames=2, radius=2),
    "patch_knn": PATCHES | dict(neighbours=(1, 3), backend="torch"),
    "patch_logistic": PATCHES | dict(inverse_penalties=(0.1,), iterations=20),
    "positional_bias": dict(size=(40, 48), images=2, rounds=1, black_directions=0),
}
# Another legal value of settings that take words, or not any number; the others: see another().
OTHER = dict(
    alphas=(0.2, 0.1),
    answer="soft",
    area=(0.5, 1.0),
    average="point",
    backend="faiss-cpu",
    cache_bytes=0,
    clustering="spread",
    compat=("crop-scale-2",),
    copy_side=192,
    corruptions=("fog",),
    crop_size=(24, 24),
    drops=(2,),
    fit="letterbox",
    flip_by="batch",
    frame="input",
    gradient_between="images",
    images_per_loss=1,
    length_in="epochs",
    long_side=44,
    distances=("euclidean",),
    loss="relative",
    mask="positive",
    mask_size=(16, 24),
    matching="iou",
    normal_loss="kappa",
    optimiser="sgd",
    outside="zero",
    padded="stretched",
    place="corner",
    placement="shard",
    relative_to="image",
    ratio=(0.5, 1.5),
    resample="bicubic",
    resize="bicubic",
    rounding="down",
    rule="strict",
    runs=("random:test_resnet?output_stride=8&seed=1",),
    scales=(1.0, 2.0),
    schedule="cosine",
    scored=(0, 0, 20, 20),
    select="best",
    sizing="centre",
    severities=(2,),
    shape="disc",
    small_images="square",
    source="rounded",
    stride=8,
    test_view="squash",
    train_at="low",
    train_frame=(0, 0, 32, 40),
    train_view="squash",
    upsampler="nearest",
    weight_decays=(1e-2, 1e-3),
    weights_dtype="float16",
)
# These train whole networks or read whole trainings; tests of their own look at their records.
TUNED = (
    "finetune",
    "transfer",
    "block_shuffle",
    "which_checkpoint",
    "barrier",
    "criticality",
    "aligned_start",
    "along_training",
)
# These compare a network with a second one, and so do tests of their own.
COMPARED = ("cka", "distance")
# These read what the toy network has not: a pyramid, layers, more than three units.
OF_RESNET = ("decoder", "alignment", "dead_units", "invariances")
FROZEN = [name for name in BENCHMARKS if name not in TUNED + COMPARED]


def base_of(name: str) -> dict[str, Any]:
    """Settings of a benchmark that are small enough for toy data."""
    quick = BENCHMARKS[name].quick
    sized = any(setting.name == "size" for setting in fields(BENCHMARKS[name].settings))
    side = (40, 48) if isinstance(quick.get("size"), tuple) else 32
    small = dict(size=side) if sized else {}
    return dict(quick) | small | BASE.get(name, {})


def another(key: str, value: Any) -> Any:
    """Another legal value of a setting."""
    if key in OTHER:
        return OTHER[key]
    if key == "dtype":
        return {"float64": "float32", "float32": "float16"}[value]
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):  # sizes
        return tuple(side + 8 for side in value)
    if isinstance(value, float):
        return value / 2 or 0.1
    assert isinstance(value, int), f"{key}={value!r}: name another legal value in OTHER"
    return value + 2


@pytest.fixture(scope="module")
def toy_pairs(
    tmp_path_factory: pytest.TempPathFactory, write_willow: Callable[[Path], Path]
) -> Path:
    """Folder of toy keypoint pairs."""
    return write_willow(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def toy_sets(tmp_path_factory: pytest.TempPathFactory, write_got10k: Callable[..., Path]) -> Path:
    """Folder of toy videos with occlusion."""
    return write_got10k(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def toy_videos(tmp_path_factory: pytest.TempPathFactory, write_davis: Callable[..., Path]) -> Path:
    """Folder of toy videos with masks of objects."""
    return write_davis(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def toy_views(
    tmp_path_factory: pytest.TempPathFactory, write_point_pairs: Callable[[str, Path], Path]
) -> Path:
    """Folder of toy views with depth."""
    return write_point_pairs("navi", tmp_path_factory.mktemp("views"))


@pytest.fixture
def open_task(
    toy_root: Path,
    toy_pairs: Path,
    toy_sets: Path,
    toy_videos: Path,
    toy_views: Path,
    image_folder: Path,
    normals_root: Path,
) -> Callable[..., Task]:
    """Opens a benchmark by name on toy data, with changed settings."""

    masks = dict(layout="plain", images="images/{split}", masks="masks/{split}", classes=3)
    depth = dict(layout="plain", images="images/{split}", depth="depth/{split}")
    normals = dict(layout="plain", images="{split}/*_img.png", normals="{split}/*_norm.png")
    arguments = {
        NormalFolder: normals | dict(root=normals_root),
        SegmentationFolder: masks | dict(root=toy_root, ignore=255),
        DepthFolder: depth | dict(root=toy_root),
        KeypointPairs: dict(root=toy_pairs),
        ImageSets: dict(root=toy_sets, layout="got10k"),
        VideoFolder: dict(root=toy_videos),
        ViewPairs: dict(root=toy_views, every=1),
        ClassFolder: dict(root=image_folder),
    }

    def make(name: str, **changes: Any) -> Task:
        data = arguments[BENCHMARKS[name].data]
        task = make_task(name, dict(data=data) | base_of(name) | changes)
        assert type(task.data) is BENCHMARKS[name].data
        return task

    return make


@pytest.fixture
def run(open_task: Callable[..., Task], colour_grid: Any) -> Callable[..., Record]:
    """Runs a benchmark by name on toy data, with changed settings."""

    toy = colour_grid()

    def make(name: str, **changes: Any) -> Record:
        resnet = name in OF_RESNET
        network = FeatureExtractor.load("random:test_resnet?output_stride=8") if resnet else toy
        task = open_task(name, **changes)
        return task.benchmark.measure(network, task.data, task.settings)

    return make


@pytest.mark.parametrize("name", FROZEN)
def test_records_have_the_declared_metrics_only(name: str, run: Callable[..., Record]) -> None:
    record = run(name)
    assert record.benchmark == name and set(record.metrics) <= set(BENCHMARKS[name].metrics)
    assert BENCHMARKS[name].metrics[0] in record.metrics


@pytest.mark.parametrize("name", FROZEN)
def test_what_will_be_measured_is_known_beforehand(
    name: str, run: Callable[..., Record], open_task: Callable[..., Task]
) -> None:
    for change in [{}, dict(loss="relative")] if name == "depth_probe" else [{}]:
        assert set(open_task(name, **change).metrics) == set(run(name, **change).metrics)


@pytest.mark.parametrize("name", FROZEN)
def test_every_benchmark_has_trivial_predictors_that_may_stand_in_its_table(
    name: str, run: Callable[..., Record], open_task: Callable[..., Task]
) -> None:
    benchmark = BENCHMARKS[name]
    assert benchmark.baselines
    changes = [{}, dict(train_at="low")] if "train_stride" in benchmark.baseline_needs else [{}]
    for change in changes:
        network, task = run(name, **change), open_task(name, **change)
        needs = {key: network.protocol[key] for key in benchmark.baseline_needs}
        for baseline in benchmark.baselines:
            record = benchmark.measure_baseline(baseline, task.data, task.settings, **needs)
            assert record.protocol_hash == network.protocol_hash, (baseline, record.protocol_line)
            assert record.subject["spec"] == baseline and is_baseline(record)
            assert {k: (m.unit, m.better) for k, m in record.metrics.items()} == {
                k: (m.unit, m.better) for k, m in network.metrics.items()
            }
            assert all(metric.defined for metric in record.metrics.values())


@pytest.mark.parametrize("name", FROZEN)
def test_every_setting_that_changes_the_number_changes_the_hash(
    name: str, run: Callable[..., Record], open_task: Callable[..., Task]
) -> None:
    """Field by field, without a list of fields: what must change follows from its declaration."""
    base, settings = run(name), open_task(name).settings
    for setting in fields(settings):
        key, role = setting.name, role_of(setting)
        record = run(name, **{key: another(key, getattr(settings, key))})
        # One that the protocol holds in another form changes it as well.
        outside = role in ("speed", "subject")
        assert (record.protocol_hash == base.protocol_hash) == outside, key
        assert (record.subject != base.subject) == (role == "subject"), key
        if role == "speed":
            for metric, measured in record.metrics.items():
                assert measured.value == pytest.approx(base.metrics[metric].value), (key, metric)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_protocol_holds_every_setting_that_is_not_declared_to_stay_out(name: str) -> None:
    """Also of those that train whole networks: with facts that say nothing else, field by field."""
    benchmark = BENCHMARKS[name]
    facts = dict(data="toys") | dict.fromkeys(benchmark.baseline_needs, 0)
    recipe = dict(recipe=__file__) if name == "transfer" else {}
    protocol = benchmark.protocol(None, benchmark.settings(**recipe), facts)
    roles = {setting.name: role_of(setting) for setting in fields(benchmark.settings)}
    later = {setting.name for setting in fields(benchmark.settings) if came_later(setting)}
    entries = {key for key, role in roles.items() if role is None}
    assert protocol.keys() == {*facts, *(entries - later)}
    assert set(roles.values()) <= {None, "speed", "subject", *protocol}
    json.dumps(protocol)  # what a record cannot hold would be found after the measurement


@pytest.mark.parametrize("name", BENCHMARKS)
def test_what_is_declared_fits_together(name: str) -> None:
    benchmark = BENCHMARKS[name]
    assert benchmark.name == name and benchmark.about and benchmark.metrics
    assert benchmark.distributed == ("distributed" in signature(benchmark.run).parameters)
    for predict in benchmark.baselines.values():
        parameters = signature(predict).parameters
        taken = parameters.keys() | {setting.name for setting in fields(benchmark.settings)}
        assert set(benchmark.baseline_needs) <= taken and "progress" in parameters


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(type="retreival", data={}), "did you mean 'retrieval'"),
        (dict(type="benchmarks.nothing", data={}), "nor a module's dotted name"),
        (dict(type="json", data={}), "the module must end in BENCHMARK = Benchmark(name=…"),
        (dict(data=dict(type="Folder", root="x")), "type='Folder', but it reads a ClassFolder"),
        (dict(), "has no data; add data="),
        (dict(data=dict(root="x", every=2)), "ClassFolder: every=2 is of type int; must be tuple"),
        (dict(data={}), "data of ClassFolder lacks root=; add it"),
        (dict(data=dict(root="x"), neighbours=2.5), "neighbours=2.5 is of type float; must be int"),
        (dict(data=dict(rot="x")), "ClassFolder has no argument 'rot'; did you mean 'root'?"),
        (
            dict(data=dict(type="SegmentationFolder", root="x", layout="voc")),
            "it reads a ClassFolder",
        ),
        (
            dict(data=dict(root="x"), neighbors=3),
            "neighbors is unknown; did you mean 'neighbours'?",
        ),
        (
            dict(data=dict(root="x"), neighbours=0),
            "benchmark 'knn': neighbours=0 must be greater than 0",
        ),
    ],
)
def test_mistakes_are_named(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make_task("knn", config)
    assert message in str(caught.value)


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("kind", ["masks", "depth"])
def test_a_part_without_any_label_is_refused_before_any_work(
    toy_root: Path, tmp_path: Path, kind: str, part: str
) -> None:
    """Its scores would not be numbers; a train part without labels would teach a probe class 0."""
    shutil.copytree(toy_root, tmp_path / "data")
    files = sorted((tmp_path / f"data/{kind}/{part}").iterdir())
    for file in files:
        empty = (
            np.zeros((40, 48), np.uint16) if kind == "depth" else np.full((40, 48), 255, np.uint8)
        )
        Image.fromarray(empty).save(file)
    options = dict(classes=3, ignore=255) if kind == "masks" else {}
    data = (
        dict(root=tmp_path / "data", layout="plain", images="images/{split}")
        | {kind: kind + "/{split}"}
        | options
    )
    for name in (
        ("depth", "depth_probe")
        if kind == "depth"
        else ("retrieval", "probe", "decoder", "linear_segmentation")
    ):
        with pytest.raises(
            ValueError,
            match=f"no (pixel is labelled|depth is known): .* {part} part .{len(files)}, ",
        ):
            make_task(name, dict(data=data))
    shutil.copy(toy_root / kind / part / files[-1].name, files[-1])
    make_task(name, dict(data=data))  # one label somewhere is enough


def test_a_module_is_a_benchmark_too() -> None:
    assert find_benchmark("benchmarks.frozen.knn") is BENCHMARKS["knn"]


def test_choices_name_argument_value_and_what_is_legal() -> None:
    check_choice("backend", "torch", ("auto", "torch"))
    with pytest.raises(
        ValueError, match=r"backend='Torhc' is not one of auto, torch; did you mean 'torch'\?"
    ):
        check_choice("backend", "Torhc", ("auto", "torch"))
    assert suggestion("xyz", ("auto", "torch")) == ""
