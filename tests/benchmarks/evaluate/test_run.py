"""The command's work: what is measured is kept, and baselines stand beside the networks they belong
to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric, Record, read_all
from benchmarks.core.upsamplers import load_upsampler
from benchmarks.data import DepthFolder, SegmentationFolder
from benchmarks.evaluate import run
from benchmarks.evaluate.run import Options, evaluate, make_tasks
from benchmarks.evaluate.suite import BENCHMARKS
from benchmarks.evaluate.tables import evaluation_tables
from benchmarks.frozen import depth, retrieval
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.upsampled import FEATURES
from benchmarks.report.renderers import print_tables


def arguments(
    out: Path,
    networks: list[str],
    benchmark: str | list[str],
    data: str | list[str],
    **changes: object,
) -> Options:
    """What ``tools/evaluate.py`` is asked for."""
    common = dict(quick=True, device="cpu")
    benchmarks, sets = ([x] if isinstance(x, str) else x for x in (benchmark, data))
    given = dict(networks=networks, benchmark=benchmarks, data=sets, out=str(out))
    return Options(**(common | given | changes))


def test_a_network_that_is_missing_is_found_before_anything_is_measured(
    image_folder: Path, tmp_path: Path
) -> None:
    networks = ["random:test_resnet", "nowhere.pth"]
    given = arguments(
        tmp_path / "r.jsonl", networks, "knn", f"classes:{image_folder}", settings=["knn.size=32"]
    )
    with pytest.raises(FileNotFoundError, match="no checkpoint nowhere.pth"):
        evaluate(given)
    assert not (tmp_path / "r.jsonl").exists()
    with pytest.raises(ValueError, match="network 'random:test_resnet' is named twice"):
        evaluate(replace(given, networks=["random:test_resnet"] * 2))


@pytest.mark.parametrize(
    "networks", [["random:test_vit"], ["random:test_resnet", "random:test_vit"]]
)
def test_a_size_that_a_network_refuses_is_found_before_anything_is_measured(
    image_folder: Path, tmp_path: Path, networks: list[str]
) -> None:
    settings = ["knn.size=32", "linear.size=40"]
    data, out = f"classes:{image_folder}", tmp_path / "r.jsonl"
    given = arguments(out, networks, ["knn", "linear"], data, settings=settings)
    with pytest.raises(ValueError, match=r"images of 40 × 40 pixels: test_vit refuses this size"):
        evaluate(given)
    assert not out.exists()


def test_a_network_that_fails_leaves_the_records_before_it(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Benchmark.measure

    def fail_with_the_second(
        benchmark: Benchmark, extractor: FeatureExtractor, *given: object, **options: object
    ) -> Record:
        if extractor.spec != "random:test_resnet":
            raise ValueError("a broken image")
        return measure(benchmark, extractor, *given, **options)

    monkeypatch.setattr(Benchmark, "measure", fail_with_the_second)
    networks = ["random:test_resnet", "random:test_resnet?seed=1"]
    given = arguments(
        tmp_path / "r.jsonl", networks, "knn", f"classes:{image_folder}", settings=["knn.size=32"]
    )
    with pytest.raises(ValueError, match="a broken image"):
        evaluate(given)
    assert [record.subject["spec"] for record in read_all(tmp_path / "r.jsonl")] == [
        "random:test_resnet"
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_fills_up_loses_no_record(
    image_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    data, settings = f"classes:{image_folder}", ["knn.size=32"]
    given = arguments(Path("/dev/full"), ["random:test_resnet"], "knn", data, settings=settings)
    with pytest.raises(OSError, match="1 records could not be appended .*rescued_full"):
        evaluate(given)
    printed = capsys.readouterr().out
    assert "appended to" not in printed and "knn · protocol" in printed
    assert read_all(tmp_path / "rescued_full")[0].to_json() in printed.splitlines()


def test_long_names_stay_different_in_a_narrow_table(capsys: pytest.CaptureFixture[str]) -> None:
    specs = [
        f"work_dirs/comparison/pixpro_with_a_long_name/seed_{n}/pretrain/final.pth"
        for n in range(3)
    ]
    metrics = {name: Metric(50.0, "%", "higher") for name in ("top1", "top5")}
    records = [
        Record("knn", metrics, {"neighbours": 3}, subject=dict(spec=spec, backbone={}))
        for spec in specs
    ]
    print_tables(evaluation_tables(records), Console(width=80))
    printed = capsys.readouterr().out
    rows = [line.split("│")[1].strip() for line in printed.splitlines() if line.startswith("│")]
    assert len(set(rows)) == 3 and all("…" in row for row in rows)
    for row, spec in zip(rows, specs, strict=True):
        assert f"{row} = {spec}" in printed.splitlines()


def test_baselines_share_the_protocol_of_every_stride(toy_root: Path, tmp_path: Path) -> None:
    networks = [f"random:test_resnet?output_stride={stride}" for stride in (8, 16)]
    data = f"plain:{toy_root}?images=images/{{split}}&masks=masks/{{split}}&classes=3&ignore=255"
    sizes = ["retrieval.size=32,48", "retrieval.backend=torch"]
    given = arguments(
        tmp_path / "r.jsonl", networks, "retrieval", data, settings=sizes, baselines=True
    )
    evaluate(given)
    records = read_all(tmp_path / "r.jsonl")
    assert len(records) == 2 + 2 * len(retrieval.BENCHMARK.baselines)
    for network in records[:2]:
        beside = [
            r.subject["spec"] for r in records[2:] if r.protocol_hash == network.protocol_hash
        ]
        assert beside == list(retrieval.BENCHMARK.baselines)


def test_an_image_is_encoded_once_for_all_benchmarks_and_upsamplers(
    toy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Probe and retrieval see the 10 images at one size, behind two upsamplers and on the own grid;
    what they measure is what they measure alone.
    """
    encoded = []
    features = FeatureExtractor.features

    def counting(self: FeatureExtractor, normalised: torch.Tensor) -> torch.Tensor:
        encoded.append(len(normalised))
        return features(self, normalised)

    monkeypatch.setattr(FeatureExtractor, "features", counting)
    data = f"plain:{toy_root}?images=images/{{split}}&masks=masks/{{split}}&classes=3&ignore=255"
    network, sizes = ["random:test_resnet?output_stride=8"], ["probe.size=32,48"]
    common = dict(upsampler=["bilinear", "bicubic"], upsampled_stride=4)
    sizes += ["retrieval.size=32,48", "retrieval.backend=torch", "retrieval.augment=False"]
    both = ["probe", "retrieval"]
    evaluate(arguments(tmp_path / "r.jsonl", network, both, data, settings=sizes, **common))
    assert sum(encoded) == 10
    together = {}
    for record in read_all(tmp_path / "r.jsonl"):
        together[record.benchmark, str(record.subject.get("upsampler"))] = record.metrics
    evaluate(arguments(tmp_path / "a.jsonl", network, "probe", data, settings=sizes[:1], **common))
    for record in read_all(tmp_path / "a.jsonl"):
        shared = together[record.benchmark, str(record.subject.get("upsampler"))]
        for name, metric in record.metrics.items():
            assert shared[name].value == pytest.approx(metric.value, rel=1e-4), name


def test_each_dense_benchmark_finds_its_data_and_baselines(toy_root: Path, tmp_path: Path) -> None:
    images, network = (
        f"plain:{toy_root}?images=images/{{split}}",
        "random:test_resnet?output_stride=16",
    )
    data = [
        f"{images}&masks=masks/{{split}}&classes=3&ignore=255",
        f"{images}&depth=depth/{{split}}",
    ]
    sizes = ["retrieval.size=32,48", "depth.size=32,48"]
    given = arguments(
        tmp_path / "r.jsonl",
        [network],
        ["retrieval", "depth"],
        data,
        settings=sizes,
        baselines=True,
    )
    evaluate(given)
    names = {"retrieval": [], "depth": []}
    for record in read_all(tmp_path / "r.jsonl"):
        names[record.benchmark].append(record.subject["spec"])
    assert names == {
        benchmark.name: [network, *benchmark.baselines]
        for benchmark in (retrieval.BENCHMARK, depth.BENCHMARK)
    }
    assert len({r.protocol_hash for r in read_all(tmp_path / "r.jsonl")}) == 2
    with pytest.raises(
        ValueError,
        match=r"benchmark depth needs one --data with a layout with depth maps .* found 0",
    ):
        make_tasks(["depth"], data[:1], [], quick=True)


def test_generated_data_serve_both_dense_benchmarks(tmp_path: Path) -> None:
    for split, shade in (("train", 1), ("val", 90)):
        for kind in ("images", "annotations", "depth"):
            (tmp_path / kind / split).mkdir(parents=True)
        Image.fromarray(np.full((8, 8), shade, np.uint8)).save(
            tmp_path / "images" / split / "a.jpg"
        )
        Image.fromarray(np.ones((8, 8), np.uint8)).save(tmp_path / "annotations" / split / "a.png")
        Image.fromarray(np.ones((8, 8), np.uint16)).save(tmp_path / "depth" / split / "a.png")
    (tmp_path / "scenes.json").write_text('{"labels": {"names": ["ignore", "disc"]}}')
    tasks = make_tasks(["retrieval", "depth"], [f"scenes:{tmp_path}"], [], quick=True)
    assert [type(task.data) for task in tasks] == [SegmentationFolder, DepthFolder]


def test_options_that_the_crops_of_scenes_would_drop_are_refused(image_folder: Path) -> None:
    folder = image_folder.parent / "scenes"
    folder.mkdir()
    (folder / "crops").symlink_to(image_folder)
    assert len(make_tasks(["knn"], [f"scenes:{folder}"], [], quick=True)) == 1
    with pytest.raises(
        ValueError, match=r"benchmark knn .*scenes:ROOT without options; with them .*, found 0"
    ):
        make_tasks(["knn"], [f"scenes:{folder}?every=2,2"], [], quick=True)
    (task,) = make_tasks(["knn"], [f"classes:{folder}/crops?every=2,2"], [], quick=True)
    assert (
        0
        < len(task.data.train)
        < len(make_tasks(["knn"], [f"scenes:{folder}"], [], quick=True)[0].data.train)
    )


def test_data_that_no_benchmark_reads_are_refused(image_folder: Path, tmp_path: Path) -> None:
    unread = f"pfwillow:{tmp_path}"
    with pytest.raises(
        ValueError, match=f"--data '{unread}': none of the benchmarks knn reads it; leave it out"
    ):
        make_tasks(["knn"], [f"classes:{image_folder}", unread], [], quick=True)


def test_a_setting_that_is_given_twice_is_refused(image_folder: Path) -> None:
    with pytest.raises(
        ValueError, match="--set: knn.size is given twice, '32' and '64'; give it once"
    ):
        make_tasks(["knn"], [f"classes:{image_folder}"], ["knn.size=32", "knn.size=64"], quick=True)


@pytest.mark.parametrize("text", ["knn.size=", "knn.size", "size=3", "nkk.size=3"])
def test_settings_without_benchmark_or_value_are_named(image_folder: Path, text: str) -> None:
    with pytest.raises(
        ValueError, match=f"--set '{text}': write BENCHMARK.KEY=VALUE with a benchmark of knn"
    ):
        make_tasks(["knn"], [f"classes:{image_folder}"], [text], quick=True)


def test_bilinear_stands_beside_every_upsampler(
    toy_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    network = "random:test_resnet?output_stride=8"
    images = f"plain:{toy_root}?images=images/{{split}}"
    data = [
        f"{images}&masks=masks/{{split}}&classes=3&ignore=255",
        f"{images}&depth=depth/{{split}}",
    ]
    names = ["retrieval", "depth", "probe", "depth_probe"]
    sets = [f"{name}.size=32,48" for name in names]
    sets += [f"{name}.{key}" for name in names[2:] for key in ("epochs=1", "least_steps=2")]
    given = arguments(
        tmp_path / "r.jsonl",
        [network],
        names,
        data,
        settings=sets,
        upsampler=["guided?radius=1"],
        baselines=True,
    )
    evaluate(given)
    found: dict[str, list] = {name: [] for name in names}
    for record in read_all(tmp_path / "r.jsonl"):
        if record.subject["spec"] == network:
            upsampler = record.subject.get("upsampler", {}).get("spec", "none")
            found[record.benchmark].append(
                (upsampler, record.protocol["stride"], record.protocol_hash)
            )
    for name in names[:2]:
        assert [run[:2] for run in found[name]] == [
            ("none", 8),
            ("bilinear", 4),
            ("guided?radius=1", 4),
        ]
        assert found[name][0][2] != found[name][1][2] == found[name][2][2]
    for name in names[2:]:  # without an upsampler a probe is the bilinear one
        assert [run[:2] for run in found[name]] == [("bilinear", 1), ("guided?radius=1", 1)]
        assert found[name][0][2] == found[name][1][2]
    assert "upsampler" in capsys.readouterr().out


def test_an_upsampler_is_loaded_once_for_all_networks(
    toy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs: list[str] = []

    def counted(spec: str, *rest: Any) -> Any:
        specs.append(spec)
        return load_upsampler(spec, *rest)

    monkeypatch.setattr(run, "load_upsampler", counted)
    networks = [f"random:test_resnet?output_stride=8&seed={seed}" for seed in (0, 1)]
    data = f"plain:{toy_root}?images=images/{{split}}&masks=masks/{{split}}&classes=3&ignore=255"
    sets = ["probe.size=32,48", "probe.least_steps=2", "probe.epochs=1"]
    changes = dict(settings=sets, upsampler=["guided?radius=1"])
    evaluate(arguments(tmp_path / "r.jsonl", networks, "probe", data, **changes))
    assert specs == ["none", "bilinear", "guided?radius=1"]
    assert len(read_all(tmp_path / "r.jsonl")) == 4


def test_the_grid_behind_an_upsampler_is_set(toy_root: Path, tmp_path: Path) -> None:
    network = "random:test_resnet?output_stride=8"
    data = f"plain:{toy_root}?images=images/{{split}}&masks=masks/{{split}}&classes=3&ignore=255"
    sets = ["probe.size=32,48", "probe.least_steps=2", "probe.epochs=1"]
    changes = dict(settings=sets, upsampler=["none"], upsampled_stride=2)
    given = arguments(tmp_path / "r.jsonl", [network], "probe", data, **changes)
    evaluate(given)
    records = read_all(tmp_path / "r.jsonl")
    assert [record.protocol["stride"] for record in records] == [2, 2]
    assert records[0].counts == records[1].counts
    for wrong in (dict(upsampled_stride=0), dict(upsampler=["jbu"])):
        with pytest.raises(ValueError):
            evaluate(arguments(tmp_path / "x.jsonl", [network], "probe", data, **wrong))
    assert not (tmp_path / "x.jsonl").exists()


def test_pairs_of_keypoints_and_a_page(
    tmp_path: Path, write_willow: Callable[[Path], Path], capsys: pytest.CaptureFixture
) -> None:
    network, data = (
        "random:test_resnet?output_stride=8",
        f"pfwillow:{write_willow(tmp_path / 'willow')}",
    )
    given = arguments(
        tmp_path / "r.jsonl",
        [network],
        "correspondence",
        data,
        settings=["correspondence.size=32,48"],
        baselines=True,
        upsampler=["guided"],
        report=str(tmp_path / "page"),
    )
    evaluate(given)
    records = read_all(tmp_path / "r.jsonl")
    assert [r.subject["spec"] for r in records] == [network] * 3 + ["identity", "centre"]
    assert len({r.protocol_hash for r in records}) == 1
    page = (tmp_path / "page/index.html").read_text()
    assert (
        "guided" in page
        and "(identity)" in page
        and (tmp_path / "page/pictures/features_0.png").is_file()
    )
    assert "index.html" in capsys.readouterr().out
    with pytest.raises(
        ValueError, match="benchmark correspondence needs one --data with a layout with keypoint"
    ):
        make_tasks(["correspondence"], [f"classes:{tmp_path}"], [], quick=True)


def test_pictures_that_fail_leave_the_page(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left")

    figures = (replace(FEATURES, draw=fail),)
    monkeypatch.setattr("benchmarks.evaluate.page.FIGURES", figures)
    given = arguments(
        tmp_path / "r.jsonl",
        ["random:test_resnet?output_stride=8"],
        ["cam", "knn"],
        f"classes:{image_folder}",
        settings=["cam.size=32", "knn.size=32", "cam.only_correct=false"],
        report=str(tmp_path / "page"),
    )
    evaluate(given)
    page = (tmp_path / "page/index.html").read_text().replace("<wbr>", "")
    assert "average_drop [%] ↓" in page and "knn" in page and "<img" not in page


def test_the_page_shows_the_figures_of_its_benchmarks(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered: list[Sources] = []

    def gather(sources: Sources) -> dict[str, int]:
        gathered.append(sources)
        return {"": 1}

    def draw(_: int, path: Path) -> None:
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)

    figure = Figure("neighbours", "what kNN measured", gather, draw, section="results")
    declared = replace(BENCHMARKS["knn"], figures=(figure, figure))
    monkeypatch.setitem(BENCHMARKS, "knn", declared)
    network, out = "random:test_resnet?output_stride=8", tmp_path / "r.jsonl"
    data, page = f"classes:{image_folder}", tmp_path / "page"
    settings = ["knn.size=32"]
    evaluate(
        arguments(out, [network], "knn", data, settings=settings, baselines=True, report=str(page))
    )
    assert (page / "index.html").read_text().count('alt="what kNN measured"') == 1
    (sources,) = gathered
    assert list(sources.arms) == [network] == list(sources.runs)  # and no trivial predictor
    (run,) = sources.runs[network]
    assert run.column("top1") == "knn.top1" and run.record.subject["spec"] == network


def test_dense_is_every_dense_benchmark_that_reads_the_data(toy_root: Path) -> None:
    masks = f"plain:{toy_root}?images=images/{{split}}&masks=masks/{{split}}&classes=3&ignore=255"
    depths = f"plain:{toy_root}?images=images/{{split}}&depth=depth/{{split}}"
    by_masks = run.expanded(["dense"], [masks])
    assert {"retrieval", "probe", "patch_knn", "overcluster"} <= set(by_masks)
    assert not {"depth", "correspondence", "knn"} & set(by_masks)
    both = run.expanded(["knn", "dense", "retrieval"], [masks, depths])
    assert both[0] == "knn" and {"depth", *by_masks} <= set(both) and both.count("retrieval") == 1
    with pytest.raises(ValueError, match="--benchmark dense: none of retrieval, .* reads classes:"):
        run.expanded(["dense"], ["classes:x"])
    assert set(run.DENSE) <= set(BENCHMARKS)
    assert len(make_tasks(by_masks, [masks], [], quick=True)) == len(by_masks)
