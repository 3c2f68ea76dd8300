"""The presets of depth, run end to end on made-up sets in the published layouts, all sizes a tenth.

Features, head, losses, schedule, selection and scores are the presets' own; a network of 12 blocks
and stride 16 stands for theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.core.record import read_all
from benchmarks.evaluate.presets.load import load_preset

NETWORK = "random:vit_tiny_patch16_224"
TRAIN, VAL = 3, 2
NYU = """
counts = dict(train_images=(3, "ours"), val_images=(2, "ours"))
input = dict(
    size=((48, 64), "ours", "x"), train_frame=((4, 4, 43, 61), "ours", "x"),
    crop_size=((38, 50), "ours", "x"),
)
score = dict(scored=((4, 4, 47, 60), "ours", "x"))
"""
KITTI = """
counts = dict(train_images=(3, "ours"), val_images=(2, "ours"))
input = dict(size=((36, 96), "ours", "x"), crop_size=((36, 60), "ours", "x"))
score = dict(scored=((14, 4, 35, 90), "ours", "x"))
"""
SHORT = """
train = dict(
    steps=(4, "ours", "x"), warmup_steps=(1, "ours", "x"),
    images_per_step=(4, "ours", "x"), images_per_loss=(2, "ours", "x"),
)
predict = dict(look_every=(2, "ours", "x"))
"""


def put(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def write_lists(root: Path, name: str, *, depth: str, scale: int) -> Path:
    """Lists of pairs and the files they name, 48 × 64 pixels or, for KITTI, 40 × 100."""
    size = (48, 64) if name == "nyu" else (40, 100)
    for part, count in (("train", TRAIN), ("test", VAL)):
        lines = [] if name == "nyu" else [f"{part}/none.png None 1"]
        for number in range(count):
            rng = np.random.default_rng([number, count])
            metres = rng.uniform(1, 6, size)
            metres[rng.random(size) < 0.2] = 0
            put(root / part / f"{number}.png", rng.integers(0, 256, (*size, 3), np.uint8))
            put(root / part / depth / f"{number}.png", (scale * metres).astype(np.uint16))
            lines.append(f"{part}/{number}.png {part}/{depth}/{number}.png 518.8579")
        (root / f"{name}_{part}.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Root of each layout."""
    nyu, kitti = tmp_path_factory.mktemp("nyu"), tmp_path_factory.mktemp("kitti")
    return {
        "nyu": write_lists(nyu, "nyu", depth="sync_depth", scale=1000),
        "kitti-eigen": write_lists(kitti, "kitti_eigen", depth="groundtruth", scale=256),
    }


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("dinov3-nyu", 192),
        ("dvt-nyu", 2 * 192),
        ("dinov2-nyu-lin4", 8 * 192),
        ("dinov2-kitti-lin4", 8 * 192),
    ],
)
def test_a_preset_runs_from_list_to_line(
    name: str,
    channels: int,
    roots: dict[str, Path],
    write_preset: Callable[..., str],
    run_tool: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    layout, sizes = ("kitti-eigen", KITTI) if "kitti" in name else ("nyu", NYU)
    row = (
        'published = [dict(model="toy", metric="RMSE", value="1.0", source="ours", kind="authors")]'
    )
    file = write_preset(f"{sizes}{SHORT}{row}", base=name)
    out = tmp_path / "records.jsonl"
    given = (NETWORK, "--preset", file, "--data", f"{layout}:{roots[layout]}", "--out", out)
    seeds = (0, 1) if name == "dinov3-nyu" else (0,)
    shown = ("--published-as", "toy", "--device", "cpu", "--seeds", *seeds)
    predictors = ("--baselines",) if name == "dvt-nyu" else ()
    assert run_tool("evaluate", *given, *shown, *predictors) == 0
    records = read_all(out)
    assert len(records) == len(seeds) + 3 * len(predictors)
    assert len({one.protocol_hash for one in records}) == 1
    record = records[0]
    assert record.subject["map_channels"] == channels
    assert record.metrics["RMSE"].value > 0 and record.metrics["pooled_RMSE"].value > 0
    assert len(record.counts["per_image"]["RMSE"]) == VAL
    chosen = "dinov3" not in name
    assert ("looks" in record.counts) == chosen == ("chosen_on" in record.protocol)
    printed = capsys.readouterr().out
    assert f"toy, {NETWORK}, RMSE: published 1.0 (authors: ours), ours " in printed
    assert ("(2 seeds)" if len(seeds) == 2 else "± not known (1 seed") in printed


def test_crops_are_the_published_ones() -> None:
    """Eigen's 238,560 pixels of NYUv2; Garg's shares of height and width of KITTI's crop."""
    top, left, bottom, right = load_preset("dinov3-nyu").settings["scored"].value
    assert (bottom - top) * (right - left) == 238_560
    kitti = load_preset("dinov2-kitti-lin4").settings
    height, width = kitti["size"].value
    rows = [int(share * height) for share in (0.40810811, 0.99189189)]
    columns = [int(share * width) for share in (0.03594771, 0.96405229)]
    assert kitti["scored"].value == (rows[0], columns[0], rows[1], columns[1])


def test_other_counts_are_refused(
    roots: dict[str, Path], run_tool: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    given = (NETWORK, "--preset", "dinov3-nyu", "--data", f"nyu:{roots['nyu']}")
    assert run_tool("evaluate", *given, "--device", "cpu") == 2
    assert "train_images is 3, published 24231" in capsys.readouterr().err
