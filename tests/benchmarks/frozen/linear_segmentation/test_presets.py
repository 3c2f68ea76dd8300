"""Presets of linear segmentation: each runs end to end on a small set in the published layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.evaluate.presets.choose import make_preset_tasks
from benchmarks.evaluate.presets.load import load_preset, preset_names
from benchmarks.frozen.linear_segmentation import BENCHMARK

PRESETS = {}
for one in map(load_preset, preset_names()):
    if one.benchmark == BENCHMARK.name:
        PRESETS[one.name] = one
# Sizes for toy images; nothing else is changed but the length.
SMALL = dict(size="(32, 32)", short_side="32", length="4", images_per_step="2")
SHORT = dict(
    dinov3=dict(evaluations="2", warmup="1", window_stride="21"),
    poly=dict(warmup="1", window_stride="21"),
)
# Images of unequal shapes, all larger than the windows.
SHAPES = ((40, 56), (48, 40), (44, 96))
LAYOUTS = {
    "ade20k": dict(
        images="images/{part}/{name}.jpg",
        masks="annotations/{part}/{name}.png",
        train="training",
        val="validation",
    ),
    "voc": dict(images="JPEGImages/{name}.jpg", masks="{folder}/{name}.png"),
    "coco-stuff-27": dict(
        images="images/{part}/{name}.jpg",
        masks="annotations/{part}/{name}.png",
        train="train2017",
        val="val2017",
    ),
    "cityscapes": dict(
        images="leftImg8bit/{part}/bonn/{name}_leftImg8bit.png",
        masks="gtFine/{part}/bonn/{name}_gtFine_labelIds.png",
    ),
}


CLASSES = {"ade20k": 150, "voc": 21, "cityscapes": 19, "coco-stuff-27": 27}


def write(root: Path, layout: str, part: str) -> None:
    """Three images of a part with masks of raw values 0 to 20, blocks of 8 pixels."""
    where = LAYOUTS[layout]
    folder = "SegmentationClassAug" if part == "trainaug" else "SegmentationClass"
    rng = np.random.default_rng(len(part))
    for number, shape in enumerate(SHAPES):
        values = dict(part=where.get(part, part), name=f"{part}_{number}", folder=folder)
        blocks = rng.integers(0, 21, [-(-side // 8) for side in shape])
        mask = np.kron(blocks, np.ones((8, 8), int))[: shape[0], : shape[1]]
        image = rng.integers(0, 255, (*shape, 3))
        for kind, pixels in (("images", image), ("masks", mask)):
            path = root / where[kind].format(**values)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    lists = root / "ImageSets" / "Segmentation"
    if layout == "voc":
        lists.mkdir(parents=True, exist_ok=True)
        names = [f"{part}_{number}\n" for number in range(len(SHAPES))]
        (lists / f"{part}.txt").write_text("".join(names))


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of a toy set in each layout."""
    written = {}
    for layout in LAYOUTS:
        written[layout] = tmp_path_factory.mktemp(layout)
        for part in ("train", "trainaug", "val")[:: 1 if layout == "voc" else 2]:
            write(written[layout], layout, part)
    return written


@pytest.fixture(scope="module")
def network() -> FeatureExtractor:
    """A tiny ViT of stride 16, with a class token and a table of positions."""
    return FeatureExtractor.load("random:vit_tiny_patch16_224?depth=4&embed_dim=24&num_heads=2")


@pytest.mark.parametrize("name", PRESETS)
def test_it_runs_end_to_end(name: str, roots: dict[str, Path], network: FeatureExtractor) -> None:
    preset = PRESETS[name]
    layout = preset.data["layout"].value
    changes = SMALL | SHORT.get(preset.settings["schedule"].value, {})
    settings = [f"{name}.{key}={value}" for key, value in changes.items()]
    (task,) = make_preset_tasks([name], [f"{layout}:{roots[layout]}?limit=3,3"], settings)
    ((prepared, seen),) = task.prepared(network)
    record = prepared.signed(BENCHMARK.measure(seen, prepared.data, prepared.settings))
    assert record.metrics["mIoU"].defined and record.protocol["preset"].startswith(f"{name} (cha")
    assert record.protocol["outputs"] == CLASSES[layout] + (
        preset.settings["spare_outputs"].value + preset.data["keep_ignored"].value
    )
    confusion = np.array(record.counts["confusion"])
    side = preset.settings["mask_side"].value
    if side:
        assert confusion.sum() <= 3 * side**2
    elif preset.settings["test_view"].value == "own":
        assert confusion.sum() <= sum(height * width for height, width in SHAPES)
    else:
        assert confusion.sum() <= 3 * 32**2
    assert ("last_mIoU" in record.metrics) == (name == "dinov3-ade")


def test_all_recipes_of_the_specification_are_there() -> None:
    schedules = {}
    for name, preset in PRESETS.items():
        schedules.setdefault(preset.settings["schedule"].value, []).append(name)
    assert {name.partition("-")[0] for name in schedules["cosine-20"]} == {"jafar"}
    assert {name.partition("-")[0] for name in schedules["cosine-epochs"]} == {"anyup"}
    assert {name.partition("-")[0] for name in schedules["cosine"]} == {"naf", "vitup"}
    assert schedules["dinov3"] == ["dinov3-ade"]


@pytest.mark.parametrize(
    ("name", "images", "iterations"),
    [
        ("jafar-probe-voc", 1_464, 14_640),
        ("jafar-probe-cityscapes", 2_975, 29_760),
        ("jafar-probe-ade", 20_210, 202_100),
        ("neco-linear-voc", 10_582, 25 * 82),
        ("dinov3-ade", 20_210, 40_000),
    ],
)
def test_published_lengths(name: str, images: int, iterations: int) -> None:
    values = {key: entry.value for key, entry in PRESETS[name].settings.items()}
    assert BENCHMARK.settings(**values).course(images).iterations == iterations
