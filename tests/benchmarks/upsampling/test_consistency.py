"""Held-out consistency: what it measures, by a slow re-implementation, and that arms are
comparable.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from benchmarks.upsampling.cli import consistency_table, load_arms
from benchmarks.upsampling.consistency import (
    Arm,
    Photos,
    Settings,
    bilinear_of,
    load_arm,
    run,
)
from pretrain.data.sampler import JITTER, stream
from pretrain.engine.check import register_all
from pretrain.upsampling.jitter import draw_jitter

SETTINGS = Settings(size=32, images=5, jitters=2, pad=4, batch_size=3)


@pytest.fixture
def arm(tiny_backbone: dict[str, object]) -> Arm:
    """A fresh stack on a random backbone."""
    register_all()
    torch.manual_seed(0)
    upsampler = dict(type="JBUStack", key_dim=4)
    config = dict(type="UpsamplerTrainer", backbone=tiny_backbone, upsampler=upsampler)
    return Arm(
        "fresh",
        MODELS.build(dict(config, objective=dict(type="MultiViewConsistency", pad=4))).eval(),
    )


def test_equals_a_loop_over_images_and_jitters(arm: Arm, image_folder: Path) -> None:
    data, trainer = Photos(image_folder), arm.trainer
    record = run(arm, data, SETTINGS)
    ids = data.ids(5)
    assert len(set(ids)) == 5 and record.counts["per_image"]["image"] == ids
    (_, images), *_ = data.batches(ids, 32, 5)
    expected: dict[str, list[float]] = {"uniform_mse": [], "own_mse": [], "own_nll": []}
    with torch.no_grad():
        for number, image in zip(ids, images, strict=True):
            x = (image[None] - trainer.data_preprocessor.mean) / trainer.data_preprocessor.std
            fine = trainer.upsampler(x, trainer.encode(x), (32, 32))
            found: dict[str, list[float]] = {name: [] for name in expected}
            for repeat in range(2):
                draws = torch.Generator().manual_seed(
                    int(stream(0, JITTER, repeat, number).random_raw())
                )
                jitter = draw_jitter((32, 32), draws, pad=4)
                target = trainer.encode(jitter(x))
                own = trainer.objective.downsampler(jitter(fine), (4, 4)) - target
                scale = trainer.objective.uncertainty(target)
                found["uniform_mse"].append(
                    float(((F.avg_pool2d(jitter(fine), 8) - target) ** 2).mean())
                )
                found["own_mse"].append(float((own**2).mean()))
                found["own_nll"].append(float((own**2 / (2 * scale**2) + scale.log()).mean()))
            for name, values in found.items():
                expected[name].append(float(np.mean(values)))
    for name, values in expected.items():
        assert record.counts["per_image"][name] == pytest.approx(values, rel=1e-4)
        assert record.metrics[name].value == pytest.approx(np.mean(values), rel=1e-4)


def test_batches_change_nothing_and_repeats_are_equal(arm: Arm, image_folder: Path) -> None:
    records = [
        run(arm, Photos(image_folder), Settings(**{**vars(SETTINGS), "batch_size": b}))
        for b in (2, 2, 5)
    ]
    assert records[0].metrics == records[1].metrics
    assert len({record.protocol_hash for record in records}) == 1
    for name, metric in records[0].metrics.items():
        assert records[2].metrics[name].value == pytest.approx(metric.value, rel=1e-4)


def test_difference_from_bilinear_is_paired_by_image(arm: Arm, image_folder: Path) -> None:
    arms = [arm, bilinear_of(arm)]
    records = [run(a, Photos(image_folder), SETTINGS) for a in arms]
    assert "own_mse" not in records[1].metrics
    table = consistency_table(records, arms, "photos")
    headings = [column.heading for column in table.columns]
    assert headings.count("minus bilinear, by image") == 1 and "own_mse [feature²] ↓" in headings
    at = headings.index("minus bilinear, by image")
    columns = [np.array(r.counts["per_image"]["uniform_mse"]) for r in records]
    difference = table.rows[0].cells[at].value
    assert headings[at - 1] == "uniform_mse [feature²] ↓"
    assert difference.n == 5
    assert difference.mean == pytest.approx(float((columns[0] - columns[1]).mean()))
    assert table.rows[1].cells[at].value is None
    other = run(arm, Photos(image_folder), Settings(**{**vars(SETTINGS), "seed": 1}))
    with pytest.raises(ValueError, match="records of unequal protocol cannot share a column"):
        consistency_table([records[1], other], arms[::-1], "photos")


def test_a_stack_that_normalises_is_measured_in_its_own_space(
    arm: Arm, tiny_backbone: dict[str, object], image_folder: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    upsampler = dict(type="JBUStack", key_dim=4, norm=True)
    config = dict(type="UpsamplerTrainer", backbone=tiny_backbone, upsampler=upsampler)
    trainer = MODELS.build(dict(config, objective=dict(type="MultiViewConsistency", pad=4))).eval()
    normed, data = Arm("norm", trainer), Photos(image_folder)
    settings = Settings(size=32, images=1, jitters=1, pad=4)
    records = [run(a, data, settings) for a in (normed, bilinear_of(normed), arm)]
    assert records[0].protocol_hash == records[1].protocol_hash != records[2].protocol_hash
    ((_, image),) = data.batches(data.ids(1), 32, 1)
    x = (image - trainer.data_preprocessor.mean) / trainer.data_preprocessor.std
    draws = torch.Generator().manual_seed(int(stream(0, JITTER, 0, data.ids(1)[0]).random_raw()))
    jitter = draw_jitter((32, 32), draws, pad=4)

    def unit(maps: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(maps.movedim(1, 3), maps.shape[1:2]).movedim(3, 1)

    with torch.no_grad():
        low, target = unit(trainer.encode(x)), unit(trainer.encode(jitter(x)))
        fine = (
            trainer.upsampler(x, trainer.encode(x), (32, 32)),
            F.interpolate(low, size=(32, 32), mode="bilinear"),
        )
        expected = [float(((F.avg_pool2d(jitter(maps), 8) - target) ** 2).mean()) for maps in fine]
    assert [r.metrics["uniform_mse"].value for r in records[:2]] == pytest.approx(
        expected, rel=1e-4
    )
    for name, one in (("norm", trainer), ("plain", arm.trainer)):
        torch.save(dict(meta=one.describe(), state_dict=one.state_dict()), tmp_path / f"{name}.pth")
    with pytest.raises(
        ValueError, match=r"norm.pth normalises features first .*measure them in two calls"
    ):
        load_arms([str(tmp_path / "plain.pth"), str(tmp_path / "norm.pth")], "cpu")


def test_mistakes_are_named(arm: Arm, image_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="jitters=0: must be at least 1"):
        Settings(jitters=0)
    with pytest.raises(ValueError, match="pad=20: must be from 0 to 15"):
        Settings(size=16)
    with pytest.raises(ValueError, match="size=36: must be a multiple of the backbone's stride 8"):
        run(arm, Photos(image_folder), Settings(size=36))
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        load_arm(tmp_path / "none.pth")
    torch.save(
        dict(meta=arm.trainer.describe(), state_dict=dict(other=torch.zeros(1))),
        tmp_path / "other.pth",
    )
    with pytest.raises(ValueError, match="other.pth does not fit the model that it describes"):
        load_arm(tmp_path / "other.pth")
    torch.save(dict(meta=dict(upsampler={}, objective={}), state_dict={}), tmp_path / "half.pth")
    with pytest.raises(
        ValueError, match="half.pth: not a checkpoint of pixelpretext train-upsampler"
    ):
        load_arm(tmp_path / "half.pth")
