"""Localisation: loads a checkpoint with everything CIM needs and says what answers without looking
would score.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.evaluate.cim import _summary, load, localise
from pretrain.engine.build import build_runner
from pretrain.engine.config import PretrainConfig

ROOT = Path(__file__).resolve().parents[3]


def train(objective: dict, group: str, image_folder: Path, work_dir: Path) -> Path:
    """Trains two steps of a tiny network; returns the checkpoint."""
    exemplar = dict(size=32, within="context", scale=(0.1, 0.4), rotation=30)
    groups = {"context": [dict(size=64, scale=(0.5, 1.0))], "exemplar": [exemplar] * 3}
    groups["global"] = [dict(size=32), dict(size=32)]
    values = dict(
        model=dict(
            type="Pretrainer",
            backbone=dict(type="TimmBackbone", name="test_resnet", output_stride=8),
            objectives=[objective],
            group=group,
        ),
        source=dict(type="ImageFolder", root=str(image_folder)),
        views=dict(type="ViewRecipe", groups=groups),
        schedule=dict(global_batch=4, samples=8, lr_rule="none", lr=1e-3),
        optimizer=dict(type="AdamW"),
        loader=dict(workers=0),
        vis_backends=[],
        work_dir=str(work_dir),
    )
    build_runner(PretrainConfig(values)).train()
    return work_dir / "final.pth"


@pytest.fixture(scope="module")
def checkpoint(image_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    objective = dict(type="CIM", width=16, heads=2)
    return train(objective, "exemplar", image_folder, tmp_path_factory.mktemp("cim"))


def test_same_seed_same_numbers_whatever_the_batch(checkpoint: Path, image_folder: Path) -> None:
    model, _ = load(checkpoint)
    assert not model.training and model.target_backbone is not None
    found = localise(checkpoint, image_folder, limit=10, batch=4)
    again = localise(checkpoint, image_folder, limit=10, batch=10)
    assert (found.images, found.exemplars) == (10, 3)
    assert found.loss == pytest.approx(again.loss, rel=1e-4) and found.prior == again.prior
    assert localise(checkpoint, image_folder, limit=10, seed=1).prior != found.prior


def test_answers_without_looking() -> None:
    maps = torch.zeros(2, 2, 1, 4, dtype=torch.bool)
    maps[..., 0] = True  # always there
    maps[0, :, :, 1] = True  # in one image of two
    found = _summary(torch.tensor(0.0), torch.tensor(0.0), maps)
    assert found.foreground == pytest.approx(3 / 8)
    assert found.prior == pytest.approx(2 * 0.661563, abs=1e-5)
    assert found.position == pytest.approx(
        2 * 0.693147 / 4, abs=1e-5
    )  # only the second pixel is in doubt
    assert found.position_iou == pytest.approx((1 / 2 + 1) / 2)


def test_command_prints_the_table_or_one_sentence(
    checkpoint: Path,
    image_folder: Path,
    tmp_path: Path,
    run_tool: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_tool("evaluate_cim", checkpoint, "--limit", 4, "--images", image_folder) == 0
    lines = capsys.readouterr().out.splitlines()[-4:]
    assert [line.split()[0] for line in lines] == ["4", "network", "prior", "position"]
    assert run_tool("evaluate_cim", checkpoint, "--limit", 4, "--images", tmp_path / "none") == 2
    error = capsys.readouterr().err
    assert error.startswith("evaluate-cim: ImageFolder: ") and "none" in error


def test_an_attacked_objective_is_measured_on_clean_images(
    image_folder: Path, tmp_path: Path
) -> None:
    objective = dict(
        type="Adversarial", objective=dict(type="CIM", width=16, heads=2), source="both"
    )
    found = localise(train(objective, "exemplar", image_folder, tmp_path), image_folder, limit=4)
    assert (found.images, found.exemplars) == (4, 3) and found.loss > 0


def test_another_objective_is_refused(image_folder: Path, tmp_path: Path) -> None:
    path = train(dict(type="SimCLR", hidden=8, dim=8), "global", image_folder, tmp_path)
    with pytest.raises(ValueError, match="trained with SimCLR; this measures CIM"):
        load(path)
